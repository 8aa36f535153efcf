#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "inference/choose.hpp"
#include "inference/decoder.hpp"

namespace moray {

/// Called with a sequence and its new token; false ends that sequence.
using Emit = std::function<bool(std::int64_t, std::int32_t)>;

/// Appends up to `count` tokens to each prompt (at least one token each, as many prompts as the
/// decoder has sequences). Of a prompt that is longer than the context only the end is read; when
/// the context is full, its newer half is read again at the first positions and the older half is
/// forgotten. A prompt gives the same tokens alone or beside others.
void generate(Decoder<float>& decoder, Pass<float>& pass, const Sampling& sampling,
              std::int64_t count, std::span<std::vector<std::int32_t>> prompts, const Emit& emit);

}  // namespace moray
