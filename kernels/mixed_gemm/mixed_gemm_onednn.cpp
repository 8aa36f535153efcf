// Products of bf16 and FP8 operands by oneDNN: both operands are widened to bf16, b in the order of
// oneDNN's kernel, and multiplied some rows at a time, so that a few primitives serve every number of
// tokens (determinism: run).
#include <algorithm>
#include <vector>

#include "core/error.hpp"
#include "kernels/gemm/gemm_workspace.hpp"
#include "kernels/host/host_kernels.hpp"
#include "kernels/host/host_tiles.hpp"
#include "kernels/host/pieces.hpp"
#include "kernels/mixed_gemm/mixed_gemm_variants.hpp"
#include "kernels/mixed_gemm/onednn_matmul.hpp"

// As in gemm_onednn.cpp: oneDNN takes as many threads as the OpenMP runtime gives it.
extern "C" void omp_set_num_threads(int);

namespace moray::onednn {
namespace {

/// Rows of c that one call of oneDNN computes, for each thread: with 64 its kernel is at full speed.
constexpr std::int64_t kRows = 64;
/// Rows of a that are widened at a time, in calls, at most.
constexpr std::int64_t kCalls = 4;
/// k is filled with zeros up to a multiple of this.
constexpr std::int64_t kDepth = 64;
/// Steps of a weight gradient are cut into pieces of a power of two times kDepth, up to this.
constexpr std::int64_t kDeepest = 2048;
/// Columns of a that are widened at a time in a weight gradient, at least.
constexpr std::int64_t kColumns = 512;

/// Bytes that are lost to the alignment of what is in the workspace.
constexpr std::int64_t kMargin = 256;

constexpr std::int64_t round_up(std::int64_t x, std::int64_t multiple) {
  return (x + multiple - 1) / multiple * multiple;
}

std::int64_t workspace_bytes() {
  return GemmWorkspace::global().capacity() * static_cast<std::int64_t>(sizeof(float));
}

/// Memory of gemm()'s workspace, dealt out piece by piece.
class Room {
 public:
  Room()
      : next_(reinterpret_cast<std::uint8_t*>(GemmWorkspace::global().storage())),
        left_(workspace_bytes()) {}
  template <class T>
  T* take(std::int64_t count) {
    const std::int64_t bytes = round_up(count * static_cast<std::int64_t>(sizeof(T)), 64);
    MORAY_REQUIRE(bytes <= left_);
    T* at = reinterpret_cast<T*>(next_);
    next_ += bytes;
    left_ -= bytes;
    return at;
  }
  std::int64_t left() const { return left_; }

 private:
  std::uint8_t* next_;
  std::int64_t left_;
};

class Product {
 public:
  Product(const ExecSpace& exec, const HostKernels& host, GemmForm form, const MixedGemmTask& task)
      : exec_(exec),
        widen_(*host.widen),
        round_to_bf16_(host.quantize->round_to_bf16),
        form_(form),
        t_(task),
        rows_(kRows * exec.concurrency()) {}

  /// c = a b of forms nt and nn.
  void multiply();
  /// c += a b of form tn.
  void accumulate();

