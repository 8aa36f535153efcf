# Writes build_info.cpp into the build folder: version, git hash, compiler, flags, library versions.
# The hash is read again at each build (a stamp that changes only when the hash does), so an
# incremental build never prints a stale one.
find_package(Git QUIET)
set(MORAY_HASH_SCRIPT ${CMAKE_BINARY_DIR}/git_hash.cmake)
file(WRITE ${MORAY_HASH_SCRIPT} "
set(hash unknown)
if(EXISTS \"${CMAKE_SOURCE_DIR}/.git\")
  execute_process(COMMAND \"${GIT_EXECUTABLE}\" -c safe.directory=* -C \"${CMAKE_SOURCE_DIR}\" describe --always --dirty --abbrev=12
    OUTPUT_VARIABLE hash OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
set(text \"namespace moray { extern const char* const kGitHash; const char* const kGitHash = \\\"\${hash}\\\"; }\\n\")
set(old \"\")
if(EXISTS \"${CMAKE_BINARY_DIR}/git_hash.cpp\")
  file(READ \"${CMAKE_BINARY_DIR}/git_hash.cpp\" old)
endif()
if(NOT old STREQUAL text)
  file(WRITE \"${CMAKE_BINARY_DIR}/git_hash.cpp\" \"\${text}\")
endif()
")
execute_process(COMMAND ${CMAKE_COMMAND} -P ${MORAY_HASH_SCRIPT})
add_custom_target(moray_git_hash COMMAND ${CMAKE_COMMAND} -P ${MORAY_HASH_SCRIPT}
  BYPRODUCTS ${CMAKE_BINARY_DIR}/git_hash.cpp VERBATIM)
configure_file(${CMAKE_SOURCE_DIR}/cmake/build_info.cpp.in ${CMAKE_BINARY_DIR}/build_info.cpp @ONLY)
