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

struct E4m3 {
  static constexpr const char* kName = "E4M3";
  static constexpr std::uint32_t kCodes = 1U << 8;
  using Code = std::uint8_t;
  MORAY_FUNCTION static Code encode(float value) { return moray::e4m3_encode(value); }
  MORAY_FUNCTION static float decode(Code code) { return moray::e4m3_decode(code); }
};
struct E5m2 {
  static constexpr const char* kName = "E5M2";
  static constexpr std::uint32_t kCodes = 1U << 8;
  using Code = std::uint8_t;
  MORAY_FUNCTION static Code encode(float value) { return moray::e5m2_encode(value); }
  MORAY_FUNCTION static float decode(Code code) { return moray::e5m2_decode(code); }
};
struct E5m6 {
  static constexpr const char* kName = "E5M6";
  static constexpr std::uint32_t kCodes = 1U << 12;
  using Code = std::uint16_t;
  MORAY_FUNCTION static Code encode(float value) { return moray::e5m6_encode(value); }
  MORAY_FUNCTION static float decode(Code code) { return moray::e5m6_decode(code); }
};
struct Bf16 {
  static constexpr const char* kName = "bf16";
  static constexpr std::uint32_t kCodes = 1U << 16;
  using Code = std::uint16_t;
  MORAY_FUNCTION static Code encode(float value) { return moray::bf16_encode(value); }
  MORAY_FUNCTION static float decode(Code code) { return moray::bf16_decode(code); }
};

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
