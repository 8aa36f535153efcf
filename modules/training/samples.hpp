#pragma once

#include <memory>

#include "inference/decoder.hpp"
#include "training/training_config.hpp"

namespace moray {

/// What writes the samples of text that a deck asks for during training: one sequence beside the
/// model in training, whose weights it borrows. Null when the deck asks for none. Only rank 0 has
/// it, or every rank where the experts are spread; its memory is part of the plan.
std::unique_ptr<Decoder<float>> make_sample_decoder(const Deck& deck, const ExpertShare& share);

}  // namespace moray
