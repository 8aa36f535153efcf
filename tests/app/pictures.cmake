# The pictures of docs/schedules.md are what the program draws:
# cmake -DMORAY=... -DREPOSITORY=... -DWORK=... -P pictures.cmake
file(MAKE_DIRECTORY ${WORK})

# Draws picture NAME of a schedule as the command in docs/schedules.md does.
function(draw name schedule ranks micro_batches)
  execute_process(
    COMMAND ${MORAY} plan ${REPOSITORY}/input/tiny.yaml --schedule ${schedule} --durations 1,1,1,2.75 --pipeline ${ranks}
            --micro-batches ${micro_batches} --timeline ${WORK}/${name}.svg
    RESULT_VARIABLE code OUTPUT_QUIET)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "moray plan ended with ${code}")
  endif()
endfunction()

draw(times all 4 8)
draw(dualpipe-8-20 dualpipe 8 20)
foreach(picture times-1f1b times-zb1p times-dualpipe times-dualpipev dualpipe-8-20)
  execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files ${WORK}/${picture}.svg
                          ${REPOSITORY}/docs/schedules/${picture}.svg RESULT_VARIABLE differs)
  if(differs)
    message(FATAL_ERROR "docs/schedules/${picture}.svg is old: draw it again (the command is in docs/schedules.md)")
  endif()
endforeach()
