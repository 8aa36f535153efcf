# `cmake --install build`: the program, the library, its headers, the decks, and what
# find_package(moray) needs. A consumer links moray::moray; its project must enable C, for MPI.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(MORAY_CMAKE_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/moray)

install(TARGETS moray RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
install(TARGETS moray_lib moray_flags moray_dependencies moray_kokkos EXPORT morayTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(DIRECTORY modules/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/moray FILES_MATCHING PATTERN "*.hpp")
install(DIRECTORY kernels DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/moray FILES_MATCHING PATTERN "*.hpp")
if(EXISTS ${CMAKE_SOURCE_DIR}/input)
  install(DIRECTORY input DESTINATION ${CMAKE_INSTALL_DATADIR}/moray)
endif()
install(EXPORT morayTargets NAMESPACE moray:: DESTINATION ${MORAY_CMAKE_DIR})

configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/morayConfig.cmake.in ${CMAKE_BINARY_DIR}/morayConfig.cmake
  INSTALL_DESTINATION ${MORAY_CMAKE_DIR})
write_basic_package_version_file(${CMAKE_BINARY_DIR}/morayConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/morayConfig.cmake ${CMAKE_BINARY_DIR}/morayConfigVersion.cmake
  DESTINATION ${MORAY_CMAKE_DIR})
