// The sums of gradients over ranks, each element on its owner, and the copies of what owners made of them.
#include <algorithm>
#include <utility>

#include "kernels/elementwise/elementwise.hpp"
#include "training/trainer.hpp"

namespace moray {
namespace {

/// Beside the tags of messages between stages.
constexpr int kEmbeddingTag = kTransferTags;

}  // namespace

/// Shows the probe, if there is one, the levels of a fold. Under DualPipe a use of the embedding has the lanes
/// of the other direction than the ranks that fold it have: J + 1 for J = 2 j, and the reverse.
LaneReducer::Observer Trainer::fold_observer(Region region, std::int64_t use) {
  if (pass_.probe == nullptr) return {};
  const bool other_direction = use > 0 && layout_.pipeline.streams() == 2;
  return [=, probe = pass_.probe](std::int64_t lanes, std::int64_t lane, std::int64_t first,
                                  Vector<const float> values) {
    if (other_direction && lanes > 1) lane ^= 1;
    probe->folded({region, use, lanes, lane, first}, values);
  };
}

/// Lanes of all ranks into their sums, each element on its owner.
void Trainer::reduce_gradients() {
  const bool exact = deck_.run.determinism == "exact";
  Parameters<float>& parameters = model_.parameters();
  if (pass_.probe != nullptr) pass_.probe->lanes(model_);
  for (const Region region : regions_) {
    reducer(region).reduce(pass_.exec, parameters.gradients(region), shards_[region], exact,
                           fold_observer(region, 0));
  }
  reduce_embedding_uses();
}

/// Regions that hold something, in an order that is the same on all ranks that reduce one together:
/// that of the stages.
std::vector<Region> Trainer::regions_in_order() const {
  std::vector<Region> regions;
  const int chunks = layout_.pipeline.chunks();
  const int rank = mesh_.pipeline().rank();
  const bool second_first =
      chunks > 1 && layout_.pipeline.stage(rank, 1) < layout_.pipeline.stage(rank, 0);
  for (int i = 0; i < chunks; ++i) {
    const int chunk = second_first ? chunks - 1 - i : i;
    regions.push_back(static_cast<Region>(2 * chunk));
    regions.push_back(static_cast<Region>(2 * chunk + 1));
  }
  return regions;
}

/// Values of the embedding to another place of the pipeline; through a host copy where MPI cannot read
/// the backend's memory.
void Trainer::send_embedding(Vector<const float> values, int place) {
  fence(pass_.exec, "moray::trainer: values of the embedding before they are sent");
  std::vector<float> host(kHostBackend ? 0 : static_cast<std::size_t>(values.size));
  if constexpr (!kHostBackend) copy_to_host(values.data, host.size(), host.data());
  const SentBytes before = mesh_.pipeline().sent();
  message_.send(mesh_.pipeline(), kHostBackend ? values.data : host.data(), values.size,
                static_cast<std::int64_t>(sizeof(float)), place, kEmbeddingTag);
  message_.wait();
  embedding_sent_ += mesh_.pipeline().sent() - before;
}

void Trainer::receive_embedding(Vector<float> values, int place) {
  std::vector<float> host(kHostBackend ? 0 : static_cast<std::size_t>(values.size));
  message_.receive(mesh_.pipeline(), kHostBackend ? values.data : host.data(), values.size,
                   static_cast<std::int64_t>(sizeof(float)), place, kEmbeddingTag);
  message_.wait();
  if constexpr (!kHostBackend) copy_to_device(host.data(), host.size(), values.data);
}

/// The sums of the embedding's uses by MTP modules, each over its own lanes, are added to that of the
/// trunk in the order of uses, on the owners of the embedding. Where the modules are on the ranks of the
/// embedding, these hold lanes of the other direction than the embedding's own (DualPipe); as the last
/// fold is that of the two directions, and a sum of two has no order, the embedding's owners and ranks
/// serve here too.
void Trainer::reduce_embedding_uses() {
  const bool exact = deck_.run.determinism == "exact";
  const ElementRange owned = embedding_shards_.owned();
  const Region region = uses_region();
  for (std::int64_t use = 1; use <= model_.depth(); ++use) {
    Vector<float> sum;
    if (!model_.embedding_uses().empty()) {
      const Matrix<float>& lanes = model_.embedding_uses()[static_cast<std::size_t>(use - 1)];
      uses_reducer_.reduce(pass_.exec, lanes, embedding_shards_, exact, fold_observer(region, use));
      sum = {lanes.data + owned.begin, owned.size()};
    }
    if (layout_.borrows_embedding) send_embedding({sum.data, sum.size}, 0);
    if (layout_.lends_embedding) {
      sum = received_.slice(0, owned.size());
      receive_embedding(sum, mesh_.pipeline().size() - 1);
    }
    if (layout_.borrows_embedding || sum.size == 0) continue;
    const Matrix<float> total = matrix(
        model_.parameters().gradient(model_.embedding(), 0).data + owned.begin, 1, owned.size());
    add<float>(pass_.exec, total, matrix(sum.data, 1, owned.size()), total);
  }
}

void Trainer::weights_changed() {
  model_.parameters().update_copies(pass_.exec);
  gather(Gathered::codes);
  gather(Gathered::scales);
  if (!layout_.lends_embedding && !layout_.borrows_embedding) return;
  const ElementRange owned = embedding_shards_.owned();
  if (layout_.lends_embedding) {
    const float* embedding = model_.parameters().weight(model_.embedding()).data;
    send_embedding({embedding + owned.begin, owned.size()}, mesh_.pipeline().size() - 1);
    return;
  }
  const Matrix<float> copy = model_.embedding_copy();
  receive_embedding({copy.data + owned.begin, owned.size()}, 0);
  constexpr auto kFloat = static_cast<std::int64_t>(sizeof(float));
  uses_reducer_.gather(pass_.exec,
                       {reinterpret_cast<char*>(copy.data), copy.rows * copy.cols * kFloat},
                       embedding_bytes_);
}

bool Trainer::counts_fp8(std::int64_t step) const {
  return timeline_.due(deck_.output.fp8_every, step) && model_.statistics().allocated();
}

/// What the weights of this step became; then the pass counts.
void Trainer::begin_fp8_statistics() {
  Fp8Statistics& statistics = model_.statistics();
  statistics.clear(pass_.exec);
  for (const Region region : regions_) {
    // Of what several ranks have, one.
    const auto chunk = std::min(chunk_of(region), layout_.pipeline.chunks() - 1);
    const Communicator& copies =
        is_expert(region) ? mesh_.expert_copies(chunk) : mesh_.copies(chunk);
    model_.parameters().add_statistics(pass_.exec, region, copies.rank() == 0, statistics);
  }
  pass_.statistics = &statistics;
}

/// Those of all ranks: integers that are added, and the least and largest amax.
void Trainer::end_fp8_statistics(StepReport& report) {
  report.fp8 = model_.statistics().read(pass_.exec);
  const auto each = [&](const auto& use) {
    constexpr auto kStride = static_cast<std::size_t>(kStatisticWords);
    for (std::size_t at = 0; at < report.fp8.size(); at += kStride)
      use(report.fp8[at + std::size_t{QuantizationWord::least_amax}],
          report.fp8[at + std::size_t{QuantizationWord::largest_amax}]);
  };
  std::vector<std::int64_t> extremes;
  each([&](std::int64_t& least, std::int64_t& largest) {
    extremes.push_back(-std::exchange(least, 0));
    extremes.push_back(std::exchange(largest, 0));
  });
  ranks_.sum(report.fp8);
  ranks_.maximum(std::span(extremes));
  auto next = extremes.begin();
  each([&](std::int64_t& least, std::int64_t& largest) {
    least = -*next++;
    largest = *next++;
  });
}

}  // namespace moray
