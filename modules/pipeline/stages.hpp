#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "model/model_config.hpp"
#include "pipeline/pipeline.hpp"

namespace moray {

/// The trunk layers [first, first + count) of a stage. The first stage also has the embedding, the
/// last one the final norm, the head and the MTP modules; it alone may have no trunk layer.
struct StageLayers {
  std::int64_t first = 0;
  std::int64_t count = 0;
  friend bool operator==(const StageLayers&, const StageLayers&) = default;
};

/// What one token costs in each part of a model, in any unit.
struct LayerCosts {
  std::vector<double> layers;  ///< of the trunk
  double embedding = 0;
  double last = 0;  ///< final norm, head and MTP modules
};

/// Forward FLOPs of a token at `length` positions: 2 for each active parameter of a matrix, and
/// attention's scores and values over the causal half. Forward and backward are in proportion.
LayerCosts forward_costs(const ModelConfig& model, std::int64_t length);

/// Why so many layers cannot be placed on the stages of a shape; empty when they can.
std::string placement_problem(std::int64_t layers, const PipelineShape& shape);

/// Consecutive layers for each stage of a shape, so that no rank is busy longer than it must be: the
/// least cost of the busiest rank (which holds stages s and stages-1-s under DualPipe and DualPipeV),
/// under that the least cost of the most expensive stage, and under both the least sum of squares.
/// Throws Error(usage) with placement_problem().
std::vector<StageLayers> place_layers(const LayerCosts& costs, const PipelineShape& shape);

/// The cost of each stage of a placement.
std::vector<double> stage_costs(const LayerCosts& costs, const std::vector<StageLayers>& stages);

/// A placement from text: the trunk layers of each stage, "5,4x14,0" or "3,4,4,2"; `4x14` stands for
/// 14 stages of 4. Throws Error(usage) naming the part that is wrong, or the sum or number of stages.
std::vector<StageLayers> parse_stages(std::string_view text, std::int64_t layers, int stages);
/// The shortest text of a placement.
std::string to_text(const std::vector<StageLayers>& stages);

}  // namespace moray
