#pragma once

#include <cstdint>
#include <cstring>
#include <vector>

#include "core/matrix.hpp"
#include "kernels/attention/attention.hpp"

/// Inputs, outputs and the plain definition of attention for its tests.
namespace moray::test {

/// A host vector with a copy in the memory of the backend.
template <class T>
struct Buffer {
  std::vector<T> host;
  View1<T> device;

  void resize(std::int64_t count) {
    host.assign(static_cast<std::size_t>(count), T{});
    device = View1<T>("moray::test::buffer", static_cast<std::size_t>(count));
  }
  void upload() { Kokkos::deep_copy(device, on_host()); }
  void download() { Kokkos::deep_copy(on_host(), device); }

 private:
  Kokkos::View<T*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged> on_host() {
    return Kokkos::View<T*, Kokkos::HostSpace, Kokkos::MemoryUnmanaged>(host.data(), host.size());
  }
};

/// A uniform value in [-1, 1) of 24 bits: splitmix64 (Steele et al., 2014) of a counter.
inline double uniform(std::uint64_t index) {
  std::uint64_t z = (index + 1) * 0x9E3779B97F4A7C15u;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  z = z ^ (z >> 31);
  return static_cast<double>(z >> 40) * 0x1p-23 - 1.0;
}

/// All tensors of one call. Columns beyond a tensor's own are padding that must stay untouched.
template <class Real>
struct Problem {
  static constexpr std::int64_t kPadding = 3;
  AttentionShape shape;
  Real scale = Real(0.125);
  Buffer<Real> q, kv, k_pe, dout, m, l, o, dq, dkv, dk_pe;
  Buffer<std::byte> workspace;

  std::int64_t tokens() const { return shape.sequences * shape.rows; }
  std::int64_t q_cols() const { return shape.heads * (shape.nope + shape.rope); }
  std::int64_t kv_cols() const { return shape.heads * (shape.nope + shape.value); }
  std::int64_t o_cols() const { return shape.heads * shape.value; }

  /// q is uniform in [-spread, spread), everything else in [-1, 1).
  Problem(const AttentionShape& given, double spread) : shape(given) {
    std::uint64_t index = 0;
    const auto fill = [&](Buffer<Real>& x, std::int64_t cols, double factor) {
      x.resize(tokens() * (cols + kPadding));
      for (Real& value : x.host) value = static_cast<Real>(factor * uniform(index++));
      x.upload();
    };
    fill(q, q_cols(), spread);
    fill(kv, kv_cols(), 1);
    fill(k_pe, shape.rope, 1);
    fill(dout, o_cols(), 1);
    fill(m, shape.heads, 1);
    fill(l, shape.heads, 1);
    fill(o, o_cols(), 1);
    fill(dq, q_cols(), 1);
    fill(dkv, kv_cols(), 1);
    fill(dk_pe, shape.rope, 1);
    workspace.resize(attention_workspace<Real>(shape));
    std::memset(workspace.host.data(), 0xff, workspace.host.size());  // NaN wherever it is read
    workspace.upload();
  }

  Matrix<Real> view(Buffer<Real>& x, std::int64_t cols) const {
    return {x.device.data(), tokens(), cols, cols + kPadding};
  }
  Matrix<Real> host_view(Buffer<Real>& x, std::int64_t cols) const {
    return {x.host.data(), tokens(), cols, cols + kPadding};
  }

  void forward() {
    const ExecSpace exec;
    attention_forward<Real>(exec, shape, view(q, q_cols()), view(kv, kv_cols()),
                            view(k_pe, shape.rope), {workspace.device.data(), size()},
                            view(m, shape.heads), view(l, shape.heads), view(o, o_cols()));
    fence(exec, "test: forward");
    for (Buffer<Real>* x : {&m, &l, &o}) x->download();
  }

  void backward() {
    const ExecSpace exec;
    attention_backward<Real>(exec, shape, scale, view(dout, o_cols()), view(o, o_cols()),
                             view(q, q_cols()), view(kv, kv_cols()), view(k_pe, shape.rope),
                             view(m, shape.heads), view(l, shape.heads),
                             {workspace.device.data(), size()}, view(dq, q_cols()),
                             view(dkv, kv_cols()), view(dk_pe, shape.rope));
    fence(exec, "test: backward");
    for (Buffer<Real>* x : {&dq, &dkv, &dk_pe}) x->download();
  }

  /// The same results on the host by the plain definition, in host copies of the outputs.
  void plain_forward();
  void plain_backward();

 private:
  std::int64_t size() const { return static_cast<std::int64_t>(workspace.host.size()); }
};

}  // namespace moray::test
