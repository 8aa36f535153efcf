include(GNUInstallDirs)
install(TARGETS moray_lib moray_flags moray_dependencies moray_kokkos EXPORT morayTargets
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS moray RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
