#pragma once

/// What the tests of the kernels share: matrices with gaps between their rows, kept on the host and
/// copied to the backend for a call, and loops over the variants of an op.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include "core/matrix.hpp"
#include "kernels/variants.hpp"

namespace moray::test {

/// A (rows, cols) matrix whose rows lie `cols + gap` apart. Everything that a kernel must not
/// touch, the gaps included, is compared too.
template <class T>
class Tensor {
 public:
  Tensor(std::int64_t rows, std::int64_t cols, std::int64_t gap = 0)
      : rows_(rows), cols_(cols), stride_(cols + gap), values_(size()) {}

  /// Normal values times `spread`, everywhere.
  Tensor& fill(std::mt19937& random, double spread = 1) {
    std::normal_distribution<double> normal;
    for (T& value : values_) value = static_cast<T>(spread * normal(random));
    return *this;
  }
  Tensor& fill_with(T value) {
    values_.assign(size(), value);
    return *this;
  }

  Matrix<T> host() { return {values_.data(), rows_, cols_, stride_}; }
  Vector<T> host_vector() { return {values_.data(), static_cast<std::int64_t>(size())}; }
  T& operator()(std::int64_t i, std::int64_t j) { return host()(i, j); }
  T& operator[](std::int64_t i) { return values_[static_cast<std::size_t>(i)]; }
  std::int64_t rows() const { return rows_; }
  std::int64_t cols() const { return cols_; }

  /// Copies the values to the backend, where the kernel under test finds them.
  Matrix<T> device() {
    storage_ = View1<T>("moray::test::tensor", size());
    Kokkos::deep_copy(storage_, unmanaged());
    return {storage_.data(), rows_, cols_, stride_};
  }
  Vector<T> device_vector() { return {device().data, static_cast<std::int64_t>(size())}; }
  /// Takes back what the kernel wrote.
  void fetch() { Kokkos::deep_copy(unmanaged(), storage_); }

  bool same_bits(const Tensor& other) const {
    return values_.size() == other.values_.size() &&
           (values_.empty() ||
            std::memcmp(values_.data(), other.values_.data(), values_.size() * sizeof(T)) == 0);
  }

 private:
  using Unmanaged = Kokkos::View<T*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>;
  std::size_t size() const { return static_cast<std::size_t>(rows_ * stride_); }
  Unmanaged unmanaged() { return Unmanaged(values_.data(), values_.size()); }

  std::int64_t rows_;
  std::int64_t cols_;
  std::int64_t stride_;
  std::vector<T> values_;
  View1<T> storage_;
};

/// A vector is a tensor of one row.
template <class T>
Tensor<T> vector_tensor(std::int64_t size) {
  return Tensor<T>(1, size);
}

inline void finish(const ExecSpace& exec) {
  fence(exec, "moray::test: results are read");
}

/// Runs body() with each exact variant of `op` that this build and processor have.
template <class Body>
void for_each_variant(Op op, const Body& body) {
  for (const Variant variant : available_variants(op)) {
    if (!is_exact(variant)) continue;
    force_variant(op, variant);
    INFO("variant " << variant_name(variant));
    body();
  }
  reset_variants();
}

/// Widths around the 16 chains of a row reduction, and a vocabulary.
inline const std::vector<std::int64_t> kWidths = {1, 2, 15, 16, 17, 31, 32, 33, 64, 100, 260};

/// The row reduction of docs/numerics.md section 3, written again: step(i, c) is the next value of
/// the chain that i belongs to.
template <class Real, class Step>
Real plain_row_reduction(std::int64_t n, const Step& step) {
  std::vector<Real> chain(16, Real(0));
  for (std::int64_t i = 0; i < n; ++i) {
    Real& c = chain[static_cast<std::size_t>(i % 16)];
    c = step(i, c);
  }
  for (const std::size_t half : {8U, 4U, 2U, 1U}) {
    for (std::size_t i = 0; i < half; ++i) chain[i] = chain[i] + chain[i + half];
  }
  return chain[0] + Real(0);
}

}  // namespace moray::test
