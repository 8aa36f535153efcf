#include "kernels/quantize/plain.hpp"

#include <cmath>

namespace moray::test {
namespace {

/// Bit by bit from the first byte on: eight codes of 12 bits are a string of bits in three words.
void put_code(const Quantized& out, std::int64_t i, std::int64_t j, float scaled) {
  if (out.type == CodeType::e4m3) {
    out.codes(i, j) = e4m3_encode(scaled);
  } else if (out.type == CodeType::e5m2) {
    out.codes(i, j) = e5m2_encode(scaled);
  } else {
    const std::uint32_t code = e5m6_encode(scaled);
    for (int bit = 0; bit < 12; ++bit) {
      const auto place = static_cast<int>(j % 8 * 12 + bit);
      std::uint32_t word;
      std::uint8_t* at = &out.codes(i, j / 8 * 12 + place / 32 * 4);
      std::memcpy(&word, at, 4);
      const std::uint32_t mask = 0x80000000U >> place % 32;
      word = (code & (0x800U >> bit)) != 0 ? word | mask : word & ~mask;
      std::memcpy(at, &word, 4);
    }
  }
}

std::uint32_t code_at(const Quantized& in, std::int64_t i, std::int64_t j) {
  if (in.type != CodeType::e5m6) return in.codes(i, j);
  std::uint32_t code = 0;
  for (int bit = 0; bit < 12; ++bit) {
    const auto place = static_cast<int>(j % 8 * 12 + bit);
    std::uint32_t word;
    std::memcpy(&word, &in.codes(i, j / 8 * 12 + place / 32 * 4), 4);
    code = code << 1 | (word >> (31 - place % 32) & 1);
  }
  return code;
}

struct Chosen {
  float scale;
  float factor;
};

Chosen choose(const std::vector<float>& values, CodeType type, ScaleRule rule) {
  float amax = 1e-4F;
  for (const float x : values) {
    if (!std::isfinite(x)) return {NAN, NAN};
    amax = std::max(amax, std::fabs(x));
  }
  const float largest = type == CodeType::e4m3   ? 448.0F
                        : type == CodeType::e5m2 ? 57344.0F
                                                 : 65024.0F;
  const float scale = amax / largest;
  if (rule == ScaleRule::float32) return {scale, largest / amax};
  int exponent;
  const float fraction = std::frexp(scale, &exponent);  // in [1/2, 1)
  const float power = std::ldexp(1.0F, fraction == 0.5F ? exponent - 1 : exponent);
  return {power, 1.0F / power};
}

}  // namespace

Stored tokens_of(CodeType type, std::int64_t rows, std::int64_t columns, std::int64_t gap) {
  return {type, rows, columns, rows, scale_blocks(columns), gap};
}
Stored channels_of(CodeType type, std::int64_t rows, std::int64_t columns,
                   const std::vector<RowBlock>& blocks, Layout layout, std::int64_t gap) {
  const auto count = static_cast<std::int64_t>(blocks.size());
  if (layout == Layout::rows) return {type, rows, columns, count, columns, gap};
  return {type, columns, rows, columns, count, gap};
}
Stored weights_of(CodeType type, std::int64_t rows, std::int64_t columns, std::int64_t gap) {
  return {type, rows, columns, scale_blocks(rows), scale_blocks(columns), gap};
}

std::vector<RowBlock> blocks_of(std::int64_t begin, const std::vector<std::int64_t>& lengths) {
  std::vector<RowBlock> blocks;
  for (const std::int64_t length : lengths) {
    append_row_blocks(begin, length, blocks);
    begin += length;
  }
  return blocks;
}
Tensor<RowBlock> block_tensor(const std::vector<RowBlock>& blocks) {
  auto tensor = Tensor<RowBlock>(1, static_cast<std::int64_t>(blocks.size()));
  for (std::size_t b = 0; b < blocks.size(); ++b) {
    tensor[static_cast<std::int64_t>(b)] = blocks[b];
  }
  return tensor;
}

void plain_tokens(Matrix<const float> x, ScaleRule rule, const Quantized& out) {
  for (std::int64_t t = 0; t < x.rows; ++t) {
    for (std::int64_t b = 0; b * 128 < x.cols; ++b) {
      std::vector<float> values;
      for (std::int64_t j = b * 128; j < std::min(x.cols, b * 128 + 128); ++j) {
        values.push_back(x(t, j));
      }
      const Chosen chosen = choose(values, out.type, rule);
      out.scales(t, b) = chosen.scale;
      for (std::size_t k = 0; k < values.size(); ++k) {
        put_code(out, t, b * 128 + static_cast<std::int64_t>(k), values[k] * chosen.factor);
      }
    }
    if (out.type != CodeType::e5m6) continue;
    for (std::int64_t j = x.cols; j % 8 != 0; ++j) put_code(out, t, j, 0.0F);
  }
}

void plain_channels(Matrix<const float> x, const std::vector<RowBlock>& blocks, ScaleRule rule,
                    Layout layout, const Quantized& out) {
  const bool rows = layout == Layout::rows;
  for (std::size_t index = 0; index < blocks.size(); ++index) {
    const auto b = static_cast<std::int64_t>(index);
    for (std::int64_t j = 0; j < x.cols; ++j) {
      std::vector<float> values;
      for (std::int64_t k = 0; k < blocks[index].count; ++k) {
        values.push_back(x(blocks[index].begin + k, j));
      }
      const Chosen chosen = choose(values, out.type, rule);
      (rows ? out.scales(b, j) : out.scales(j, b)) = chosen.scale;
      for (std::size_t k = 0; k < values.size(); ++k) {
        const std::int64_t t = blocks[index].begin + static_cast<std::int64_t>(k);
        put_code(out, rows ? t : j, rows ? j : t, values[k] * chosen.factor);
      }
    }
  }
}

void plain_weights(Matrix<const float> w, ScaleRule rule, const Quantized& out) {
  for (std::int64_t i = 0; i < w.rows; i += 128) {
    for (std::int64_t j = 0; j < w.cols; j += 128) {
      std::vector<float> values;
      const std::int64_t bottom = std::min(w.rows, i + 128), right = std::min(w.cols, j + 128);
      for (std::int64_t r = i; r < bottom; ++r) {
        for (std::int64_t c = j; c < right; ++c) values.push_back(w(r, c));
      }
      const Chosen chosen = choose(values, out.type, rule);
      out.scales(i / 128, j / 128) = chosen.scale;
      for (std::int64_t r = i; r < bottom; ++r) {
        for (std::int64_t c = j; c < right; ++c) put_code(out, r, c, w(r, c) * chosen.factor);
      }
    }
  }
}

float plain_value(const Quantized& in, std::int64_t i, std::int64_t j, float scale) {
  const std::uint32_t code = code_at(in, i, j);
  const float value = in.type == CodeType::e4m3   ? e4m3_decode(static_cast<std::uint8_t>(code))
                      : in.type == CodeType::e5m2 ? e5m2_decode(static_cast<std::uint8_t>(code))
                                                  : e5m6_decode(static_cast<std::uint16_t>(code));
  return value * scale;
}

}  // namespace moray::test
