// The conversions of device code, which are instructions of the processor where it has them, give the bits
// of the host's integer arithmetic (core/fp8.hpp, core/bf16.hpp): for all 2^32 float32 numbers, and for
// all codes. Ends with 77 where no GPU can be used.
#include <cuda_runtime.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "core/bf16.hpp"
#include "core/fp8.hpp"

namespace {

void check(cudaError_t result, const char* what) {
  if (result == cudaSuccess) return;
  std::printf("%s: %s\n", what, cudaGetErrorString(result));
  std::exit(1);
}

/// What a format is called, its codes, and its two conversions.
#define MORAY_FORMAT(Format, name, bits, Integer, function)                                    \
  struct Format {                                                                              \
    static constexpr const char* kName = name;                                                 \
    static constexpr std::uint32_t kCodes = 1U << (bits);                                      \
    using Code = Integer;                                                                      \
    MORAY_FUNCTION static Code encode(float value) { return moray::function##_encode(value); } \
    MORAY_FUNCTION static float decode(Code code) { return moray::function##_decode(code); }   \
  }
MORAY_FORMAT(E4m3, "E4M3", 8, std::uint8_t, e4m3);
MORAY_FORMAT(E5m2, "E5M2", 8, std::uint8_t, e5m2);
MORAY_FORMAT(E5m6, "E5M6", 12, std::uint16_t, e5m6);
MORAY_FORMAT(Bf16, "bf16", 16, std::uint16_t, bf16);
#undef MORAY_FORMAT

template <class Format>
MORAY_FUNCTION typename Format::Code encoded(std::uint32_t bits) {
  return Format::encode(__builtin_bit_cast(float, bits));
}
template <class Format>
MORAY_FUNCTION std::uint32_t decoded(std::uint32_t code) {
  return __builtin_bit_cast(std::uint32_t,
                            Format::decode(static_cast<typename Format::Code>(code)));
}

/// The codes of the numbers whose bits are first, first + 1, ...
template <class Format>
__global__ void encode_all(std::uint32_t first, std::uint32_t count, typename Format::Code* out) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = encoded<Format>(first + i);
}
template <class Format>
__global__ void decode_all(std::uint32_t count, std::uint32_t* out) {
  const std::uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < count) out[i] = decoded<Format>(i);
}

constexpr std::uint32_t kThreads = 256;
constexpr std::uint32_t kPart = 1U << 24;  // numbers at a time

/// What a kernel writes, on the host.
template <class T, class Launch>
void fetch(const Launch& launch, T* device, std::vector<T>& host) {
  launch(device);
  check(cudaGetLastError(), "launch");
  check(cudaMemcpy(host.data(), device, host.size() * sizeof(T), cudaMemcpyDeviceToHost), "copy");
}

template <class Format>
std::uint64_t differences() {
  using Code = typename Format::Code;
  std::uint64_t wrong = 0;
  const auto compare = [&](const char* what, std::uint32_t of, std::uint32_t got,
                           std::uint32_t expected) {
    if (got == expected || ++wrong > 10) return;
    std::printf("%s: %s of %08x gives %x, not %x\n", Format::kName, what, of, got, expected);
  };

  void* device = nullptr;
  check(cudaMalloc(&device, kPart * sizeof(std::uint32_t)), "cudaMalloc");
  std::vector<std::uint32_t> values(Format::kCodes);
  fetch<std::uint32_t>(
      [&](std::uint32_t* out) {
        decode_all<Format>
            <<<(Format::kCodes + kThreads - 1) / kThreads, kThreads>>>(Format::kCodes, out);
      },
      static_cast<std::uint32_t*>(device), values);
  for (std::uint32_t c = 0; c < Format::kCodes; ++c) {
    compare("decoding", c, values[c], decoded<Format>(c));
  }

  std::vector<Code> codes(kPart);
  for (std::uint64_t first = 0; first < std::uint64_t{1} << 32; first += kPart) {
    const auto begin = static_cast<std::uint32_t>(first);
    fetch<Code>(
        [&](Code* out) { encode_all<Format><<<kPart / kThreads, kThreads>>>(begin, kPart, out); },
        static_cast<Code*>(device), codes);
    for (std::uint32_t i = 0; i < kPart; ++i) {
      compare("encoding", begin + i, codes[i], encoded<Format>(begin + i));
    }
  }
  check(cudaFree(device), "cudaFree");
  std::printf("%-4s  %u codes, 4294967296 numbers: %llu differ\n", Format::kName, Format::kCodes,
              static_cast<unsigned long long>(wrong));
  return wrong;
}

}  // namespace

int main() {
  int devices = 0;
  const cudaError_t found = cudaGetDeviceCount(&devices);
  if (found != cudaSuccess || devices == 0) {
    std::printf("skipped: no GPU (%s)\n", cudaGetErrorString(found));
    return 77;
  }
  cudaDeviceProp device;
  check(cudaGetDeviceProperties(&device, 0), "cudaGetDeviceProperties");
  std::printf("%s, compute capability %d.%d\n", device.name, device.major, device.minor);
  const std::uint64_t wrong =
      differences<E4m3>() + differences<E5m2>() + differences<E5m6>() + differences<Bf16>();
  return wrong == 0 ? 0 : 1;
}
