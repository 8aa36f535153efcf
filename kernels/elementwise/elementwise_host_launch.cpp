#include "kernels/elementwise/elementwise_variants.hpp"
#include "kernels/host/host_rows.hpp"

namespace moray::host {
namespace {

/// body(i, begin, count) for pieces of the columns of every row: a whole tensor given as one row is
/// spread over the threads too.
template <class Body>
void for_pieces(const std::string& label, const ExecSpace& exec, std::int64_t rows,
                std::int64_t cols, const Body& body) {
  constexpr std::int64_t kColumns = 4096;
  const std::int64_t pieces = (cols + kColumns - 1) / kColumns;
  host_rows(label, exec, rows * pieces, [=](std::int64_t item) {
    const std::int64_t begin = item % pieces * kColumns;
    body(item / pieces, begin, cols - begin < kColumns ? cols - begin : kColumns);
  });
}

}  // namespace

void add(const ExecSpace& exec, const HostElementwise& kernels, Matrix<const float> a,
         Matrix<const float> b, Matrix<float> out) {
  static const std::string label = "moray::elementwise::add_host";
  for_pieces(label, exec, out.rows, out.cols, [=](std::int64_t i, std::int64_t j, std::int64_t n) {
    kernels.add(n, a.row(i) + j, b.row(i) + j, out.row(i) + j);
  });
}

void add_sum(const ExecSpace& exec, const HostElementwise& kernels, Matrix<const float> a,
             Matrix<const float> b, Matrix<const float> c, Matrix<float> out) {
  static const std::string label = "moray::elementwise::add_sum_host";
  for_pieces(label, exec, out.rows, out.cols, [=](std::int64_t i, std::int64_t j, std::int64_t n) {
    kernels.add_sum(n, a.row(i) + j, b.row(i) + j, c.row(i) + j, out.row(i) + j);
  });
}

void copy(const ExecSpace& exec, const HostElementwise& kernels, Matrix<const float> a,
          Matrix<float> out) {
  static const std::string label = "moray::elementwise::copy_host";
  for_pieces(label, exec, out.rows, out.cols, [=](std::int64_t i, std::int64_t j, std::int64_t n) {
    kernels.copy(n, a.row(i) + j, out.row(i) + j);
  });
}

void scale(const ExecSpace& exec, const HostElementwise& kernels, float factor, Matrix<float> x) {
  static const std::string label = "moray::elementwise::scale_host";
  for_pieces(label, exec, x.rows, x.cols, [=](std::int64_t i, std::int64_t j, std::int64_t n) {
    kernels.scale(n, factor, x.row(i) + j);
  });
}

void zero(const ExecSpace& exec, const HostElementwise& kernels, Matrix<float> x) {
  static const std::string label = "moray::elementwise::zero_host";
  for_pieces(label, exec, x.rows, x.cols, [=](std::int64_t i, std::int64_t j, std::int64_t n) {
    kernels.zero(n, x.row(i) + j);
  });
}

}  // namespace moray::host
