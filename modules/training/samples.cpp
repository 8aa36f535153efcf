#include "training/samples.hpp"

namespace moray {

std::unique_ptr<Decoder<float>> make_sample_decoder(const Deck& deck, const ExpertShare& share) {
  if (deck.samples.tokens == 0) return nullptr;
  return std::make_unique<Decoder<float>>(deck.model, 1, deck.batch.length, 1, share);
}

}  // namespace moray
