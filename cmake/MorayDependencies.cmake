# Every library that the program uses, with the sentence that helps when it is missing.
# `moray_dependencies` carries them all; the optional ones define MORAY_HAVE_*.

function(moray_require found what remedy)
  if(NOT ${found})
    message(FATAL_ERROR "${what} was not found. ${remedy}")
  endif()
endfunction()

add_library(moray_dependencies INTERFACE)

# Kokkos 3.4 (Debian) to 5.x. No version in the call: the version file of Debian's 3.4 refuses
# ranges across majors, so it is compared here.
find_package(Kokkos CONFIG QUIET)
moray_require(Kokkos_FOUND "Kokkos" "Debian: libtrilinos-kokkos-dev; cluster: load the kokkos module or set Kokkos_ROOT.")
if(Kokkos_VERSION AND Kokkos_VERSION VERSION_LESS 3.4)
  message(FATAL_ERROR "Kokkos ${Kokkos_VERSION} is too old: 3.4 or newer is needed.")
endif()
add_library(moray_kokkos INTERFACE)
if(Kokkos_VERSION VERSION_GREATER_EQUAL 4)
  target_link_libraries(moray_kokkos INTERFACE Kokkos::kokkos)
else()
  # Debian's 3.4 exports targets whose include folder does not exist: build our own from the lists.
  find_path(MORAY_KOKKOS_INCLUDE Kokkos_Core.hpp HINTS ${Kokkos_INCLUDE_DIRS} PATH_SUFFIXES trilinos kokkos)
  moray_require(MORAY_KOKKOS_INCLUDE "Kokkos_Core.hpp" "Install libtrilinos-kokkos-dev.")
  target_include_directories(moray_kokkos SYSTEM INTERFACE ${MORAY_KOKKOS_INCLUDE})
  foreach(library IN LISTS Kokkos_LIBRARIES)
    find_library(MORAY_KOKKOS_${library} NAMES ${library} HINTS ${Kokkos_LIBRARY_DIRS})
    moray_require(MORAY_KOKKOS_${library} "library ${library}" "Install libtrilinos-kokkos-dev.")
    target_link_libraries(moray_kokkos INTERFACE ${MORAY_KOKKOS_${library}})
  endforeach()
endif()
target_link_libraries(moray_dependencies INTERFACE moray_kokkos)

# The C bindings of MPI: the program never uses MPI's C++ ones.
find_package(MPI QUIET COMPONENTS C)
moray_require(MPI_C_FOUND "MPI" "Debian: libopenmpi-dev openmpi-bin; cluster: load an MPI module.")
target_link_libraries(moray_dependencies INTERFACE MPI::MPI_C)
target_compile_definitions(moray_dependencies INTERFACE OMPI_SKIP_MPICXX MPICH_SKIP_MPICXX)

set(HDF5_PREFER_PARALLEL ON)
find_package(HDF5 QUIET COMPONENTS C)
moray_require(HDF5_FOUND "HDF5" "Debian: libhdf5-openmpi-dev; cluster: load a parallel hdf5 module.")
if(NOT HDF5_IS_PARALLEL)
  message(FATAL_ERROR "The HDF5 found (${HDF5_VERSION}) is not parallel. Debian: libhdf5-openmpi-dev; cluster: load a parallel hdf5 module.")
endif()
target_include_directories(moray_dependencies SYSTEM INTERFACE ${HDF5_C_INCLUDE_DIRS})
target_link_libraries(moray_dependencies INTERFACE ${HDF5_C_LIBRARIES})

find_package(yaml-cpp CONFIG QUIET)
moray_require(yaml-cpp_FOUND "yaml-cpp" "Debian: libyaml-cpp-dev.")
if(TARGET yaml-cpp::yaml-cpp)
  target_link_libraries(moray_dependencies INTERFACE yaml-cpp::yaml-cpp)
else()
  target_link_libraries(moray_dependencies INTERFACE yaml-cpp)
endif()

find_package(fmt CONFIG QUIET)
moray_require(fmt_FOUND "fmt" "Debian: libfmt-dev.")
target_link_libraries(moray_dependencies INTERFACE fmt::fmt)

find_package(Threads REQUIRED)
target_link_libraries(moray_dependencies INTERFACE Threads::Threads)

# Header-only, or without CMake files: found by a plain path.
function(moray_header variable header package)
  find_path(${variable} ${header})
  moray_require(${variable} "${header}" "Debian: ${package}.")
  target_include_directories(moray_dependencies SYSTEM INTERFACE ${${variable}})
endfunction()
moray_header(MORAY_CLI11_INCLUDE CLI/CLI.hpp libcli11-dev)
moray_header(MORAY_JSON_INCLUDE nlohmann/json.hpp nlohmann-json3-dev)
moray_header(MORAY_RANDOM123_INCLUDE Random123/philox.h librandom123-dev)
moray_header(MORAY_XXHASH_INCLUDE xxhash.h libxxhash-dev)
find_library(MORAY_XXHASH_LIBRARY xxhash)
moray_require(MORAY_XXHASH_LIBRARY "xxHash" "Debian: libxxhash-dev.")
target_link_libraries(moray_dependencies INTERFACE ${MORAY_XXHASH_LIBRARY})
