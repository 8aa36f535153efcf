# The pictures of docs/schedules.md are what the program draws:
# cmake -DMORAY=... -DREPOSITORY=... -DWORK=... -P pictures.cmake
file(MAKE_DIRECTORY ${WORK})
execute_process(
  COMMAND ${MORAY} plan ${REPOSITORY}/input/tiny.yaml --schedule all --durations 1,1,1,2.75 --pipeline 4
          --micro-batches 8 --timeline ${WORK}/times.svg
  RESULT_VARIABLE code OUTPUT_QUIET)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "moray plan ended with ${code}")
endif()
foreach(schedule 1f1b zb1p dualpipe dualpipev)
  execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files ${WORK}/times-${schedule}.svg
                          ${REPOSITORY}/docs/schedules/times-${schedule}.svg RESULT_VARIABLE differs)
  if(differs)
    message(FATAL_ERROR "docs/schedules/times-${schedule}.svg is old: draw it again (the command is in docs/schedules.md)")
  endif()
endforeach()
