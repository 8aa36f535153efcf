#pragma once

#include <string>

#include "io/checkpoint_reader.hpp"
#include "model/model.hpp"
#include "training/training_config.hpp"

namespace moray {

/// A model on disk: a checkpoint and the deck that it was trained with. Opening starts neither MPI
/// nor Kokkos.
class StoredModel {
 public:
  /// `path`: a checkpoint, or a run, whose newest one is meant. Throws Error(io).
  explicit StoredModel(const std::string& path);

  const Checkpoint& checkpoint() const { return checkpoint_; }
  const Deck& deck() const { return deck_; }
  /// Weights and selection biases into an allocated model, which may lack the MTP modules. Each
  /// block's digest is checked on the way.
  void load(Model<float>& model) const;

 private:
  Checkpoint checkpoint_;
  Deck deck_;
};

}  // namespace moray
