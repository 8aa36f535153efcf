#include "bench_fp8_products.hpp"

#include <algorithm>
#include <random>

#include "core/bf16.hpp"

namespace moray {

Matrix<float> BenchStorage::normal(std::int64_t rows, std::int64_t cols, float spread) {
  const Matrix<float> x = take<float>(rows, cols);
  std::mt19937 random(static_cast<unsigned>(memory_.size()));
  std::normal_distribution<float> values(0, spread);
  for (std::int64_t i = 0; i < rows * cols; ++i) x.data[i] = values(random);
  return x;
}

Matrix<std::uint16_t> BenchStorage::rounded(Matrix<const float> x) {
  const Matrix<std::uint16_t> half = take<std::uint16_t>(x.rows, x.cols);
  for (std::int64_t i = 0; i < x.rows * x.cols; ++i) half.data[i] = bf16_encode(x.data[i]);
  return half;
}

Quantized BenchStorage::codes(CodeType type, std::int64_t rows, std::int64_t cols,
                              std::int64_t scale_rows, std::int64_t scale_cols) {
  return {type, take<std::uint8_t>(rows, code_bytes(type, cols)),
          take<float>(scale_rows, scale_cols)};
}

Vector<const RowBlock> BenchStorage::blocks(std::int64_t rows, std::int64_t sequences) {
  std::vector<RowBlock> list;
  for (std::int64_t s = 0, begin = 0; s < sequences; ++s) {
    const std::int64_t end = rows * (s + 1) / sequences;
    append_row_blocks(begin, end - begin, list);
    begin = end;
  }
  const auto count = static_cast<std::int64_t>(list.size());
  const Matrix<RowBlock> table = take<RowBlock>(1, count);
  std::copy(list.begin(), list.end(), table.data);
  return {table.data, count};
}

MixedProducts::MixedProducts(const LinearShape& shape, GemmForm f, std::int64_t sequences)
    : form(f) {
  for (const std::int64_t rows : shape.rows) {
    const Matrix<float> x = storage_.normal(rows, shape.in, 1);
    const Matrix<float> w = storage_.normal(shape.out, shape.in, 0.02F);
    const Matrix<float> dy = storage_.normal(rows, shape.out, 1);
    if (form == GemmForm::nt) add(x, w, rows, shape.out, shape.in);
    if (form == GemmForm::nn) add(dy, w, rows, shape.in, shape.out);
    if (form == GemmForm::tn) add_weight_gradient(dy, x, sequences);
  }
}

double MixedProducts::operations() const {
  double sum = 0;
  for (const GemmTask<float>& t : plain) {
    sum += 2.0 * static_cast<double>(t.m) * static_cast<double>(t.n) * static_cast<double>(t.k);
  }
  return sum;
}

double MixedProducts::calc_diff(std::span<const MixedGemmTask> tasks) const {
  double xy = 0, xx = 0, yy = 0;
  for (std::size_t g = 0; g < tasks.size(); ++g) {
    for (std::int64_t i = 0; i < tasks[g].m * tasks[g].n; ++i) {
      const float result = form == GemmForm::tn ? tasks[g].c[i] : bf16_decode(tasks[g].rounded[i]);
      const auto x = static_cast<double>(result), y = static_cast<double>(plain[g].c[i]);
      xy += x * y;
      xx += x * x;
      yy += y * y;
    }
  }
  return 1 - 2 * xy / (xx + yy);
}

void MixedProducts::add(Matrix<const float> x, Matrix<const float> w, std::int64_t m,
                        std::int64_t n, std::int64_t k) {
  const ExecSpace exec;
  const Quantized a = storage_.codes(CodeType::e4m3, m, k, m, scale_blocks(k));
  const Quantized b =
      storage_.codes(CodeType::e4m3, w.rows, w.cols, scale_blocks(w.rows), scale_blocks(w.cols));
  quantize_tokens(exec, x, ScaleRule::power_of_two, a);
  quantize_weights(exec, w, ScaleRule::power_of_two, b);
  MixedGemmTask sizes;
  sizes.m = m;
  sizes.n = n;
  sizes.k = k;
  add_task(a, b, kScaleBlock, x, w, sizes);
}

void MixedProducts::add_weight_gradient(Matrix<const float> dy, Matrix<const float> x,
                                        std::int64_t sequences) {
  const ExecSpace exec;
  MixedGemmTask sizes;
  sizes.m = dy.cols;
  sizes.n = x.cols;
  sizes.k = x.rows;
  sizes.blocks = storage_.blocks(x.rows, sequences);
  const std::int64_t blocks = sizes.blocks.size;
  const Quantized a = storage_.codes(CodeType::e4m3, dy.rows, dy.cols, blocks, dy.cols);
  const Quantized b = storage_.codes(CodeType::e4m3, x.rows, x.cols, blocks, x.cols);
  quantize_channels(exec, dy, sizes.blocks, ScaleRule::power_of_two, Layout::rows, a);
  quantize_channels(exec, x, sizes.blocks, ScaleRule::power_of_two, Layout::rows, b);
  add_task(a, b, 1, dy, x, sizes);
}

void MixedProducts::add_task(const Quantized& a, const Quantized& b, std::int64_t shared,
                             Matrix<const float> left, Matrix<const float> right,
                             const MixedGemmTask& sizes) {
  const std::int64_t m = sizes.m, n = sizes.n;
  plain.push_back({left.data, left.stride, right.data, right.stride,
                   storage_.take<float>(m, n).data, n, m, n, sizes.k});
  for (std::vector<MixedGemmTask>* list : {&half, &fp8}) {
    MixedGemmTask task = sizes;
    task.ldc = n;
    if (form == GemmForm::tn) {
      task.c = storage_.take<float>(m, n).data;
    } else {
      task.rounded = storage_.take<std::uint16_t>(m, n).data;
    }
    list->push_back(task);
  }
  half.back().a = operand(Matrix<const std::uint16_t>(storage_.rounded(left)));
  half.back().b = operand(Matrix<const std::uint16_t>(storage_.rounded(right)));
  half.back().blocks = {};
  fp8.back().a = operand(a, 1, ScaleRule::power_of_two);
  fp8.back().b = operand(b, shared, ScaleRule::power_of_two);
}

}  // namespace moray
