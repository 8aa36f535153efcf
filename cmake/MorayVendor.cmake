# Vendor libraries: variants of an op under `determinism: run`, never needed. What is found is linked
# and defines MORAY_HAVE_BLAS, MORAY_HAVE_ONEDNN or MORAY_HAVE_KOKKOS_KERNELS for
# the files that ask (moray_vendor_source); -DMORAY_VENDOR=OFF builds without any.
option(MORAY_VENDOR "Use BLAS and oneDNN where they are found" ON)
set(MORAY_BLAS_FOUND "no")
set(MORAY_ONEDNN_FOUND "no")

if(MORAY_VENDOR AND MORAY_HOST_ISAS)
  # OpenBLAS, whose threads can be set; Debian keeps the header of each flavour in its own folder.
  find_path(MORAY_CBLAS_INCLUDE cblas.h PATH_SUFFIXES openblas openblas-pthread
    x86_64-linux-gnu/openblas-pthread aarch64-linux-gnu/openblas-pthread)
  find_library(MORAY_OPENBLAS_LIBRARY openblas)
  if(MORAY_CBLAS_INCLUDE AND MORAY_OPENBLAS_LIBRARY)
    target_link_libraries(moray_dependencies INTERFACE ${MORAY_OPENBLAS_LIBRARY})
    set(MORAY_BLAS_FOUND ${MORAY_OPENBLAS_LIBRARY})
  endif()

  # oneDNN 2 and 3: dnnl_sgemm is the same in both. Its threads are those of OpenMP.
  find_path(MORAY_ONEDNN_INCLUDE oneapi/dnnl/dnnl.h)
  find_library(MORAY_ONEDNN_LIBRARY dnnl)
  if(MORAY_ONEDNN_INCLUDE AND MORAY_ONEDNN_LIBRARY)
    file(STRINGS ${MORAY_ONEDNN_INCLUDE}/oneapi/dnnl/dnnl_config.h omp REGEX "define DNNL_CPU_THREADING_RUNTIME DNNL_RUNTIME_OMP")
    find_library(MORAY_GOMP_LIBRARY NAMES gomp libgomp.so.1)
    if(omp AND MORAY_GOMP_LIBRARY)
      target_link_libraries(moray_dependencies INTERFACE ${MORAY_ONEDNN_LIBRARY} ${MORAY_GOMP_LIBRARY})
      set(MORAY_ONEDNN_FOUND ${MORAY_ONEDNN_LIBRARY})
    else()
      set(MORAY_ONEDNN_FOUND "no (${MORAY_ONEDNN_LIBRARY} does not use OpenMP, or libgomp is missing)")
    endif()
  endif()
endif()

# Kokkos Kernels: the portable route to the BLAS of any backend.
set(MORAY_KOKKOS_KERNELS_FOUND "no")
if(MORAY_VENDOR)
  get_target_property(kokkos_includes moray_kokkos INTERFACE_INCLUDE_DIRECTORIES)
  find_path(MORAY_KOKKOS_KERNELS_INCLUDE KokkosBlas3_gemm.hpp HINTS ${kokkos_includes} ${KokkosKernels_ROOT}
    PATH_SUFFIXES include trilinos kokkos)
  find_library(MORAY_KOKKOS_KERNELS_LIBRARY NAMES kokkoskernels trilinos_kokkoskernels HINTS ${KokkosKernels_ROOT}
    PATH_SUFFIXES lib lib64)
  if(MORAY_KOKKOS_KERNELS_INCLUDE AND MORAY_KOKKOS_KERNELS_LIBRARY)
    target_include_directories(moray_dependencies SYSTEM INTERFACE ${MORAY_KOKKOS_KERNELS_INCLUDE})
    target_link_libraries(moray_dependencies INTERFACE ${MORAY_KOKKOS_KERNELS_LIBRARY})
    set(MORAY_KOKKOS_KERNELS_FOUND ${MORAY_KOKKOS_KERNELS_LIBRARY})
  endif()
endif()

set(MORAY_VENDOR_DEFINITIONS "")
if(NOT MORAY_KOKKOS_KERNELS_FOUND STREQUAL "no")
  list(APPEND MORAY_VENDOR_DEFINITIONS MORAY_HAVE_KOKKOS_KERNELS=1)
  set(MORAY_HAVE_KOKKOS_KERNELS TRUE)
endif()
if(NOT MORAY_BLAS_FOUND STREQUAL "no")
  list(APPEND MORAY_VENDOR_DEFINITIONS MORAY_HAVE_BLAS=1)
  set(MORAY_HAVE_BLAS TRUE)
endif()
if(NOT MORAY_ONEDNN_FOUND MATCHES "^no")
  list(APPEND MORAY_VENDOR_DEFINITIONS MORAY_HAVE_ONEDNN=1)
  set(MORAY_HAVE_ONEDNN TRUE)
endif()

# moray_vendor_source(<file> [<include folder>]): a file of moray_lib that asks what was found.
function(moray_vendor_source file)
  set(includes ${ARGN})
  list(REMOVE_ITEM includes ${CMAKE_CXX_IMPLICIT_INCLUDE_DIRECTORIES})  # named twice, <cmath> finds no math.h
  list(TRANSFORM includes PREPEND -isystem)  # their warnings are not ours
  set_source_files_properties(${CMAKE_CURRENT_SOURCE_DIR}/${file} TARGET_DIRECTORY moray_lib PROPERTIES
    COMPILE_DEFINITIONS "${MORAY_VENDOR_DEFINITIONS}" COMPILE_OPTIONS "${includes}")
endfunction()
