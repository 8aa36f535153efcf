#pragma once

#include <array>
#include <map>
#include <vector>

#include "moe/token_links.hpp"
#include "training/link_bytes.hpp"
#include "training/rank_memory.hpp"

namespace moray {

/// Bytes that each rank of a deck sends in a step, from the layout alone: no MPI, nothing allocated.
class LinkPlanner {
 public:
  /// For a step of a full batch. Throws Error(usage) where there is no such pipeline.
  explicit LinkPlanner(const Deck& deck);

  const MeshShape& shape() const { return shape_; }
  /// All that does not depend on how tokens are routed: every kind but tokens. Nothing for the sums and weights of a
  /// number of ranks that is no power of two, whose ways MPI chooses.
  LinkBytes links(const MeshPlace& place) const;
  /// The tokens, for what their routing sent from and to a rank in all exchanges of the step.
  SentBytes tokens(const MeshPlace& place, const TokenFlow& flow) const;
  /// That flow when experts are even.
  TokenFlow even_flow(const MeshPlace& place) const;

 private:
  /// Where what owners have may begin in a region: in its elements, and in the bytes gathered of them.
  struct Borders {
    std::vector<std::int64_t> elements, gathered;
  };
  /// What the data ranks of a pipeline place have alike.
  struct Held {
    std::array<Borders, kRegions> borders;
    WeightRef embedding;
  };
  /// Exchanges of micro-batches with the experts of a layer in a step, and tokens that a rank has in all of them.
  struct Exchanges {
    std::int64_t count = 0, tokens = 0;
  };
  /// A sum or gather by halving over `copies` of a chunk's tensors.
  struct Halving {
    Shards shards;
    int chunk = 0;
    bool experts = false;
  };

  RankLayout layout(const MeshPlace& place) const;
  Exchanges exchanges(const RankLayout& layout) const;
  Shards shards(const Held& held, const RankLayout& layout, Region region) const;
  void add_messages(const MeshPlace& place, LinkBytes& bytes) const;
  void add_region(const MeshPlace& place, const RankLayout& layout, Region region,
                  LinkBytes& bytes) const;
  void add_embedding(const MeshPlace& place, const RankLayout& layout, LinkBytes& bytes) const;
  MeshPlace partner(const MeshPlace& place, const Halving& halving, std::size_t level) const;
  void add(const MeshPlace& from, std::int64_t pipeline, std::int64_t data, std::int64_t bytes,
           SentBytes& to) const;

  const Deck& deck_;
  MeshShape shape_;
  PipelineLayout common_;
  std::vector<Held> held_;       ///< of each pipeline place
  std::vector<TokenFlow> even_;  ///< of one token, by share
};

/// What the ranks of a deck send in a step, in bytes.
struct LinkPlan {
  struct Spread {
    double mean = 0;
    std::int64_t most = 0;  ///< of a rank
  };
  struct Row {
    Spread inside, across;
  };
  std::array<Row, kLinkNames.size()> kinds;
  Row total;                ///< mean and most of all that a rank sends
  std::vector<Row> places;  ///< of each pipeline place, all kinds
  std::int64_t node_ranks =
      0;                      ///< as parallel.nodes says; 0: all ranks are taken to be on one node
  bool sums_unknown = false;  ///< MPI chooses the ways of sums and weights
};
LinkPlan plan_links(const Deck& deck);

}  // namespace moray
