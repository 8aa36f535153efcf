#include "kernels/embedding/embedding.hpp"

#include "catch.hpp"
#include "kernels/central_differences.hpp"

using namespace moray;
using namespace moray::test;

namespace {

/// Tokens of a vocabulary of which only part occurs, some often.
Tensor<std::int32_t> tokens_of(std::int64_t count, unsigned vocabulary, std::mt19937& random) {
  auto tokens = vector_tensor<std::int32_t>(count);
  for (std::int64_t t = 0; t < count; ++t) {
    tokens[t] = static_cast<std::int32_t>(random() % vocabulary / 2 * 2);
  }
  return tokens;
}

}  // namespace

TEST_CASE("embedding forward copies rows, backward is a chain in token order", "[embedding]") {
  const ExecSpace exec;
  std::mt19937 random(1);
  for (const std::int64_t width : {1, 16, 33, 64, 65, 130, 384}) {
    for (const std::int64_t count : {0, 1, 50}) {
      INFO("width " << width << ", tokens " << count);
      auto table = Tensor<float>(11, width, 3).fill(random);
      auto tokens = tokens_of(count, 11, random);
      auto out = Tensor<float>(count, width, 2).fill(random);
      auto expected = out;
      for (std::int64_t t = 0; t < count; ++t) {
        for (std::int64_t j = 0; j < width; ++j) expected(t, j) = table(tokens[t], j);
      }
      embedding_forward<float>(exec, table.device(), tokens.device_vector(), out.device());
      finish(exec);
      out.fetch();
      CHECK(out.same_bits(expected));

      auto dtable = table;
      auto expected_table = table;
      for (std::int64_t t = 0; t < count; ++t) {
        for (std::int64_t j = 0; j < width; ++j) expected_table(tokens[t], j) += out(t, j);
      }
      embedding_backward<float>(exec, out.device(), tokens.device_vector(), dtable.device());
      finish(exec);
      dtable.fetch();
      CHECK(dtable.same_bits(expected_table));
    }
  }
}

TEST_CASE("an embedding chain never ends in -0, and rows without a token stay", "[embedding]") {
  const ExecSpace exec;
  auto dtable = Tensor<float>(2, 3).fill_with(-0.0F);
  auto dy = Tensor<float>(1, 3).fill_with(-0.0F);
  auto tokens = vector_tensor<std::int32_t>(1);
  embedding_backward<float>(exec, dy.device(), tokens.device_vector(), dtable.device());
  finish(exec);
  dtable.fetch();
  for (std::int64_t j = 0; j < 3; ++j) {
    CHECK(!std::signbit(dtable(0, j)));
    CHECK(std::signbit(dtable(1, j)));
  }
}

TEST_CASE("embedding backward agrees with central differences", "[embedding]") {
  const ExecSpace exec;
  std::mt19937 random(2);
  auto table = Tensor<double>(9, 20).fill(random);
  auto tokens = tokens_of(30, 9, random);
  auto dy = Tensor<double>(30, 20).fill(random);
  auto out = Tensor<double>(30, 20);
  const auto loss = [&] {
    embedding_forward<double>(exec, table.device(), tokens.device_vector(), out.device());
    finish(exec);
    out.fetch();
    return dot(out, dy);
  };
  auto dtable = Tensor<double>(9, 20);
  embedding_backward<double>(exec, dy.device(), tokens.device_vector(), dtable.device());
  finish(exec);
  dtable.fetch();
  CHECK(worst_direction(table, dtable, random, loss) <= kDirectionBar);
}
