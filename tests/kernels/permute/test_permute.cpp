#include "kernels/permute/permute.hpp"

#include <algorithm>
#include <numeric>
#include <optional>

#include "catch.hpp"
#include "core/bf16.hpp"
#include "kernels/central_differences.hpp"

using namespace moray;
using namespace moray::test;

namespace {

/// The definition (docs/numerics.md section 3): a node of the tree of halving, or nothing where it
/// has no selected expert. leaf(e) is the value of expert e if it is selected.
template <class Leaf>
std::optional<float> plain_node(std::int64_t begin, std::int64_t end, const Leaf& leaf) {
  if (end - begin == 1) return leaf(begin);
  const std::int64_t middle = begin + (end - begin + 1) / 2;
  const std::optional<float> left = plain_node(begin, middle, leaf);
  const std::optional<float> right = plain_node(middle, end, leaf);
  if (!left || !right) return left ? left : right;
  return *left + *right;
}

/// Runs tree_combine for tokens with the given experts (all lists of the same length) and compares
/// every channel. Returns whether a flat sum in expert order would have had other bits.
bool check(std::int64_t experts, const std::vector<std::vector<std::int32_t>>& choices,
           std::int64_t width, std::mt19937& random) {
  const auto tokens = static_cast<std::int64_t>(choices.size());
  const auto k = static_cast<std::int64_t>(choices[0].size());
  INFO("experts " << experts << ", tokens " << tokens << ", K " << k << ", width " << width);
  Tensor<std::int32_t> selected(tokens, k), row_of(tokens, k);
  std::vector<std::int32_t> rows(static_cast<std::size_t>(tokens * k));
  std::iota(rows.begin(), rows.end(), 0);
  std::shuffle(rows.begin(), rows.end(), random);
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t i = 0; i < k; ++i) {
      selected(t, i) = choices[static_cast<std::size_t>(t)][static_cast<std::size_t>(i)];
      row_of(t, i) = rows[static_cast<std::size_t>(t * k + i)];
    }
  }
  auto in = Tensor<float>(tokens * k, width, 1).fill(random);
  auto out = Tensor<float>(tokens, width, 3).fill(random);
  auto expected = out;
  bool flat_differs = false;
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t j = 0; j < width; ++j) {
      float flat = 0;
      for (std::int64_t i = 0; i < k; ++i) flat += in(row_of(t, i), j);
      expected(t, j) = *plain_node(0, experts, [&](std::int64_t e) -> std::optional<float> {
        for (std::int64_t i = 0; i < k; ++i) {
          if (selected(t, i) == e) return in(row_of(t, i), j);
        }
        return std::nullopt;
      });
      flat_differs = flat_differs || flat != expected(t, j);
    }
  }
  const ExecSpace exec;
  tree_combine<float>(exec, experts, in.device(), selected.device(), row_of.device(), out.device());
  finish(exec);
  out.fetch();
  CHECK(out.same_bits(expected));
  return flat_differs;
}

/// Every set of k of `experts` experts, in increasing order.
std::vector<std::vector<std::int32_t>> all_sets(int experts, int k) {
  std::vector<std::vector<std::int32_t>> sets;
  for (unsigned mask = 0; mask < (1U << experts); ++mask) {
    std::vector<std::int32_t> set;
    for (int e = 0; e < experts; ++e) {
      if ((mask >> e & 1U) != 0) set.push_back(e);
    }
    if (static_cast<int>(set.size()) == k) sets.push_back(set);
  }
  return sets;
}

std::vector<std::vector<std::int32_t>> random_sets(int experts, int k, int count,
                                                   std::mt19937& random) {
  std::vector<std::int32_t> all(static_cast<std::size_t>(experts));
  std::iota(all.begin(), all.end(), 0);
  std::vector<std::vector<std::int32_t>> sets;
  for (int i = 0; i < count; ++i) {
    std::shuffle(all.begin(), all.end(), random);
    sets.emplace_back(all.begin(), all.begin() + k);
    std::sort(sets.back().begin(), sets.back().end());
  }
  return sets;
}

}  // namespace

TEST_CASE("experts are added along the tree of halving: every set of up to 10", "[permute]") {
  std::mt19937 random(1);
  bool flat_differs = false;
  for (int experts = 1; experts <= 10; ++experts) {
    for (int k = 1; k <= experts; ++k) {
      flat_differs = check(experts, all_sets(experts, k), 3, random) || flat_differs;
    }
  }
  CHECK(flat_differs);  // the test would notice a flat sum
}

TEST_CASE("experts are added along the tree of halving: large and odd", "[permute]") {
  std::mt19937 random(2);
  for (const auto& [experts, k] : {std::pair{256, 8}, {37, 5}, {64, 64}, {1000, 33}}) {
    for (const std::int64_t width : {1, 64, 130, 600}) {
      check(experts, random_sets(experts, k, 5, random), width, random);
    }
  }
}

TEST_CASE("an absent subtree adds nothing, not even +0", "[permute]") {
  const ExecSpace exec;
  auto in = Tensor<float>(1, 5).fill_with(-0.0F);
  Tensor<std::int32_t> selected(1, 1), row_of(1, 1);
  selected(0, 0) = 6;
  auto out = Tensor<float>(1, 5);
  tree_combine<float>(exec, 8, in.device(), selected.device(), row_of.device(), out.device());
  finish(exec);
  out.fetch();
  for (std::int64_t j = 0; j < 5; ++j) CHECK(std::signbit(out(0, j)));
}

