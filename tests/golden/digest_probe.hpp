#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "golden/record.hpp"
#include "model/model.hpp"
#include "model/probe.hpp"
#include "training/rank_memory.hpp"

namespace moray::golden {

/// Digests of a step's stages that depend on no layout: of each row, then of the rows of each
/// sequence (of each expert and sequence; of each lane), then of these in order over all ranks.
class DigestProbe final : public Probe<float> {
 public:
  DigestProbe(const Communicator& ranks, const RankLayout& layout, std::int64_t experts)
      : ranks_(ranks), layout_(layout), experts_(experts) {}

  void enter(const char* place, std::int64_t index, const BatchLayout& batch) override;
  void rows(const char* stage, Matrix<const float> values, std::int64_t first,
            std::int64_t total) override;
  void choices(const char* stage, Matrix<const std::int32_t> values) override;
  void expert_rows(const char* stage, const Route<float>& route,
                   Matrix<const float> values) override;
  void lanes(Model<float>& model) override;
  void folded(const Fold& fold, Vector<const float> values) override;
  /// Tokens of a sequence of the step.
  void tokens(std::int64_t g, std::span<const std::int32_t> tokens);

  /// Adds a line for each stage, in the order in which they came: those of rank 0, then those that it has
  /// not. All ranks; rank 0's record.
  void add_to(Record& record, const std::string& prefix) const;

 private:
  struct Stage {
    std::string name;
    std::uint64_t sum = 0;  ///< of mixed elements, for what ranks hold in pieces
    std::map<std::int64_t, std::vector<std::uint64_t>>
        pieces;  ///< digests of rows by place in order
  };
  Stage& stage(const std::string& name);
  void add_elements(const std::string& name, std::uint64_t tensor, std::int64_t lane,
                    std::int64_t first, Vector<const float> values);
  std::int64_t global(std::int64_t sequence) const {
    return batch_->global()[static_cast<std::size_t>(sequence)];
  }

  const Communicator& ranks_;
  const RankLayout& layout_;
  std::int64_t experts_;
  const Parameters<float>* parameters_ = nullptr;  ///< once there are lanes
  const BatchLayout* batch_ = nullptr;
  std::string place_;
  std::vector<Stage> stages_;
  std::map<std::string, std::size_t> index_;
};

}  // namespace moray::golden
