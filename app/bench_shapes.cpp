#include "bench_shapes.hpp"

namespace moray {

namespace {

/// Rows of E experts that sum to `total`: the mean times 8/16 to 24/16 in a scattered order.
std::vector<std::int64_t> uneven_rows(std::int64_t total, std::int64_t experts) {
  std::vector<std::int64_t> rows;
  std::int64_t left = total;
  for (std::int64_t e = 0; e < experts; ++e) {
    const std::int64_t wanted = total / experts * (8 + 7 * e % 17) / 16;
    rows.push_back(e + 1 < experts ? std::min(wanted, left) : left);
    left -= rows.back();
  }
  return rows;
}

}  // namespace

std::vector<LinearShape> linear_shapes(const Deck& deck) {
  const ModelSizes& model = deck.model.model;
  const AttentionConfig& attention = deck.model.attention;
  const MoeConfig& moe = deck.model.moe;
  const std::int64_t tokens = deck.batch.sequences * deck.batch.length;
  const std::int64_t width = model.width;
  const std::int64_t query = attention.heads * (attention.nope_width + attention.rope_width);
  const std::int64_t latent = attention.latent + attention.rope_width;

  std::vector<LinearShape> shapes;
  const auto dense = [&](const char* name, std::int64_t out, std::int64_t in) {
    shapes.push_back({name, out, in, {tokens}});
  };
  if (attention.query_latent > 0) {
    dense("q_a|kv_a", attention.query_latent + latent, width);
    dense("q_b", query, attention.query_latent);
  } else {
    dense("q|kv_a", query + latent, width);
  }
  dense("kv_b", attention.heads * (attention.nope_width + attention.value_width), attention.latent);
  dense("o", width, attention.heads * attention.value_width);
  if (moe.experts == 0 || model.dense_layers > 0) {
    dense("dense gate|up", 2 * model.dense_width, width);
    dense("dense down", width, model.dense_width);
  }
  if (moe.experts > 0) {
    if (moe.shared_experts > 0) {
      dense("shared gate|up", 2 * moe.shared_experts * moe.width, width);
      dense("shared down", width, moe.shared_experts * moe.width);
    }
    dense("gate", moe.experts, width);
    const std::vector<std::int64_t> rows = uneven_rows(tokens * moe.top_k, moe.experts);
    shapes.push_back({"experts gate|up", 2 * moe.width, width, rows});
    shapes.push_back({"experts down", width, moe.width, rows});
  }
  dense("head", model.vocabulary, width);
  return shapes;
}

}  // namespace moray