 private:
  void pack_rows(std::int64_t first, std::int64_t count, const PairStrips& strips);
  void pack_steps(const SumStep* steps, std::int64_t count, std::int64_t first,
                  std::int64_t columns, const PairStrips& strips);
  void widen_rows(std::int64_t begin, std::int64_t end, std::int64_t padded, std::uint16_t* to);
  void widen_steps(const SumStep* steps, std::int64_t count, std::int64_t begin,
                   std::int64_t columns, std::uint16_t* to);
  PairStrips strips_for(MatmulShape shape, Room& room) const;
  void run(MatmulShape shape, const std::uint16_t* a, const PairStrips& b, std::int64_t row,
           std::int64_t first, float* beside) const;
  void write(const float* beside, std::int64_t columns, std::int64_t rows, std::int64_t at) const;
  void multiply_columns(std::int64_t first, std::int64_t count, Room room);
  void accumulate_columns(std::int64_t first, std::int64_t count, std::int64_t deepest, Room room);
  void find_steps();
  /// Rows of a that are widened at a time; columns in a weight gradient.
  std::int64_t rows_at_once() const {
    const std::int64_t bytes_of_a_call = 2 * rows_ * round_up(t_.k, kDepth);
    const std::int64_t calls =
        std::clamp(workspace_bytes() / 4 / bytes_of_a_call, std::int64_t{1}, kCalls);
    return std::min(calls * rows_, round_up(t_.m, 16));
  }
  std::int64_t columns_at_once() const {
    return std::min(std::max(kColumns, rows_), round_up(t_.m, 16));
  }
  std::int64_t widest(std::int64_t bytes, std::int64_t bytes_of_column) const;
  const ExecSpace& exec_;
  const HostWiden& widen_;
  void (*round_to_bf16_)(std::int64_t width, float* x);
  GemmForm form_;
  const MixedGemmTask& t_;
  std::int64_t rows_;
};

/// The steps of a sum over rows: those of a weight gradient, or of form nn. Keeps its memory.
std::vector<SumStep>& steps() {
  static std::vector<SumStep> list;
  return list;
}

void Product::find_steps() {
  std::vector<SumStep>& list = steps();
  list.clear();
  for (std::int64_t q = 0; q < t_.blocks.size; ++q) {
    for (std::int32_t l = 0; l < t_.blocks[q].count; ++l) {
      list.push_back({t_.blocks[q].begin + l, static_cast<std::int32_t>(q)});
    }
  }
  if (t_.blocks.data == nullptr) {
    for (std::int64_t l = 0; l < t_.k; ++l) {
      list.push_back({static_cast<std::int32_t>(l), static_cast<std::int32_t>(l / kScaleBlock)});
    }
  }
  list.resize(static_cast<std::size_t>(round_up(static_cast<std::int64_t>(list.size()), kDepth)),
              {-1, 0});
}

/// Columns, whole strips of the widest kind, for which there is room.
std::int64_t Product::widest(std::int64_t bytes, std::int64_t bytes_of_column) const {
  return std::min(round_up(t_.n, 64), bytes / bytes_of_column / 64 * 64);
}

/// Rows [first, first + count) of b, which run along the sum.
void Product::pack_rows(std::int64_t first, std::int64_t count, const PairStrips& strips) {
  static const std::string label = "moray::mixed_gemm::widen_strips";
  const HostWiden& widen = widen_;
  const MixedOperand b = t_.b;
  const std::int64_t k = t_.k;
  host_tiles(label, exec_, ceil_divide(count, strips.width), [=, &widen](std::int64_t s) {
    const std::int64_t begin = s * strips.width;
    widen.strip_of_rows(b, first + begin, std::min(strips.width, count - begin), k,
                        strips.word + s * strips.pairs * strips.width, strips.width, strips.pairs);
  });
}

/// Columns [first, first + columns) of these rows of b.
void Product::pack_steps(const SumStep* list, std::int64_t count, std::int64_t first,
                         std::int64_t columns, const PairStrips& strips) {
  static const std::string label = "moray::mixed_gemm::widen_pairs";
  constexpr std::int64_t kPairs = 16;
  const HostWiden& widen = widen_;
  const MixedOperand b = t_.b;
  host_tiles(label, exec_, ceil_divide(strips.pairs, kPairs), [=, &widen](std::int64_t tile) {
    const std::int64_t end = std::min(strips.pairs, (tile + 1) * kPairs);
    for (std::int64_t p = tile * kPairs; p < end; ++p) {
      const SumStep zero = {-1, 0};
      widen.pair_of_steps(b, 2 * p < count ? list[2 * p] : zero,
                          2 * p + 1 < count ? list[2 * p + 1] : zero, first, columns, strips, p);
    }
  });
}

/// Rows [begin, end) of a, which run along the sum.
void Product::widen_rows(std::int64_t begin, std::int64_t end, std::int64_t padded,
                         std::uint16_t* to) {
  static const std::string label = "moray::mixed_gemm::widen_rows";
  constexpr std::int64_t kTile = 16;
  const HostWiden& widen = widen_;
  const MixedOperand x = t_.a;
  const std::int64_t k = t_.k;
  host_tiles(label, exec_, ceil_divide(end - begin, kTile), [=, &widen](std::int64_t tile) {
    for (std::int64_t i = tile * kTile; i < std::min((tile + 1) * kTile, end - begin); ++i) {
      widen.row(x, begin + i, k, padded, to + i * padded);
    }
  });
}

/// Room for b of a product.
PairStrips Product::strips_for(MatmulShape shape, Room& room) const {
  shape.accumulates = form_ == GemmForm::tn && shape.n == t_.ldc;
  const Matmul& product = matmul(shape);
  return {room.take<std::uint32_t>(product.pairs * round_up(shape.n, product.width)),
          static_cast<long>(product.width), static_cast<long>(product.pairs)};
}

/// c from (row, first) on. Where oneDNN cannot write it in place, because c has gaps or rows are missing,
/// the result is computed beside.
void Product::run(MatmulShape shape, const std::uint16_t* a, const PairStrips& b, std::int64_t row,
                  std::int64_t first, float* beside) const {
  const std::int64_t at = row * t_.ldc + first;
  const std::int64_t rows = std::min(shape.rows, t_.m - row);
  const bool in_place = shape.n == t_.ldc && rows == shape.rows;
  shape.accumulates = form_ == GemmForm::tn && in_place;
  void* c =
      t_.rounded != nullptr ? static_cast<void*>(t_.rounded + at) : static_cast<void*>(t_.c + at);
  matmul(shape).run(a, b.word, in_place ? c : beside);
  if (!in_place) write(beside, shape.n, rows, at);
  if (!t_.rounds) return;
  for (std::int64_t i = 0; i < rows; ++i) round_to_bf16_(shape.n, t_.c + at + i * t_.ldc);
}

/// The result of a call that could not be written in place.
void Product::write(const float* beside, std::int64_t columns, std::int64_t rows,
                    std::int64_t at) const {
  const auto* half = reinterpret_cast<const std::uint16_t*>(beside);
  for (std::int64_t i = 0; i < rows; ++i) {
    if (t_.rounded != nullptr) {
      std::copy_n(half + i * columns, columns, t_.rounded + at + i * t_.ldc);
    } else if (form_ != GemmForm::tn) {
      std::copy_n(beside + i * columns, columns, t_.c + at + i * t_.ldc);
    } else {
      for (std::int64_t j = 0; j < columns; ++j) {
        t_.c[at + i * t_.ldc + j] += beside[i * columns + j];
      }
    }
  }
}

void Product::multiply() {
  Room room;
  if (form_ == GemmForm::nn) find_steps();
  const std::int64_t k = round_up(t_.k, kDepth);
  const std::int64_t width =
      widest(room.left() - 2 * k * rows_at_once() - kMargin, 2 * k + 4 * rows_);
  for (std::int64_t j = 0; j < t_.n; j += width) {
    multiply_columns(j, std::min(width, t_.n - j), room);
  }
}

void Product::multiply_columns(std::int64_t first, std::int64_t count, Room room) {
  MatmulShape shape;
  shape.rows = std::min(rows_, round_up(t_.m, 16));
  shape.n = count;
  shape.k = round_up(t_.k, kDepth);
  shape.rounded = t_.rounded != nullptr;
  const PairStrips strips = strips_for(shape, room);
  if (form_ == GemmForm::nt) {
    pack_rows(first, count, strips);
  } else {
    pack_steps(steps().data(), static_cast<std::int64_t>(steps().size()), first, count, strips);
  }
  float* beside = room.take<float>(shape.rows * count);
  const std::int64_t most = rows_at_once();
  std::uint16_t* a = room.take<std::uint16_t>(most * shape.k);
  std::fill_n(a, shape.rows * shape.k, std::uint16_t{0});  // those beyond m
  // The last call ends with the last row: some of its rows are computed twice.
  const std::int64_t last = std::max<std::int64_t>(0, t_.m - shape.rows);
  for (std::int64_t begin = 0; begin < t_.m; begin += most) {
    const std::int64_t end = std::min(begin + most, t_.m);
    const std::int64_t from = std::min(begin, last);
    widen_rows(from, end, shape.k, a);
    for (std::int64_t i = from; i < end; i += shape.rows) {
      const std::int64_t row = std::min(i, last);
      run(shape, a + (row - from) * shape.k, strips, row, first, beside);
    }
  }
}

/// These steps of columns [begin, begin + columns) of a, rows_ columns after rows_ columns.
void Product::widen_steps(const SumStep* list, std::int64_t count, std::int64_t begin,
                          std::int64_t columns, std::uint16_t* to) {
  static const std::string label = "moray::mixed_gemm::widen_steps";
  constexpr std::int64_t kTile = 16;
  const HostWiden& widen = widen_;
  const MixedOperand x = t_.a;
  const std::int64_t rows = rows_;
  host_tiles(label, exec_, ceil_divide(count, kTile), [=, &widen](std::int64_t tile) {
    for (std::int64_t l = tile * kTile; l < std::min((tile + 1) * kTile, count); ++l) {
      for (std::int64_t i = 0; i < columns; i += rows) {
        const std::int64_t width = std::min(rows, columns - i);
        widen.step(x, list[l], begin + i, width, to + i * count + l * width);
      }
    }
  });
}

void Product::accumulate() {
  Room room;
  find_steps();
  std::int64_t deepest = kDeepest;
  const auto room_for = [&] {  // columns of b
    const auto deep = std::min(deepest, static_cast<std::int64_t>(steps().size()));
    return widest(room.left() - 2 * deep * columns_at_once() - kMargin, 2 * deep + 4 * rows_);
  };
  while (deepest > 256 && room_for() < t_.n) deepest /= 2;
  const std::int64_t width = room_for();
  for (std::int64_t j = 0; j < t_.n; j += width) {
    accumulate_columns(j, std::min(width, t_.n - j), deepest, room);
  }
}

void Product::accumulate_columns(std::int64_t first, std::int64_t count, std::int64_t deepest,
                                 const Room room) {
  MatmulShape shape;
  shape.n = count;
  shape.a_transposed = true;
  const auto total = static_cast<std::int64_t>(steps().size());
  std::int64_t piece = deepest;
  for (std::int64_t l = 0; l < total; l += piece) {
    while (piece > total - l) piece /= 2;
    shape.k = piece;
    shape.rows = std::min(rows_, t_.m);
    const SumStep* list = steps().data() + l;
    Room here = room;
    const PairStrips strips = strips_for(shape, here);
    pack_steps(list, piece, first, count, strips);
    float* beside = here.take<float>(rows_ * count);
    const std::int64_t most = columns_at_once();
    std::uint16_t* a = here.take<std::uint16_t>(piece * most);
    for (std::int64_t begin = 0; begin < t_.m; begin += most) {
      const std::int64_t columns = std::min(most, t_.m - begin);
      widen_steps(list, piece, begin, columns, a);
      for (std::int64_t i = 0; i < columns; i += rows_) {
        shape.rows = std::min(rows_, columns - i);
        run(shape, a + i * piece, strips, begin + i, first, beside);
      }
    }
  }
}

/// Else it has nothing to sum, or its rows are too long for the workspace.
bool fits(const ExecSpace& exec, GemmForm form, const MixedGemmTask& t) {
  if (form == GemmForm::tn) return true;
  const std::int64_t rows = kRows * exec.concurrency();
  return t.k > 0 && 2 * rows * round_up(t.k, kDepth) <= workspace_bytes() / 2;
}

}  // namespace

bool takes(std::span<const MixedGemmTask> tasks, Accumulation accumulation) {
  if (accumulation != Accumulation::exact || !has_matmul()) return false;
  return std::all_of(tasks.begin(), tasks.end(), [](const MixedGemmTask& t) {
    return t.a.scales == nullptr ||
           (t.a.rule == ScaleRule::power_of_two && t.b.rule == ScaleRule::power_of_two);
  });
}

void mixed_gemm(const ExecSpace& exec, GemmForm form, std::span<const MixedGemmTask> tasks) {
  static const std::string label = "moray::mixed_gemm::onednn";
  const ScopedRegion region(label);
  omp_set_num_threads(static_cast<int>(exec.concurrency()));
  const HostKernels& host = *host_kernels(available_variants(Op::mixed_gemm).front());
  for (const MixedGemmTask& task : tasks) {
    if (!has_work(form, task)) continue;
    if (!fits(exec, form, task)) {
      host::mixed_gemm(exec, *host.mixed_gemm, form, {&task, 1});
      continue;
    }
    Product product(exec, host, form, task);
    if (form == GemmForm::tn) {
      product.accumulate();
    } else {
      product.multiply();
    }
  }
}

}  // namespace moray::onednn
