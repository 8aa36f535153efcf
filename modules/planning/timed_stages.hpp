#pragma once

#include <cstdint>
#include <vector>

#include "pipeline/simulate.hpp"
#include "pipeline/stages.hpp"

namespace moray {

/// The stages of a layout that ran, and what each took.
struct TimedStages {
  std::vector<StageLayers> layers;
  std::vector<StageDurations> durations;  ///< one for each stage, in any unit
  std::int64_t dense_layers = 0;  ///< of the trunk, the first ones: another kind than the rest
};

/// What the stages of another placement of the same layers take. F, B, W and F&B each by itself: a
/// model has four kinds of parts (the embedding; dense layers; other layers; norm, head and MTP behind
/// the last), and a part takes its cost times a factor of its kind. The factors are those with which
/// the stages that ran are met best; where these do not tell kinds apart, they stay as alike as they
/// can. Then what a stage took is dealt to its parts in these proportions, and the parts of each new
/// stage are added. So no time is lost, and a stage of the same parts takes exactly what it took.
/// `costs` is of the model, with as many layers as `ran.layers` and `stages` have together.
std::vector<StageDurations> place_durations(const std::vector<StageLayers>& stages,
                                            const TimedStages& ran, const LayerCosts& costs);

}  // namespace moray
