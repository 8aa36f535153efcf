#pragma once

#include <random>

#include "pipeline/pipeline.hpp"

namespace moray {

/// Whether ops `i` and `i + 1` of a rank may change places: the second does not depend on the first, be
/// it by data (also over other ranks), by the order of messages of one channel or by the order of sums
/// in a gradient; and no rank needs more slots.
bool may_swap(const PipelineSchedule& schedule, int rank, int i);

/// Makes up to `changes` legal changes, one after the other, at random places; returns how many were
/// found. A walk leads far from the schedule that was made.
int walk(PipelineSchedule& schedule, int changes, std::mt19937& random);

/// Makes up to `changes` changes of another sort, where the checker accepts them: a BW becomes B and W, an
/// overlapped pair its two parts, or neighbours that fit together one op. Returns how many were found.
int remake(PipelineSchedule& schedule, int changes, std::mt19937& random);

}  // namespace moray
