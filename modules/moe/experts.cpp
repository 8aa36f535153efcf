#include "moe/experts.hpp"

#include "core/error.hpp"

namespace moray {

std::string row_key(const char* name, std::int64_t bytes) {
  return fmt::format("{}.{}", name, bytes);
}

template <class Real>
Experts<Real>::Experts(Parameters<Real>& parameters, const std::string& prefix, std::int64_t width,
                       const MoeConfig& config, const ExpertShare& share)
    : precision_(parameters.precision()) {
  using Parts = std::vector<typename Linear<Real>::Part>;
  const std::int64_t first = share.first(config.experts);
  const std::int64_t end = first + share.count(config.experts);
  for (std::int64_t e = 0; e < config.experts; ++e) {
    const std::string expert = fmt::format("{}experts.{}.", prefix, e);
    const bool held = e >= first && e < end;
    gate_up_.emplace_back(parameters, Region::expert, width,
                          Parts{{expert + "gate_proj.weight", config.width},
                                {expert + "up_proj.weight", config.width}},
                          held);
    down_.emplace_back(parameters, Region::expert, config.width,
                       Parts{{expert + "down_proj.weight", width}}, held);
  }
}

template <class Real>
void Experts<Real>::make_workspace(Arena& arena, std::int64_t sequences, std::int64_t tokens,
                                   std::int64_t rows, std::int64_t members) const {
  if (x_format() == RowFormat::real && dy_format() == RowFormat::real) return;
  for (const Linear<Real>* linear : {&gate_up_.front(), &down_.front()}) {
    scratch_ = LowScratch(arena, precision_, linear->compute(), rows, members * sequences,
                          linear->in(), linear->out());
  }
  sequence_rows_ = tokens / sequences;
  const auto pack = [&](const char* key, RowFormat format) {
    const std::int64_t bytes = row_bytes<Real>(format, width());
    return arena.shared_rows<std::byte>(row_key(key, bytes), format == RowFormat::real ? 0 : tokens,
                                        bytes);
  };
  packed_x_ = pack("moe.packed", x_format());
  packed_dy_ = pack("moe.packed_gradients", dy_format());
  token_scales_ = arena.shared_rows<float>("moe.token_scales", tokens, scale_blocks(width()));
  row_scales_ = arena.shared_rows<float>("moe.row_scales", rows, scale_blocks(width()));
}

template <class Real>
Matrix<const std::byte> Experts<Real>::packed(Pass<Real>& pass, Operand what,
                                              Matrix<const Real> x) const {
  const bool gradient = what == Operand::gradient;
  const RowFormat format = gradient ? dy_format() : x_format();
  if (format == RowFormat::real) return as_bytes<Real>(x);
  const Matrix<std::byte> rows = (gradient ? packed_dy_ : packed_x_)->first(x.rows);
  const Matrix<const Real> values = x;
  if constexpr (std::is_same_v<Real, float>) {
    if (format == RowFormat::e4m3 && precision_.coarse()) {
      pass.blocks.clear();
      for (std::int64_t begin = 0; begin < x.rows; begin += sequence_rows_)
        append_row_blocks(begin, sequence_rows_, pass.blocks);
      x = coarse_values(pass.exec, precision_, what, x, upload_blocks(pass.blocks, scratch_),
                        scratch_);
    }
  }
  const Matrix<float> scales = token_scales_->first(x.rows);
  pack_rows<Real>(pass.exec, format, x, scales, rows);
  if constexpr (std::is_same_v<Real, float>) {
    // Each token once, however many experts read it and wherever they are.
    if (pass.statistics != nullptr && format == RowFormat::e4m3) {
      pass.statistics->add(pass.exec, (gradient ? down_ : gate_up_).front().weight().tensor,
                           gradient ? Fp8Role::dy : Fp8Role::x, values,
                           packed_codes(rows, x.cols, scales), 1);
    }
  }
  return rows;
}

template <class Real>
void Experts<Real>::multiply(Pass<Real>& pass, GemmForm form, const Linears& linears,
                             const Route<Real>& route, const Input<Real>& in,
                             Matrix<Real> out) const {
  const Matrix<const Real> x = in.values;
  if constexpr (std::is_same_v<Real, float>) {
    if (in.coded()) {
      return multiply_low(pass, form, linears, route, operand(in.codes, 1, precision_.scale_rule()),
                          linears.front().in(), out);
    }
    if (linears.front().low()) {
      Vector<const RowBlock> blocks;
      if (precision_.coarse()) blocks = row_blocks(pass, route);
      const Operand what = form == GemmForm::nt ? Operand::value : Operand::gradient;
      const MixedOperand rows = row_operand(pass.exec, precision_, linears.front().compute(), what,
                                            x, blocks, scratch_, scratch_.tokens);
      count_codes(pass, linears.front().weight(), what, x, rows);
      return multiply_low(pass, form, linears, route, rows, x.cols, out);
    }
  }
  pass.tasks.clear();
  for (std::int64_t e = 0; e < route.experts(); ++e) {
    const auto range = route.expert_rows(e);
    const Matrix<const Real> w = pass.parameters->weight(weight(linears, route, e));
    pass.tasks.push_back({.a = x.row(range.begin),
                          .lda = x.stride,
                          .b = w.data,
                          .ldb = w.stride,
                          .c = out.row(range.begin),
                          .ldc = out.stride,
                          .m = range.rows,
                          .n = out.cols,
                          .k = x.cols});
  }
  gemm<Real>(pass.exec, form, pass.tasks);
}

template <class Real>
void Experts<Real>::multiply_packed(Pass<Real>& pass, GemmForm form, const Linears& linears,
                                    const Route<Real>& route, RowFormat format,
                                    Matrix<std::byte> in, Matrix<Real> out) const {
  const std::int64_t columns = width();
  if (format == RowFormat::real) {
    multiply(pass, form, linears, route, as_numbers<Real>(in), out);
  } else if (format == RowFormat::bf16) {
    multiply_low(pass, form, linears, route, bf16_rows(in, columns), columns, out);
  } else {
    const Quantized codes = row_codes(pass.exec, in, columns, row_scales_->first(in.rows));
    multiply_low(pass, form, linears, route, operand(codes, 1, ScaleRule::power_of_two), columns,
                 out);
  }
}

template <class Real>
void Experts<Real>::multiply_low(Pass<Real>& pass, GemmForm form, const Linears& linears,
                                 const Route<Real>& route, const MixedOperand& in, std::int64_t k,
                                 Matrix<Real> out) const {
  if constexpr (std::is_same_v<Real, float>) {
    pass.mixed_tasks.clear();
    for (std::int64_t e = 0; e < route.experts(); ++e) {
      const auto range = route.expert_rows(e);
      pass.mixed_tasks.push_back({.a = rows_from(in, range.begin),
                                  .b = pass.parameters->low_weight(weight(linears, route, e)),
                                  .c = out.row(range.begin),
                                  .rounds = true,
                                  .ldc = out.stride,
                                  .m = range.rows,
                                  .n = out.cols,
                                  .k = k});
    }
    mixed_gemm(pass.exec, form, pass.mixed_tasks,
               in.scales != nullptr ? precision_.accumulation() : Accumulation::exact);
  }
}

template <class Real>
Vector<const RowBlock> Experts<Real>::row_blocks(Pass<Real>& pass, const Route<Real>& route) const {
  fence(pass.exec, "moray::moe: the order of rows to the host");
  route.row_blocks(pass.blocks, first_block_);
  return upload_blocks(pass.blocks, scratch_);
}

template <class Real>
MixedOperand Experts<Real>::packed_channels(Pass<Real>& pass, RowFormat format,
                                            Matrix<std::byte> rows, Vector<const RowBlock> blocks,
                                            const LowScratch::Buffer& buffer) const {
  const std::int64_t columns = width();
  if (format == RowFormat::bf16) return bf16_rows(rows, columns);
  const Quantized codes = row_codes(pass.exec, rows, columns, row_scales_->first(rows.rows));
  return channel_operand(pass.exec, precision_, codes, columns, blocks, buffer);
}

template <class Real>
void Experts<Real>::accumulate_low(Pass<Real>& pass, const RowLayout& rows, const Linears& linears,
                                   const Route<Real>& route, const MixedOperand& dy,
                                   const MixedOperand& x, Vector<const RowBlock> blocks) const {
  if constexpr (std::is_same_v<Real, float>) {
    const auto& segments = rows.batch->expert_segments();
    const bool fp8 = dy.scales != nullptr;
    pass.mixed_tasks.clear();
    for (std::int64_t e = 0; e < route.experts(); ++e) {
      for (std::size_t s = 0; s < segments.size(); ++s) {
        const Matrix<float> dw =
            pass.parameters->gradient(weight(linears, route, e), segments[s].lane);
        const auto range = route.lane_rows(e, static_cast<std::int64_t>(s));
        MixedGemmTask task = {
            .a = dy, .b = x, .c = dw.data, .ldc = dw.stride, .m = dw.rows, .n = dw.cols};
        if (fp8) {
          const std::size_t run = static_cast<std::size_t>(e) * segments.size() + s;
          const std::int64_t first = first_block_[run];
          task.blocks = blocks.slice(first, first_block_[run + 1] - first);
          task.a.scales += first * task.a.scale_stride;
          task.b.scales += first * task.b.scale_stride;
        } else {
          task.a = rows_from(dy, range.begin);
          task.b = rows_from(x, range.begin);
          task.k = range.rows;
        }
        pass.mixed_tasks.push_back(task);
      }
    }
    mixed_gemm(pass.exec, GemmForm::tn, pass.mixed_tasks,
               fp8 ? precision_.accumulation() : Accumulation::exact);
  }
}

template <class Real>
void Experts<Real>::accumulate(Pass<Real>& pass, const RowLayout& rows, const Linears& linears,
                               const Route<Real>& route, Matrix<const Real> dy,
                               Matrix<const Real> x) const {
  pass.tasks.clear();
  const auto& segments = rows.batch->expert_segments();
  for (std::int64_t e = 0; e < route.experts(); ++e) {
    for (std::size_t s = 0; s < segments.size(); ++s) {
      const auto range = route.lane_rows(e, static_cast<std::int64_t>(s));
      const Matrix<Real> dw =
          pass.parameters->gradient(weight(linears, route, e), segments[s].lane);
      pass.tasks.push_back({.a = dy.row(range.begin),
                            .lda = dy.stride,
                            .b = x.row(range.begin),
                            .ldb = x.stride,
                            .c = dw.data,
                            .ldc = dw.stride,
                            .m = dw.rows,
                            .n = dw.cols,
                            .k = range.rows});
    }
  }
  gemm<Real>(pass.exec, GemmForm::tn, pass.tasks);
}

template <class Real>
void Experts<Real>::backward_weight(Pass<Real>& pass, const RowLayout& rows,
                                    const Route<Real>& route, Matrix<std::byte> dy,
                                    const Input<Real>& act, Matrix<const Real> dgate_up,
                                    Matrix<std::byte> x) const {
  const bool low_down = dy_format() != RowFormat::real, low_gate_up = x_format() != RowFormat::real;
  if (!low_down) accumulate(pass, rows, down_, route, as_numbers<Real>(dy), act.values);
  if constexpr (std::is_same_v<Real, float>) {
    Vector<const RowBlock> blocks;
    if (low_down || low_gate_up) blocks = row_blocks(pass, route);
    if (low_down) {
      const MixedOperand left = packed_channels(pass, dy_format(), dy, blocks, scratch_.left);
      const MixedOperand right =
          act.coded()
              ? channel_operand(pass.exec, precision_, act.codes, down_.front().in(), blocks,
                                scratch_.right)
              : channel_operand(pass.exec, precision_, down_.front().compute(), Operand::value,
                                act.values, blocks, scratch_, scratch_.right);
      accumulate_low(pass, rows, down_, route, left, right, blocks);
    }
    if (low_gate_up) {
      const MixedOperand left =
          channel_operand(pass.exec, precision_, gate_up_.front().compute(), Operand::gradient,
                          dgate_up, blocks, scratch_, scratch_.left);
      const MixedOperand right = packed_channels(pass, x_format(), x, blocks, scratch_.right);
      accumulate_low(pass, rows, gate_up_, route, left, right, blocks);
    }
  }
  if (!low_gate_up) accumulate(pass, rows, gate_up_, route, dgate_up, as_numbers<Real>(x));
}

template class Experts<float>;
template class Experts<double>;

}  // namespace moray
