#include "plain.hpp"

#include "core/bf16.hpp"

namespace moray::test {
namespace {

bool has_scales(NumberType type) {
  return type != NumberType::bf16;
}

std::int64_t bytes(NumberType type, std::int64_t columns) {
  if (type == NumberType::bf16) return 2 * columns;
  return code_bytes(type == NumberType::e5m6 ? CodeType::e5m6 : CodeType::e4m3, columns);
}

/// The blocks of the sum, from row `begin` on.
std::vector<RowBlock> sequence_blocks(const MixedShape& s, std::int64_t begin) {
  std::vector<RowBlock> blocks;
  for (const std::int64_t length : s.lengths) {
    append_row_blocks(begin, length, blocks);
    begin += length;
  }
  return blocks;
}

MixedStored make_left(const MixedShape& s) {
  const std::int64_t blocks = scale_blocks(s.k);
  if (s.form != GemmForm::tn) return {s.a, s.m, s.k, s.m, blocks, 1, s.gap};
  return {s.a, s.k, s.m, static_cast<std::int64_t>(sequence_blocks(s, 0).size()), s.m, 1, s.gap};
}
MixedStored make_right(const MixedShape& s) {
  const std::int64_t blocks = scale_blocks(s.k);
  const std::int64_t groups = (s.n + s.shared - 1) / s.shared;
  if (s.form == GemmForm::nt) return {s.b, s.n, s.k, groups, blocks, s.shared, s.gap};
  if (s.form == GemmForm::nn) return {s.b, s.k, s.n, blocks, groups, s.shared, s.gap};
  return {s.b, s.k, s.n, static_cast<std::int64_t>(sequence_blocks(s, 0).size()), s.n, 1, s.gap};
}

/// A code that is a number: every size, zeros and subnormals among them.
std::uint32_t random_code(NumberType type, std::mt19937& random) {
  for (;;) {
    const auto code = static_cast<std::uint32_t>(random());
    if (type == NumberType::e4m3 && (code & 0x7f) != 0x7f) return code & 0xff;
    if (type == NumberType::e5m2 && (code & 0x7c) != 0x7c) return code & 0xff;
    if (type == NumberType::e5m6 && (code & 0x7c0) != 0x7c0) return code & 0xfff;
  }
}

}  // namespace

MixedStored::MixedStored(NumberType number, std::int64_t rows, std::int64_t columns,
                         std::int64_t scale_rows, std::int64_t scale_cols, std::int64_t in_common,
                         std::int64_t gap)
    : type(number),
      cols(columns),
      shared(in_common),
      numbers(rows, bytes(number, columns), 4 * gap),
      scales(has_scales(number) ? scale_rows : 0, scale_cols, gap) {}

void MixedStored::fill(std::mt19937& random, bool powers) {
  rule = powers ? ScaleRule::power_of_two : ScaleRule::float32;
  std::normal_distribution<float> normal;
  for (std::int64_t i = 0; i < numbers.rows(); ++i) {
    std::uint8_t* row = numbers.host().row(i);
    for (std::int64_t j = 0; j < cols; j += 8) {
      std::uint32_t code[8] = {}, word[3];
      for (std::int64_t k = 0; k < 8 && j + k < cols; ++k) {
        code[k] =
            type == NumberType::bf16 ? bf16_encode(normal(random)) : random_code(type, random);
        if (type == NumberType::bf16) {
          const auto half = static_cast<std::uint16_t>(code[k]);
          std::memcpy(row + 2 * (j + k), &half, 2);
        } else if (type != NumberType::e5m6) {
          row[j + k] = static_cast<std::uint8_t>(code[k]);
        }
      }
      e5m6_pack(code, word);
      if (type == NumberType::e5m6) std::memcpy(row + j / 8 * 12, word, 12);
    }
  }
  for (std::int64_t i = 0; i < scales.rows() * (scales.cols() > 0 ? 1 : 0); ++i) {
    for (std::int64_t j = 0; j < scales.cols(); ++j) {
      const float power = std::ldexp(1.0F, static_cast<int>(random() % 12) - 8);
      scales(i, j) = powers ? power : power * (1 + std::abs(normal(random)));
    }
  }
}

MixedOperand MixedStored::host() {
  const Matrix<std::uint8_t> x = numbers.host();
  MixedOperand operand = {type, x.data, x.stride};
  if (has_scales(type)) {
    operand.scales = scales.host().data;
    operand.scale_stride = scales.host().stride;
    operand.shared = shared;
    operand.rule = rule;
  }
  return operand;
}
MixedOperand MixedStored::device() {
  MixedOperand operand = host();
  operand.data = numbers.device().data;
  if (has_scales(type)) operand.scales = scales.device().data;
  return operand;
}

MixedProblem::MixedProblem(const MixedShape& s, std::mt19937& random)
    : shape(s),
      a(make_left(s)),
      b(make_right(s)),
      c(s.m, s.n, s.gap),
      expected(s.m, s.n, s.gap),
      rounded(s.m, s.n, s.gap),
      expected_rounded(s.m, s.n, s.gap),
      blocks(1, static_cast<std::int64_t>(sequence_blocks(s, 0).size())) {
  a.fill(random, s.powers);
  b.fill(random, s.powers);
  c.fill(random);
  expected = c;
  rounded.fill_with(0x1234);
  expected_rounded = rounded;
  const std::vector<RowBlock> list = sequence_blocks(s, 0);
  for (std::size_t q = 0; q < list.size(); ++q) blocks[static_cast<std::int64_t>(q)] = list[q];
}

MixedGemmTask MixedProblem::task() {
  MixedGemmTask t;
  t.a = a.device();
  t.b = b.device();
  t.ldc = shape.n + shape.gap;
  t.m = shape.m;
  t.n = shape.n;
  t.k = shape.k;
  if (shape.rounded) {
    t.rounded = rounded.device().data;
  } else {
    t.c = c.device().data;
    t.rounds = shape.rounds;
  }
  if (shape.form == GemmForm::tn && has_scales(shape.a)) {
    static const RowBlock none = {0, 0};
    t.blocks = blocks.device_vector();
    if (t.blocks.data == nullptr) t.blocks.data = &none;  // no block at all is not no list
  }
  return t;
}

std::vector<RowBlock> sum_of(const MixedShape& s) {
  if (!has_scales(s.a)) return {{0, static_cast<std::int32_t>(s.k)}};
  if (s.form == GemmForm::tn) return sequence_blocks(s, 0);
  std::vector<RowBlock> blocks;
  append_row_blocks(0, s.k, blocks);
  return blocks;
}

float MixedProblem::scale(std::int64_t i, std::int64_t j, std::int64_t q) {
  const float left = shape.form == GemmForm::tn ? a.scales(q, i) : a.scales(i, q);
  const std::int64_t at = j / b.shared;
  return left * (shape.form == GemmForm::nt ? b.scales(at, q) : b.scales(q, at));
}

float plain_number(const MixedOperand& x, std::int64_t i, std::int64_t j) {
  const auto* row = static_cast<const std::uint8_t*>(x.data) + i * x.stride;
  if (x.type == NumberType::e4m3) return e4m3_decode(row[j]);
  if (x.type == NumberType::e5m2) return e5m2_decode(row[j]);
  if (x.type == NumberType::bf16) {
    std::uint16_t half;
    std::memcpy(&half, row + 2 * j, 2);
    return bf16_decode(half);
  }
  std::uint32_t word[3], code[8];
  std::memcpy(word, row + j / 8 * 12, 12);
  e5m6_unpack(word, code);
  return e5m6_decode(static_cast<std::uint16_t>(code[j % 8]));
}

void MixedProblem::run_plain() {
  const GemmForm form = shape.form;
  const MixedOperand x = a.host(), y = b.host();
  const bool tn = form == GemmForm::tn, nt = form == GemmForm::nt, scaled = has_scales(shape.a);
  const std::vector<RowBlock> sum = sum_of(shape);
  if (tn && shape.k == 0) return;
  for (std::int64_t i = 0; i < shape.m; ++i) {
    for (std::int64_t j = 0; j < shape.n; ++j) {
      float acc = tn ? expected(i, j) : 0.0F;
      for (std::size_t block = 0; block < sum.size(); ++block) {
        const auto q = static_cast<std::int64_t>(block);
        float chain = scaled ? 0.0F : acc;
        for (std::int64_t l = sum[block].begin; l < sum[block].begin + sum[block].count; ++l) {
          chain = std::fma(tn ? plain_number(x, l, i) : plain_number(x, i, l),
                           nt ? plain_number(y, j, l) : plain_number(y, l, j), chain);
        }
        if (!scaled) {
          acc = chain;
          continue;
        }
        acc = std::fma(chain, scale(i, j, q), acc);
      }
      if (shape.rounded) {
        expected_rounded(i, j) = bf16_encode(acc + 0.0F);
      } else {
        expected(i, j) = shape.rounds ? bf16_decode(bf16_encode(acc + 0.0F)) : acc + 0.0F;
      }
    }
  }
}

bool MixedProblem::matches() {
  run_plain();
  return is_as_expected();
}
bool MixedProblem::is_as_expected() {
  if (shape.rounded) {
    rounded.fetch();
    return rounded.same_bits(expected_rounded);
  }
  c.fetch();
  return c.same_bits(expected);
}

float MixedProblem::result(std::int64_t i, std::int64_t j) {
  return shape.rounded ? bf16_decode(rounded(i, j)) : c(i, j);
}

std::string describe(const MixedShape& s) {
  std::string text = "form " + std::to_string(static_cast<int>(s.form)) + " types " +
                     std::to_string(static_cast<int>(s.a)) + " " +
                     std::to_string(static_cast<int>(s.b));
  for (const std::int64_t size : {s.m, s.n, s.k, s.gap}) text += " " + std::to_string(size);
  text += s.rounded ? " bf16" : " float32";
  for (const std::int64_t length : s.lengths) text += " length " + std::to_string(length);
  return text;
}

void check_products(std::vector<MixedProblem>& problems) {
  std::vector<MixedGemmTask> tasks;
  for (MixedProblem& p : problems) tasks.push_back(p.task());
  const ExecSpace exec;
  mixed_gemm(exec, problems.empty() ? GemmForm::nt : problems[0].shape.form, tasks);
  finish(exec);
  for (MixedProblem& p : problems) {
    INFO(describe(p.shape));
    CHECK(p.matches());
  }
}

}  // namespace moray::test
