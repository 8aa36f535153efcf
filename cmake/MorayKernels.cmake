# moray_host_kernel(<file>): compiles one source once per instruction set of the host.
#
# The source sees MORAY_ISA (the namespace: v3, v4, or generic off x86) and must follow the rule of
# docs/design.md: a file compiled with a raised -m flag includes neither Kokkos nor STL templates
# and exports only names of its own instruction set, because a shared inline function from such a
# file would crash older nodes. tests/kernels/isa_symbols reads the objects with nm.
#
# Where kernels run on a device there are none: tensors are not in the host's memory.
if(Kokkos_DEVICES MATCHES "CUDA|HIP|SYCL|OPENACC|OPENMPTARGET")
  set(MORAY_HOST_ISAS "")
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(MORAY_HOST_ISAS v3 v4)
  set(MORAY_ISA_FLAGS_v3 -march=x86-64-v3)
  set(MORAY_ISA_FLAGS_v4 -march=x86-64-v4 -mprefer-vector-width=512)
else()
  set(MORAY_HOST_ISAS generic)
  set(MORAY_ISA_FLAGS_generic "")
endif()

foreach(isa IN LISTS MORAY_HOST_ISAS)
  add_library(moray_host_${isa} OBJECT)
  target_include_directories(moray_host_${isa} PRIVATE ${CMAKE_SOURCE_DIR} ${CMAKE_SOURCE_DIR}/modules)
  target_compile_features(moray_host_${isa} PRIVATE cxx_std_20)
  target_compile_options(moray_host_${isa} PRIVATE -ffp-contract=off -fno-math-errno -fno-trapping-math -fno-exceptions
    -Wall -Wextra -Wshadow ${MORAY_ISA_FLAGS_${isa}})
  target_compile_definitions(moray_host_${isa} PRIVATE MORAY_ISA=${isa} MORAY_ISA_${isa}=1)
endforeach()

function(moray_host_kernel file)
  foreach(isa IN LISTS MORAY_HOST_ISAS)
    target_sources(moray_host_${isa} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/${file})
  endforeach()
endfunction()
