# moray_kokkos: Kokkos 3.4 (Debian) to 5.x, found or fetched.
#
# MORAY_KOKKOS_BACKEND is what a preset wants (OPENMP, CUDA, HIP, SYCL). Where the Kokkos that is
# found lacks it, or none is found, the upstream release is fetched and built with it.
set(MORAY_KOKKOS_BACKEND "" CACHE STRING "Kokkos backend that must be there: empty for any, OPENMP, CUDA, HIP or SYCL")

# URL and hash agree in two public recipes: CExA-project/cexa-kokkos-tutorials,
# cmake/SetUpKokkos.cmake, and Homebrew's formula kokkos.rb (5.2.2).
# UNVERIFIED until somebody has fetched it with this file; then remove this line.
set(MORAY_KOKKOS_RELEASE 5.2.2)
set(MORAY_KOKKOS_URL https://github.com/kokkos/kokkos/releases/download/${MORAY_KOKKOS_RELEASE}/kokkos-${MORAY_KOKKOS_RELEASE}.tar.gz)
set(MORAY_KOKKOS_SHA256 d6557aaef39302282a15f9c770433d1fcdf4e961dfd6d9ed726b9d0d0f546b9f)

# Sets MORAY_KOKKOS_FETCH. The imported targets of a Kokkos that lacks the backend would clash with
# the fetched one: a folder of its own looks first, since imported targets are local to a folder.
set(MORAY_KOKKOS_FETCH OFF)
if(MORAY_KOKKOS_BACKEND)
  add_subdirectory(${CMAKE_CURRENT_LIST_DIR}/kokkos_probe ${CMAKE_BINARY_DIR}/kokkos_probe)
endif()

if(MORAY_KOKKOS_FETCH)
  message(STATUS "No Kokkos with ${MORAY_KOKKOS_BACKEND} here: fetching ${MORAY_KOKKOS_URL}")
  message(STATUS "  Without a network set Kokkos_ROOT, or FETCHCONTENT_SOURCE_DIR_KOKKOS to an unpacked release.")
  set(Kokkos_ENABLE_SERIAL ON CACHE BOOL "")
  set(Kokkos_ENABLE_${MORAY_KOKKOS_BACKEND} ON CACHE BOOL "")
  include(FetchContent)
  if(POLICY CMP0135)
    cmake_policy(SET CMP0135 NEW)
  endif()
  FetchContent_Declare(kokkos URL ${MORAY_KOKKOS_URL} URL_HASH SHA256=${MORAY_KOKKOS_SHA256})
  FetchContent_MakeAvailable(kokkos)
  set(Kokkos_FOUND TRUE)
  set(Kokkos_VERSION ${MORAY_KOKKOS_RELEASE})
  set(Kokkos_DEVICES "SERIAL;${MORAY_KOKKOS_BACKEND}, fetched")
else()
  # No version in the call: the version file of Debian's 3.4 refuses ranges across majors.
  find_package(Kokkos CONFIG QUIET)
endif()
moray_require(Kokkos_FOUND "kokkos" "Debian: libtrilinos-kokkos-dev; cluster: load a kokkos module or set Kokkos_ROOT; or use a preset that fetches it")
if(Kokkos_VERSION AND Kokkos_VERSION VERSION_LESS 3.4)
  message(FATAL_ERROR "Kokkos ${Kokkos_VERSION} is too old: 3.4 or newer is needed.")
endif()

add_library(moray_kokkos INTERFACE)
if(MORAY_KOKKOS_FETCH OR Kokkos_VERSION VERSION_GREATER_EQUAL 4)
  target_link_libraries(moray_kokkos INTERFACE Kokkos::kokkos)
elseif(Kokkos_FOUND)
  # Debian's 3.4 exports targets whose include folder does not exist: build our own from the lists.
  find_path(MORAY_KOKKOS_INCLUDE Kokkos_Core.hpp HINTS ${Kokkos_INCLUDE_DIRS} PATH_SUFFIXES trilinos kokkos)
  moray_require(MORAY_KOKKOS_INCLUDE "Kokkos_Core.hpp" "Debian: libtrilinos-kokkos-dev")
  target_include_directories(moray_kokkos SYSTEM INTERFACE ${MORAY_KOKKOS_INCLUDE})
  foreach(library IN LISTS Kokkos_LIBRARIES)
    find_library(MORAY_KOKKOS_${library} NAMES ${library} HINTS ${Kokkos_LIBRARY_DIRS})
    moray_require(MORAY_KOKKOS_${library} "library ${library}" "Debian: libtrilinos-kokkos-dev")
    target_link_libraries(moray_kokkos INTERFACE ${MORAY_KOKKOS_${library}})
  endforeach()
endif()
