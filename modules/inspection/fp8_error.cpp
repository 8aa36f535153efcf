#include "inspection/fp8_error.hpp"

#include <algorithm>
#include <cmath>

#include "io/fp8_weights.hpp"

namespace moray {
namespace {

/// Sums over the pairs of a block, or of a tensor.
struct Sums {
  double xx = 0, xy = 0, yy = 0, difference = 0;

  void add(const Sums& other) {
    xx += other.xx;
    xy += other.xy;
    yy += other.yy;
    difference += other.difference;
  }
  /// A block of zeros has no error; one that made something of zeros has nothing but error.
  double relative_rms() const {
    return difference == 0 ? 0 : xx > 0 ? std::sqrt(difference / xx) : HUGE_VAL;
  }
  double calc_diff() const { return xx + yy > 0 ? 1 - 2 * xy / (xx + yy) : 0; }
};

/// Up to 128 rows of a matrix, and the columns of one block of them.
struct Strip {
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  std::vector<float> x, y;

  template <class Visit>
  void visit_block(std::int64_t column, const Visit& visit) {
    const std::int64_t begin = column * kScaleBlock;
    const std::int64_t end = std::min(begin + kScaleBlock, cols);
    for (std::int64_t i = 0; i < rows; ++i) {
      for (std::int64_t j = begin; j < end; ++j) {
        const auto at = static_cast<std::size_t>(i * cols + j);
        visit(x[at], y[at]);
      }
    }
  }

  /// y of a block from its x; returns the scale.
  float quantize(std::int64_t column, ScaleRule rule) {
    std::int32_t amax = 0;
    visit_block(column, [&](float value, float&) {
      amax = std::max(amax, ScalarLanes::bits(value) & 0x7fffffff);
    });
    const BlockScale scale = block_scale(amax, largest_value(CodeType::e4m3), rule);
    visit_block(column, [&](float value, float& result) {
      result = e4m3_decode(e4m3_encode(value * scale.inverse)) * scale.scale;
    });
    return scale.scale;
  }
};

Sums block_sums(Strip& strip, std::int64_t column, std::int64_t& not_finite) {
  Sums s;
  strip.visit_block(column, [&](float left, float right) {
    if (!std::isfinite(left) || !std::isfinite(right)) {
      ++not_finite;
      return;
    }
    const double x = static_cast<double>(left);
    const double y = static_cast<double>(right);
    s.xx += x * x;
    s.xy += x * y;
    s.yy += y * y;
    s.difference += (x - y) * (x - y);
  });
  return s;
}

void add_scale(double scale, Fp8Error& error) {
  if (!std::isfinite(scale)) return;
  error.least_scale = std::min(error.least_scale, scale);
  error.largest_scale = std::max(error.largest_scale, scale);
}

void add_stored_scales(const Checkpoint& checkpoint, const DatasetSpec& weight, Fp8Error& error) {
  const DatasetSpec spec = fp8_scales_spec(weight);
  std::vector<float> scales(static_cast<std::size_t>(BlockGrid(spec).elements()));
  checkpoint.read(spec.name, 0, static_cast<std::int64_t>(scales.size()), scales.data());
  for (const float scale : scales) add_scale(static_cast<double>(scale), error);
}

}  // namespace

Fp8Error fp8_error(const Checkpoint& checkpoint, const DatasetSpec& weight, ScaleRule rule) {
  Fp8Error error;
  error.least_scale = HUGE_VAL;
  error.stored = has_fp8_weights(checkpoint, weight.name);
  error.compared = checkpoint.contains(weight.name);
  if (error.stored) {
    require_fp8_weights(checkpoint, weight);
    add_stored_scales(checkpoint, weight, error);
  }
  const std::int64_t rows = weight.shape[weight.shape.size() - 2];
  Strip strip;
  strip.cols = weight.shape.back();
  Sums all;
  for (std::int64_t part = 0; error.compared && part < weight.parts; ++part) {
    for (std::int64_t row = 0; row < rows; row += kScaleBlock) {
      strip.rows = std::min(kScaleBlock, rows - row);
      const std::int64_t offset = (part * rows + row) * strip.cols;
      const std::int64_t count = strip.rows * strip.cols;
      strip.x.resize(static_cast<std::size_t>(count));
      strip.y.resize(strip.x.size());
      checkpoint.read(weight.name, offset, count, strip.x.data());
      if (error.stored) read_fp8_weights(checkpoint, weight, offset, count, strip.y.data());
      for (std::int64_t column = 0; column * kScaleBlock < strip.cols; ++column) {
        if (!error.stored) add_scale(static_cast<double>(strip.quantize(column, rule)), error);
        const Sums sums = block_sums(strip, column, error.not_finite);
        all.add(sums);
        if (sums.relative_rms() > error.worst.relative_rms)
          error.worst = {part, row / kScaleBlock, column, sums.relative_rms()};
      }
    }
  }
  if (error.least_scale == HUGE_VAL) error.least_scale = 0;
  error.relative_rms = all.relative_rms();
  error.calc_diff = all.calc_diff();
  return error;
}

}  // namespace moray
