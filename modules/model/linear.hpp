#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/error.hpp"
#include "core/kokkos.hpp"
#include "kernels/gemm/gemm.hpp"
#include "model/batch_layout.hpp"
#include "model/low_linear.hpp"
#include "model/parameters.hpp"
#include "model/probe.hpp"

namespace moray {

/// What every forward and backward function of a module is given.
template <class Real>
struct Pass {
  ExecSpace exec;
  const Parameters<Real>* parameters = nullptr;
  std::vector<GemmTask<Real>> tasks;  ///< scratch of the modules; keeps its capacity
  std::vector<MixedGemmTask> mixed_tasks = {};
  std::vector<RowBlock> blocks = {};
  Probe<Real>* probe = nullptr;  ///< none in normal runs
  /// Counts what becomes of values in FP8, in the steps that are to be counted; else none.
  Fp8Statistics* statistics = nullptr;
  /// The first value that is not finite. The step goes on, so that ranks which wait for this one are
  /// not left alone; whoever runs it throws afterwards.
  std::optional<Error> error = {};
  void throw_error() {
    if (!error) return;
    const Error thrown = *error;
    error.reset();
    throw thrown;
  }
};

/// While it lives nothing is counted: what a backward computes again was counted in the forward.
template <class Real>
class Uncounted {
 public:
  explicit Uncounted(Pass<Real>& pass) : pass_(pass), statistics_(pass.statistics) {
    pass.statistics = nullptr;
  }
  ~Uncounted() { pass_.statistics = statistics_; }
  Uncounted(const Uncounted&) = delete;
  Uncounted& operator=(const Uncounted&) = delete;

 private:
  Pass<Real>& pass_;
  Fp8Statistics* statistics_;
};

/// Counts values (T, C) and their codes with scales 1 x 128, if the pass counts.
template <class Real>
void count_codes(const Pass<Real>& pass, const WeightRef& weight, Operand what,
                 Matrix<const float> x, const MixedOperand& codes) {
  if (pass.statistics == nullptr || codes.type != NumberType::e4m3) return;
  pass.statistics->add(pass.exec, weight.tensor,
                       what == Operand::gradient ? Fp8Role::dy : Fp8Role::x, x, codes);
}

/// Shows a stage to the pass's probe, if there is one: a tensor with the same number of rows for
/// each stored sequence.
template <class Real, class Values>
void observe(const Pass<Real>& pass, const char* stage, const Values& values) {
  if (pass.probe != nullptr) pass.probe->rows(stage, values, 0, values.rows);
}
/// Rows in the order of a route.
template <class Real, class Values>
void observe(const Pass<Real>& pass, const char* stage, const Route<Real>& route,
             const Values& values) {
  if (pass.probe != nullptr) pass.probe->expert_rows(stage, route, values);
}

/// Whether somebody wants the values that FP8 products read, and not their codes alone.
template <class Real>
bool wants_values(const Pass<Real>& pass, const PrecisionConfig& precision) {
  return pass.probe != nullptr || pass.statistics != nullptr || precision.coarse();
}

/// y = x wᵀ without bias. The weight may be several parameters whose rows follow each other: one
/// product then serves all (docs/numerics.md section 2). Where it computes in bf16 or FP8
/// (docs/fp8.md section 4), x, dy and w are rounded to that, y and dx to bf16, and dw is float32.
template <class Real>
class Linear {
 public:
  using Part = typename Parameters<Real>::Part;
  Linear() = default;
  Linear(Parameters<Real>& parameters, Region region, std::int64_t in,
         const std::vector<Part>& parts, bool held = true)
      : weight_(parameters.declare(region, in, parts, held)) {}

  std::int64_t in() const { return weight_.cols; }
  std::int64_t out() const { return weight_.rows; }
  const WeightRef& weight() const { return weight_; }
  Compute compute() const { return weight_.compute; }
  bool low() const { return compute() != Compute::float32; }
  /// What low precision needs, for micro-batches of so many sequences of `rows` rows.
  void make_workspace(Arena& arena, const PrecisionConfig& precision, std::int64_t sequences,
                      std::int64_t rows) const {
    if (!low()) return;
    scratch_ = LowScratch(arena, precision, compute(), sequences * rows, sequences, in(), out());
    sequence_rows_ = rows;
  }

  /// Room for the codes of x (rows, in), if x need not be written for anybody else. What is written
  /// there goes to the next call of forward or backward_weight.
  CodeRoom room(const Pass<Real>& pass, std::int64_t rows) const {
    if (compute() != Compute::fp8 || wants_values(pass, pass.parameters->precision())) return {};
    return code_room(pass.parameters->precision(), rows, in(), scratch_);
  }

  /// x (T, in), y (T, out).
  void forward(Pass<Real>& pass, const Input<Real>& x, Matrix<Real> y) const;
  /// dx (T, in) = dy (T, out) w.
  void backward_input(Pass<Real>& pass, Matrix<const Real> dy, Matrix<Real> dx) const;
  /// dw of each lane += dyᵀ x over the rows of its sequences.
  void backward_weight(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> dy,
                       const Input<Real>& x) const;

 private:
  /// y (T, .) = the product of rows x (T, .) with the weight, rounded.
  void low_product(Pass<Real>& pass, GemmForm form, Operand what, const Input<Real>& x,
                   Matrix<Real> y) const;
  void low_backward_weight(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> dy,
                           const Input<Real>& x) const;

  WeightRef weight_;
  mutable LowScratch scratch_;
  mutable std::int64_t sequence_rows_ = 0;
};

/// RMSNorm with its gain. The gain's gradient is accumulated together with dx, since both need dy,
/// which is then not kept for later.
template <class Real>
class Norm {
 public:
  Norm() = default;
  Norm(Parameters<Real>& parameters, const std::string& name, std::int64_t width, double eps)
      : gain_(parameters.declare_vector(name, width)), eps_(static_cast<Real>(eps)) {}

  void forward(Pass<Real>& pass, Matrix<const Real> x, Matrix<Real> y, Vector<Real> r) const;
  void recompute(Pass<Real>& pass, Matrix<const Real> x, Vector<const Real> r,
                 Matrix<Real> y) const;
  /// Both for a product: only the codes of y are written if there is room for them. r is then computed
  /// again too, to the same bits.
  Input<Real> forward(Pass<Real>& pass, Matrix<const Real> x, Matrix<Real> y, Vector<Real> r,
                      const CodeRoom& room) const;
  Input<Real> recompute(Pass<Real>& pass, Matrix<const Real> x, Vector<Real> r, Matrix<Real> y,
                        const CodeRoom& room) const;
  /// dx may be dy. Also accumulates the gain's gradient in each lane.
  void backward(Pass<Real>& pass, const RowLayout& rows, Matrix<const Real> dy,
                Matrix<const Real> x, Vector<const Real> r, Matrix<Real> dx) const;

  const WeightRef& gain() const { return gain_; }

 private:
  Input<Real> codes(Pass<Real>& pass, Matrix<const Real> x, Vector<Real> r,
                    const CodeRoom& room) const;

  WeightRef gain_;
  Real eps_ = 0;
};

}  // namespace moray
