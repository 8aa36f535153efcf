// Deals the heads of all sequences to workers, each with its own piece of the workspace. The number
// of workers follows from the shape alone, so that the plan of a run is the same on every machine;
// threads take workers as they become free.
#include <algorithm>

#include "kernels/attention/attention_host_sizes.hpp"
#include "kernels/attention/attention_portable.hpp"
#include "kernels/attention/attention_variants.hpp"
#include "kernels/host/host_tiles.hpp"

namespace moray {
namespace {

/// At most so many heads run at a time.
constexpr std::int64_t kWorkers = 64;
/// Rows that a part of a head keeps at least: packing its keys is then a small part of its work.
constexpr std::int64_t kPartRows = 1024;

/// Items of the forward: parts of heads.
struct Parts {
  std::int64_t count = 1;  ///< of each head
  std::int64_t rows = 0;   ///< of each part but the last
};

Parts forward_parts(const ExecSpace& exec, const AttentionShape& shape) {
  const std::int64_t heads = shape.sequences * shape.heads;
  if (exec.concurrency() == 1 || heads >= kWorkers) return {1, shape.rows};
  const std::int64_t wanted = std::min(kWorkers / heads, shape.rows / kPartRows);
  const std::int64_t rows =
      round_up(shape.rows / std::max<std::int64_t>(wanted, 1) + 1, kForwardRows);
  return {(shape.rows + rows - 1) / rows, rows};
}

/// Floats before the workers' pieces: delta (T, H) and the heads' parts of dk_pe (T, H rope).
std::int64_t shared_floats(const AttentionShape& shape) {
  return round_up(shape.sequences * shape.rows * shape.heads * (1 + shape.rope), 16);
}
std::int64_t worker_floats(const AttentionShape& shape) {
  return std::max(forward_scratch(shape.rows, shape.nope, shape.rope, shape.value),
                  backward_scratch(shape.rows, shape.nope, shape.rope, shape.value));
}
std::int64_t workers(const AttentionShape& shape) {
  const std::int64_t parts = std::max<std::int64_t>(1, shape.rows / kPartRows);
  return std::min(kWorkers, shape.sequences * shape.heads * parts);
}

/// Runs body(item, scratch) for all items.
template <class Body>
void for_workers(const std::string& label, const ExecSpace& exec, const AttentionShape& shape,
                 Vector<std::byte> workspace, std::int64_t items, const Body& body) {
  const std::int64_t count = std::min(items, workers(shape));
  const std::int64_t floats = worker_floats(shape);
  float* scratch = reinterpret_cast<float*>(workspace.data) + shared_floats(shape);
  host_tiles(label, exec, count, [=](const std::int64_t worker) {
    for (std::int64_t item = worker; item < items; item += count) {
      body(item, scratch + worker * floats);
    }
  });
}

/// Head `item` of all sequences; `first` is the matrix row of its position 0.
struct Place {
  std::int64_t first;
  std::int64_t head;
};
Place place_of(const AttentionShape& shape, std::int64_t item) {
  return {item / shape.heads * shape.rows, item % shape.heads};
}

AttentionHead head_of(const AttentionShape& shape, Place place, Matrix<const float> q,
                      Matrix<const float> kv, Matrix<const float> k_pe) {
  AttentionHead head = {};
  head.rows = shape.rows;
  head.nope = shape.nope;
  head.rope = shape.rope;
  head.value = shape.value;
  head.q = q.row(place.first) + place.head * (shape.nope + shape.rope);
  head.q_stride = q.stride;
  head.k = kv.row(place.first) + place.head * (shape.nope + shape.value);
  head.v = head.k + shape.nope;
  head.kv_stride = kv.stride;
  head.k_pe = k_pe.row(place.first);
  head.k_pe_stride = k_pe.stride;
  return head;
}

}  // namespace

std::int64_t attention_host_workspace(const AttentionShape& shape) {
  return (shared_floats(shape) + workers(shape) * worker_floats(shape)) *
         static_cast<std::int64_t>(sizeof(float));
}

void attention_host_forward(const ExecSpace& exec, const HostAttention& host,
                            const AttentionShape& shape, Matrix<const float> q,
                            Matrix<const float> kv, Matrix<const float> k_pe,
                            Vector<std::byte> workspace, Matrix<float> m, Matrix<float> l,
                            Matrix<float> o) {
  static const std::string label = "moray::attention::host_forward";
  const Parts parts = forward_parts(exec, shape);
  const std::int64_t items = shape.sequences * shape.heads * parts.count;
  const auto forward = host.forward;
  for_workers(label, exec, shape, workspace, items, [=](std::int64_t item, float* scratch) {
    const Place place = place_of(shape, item / parts.count);
    const std::int64_t begin = item % parts.count * parts.rows;
    AttentionOutput out = {};
    out.m = m.row(place.first) + place.head;
    out.l = l.row(place.first) + place.head;
    out.m_stride = m.stride;
    out.l_stride = l.stride;
    out.o = o.row(place.first) + place.head * shape.value;
    out.o_stride = o.stride;
    forward(head_of(shape, place, q, kv, k_pe), begin, std::min(begin + parts.rows, shape.rows),
            out, scratch);
  });
}

void attention_host_backward(const ExecSpace& exec, const HostAttention& host,
                             const AttentionShape& shape, float scale, Matrix<const float> dout,
                             Matrix<const float> o, Matrix<const float> q, Matrix<const float> kv,
                             Matrix<const float> k_pe, Matrix<const float> m, Matrix<const float> l,
                             Vector<std::byte> workspace, Matrix<float> dq, Matrix<float> dkv,
                             Matrix<float> dk_pe) {
  static const std::string label = "moray::attention::host_backward";
  const std::int64_t tokens = shape.sequences * shape.rows;
  float* memory = reinterpret_cast<float*>(workspace.data);
  const Matrix<float> delta = matrix(memory, tokens, shape.heads);
  const Matrix<float> heads_dk_pe =
      matrix(memory + tokens * shape.heads, tokens, shape.heads * shape.rope);
  const auto backward = host.backward;
  const std::int64_t items = shape.sequences * shape.heads;
  for_workers(label, exec, shape, workspace, items, [=](std::int64_t item, float* scratch) {
    const Place place = place_of(shape, item);
    AttentionGradient g = {};
    g.scale = scale;
    g.m = m.row(place.first) + place.head;
    g.l = l.row(place.first) + place.head;
    g.m_stride = m.stride;
    g.l_stride = l.stride;
    g.o = o.row(place.first) + place.head * shape.value;
    g.o_stride = o.stride;
    g.dout = dout.row(place.first) + place.head * shape.value;
    g.dout_stride = dout.stride;
    g.dq = dq.row(place.first) + place.head * (shape.nope + shape.rope);
    g.dq_stride = dq.stride;
    g.dk = dkv.row(place.first) + place.head * (shape.nope + shape.value);
    g.dv = g.dk + shape.nope;
    g.dkv_stride = dkv.stride;
    g.dk_pe = heads_dk_pe.row(place.first) + place.head * shape.rope;
    g.dk_pe_stride = heads_dk_pe.stride;
    g.delta = delta.row(place.first) + place.head;
    g.delta_stride = delta.stride;
    backward(head_of(shape, place, q, kv, k_pe), g, scratch);
  });
  portable::add_heads<float>(exec, shape.heads, heads_dk_pe, dk_pe);
}

}  // namespace moray
