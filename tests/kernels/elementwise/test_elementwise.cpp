#include "kernels/elementwise/elementwise.hpp"

#include "catch.hpp"
#include "kernels/tensor.hpp"

using namespace moray;
using namespace moray::test;

namespace {

struct Shape {
  std::int64_t rows, cols, gap;
};

template <class Body>
void for_each_shape(const Body& body) {
  for_each_variant(Op::elementwise, [&] {
    std::vector<Shape> shapes = {{0, 7, 0}, {3, 0, 2}, {2, 5000, 3}, {1, 9001, 0}};
    for (const std::int64_t width : kWidths) shapes.push_back({3, width, width % 4});
    for (const Shape& shape : shapes) {
      INFO("rows " << shape.rows << ", cols " << shape.cols << ", gap " << shape.gap);
      std::mt19937 random(1);
      body(shape, random);
    }
  });
}

Tensor<float> random_tensor(const Shape& shape, std::mt19937& random) {
  return Tensor<float>(shape.rows, shape.cols, shape.gap).fill(random);
}

/// out(i, j) = value(i, j) for every element that is not in a gap.
template <class Value>
Tensor<float> expect(Tensor<float> out, const Value& value) {
  for (std::int64_t i = 0; i < out.rows(); ++i) {
    for (std::int64_t j = 0; j < out.cols(); ++j) out(i, j) = value(i, j);
  }
  return out;
}

}  // namespace

TEST_CASE("add and add_sum, into a matrix of its own and in place", "[elementwise]") {
  const ExecSpace exec;
  for_each_shape([&](const Shape& shape, std::mt19937& random) {
    auto a = random_tensor(shape, random);
    auto b = random_tensor(shape, random);
    auto c = random_tensor(shape, random);
    auto out = random_tensor(shape, random);
    const auto sum = [&](std::int64_t i, std::int64_t j) { return a(i, j) + b(i, j); };
    const auto expected = expect(out, sum);
    add<float>(exec, a.device(), b.device(), out.device());
    finish(exec);
    out.fetch();
    CHECK(out.same_bits(expected));

    const auto sum3 = [&](std::int64_t i, std::int64_t j) {
      const float inner = b(i, j) + c(i, j);
      return a(i, j) + inner;
    };
    const auto expected3 = expect(out, sum3);
    add_sum<float>(exec, a.device(), b.device(), c.device(), out.device());
    finish(exec);
    out.fetch();
    CHECK(out.same_bits(expected3));

    for (Tensor<float>* target : {&a, &b, &c}) {
      auto copy_of_target = *target;
      const auto in_place = expect(*target, sum3);
      const Matrix<float> x = a.device(), y = b.device(), z = c.device();
      add_sum<float>(exec, x, y, z, target == &a ? x : target == &b ? y : z);
      finish(exec);
      target->fetch();
      CHECK(target->same_bits(in_place));
      *target = copy_of_target;
    }
  });
}

TEST_CASE("copy, scale and zero", "[elementwise]") {
  const ExecSpace exec;
  for_each_shape([&](const Shape& shape, std::mt19937& random) {
    auto a = random_tensor(shape, random);
    auto out = random_tensor(shape, random);
    const auto copied = expect(out, [&](std::int64_t i, std::int64_t j) { return a(i, j); });
    copy<float>(exec, a.device(), out.device());
    finish(exec);
    out.fetch();
    CHECK(out.same_bits(copied));

    const auto scaled = expect(out, [&](std::int64_t i, std::int64_t j) { return a(i, j) * 0.3F; });
    scale<float>(exec, 0.3F, out.device());
    finish(exec);
    out.fetch();
    CHECK(out.same_bits(scaled));

    const auto cleared = expect(out, [](std::int64_t, std::int64_t) { return 0.0F; });
    zero<float>(exec, out.device());
    finish(exec);
    out.fetch();
    CHECK(out.same_bits(cleared));
  });
}
