#include "kernels/adamw/adamw_variants.hpp"
#include "kernels/host/host_rows.hpp"

namespace moray::host {
namespace {

constexpr std::int64_t kPiece = 16384;  // elements of one tile

}  // namespace

void block_sums_of_squares(const ExecSpace& exec, const HostAdamw& kernels, Vector<const float> x,
                           Vector<double> sums) {
  static const std::string label = "moray::adamw::block_sums_of_squares_host";
  host_pieces(label, exec, x.size, kBlockElements, [=](std::int64_t begin, std::int64_t count) {
    sums[begin / kBlockElements] = kernels.sum_of_squares(count, x.data + begin);
  });
}

void adamw_update(const ExecSpace& exec, const HostAdamw& kernels, const AdamwStep& step,
                  Vector<const float> gradient, Vector<float> m, Vector<float> v, Vector<float> w) {
  static const std::string label = "moray::adamw::update_host";
  host_pieces(label, exec, w.size, kPiece, [=](std::int64_t i, std::int64_t count) {
    kernels.update(step, count, gradient.data + i, m.data + i, v.data + i, w.data + i);
  });
}

void adamw_update(const ExecSpace& exec, const HostAdamw& kernels, const AdamwStep& step,
                  Vector<const float> gradient, Vector<std::uint16_t> m, Vector<std::uint16_t> v,
                  Vector<float> w) {
  static const std::string label = "moray::adamw::update_bf16_host";
  host_pieces(label, exec, w.size, kPiece, [=](std::int64_t i, std::int64_t count) {
    kernels.update_bf16(step, count, gradient.data + i, m.data + i, v.data + i, w.data + i);
  });
}

void ema_update(const ExecSpace& exec, const HostAdamw& kernels, float one_minus_c,
                Vector<const float> w, Vector<float> ema) {
  static const std::string label = "moray::adamw::ema_host";
  host_pieces(label, exec, w.size, kPiece, [=](std::int64_t i, std::int64_t count) {
    kernels.ema(count, one_minus_c, w.data + i, ema.data + i);
  });
}

}  // namespace moray::host
