#include "model/fp8_statistics.hpp"

#include "core/error.hpp"

namespace moray {

void Fp8Statistics::add(const ExecSpace& exec, std::int64_t tensor, Fp8Role role,
                        Matrix<const float> x, const MixedOperand& codes) {
  MORAY_REQUIRE(codes.type == NumberType::e4m3 && codes.shared == 1);
  add_statistics(
      exec, x, {static_cast<const std::uint8_t*>(codes.data), x.rows, x.cols, codes.stride},
      {codes.scales, x.rows, scale_blocks(x.cols), codes.scale_stride}, 1, words(tensor, role));
}

std::vector<std::int64_t> Fp8Statistics::read(const ExecSpace& exec) const {
  fence(exec, "moray::model: statistics of FP8 to the host");
  std::vector<std::int64_t> all(static_cast<std::size_t>(words_.rows * words_.cols));
  copy_to_host(words_.data, all.size(), all.data());
  return all;
}

Vector<std::int64_t> Fp8Statistics::words(std::int64_t tensor, Fp8Role role) const {
  const std::int64_t row = tensor * kFp8Roles + static_cast<std::int64_t>(role);
  MORAY_REQUIRE(tensor >= 0 && row < words_.rows);
  return {words_.row(row), words_.cols};
}

}  // namespace moray
