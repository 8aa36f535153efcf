#include "kernels/mixed_gemm/onednn_matmul.hpp"

#include <map>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <string_view>

#include "core/error.hpp"

namespace moray::onednn {
namespace {

using dnnl::memory;

const dnnl::engine& engine() {
  static const dnnl::engine cpu(dnnl::engine::kind::cpu, 0);
  return cpu;
}
dnnl::stream& stream() {
  static dnnl::stream in_order(engine());
  return in_order;
}

/// How a matrix is blocked: oneDNN 2 shows its descriptor, oneDNN 3 answers questions.
struct Blocking {
  memory::dims padded, strides, sizes, axes;
};
Blocking blocking(const memory::desc& desc) {
#if DNNL_VERSION_MAJOR >= 3
  return {desc.get_padded_dims(), desc.get_strides(), desc.get_inner_blks(), desc.get_inner_idxs()};
#else
  const auto& b = desc.data.format_desc.blocking;
  const auto all = [](const dnnl_dim_t* first, int count) {
    return memory::dims(first, first + count);
  };
  return {all(desc.data.padded_dims, 2), all(b.strides, 2), all(b.inner_blks, b.inner_nblks),
          all(b.inner_idxs, b.inner_nblks)};
#endif
}

dnnl::matmul::primitive_desc describe(const MatmulShape& s) {
  using type = memory::data_type;
  const memory::desc a({s.rows, s.k}, type::bf16,
                       s.a_transposed ? memory::dims{1, s.rows} : memory::dims{s.k, 1});
  const memory::desc b({s.k, s.n}, type::bf16, memory::format_tag::any);
  const memory::desc c({s.rows, s.n}, s.rounded ? type::bf16 : type::f32, memory::dims{s.n, 1});
  dnnl::primitive_attr attributes;
  if (s.accumulates) {
    dnnl::post_ops sum;
    sum.append_sum(1.0F);
    attributes.set_post_ops(sum);
  }
#if DNNL_VERSION_MAJOR >= 3
  return {engine(), a, b, c, attributes};
#else
  return {{a, b, c}, attributes, engine()};
#endif
}

class Primitive : public Matmul {
 public:
  explicit Primitive(const dnnl::matmul::primitive_desc& desc)
      : primitive_(desc),
        a_(desc.src_desc(), engine(), nullptr),
        b_(desc.weights_desc(), engine(), nullptr),
        c_(desc.dst_desc(), engine(), nullptr),
        is_known_(find_layout(desc)) {}

  bool is_known() const { return is_known_; }

  void run(const std::uint16_t* a, const std::uint32_t* b, void* c) override {
    a_.set_data_handle(const_cast<std::uint16_t*>(a));
    b_.set_data_handle(const_cast<std::uint32_t*>(b));
    c_.set_data_handle(c);
    // The interface of C takes its arguments without a map on the heap.
    const dnnl_exec_arg_t arguments[] = {
        {DNNL_ARG_SRC, a_.get()}, {DNNL_ARG_WEIGHTS, b_.get()}, {DNNL_ARG_DST, c_.get()}};
    dnnl::error::wrap_c_api(dnnl_primitive_execute(primitive_.get(), stream().get(), 3, arguments),
                            "oneDNN does not run a product that it has made");
    stream().wait();
  }

 private:
  /// Whether b lies in strips, blocks of so many k by width n by 2 k, one k block after the other.
  bool find_layout(const dnnl::matmul::primitive_desc& desc) {
    if (std::string_view(desc.impl_info_str()).starts_with("ref")) return false;
    const Blocking b = blocking(desc.weights_desc());
    if (b.axes != memory::dims{0, 1, 0} || b.sizes[2] != 2) return false;
    width = b.sizes[1];
    pairs = b.padded[0] / 2;
    return width % 16 == 0 && b.strides[0] == 2 * b.sizes[0] * width &&
           b.strides[1] == 2 * pairs * width;
  }

  dnnl::matmul primitive_;
  memory a_, b_, c_;
  bool is_known_;
};

std::unique_ptr<Primitive> make(const MatmulShape& shape) {
  return std::make_unique<Primitive>(describe(shape));
}

}  // namespace

bool has_matmul() {
  static const bool has = [] {
    try {
      return make({.rows = 64, .n = 64, .k = 64})->is_known();
    } catch (const dnnl::error&) {
      return false;
    }
  }();
  return has;
}

Matmul& matmul(const MatmulShape& shape) {
  static std::map<MatmulShape, std::unique_ptr<Primitive>> made;
  std::unique_ptr<Primitive>& primitive = made[shape];
  if (primitive) return *primitive;
  std::string reason = "the layout of its weights is unknown";
  try {
    primitive = make(shape);
    if (primitive->is_known()) return *primitive;
  } catch (const dnnl::error& error) {
    reason = error.what();
  }
  fail(ExitCode::device,
       "oneDNN has no bf16 product of {} x {} x {} ({}); use kernels.mixed_gemm: another variant",
       shape.rows, shape.n, shape.k, reason);
}

}  // namespace moray::onednn