TEST_CASE("in bf16 every sum of the tree is rounded, a single row is not changed", "[permute]") {
  const ExecSpace exec;
  std::mt19937 random(4);
  const std::int64_t experts = 7, k = 5, tokens = 9, width = 130;
  const auto choices = random_sets(experts, k, tokens, random);
  Tensor<std::int32_t> selected(tokens, k), row_of(tokens, k);
  auto in = Tensor<float>(tokens * k, width).fill(random);
  const auto rounded = [](float x) { return bf16_decode(bf16_encode(x)); };
  for (std::int64_t r = 0; r < tokens * k; ++r) {
    for (std::int64_t j = 0; j < width; ++j) in(r, j) = rounded(in(r, j));
  }
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t i = 0; i < k; ++i) {
      const bool used = t > 0 || i == 0;  // the first token has one expert
      selected(t, i) =
          used ? choices[static_cast<std::size_t>(t)][static_cast<std::size_t>(i)] : -1;
      row_of(t, i) = used ? static_cast<std::int32_t>(t * k + i) : -1;
    }
  }
  auto out = Tensor<float>(tokens, width), exact = Tensor<float>(tokens, width);
  tree_combine<float>(exec, experts, in.device(), selected.device(), row_of.device(), out.device(),
                      TreeSums::bf16);
  tree_combine<float>(exec, experts, in.device(), selected.device(), row_of.device(),
                      exact.device());
  finish(exec);
  out.fetch();
  exact.fetch();
  bool once_differs = false;  // rounding the whole sum once is something else
  for (std::int64_t t = 0; t < tokens; ++t) {
    for (std::int64_t j = 0; j < width; ++j) {
      const auto node = [&](const auto& self, std::int64_t begin,
                            std::int64_t end) -> std::optional<float> {
        if (end - begin == 1) {
          for (std::int64_t i = 0; i < k; ++i) {
            if (selected(t, i) == begin) return in(row_of(t, i), j);
          }
          return std::nullopt;
        }
        const std::int64_t middle = begin + (end - begin + 1) / 2;
        const auto left = self(self, begin, middle), right = self(self, middle, end);
        if (!left || !right) return left ? left : right;
        return rounded(*left + *right);
      };
      CHECK(out(t, j) == *node(node, 0, experts));
      once_differs = once_differs || rounded(exact(t, j)) != out(t, j);
    }
  }
  CHECK(once_differs);
}

TEST_CASE("gather_row_bytes copies rows with gaps between them", "[permute]") {
  const ExecSpace exec;
  std::mt19937 random(5);
  auto in = Tensor<float>(6, 5, 2).fill(random);
  auto out = Tensor<float>(8, 5, 3).fill(random);
  auto source = vector_tensor<std::int32_t>(8);
  for (std::int64_t r = 0; r < 8; ++r) source[r] = static_cast<std::int32_t>(r * 5 % 6);
  const auto bytes = [](auto x) {
    using T = std::remove_pointer_t<decltype(x.data)>;
    using Byte = std::conditional_t<std::is_const_v<T>, const std::byte, std::byte>;
    return Matrix<Byte>{reinterpret_cast<Byte*>(x.data), x.rows, 4 * x.cols, 4 * x.stride};
  };
  gather_row_bytes(exec, bytes(in.device()), source.device_vector(), bytes(out.device()));
  finish(exec);
  out.fetch();
  for (std::int64_t r = 0; r < 8; ++r) {
    for (std::int64_t j = 0; j < 5; ++j) CHECK(out(r, j) == in(r * 5 % 6, j));
  }
}

TEST_CASE("gather_rows copies rows; its gradient is tree_combine", "[permute]") {
  const ExecSpace exec;
  std::mt19937 random(3);
  const std::int64_t tokens = 6, k = 3, width = 21;
  auto x = Tensor<double>(tokens, width, 2).fill(random);
  auto source = vector_tensor<std::int32_t>(tokens * k);
  Tensor<std::int32_t> selected(tokens, k), row_of(tokens, k);
  const auto sets = random_sets(7, k, tokens, random);
  for (std::int64_t r = 0; r < tokens * k; ++r) {
    source[r] = static_cast<std::int32_t>(r % tokens);
    selected(r % tokens, r / tokens) =
        sets[static_cast<std::size_t>(r % tokens)][static_cast<std::size_t>(r / tokens)];
    row_of(r % tokens, r / tokens) = static_cast<std::int32_t>(r);
  }
  auto rows = Tensor<double>(tokens * k, width);
  auto drows = Tensor<double>(tokens * k, width).fill(random);
  auto dx = Tensor<double>(tokens, width);
  const auto loss = [&] {
    gather_rows<double>(exec, x.device(), source.device_vector(), rows.device());
    finish(exec);
    rows.fetch();
    return dot(rows, drows);
  };
  loss();
  for (std::int64_t r = 0; r < tokens * k; ++r) {
    for (std::int64_t j = 0; j < width; ++j) CHECK(rows(r, j) == x(source[r], j));
  }
  tree_combine<double>(exec, 7, drows.device(), selected.device(), row_of.device(), dx.device());
  finish(exec);
  dx.fetch();
  CHECK(worst_direction(x, dx, random, loss) <= kDirectionBar);
}
