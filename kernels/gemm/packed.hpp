#pragma once

#include "kernels/gemm/gemm.hpp"
#include "kernels/variants.hpp"

namespace moray {

/// The right operand of a product in the order in which a variant reads it, packed once and used
/// many times: weights in decode, and in the micro-batches of a step. Same bits as gemm().
/// Does not own its storage, which lives in the memory space of the backend.
class PackedMatrix {
 public:
  PackedMatrix() = default;

  /// Floats of storage for n columns and k steps: the same for every variant, so that a plan made
  /// on another machine holds.
  static std::int64_t floats(std::int64_t n, std::int64_t k);

  /// Packs b, (n, k) for form nt or (k, n) for form nn, for the variant that is selected now.
  /// `storage` holds floats(n, k) at a multiple of 64 bytes and must outlive the object. Call again
  /// when b has changed. Does not fence.
  void pack(const ExecSpace& exec, GemmForm form, Matrix<const float> b, Vector<float> storage);

  GemmForm form() const { return form_; }
  Variant variant() const { return variant_; }
  std::int64_t n() const { return n_; }
  std::int64_t k() const { return k_; }
  const float* data() const { return data_; }

 private:
  GemmForm form_ = GemmForm::nt;
  Variant variant_ = Variant::portable;
  std::int64_t n_ = 0;
  std::int64_t k_ = 0;
  const float* data_ = nullptr;
};

/// One product c (m, n) = a (m, k) b with a packed b; row strides in elements.
struct PackedGemmTask {
  const float* a = nullptr;
  std::int64_t lda = 0;
  const PackedMatrix* b = nullptr;
  float* c = nullptr;
  std::int64_t ldc = 0;
  std::int64_t m = 0;
};

/// Runs independent products as one launch, as gemm() does. All b were packed for the same form and
/// variant, which is the one that runs. Does not fence; `tasks` may be freed on return.
void gemm_packed(const ExecSpace& exec, std::span<const PackedGemmTask> tasks);
void gemm_packed(const ExecSpace& exec, Matrix<const float> a, const PackedMatrix& b,
                 Matrix<float> c);

}  // namespace moray
