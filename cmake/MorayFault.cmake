# moray_faulty_source(<variable> NAME <name> SOURCE <file> REPLACE <from> <to> [<from> <to>...])
#
# Makes a copy of a source file in which texts are replaced, and sets <variable> to its path. A test
# program that links it instead of the library's own has one fault, which the test must catch. Texts
# have no semicolon; one that is no longer there is an error, so that no fault gets lost.
function(moray_faulty_source variable)
  cmake_parse_arguments(ARG "" "NAME;SOURCE" "REPLACE" ${ARGN})
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/${ARG_SOURCE})
  file(READ ${CMAKE_SOURCE_DIR}/${ARG_SOURCE} text)
  while(ARG_REPLACE)
    list(POP_FRONT ARG_REPLACE from to)
    string(FIND "${text}" "${from}" at)
    if(at LESS 0)
      message(FATAL_ERROR "'${from}' is no longer in ${ARG_SOURCE}; state the fault '${ARG_NAME}' anew.")
    endif()
    string(REPLACE "${from}" "${to}" text "${text}")
  endwhile()
  file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/${ARG_NAME}.cpp CONTENT "${text}" @ONLY)
  set(${variable} ${CMAKE_CURRENT_BINARY_DIR}/${ARG_NAME}.cpp PARENT_SCOPE)
endfunction()
