# Every library that the program uses, with the sentence that helps when it is missing.
# `moray_dependencies` carries them all; the optional ones define MORAY_HAVE_*.

# All that is missing is reported at once, at the end of this file.
set(MORAY_MISSING "")
function(moray_require found what remedy)
  if(NOT ${found})
    set(MORAY_MISSING "${MORAY_MISSING}\n  ${what} (${remedy})" PARENT_SCOPE)
  endif()
endfunction()

add_library(moray_dependencies INTERFACE)
include(MorayKokkos)
target_link_libraries(moray_dependencies INTERFACE moray_kokkos)

# The C bindings of MPI: the program never uses MPI's C++ ones.
find_package(MPI QUIET COMPONENTS C)
moray_require(MPI_C_FOUND "mpi" "Debian: libopenmpi-dev openmpi-bin; cluster: load an MPI module")
target_link_libraries(moray_dependencies INTERFACE MPI::MPI_C)
target_compile_definitions(moray_dependencies INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)

set(HDF5_PREFER_PARALLEL ON)
find_package(HDF5 QUIET COMPONENTS C)
set(MORAY_HDF5_PARALLEL ${HDF5_IS_PARALLEL})
set(MORAY_HDF5_FOUND "")
if(HDF5_FOUND)
  set(MORAY_HDF5_FOUND "found, not parallel: ${HDF5_VERSION} ${HDF5_C_LIBRARIES}; ")
endif()
moray_require(MORAY_HDF5_PARALLEL "hdf5, parallel" "${MORAY_HDF5_FOUND}Debian: libhdf5-openmpi-dev; cluster: load a parallel hdf5 module")
target_include_directories(moray_dependencies SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(moray_dependencies INTERFACE ${HDF5_C_LIBRARIES})

find_package(yaml-cpp CONFIG QUIET)
moray_require(yaml-cpp_FOUND "yaml-cpp" "Debian: libyaml-cpp-dev")
if(TARGET yaml-cpp::yaml-cpp)
  target_link_libraries(moray_dependencies INTERFACE yaml-cpp::yaml-cpp)
else()
  target_link_libraries(moray_dependencies INTERFACE yaml-cpp)
endif()

find_package(fmt CONFIG QUIET)
moray_require(fmt_FOUND "fmt" "Debian: libfmt-dev")
target_link_libraries(moray_dependencies INTERFACE fmt::fmt)

find_package(Threads REQUIRED)
target_link_libraries(moray_dependencies INTERFACE Threads::Threads)

# Header-only, or without CMake files: found by a plain path.
function(moray_header variable header package)
  find_path(${variable} ${header})
  moray_require(${variable} "${header}" "Debian: ${package}")
  set(MORAY_MISSING "${MORAY_MISSING}" PARENT_SCOPE)
  if(${variable})
    target_include_directories(moray_dependencies SYSTEM INTERFACE ${${variable}})
  endif()
endfunction()
moray_header(MORAY_CLI11_INCLUDE CLI/CLI.hpp libcli11-dev)
moray_header(MORAY_JSON_INCLUDE nlohmann/json.hpp nlohmann-json3-dev)
moray_header(MORAY_RANDOM123_INCLUDE Random123/philox.h librandom123-dev)
moray_header(MORAY_XXHASH_INCLUDE xxhash.h libxxhash-dev)
find_library(MORAY_XXHASH_LIBRARY xxhash)
moray_require(MORAY_XXHASH_LIBRARY "xxHash" "Debian: libxxhash-dev")
target_link_libraries(moray_dependencies INTERFACE ${MORAY_XXHASH_LIBRARY})

if(MORAY_MISSING)
  message(FATAL_ERROR "Not found:${MORAY_MISSING}\n"
    "Paths of your own: CMAKE_PREFIX_PATH, Kokkos_ROOT, HDF5_ROOT; then configure again.")
endif()
