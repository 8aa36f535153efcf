#pragma once

/// The x86 intrinsics. g++ 12 and 13 warn of "uninitialized" values inside their own AVX-512 header,
/// where undefined lanes are meant (GCC bug 105593): not in our files.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#endif
#include <immintrin.h>
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic pop
#endif
