#pragma once

/// Arithmetic that portable kernels, devices and host micro-kernels share. Headers that use these
/// include neither Kokkos nor the STL, so that micro-kernels compiled with raised -m flags may
/// include them. There everything lives in the namespace of the instruction set and is inlined: no
/// symbol of such a file can be picked by the linker for an older processor.
#ifdef MORAY_ISA
#define MORAY_FUNCTIONS_NAMESPACE moray::MORAY_ISA
#else
#define MORAY_FUNCTIONS_NAMESPACE moray
#endif

#if defined(__CUDACC__) || defined(__HIPCC__)
#define MORAY_FUNCTION __host__ __device__ __forceinline__
#else
#define MORAY_FUNCTION inline __attribute__((always_inline))
#endif
