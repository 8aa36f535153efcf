#include "stored_model.hpp"

#include "core/error.hpp"
#include "io/checkpoint_folder.hpp"
#include "training/deck.hpp"
#include "training/state.hpp"

namespace moray {

StoredModel::StoredModel(const std::string& path) : checkpoint_(resolve_checkpoint(path)) {
  const std::string place = checkpoint_.path() + ": resolved deck";
  DeckReading reading = read_deck_text(checkpoint_.text("resolved_deck"), place);
  if (!reading.problems.empty()) throw Error(ExitCode::io, reading.problems.report(place));
  deck_ = reading.deck;
  // Variants were chosen for the machine that trained.
  deck_.kernels = {};
}

void StoredModel::load(Model<float>& model) const {
  load_state(checkpoint_, model_state(model));
  model.parameters().update_copies(ExecSpace());
}

}  // namespace moray
