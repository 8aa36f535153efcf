execute_process(COMMAND ${MORAY} help deck OUTPUT_VARIABLE printed RESULT_VARIABLE code)
if(NOT code EQUAL 0)
  message(FATAL_ERROR "moray help deck: exit code ${code}")
endif()
file(READ ${COMMITTED} committed)
if(NOT printed STREQUAL committed)
  message(FATAL_ERROR "docs/deck-reference.md is not what `moray help deck` prints: "
                      "run `moray help deck > docs/deck-reference.md` and commit it.")
endif()
