# Floating-point rules and warnings that every file of the program is compiled with.
#
# docs/numerics.md section 1: no contraction of a*b+c, no fast-math, denormals kept; a fused
# multiply-add is written out as std::fma and must become one instruction.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

add_library(moray_flags INTERFACE)
target_compile_features(moray_flags INTERFACE cxx_std_20)
target_compile_options(moray_flags INTERFACE
  $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off;-fno-math-errno;-Wall;-Wextra;-Wpedantic;-Wshadow;-Wno-unknown-pragmas>>)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
  set(MORAY_BASELINE "-march=x86-64-v3")
else()
  set(MORAY_BASELINE "")
endif()
if(MORAY_ARCH STREQUAL "native")
  set(MORAY_BASELINE "-march=native")
elseif(MORAY_ARCH)
  set(MORAY_BASELINE "-march=${MORAY_ARCH}")
endif()
if(MORAY_BASELINE)
  target_compile_options(moray_flags INTERFACE $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:${MORAY_BASELINE}>>)
endif()

# Sanitizers, for the whole program (preset asan).
set(MORAY_SANITIZE "" CACHE STRING "Sanitizers of the compiler, as in address,undefined")
if(MORAY_SANITIZE)
  target_compile_options(moray_flags INTERFACE $<BUILD_INTERFACE:-fsanitize=${MORAY_SANITIZE};-fno-omit-frame-pointer>)
  target_link_options(moray_flags INTERFACE $<BUILD_INTERFACE:-fsanitize=${MORAY_SANITIZE}>)
endif()

# g++ 12 reports overlapping copies inside std::string's operator+ that cannot happen (GCC bug 105651).
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
  target_compile_options(moray_flags INTERFACE $<BUILD_INTERFACE:$<$<COMPILE_LANGUAGE:CXX>:-Wno-restrict>>)
endif()
