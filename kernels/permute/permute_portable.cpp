#include <algorithm>
#include <cstring>

#include "core/bf16.hpp"
#include "core/error.hpp"
#include "kernels/permute/permute.hpp"

namespace moray {
namespace {

/// Channels that are added at a time, so that the partial sums stay in the first-level cache.
constexpr int kChannels = kHostBackend ? 512 : 1;
/// Partial sums that wait at a time: one a level of the tree, and experts are numbered in int32.
constexpr int kLevels = 33;

/// The level (root 0) of the lowest node of the tree of halving [0, experts) that holds both
/// leaves, left < right.
KOKKOS_INLINE_FUNCTION int common_level(std::int64_t experts, std::int64_t left,
                                        std::int64_t right) {
  std::int64_t begin = 0;
  std::int64_t end = experts;
  for (int level = 0;; ++level) {
    const std::int64_t middle = begin + (end - begin + 1) / 2;
    if (left < middle && right >= middle) return level;
    (left < middle ? end : begin) = middle;
  }
}

/// In which order the leaves of one token meet. Leaves are pushed on a stack in increasing order;
/// after leaf k, `merges[k]` times the two topmost partial sums become one.
struct MergeOrder {
  std::uint8_t merges[kMaxChoices];
};

/// Two neighbours that meet at a level are added before either meets anything higher up: those on
/// the stack that meet below the level at which the next leaf joins are complete.
KOKKOS_INLINE_FUNCTION MergeOrder merge_order(std::int64_t experts, const std::int32_t* selected,
                                              int count) {
  MergeOrder order{};
  int level_below[kLevels];  // level_below[d]: where stack entries d - 1 and d meet
  int depth = 1;
  for (int k = 0; k + 1 < count; ++k) {
    const int level = common_level(experts, selected[k], selected[k + 1]);
    while (depth > 1 && level_below[depth - 1] > level) {
      --depth;
      ++order.merges[k];
    }
    level_below[depth++] = level;
  }
  order.merges[count - 1] = static_cast<std::uint8_t>(depth - 1);
  return order;
}

/// Choices of a token: those before the first -1.
KOKKOS_INLINE_FUNCTION int count_choices(const std::int32_t* selected, int most) {
  int count = 0;
  while (count < most && selected[count] >= 0) ++count;
  return count;
}

/// sum = left + right; sum may be one of them.
template <TreeSums kSums, class Real>
KOKKOS_INLINE_FUNCTION void add_channels(const Real* left, const Real* right, int channels,
                                         Real* sum) {
  if constexpr (kSums == TreeSums::bf16) {
#pragma GCC ivdep
    for (int j = 0; j < channels; ++j) sum[j] = bf16_decode(bf16_encode(left[j] + right[j]));
    return;
  }
#pragma GCC ivdep
  for (int j = 0; j < channels; ++j) sum[j] = left[j] + right[j];
}

/// `channels` channels of one token from `begin`. A leaf is read where it lies; only sums of
/// several are kept, and the last goes to out.
template <TreeSums kSums, class Real>
KOKKOS_INLINE_FUNCTION void combine_channels(const MergeOrder& order, int count,
                                             const Matrix<const Real>& rows,
                                             const std::int32_t* row_of, std::int64_t begin,
                                             int channels, Real* out) {
  Real partial[kLevels][kChannels];
  const Real* stack[kLevels];  // a leaf or a partial sum
  int depth = 0;
  for (int k = 0; k < count; ++k) {
    stack[depth++] = rows.row(row_of[k]) + begin;
    for (int merge = 0; merge < order.merges[k]; ++merge) {
      --depth;
      Real* sum = k == count - 1 && depth == 1 ? out : partial[depth - 1];
      add_channels<kSums>(stack[depth - 1], stack[depth], channels, sum);
      stack[depth - 1] = sum;
    }
  }
  if (count > 1) return;
  for (int j = 0; j < channels; ++j) out[j] = stack[0][j];
}

}  // namespace

template <class Real>
void gather_rows(const ExecSpace& exec, Matrix<const Real> in, Vector<const std::int32_t> source,
                 Matrix<Real> out) {
  static const std::string label = "moray::permute::gather_rows";
  MORAY_REQUIRE(out.rows == source.size && out.cols == in.cols);
  parallel_for(
      label, exec, out.rows, KOKKOS_LAMBDA(const std::int64_t r) {
        const Real* from = in.row(source[r]);
        Real* to = out.row(r);
        for (std::int64_t j = 0; j < out.cols; ++j) to[j] = from[j];
      });
}

void gather_row_bytes(const ExecSpace& exec, Matrix<const std::byte> in,
                      Vector<const std::int32_t> source, Matrix<std::byte> out) {
  static const std::string label = "moray::permute::gather_row_bytes";
  constexpr std::int64_t kWord = 4;
  MORAY_REQUIRE(out.rows == source.size && out.cols == in.cols && out.cols % kWord == 0);
  // A host thread takes a row, a device thread one word of it.
  const std::int64_t piece = kHostBackend ? out.cols : kWord;
  const std::int64_t pieces = out.cols / std::max<std::int64_t>(piece, 1);
  parallel_for(
      label, exec, out.rows * pieces, KOKKOS_LAMBDA(const std::int64_t item) {
        const std::int64_t r = item / pieces;
        const std::int64_t begin = item % pieces * piece;
        std::memcpy(out.row(r) + begin, in.row(source[r]) + begin,
                    static_cast<std::size_t>(kHostBackend ? piece : kWord));
      });
}

template <TreeSums kSums, class Real>
void combine_tokens(const ExecSpace& exec, std::int64_t experts, Matrix<const Real> rows,
                    Matrix<const std::int32_t> selected, Matrix<const std::int32_t> row_of,
                    Matrix<Real> out) {
  static const std::string label = "moray::permute::tree_combine";
  const int most = static_cast<int>(selected.cols);
  // A host thread takes a whole token, a device thread one channel of it.
  const std::int64_t width = kHostBackend ? out.cols : 1;
  const std::int64_t pieces = kHostBackend ? 1 : out.cols;
  parallel_for(
      label, exec, out.rows * pieces, KOKKOS_LAMBDA(const std::int64_t item) {
        const std::int64_t t = item / pieces;
        const int count = count_choices(selected.row(t), most);
        const MergeOrder order = merge_order(experts, selected.row(t), count);
        const std::int64_t first = item % pieces * width;
        for (std::int64_t begin = first; begin < first + width; begin += kChannels) {
          const std::int64_t rest = first + width - begin;
          combine_channels<kSums>(order, count, rows, row_of.row(t), begin,
                                  rest < kChannels ? static_cast<int>(rest) : kChannels,
                                  out.row(t) + begin);
        }
      });
}

template <class Real>
void tree_combine(const ExecSpace& exec, std::int64_t experts, Matrix<const Real> rows,
                  Matrix<const std::int32_t> selected, Matrix<const std::int32_t> row_of,
                  Matrix<Real> out, TreeSums sums) {
  MORAY_REQUIRE(selected.rows == out.rows && row_of.rows == out.rows);
  MORAY_REQUIRE(selected.cols == row_of.cols && out.cols == rows.cols);
  MORAY_REQUIRE(selected.cols >= 1 && selected.cols <= kMaxChoices && selected.cols <= experts);
  if (sums == TreeSums::exact) {
    return combine_tokens<TreeSums::exact>(exec, experts, rows, selected, row_of, out);
  }
  if constexpr (std::is_same_v<Real, float>) {
    return combine_tokens<TreeSums::bf16>(exec, experts, rows, selected, row_of, out);
  }
  MORAY_REQUIRE(sums == TreeSums::exact);
}

#define MORAY_INSTANTIATE(Real)                                                                    \
  template void gather_rows(const ExecSpace&, Matrix<const Real>, Vector<const std::int32_t>,      \
                            Matrix<Real>);                                                         \
  template void tree_combine(const ExecSpace&, std::int64_t, Matrix<const Real>,                   \
                             Matrix<const std::int32_t>, Matrix<const std::int32_t>, Matrix<Real>, \
                             TreeSums)
MORAY_INSTANTIATE(float);
MORAY_INSTANTIATE(double);
#undef MORAY_INSTANTIATE

}  // namespace moray
