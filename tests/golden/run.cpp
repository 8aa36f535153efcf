#include "golden/run.hpp"

#include <bit>
#include <map>

#include "core/error.hpp"
#include "data/data.hpp"
#include "golden/digest_probe.hpp"
#include "kernels/random/random.hpp"
#include "training/state.hpp"
#include "training/trainer.hpp"

namespace moray::golden {
namespace {

std::vector<float> to_host(Vector<const float> device) {
  std::vector<float> host(static_cast<std::size_t>(device.size));
  copy_to_host(device.data, host.size(), host.data());
  return host;
}

/// A digest of each tensor; the experts of a layer are one, in their order.
class Tensors {
 public:
  Tensors(const Trainer& trainer, const Communicator& ranks)
      : parameters_(trainer.model().parameters()),
        pieces_(trainer.optimizer().pieces()),
        ranks_(ranks) {}

  /// `values` gives what this rank owns: (const Optimizer::Piece&) -> Vector<const float>.
  template <class Values>
  void add(Record& record, const std::string& prefix, const Values& values) const {
    std::vector<std::string> names;  // in the order of declaration
    std::map<std::string, std::vector<std::uint64_t>> parts;
    for (std::size_t i = 0; i < parameters_.list().size(); ++i) {
      const std::string name = dataset_name(parameters_.list()[i].name);
      if (!parts.contains(name)) names.push_back(name);
      std::vector<float> host = whole(i, pieces_, values);
      parts[name].push_back(digest_floats(host));
    }
    for (const std::string& name : names)
      record.add_digest(prefix + name, digest_words(parts[name]));
  }

  /// A whole tensor from the pieces of its owners: their bits as integers, 0 elsewhere, are summed.
  template <class Values>
  std::vector<float> whole(std::size_t tensor, const std::vector<Optimizer::Piece>& pieces,
                           const Values& values) const {
    std::vector<std::int64_t> bits(static_cast<std::size_t>(parameters_.list()[tensor].elements()));
    for (const Optimizer::Piece& piece : pieces) {
      if (piece.tensor != tensor) continue;
      const std::vector<float> owned = to_host(values(piece));
      for (std::size_t e = 0; e < owned.size(); ++e)
        bits[static_cast<std::size_t>(piece.begin) + e] = std::bit_cast<std::uint32_t>(owned[e]);
    }
    ranks_.sum(bits);
    std::vector<float> host;
    for (const std::int64_t element : bits)
      host.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(element)));
    return host;
  }

 private:
  const Parameters<float>& parameters_;
  const std::vector<Optimizer::Piece>& pieces_;
  const Communicator& ranks_;
};

/// Raw random words of a tensor's first 64 indices.
void add_random_words(Record& record, const Deck& deck, const Parameters<float>& parameters) {
  std::vector<std::uint64_t> words;
  for (const Parameter& p : parameters.list()) {
    if (p.is_vector) continue;
    for (std::uint64_t index = 0; index < 64; ++index) {
      for (const std::uint32_t word : random_words(random_key(p.name, deck.run.seed), index).word)
        words.push_back(word);
    }
  }
  record.add_digest("step0/random_words", digest_words(words));
}

/// What the update of step 1 is made of, beyond the report.
void add_update(Record& record, const std::string& step, const Trainer& trainer,
                const Communicator& ranks, const StepReport& report) {
  std::vector<std::size_t> first_block = {0};  // of each tensor
  for (const Parameter& p : trainer.model().parameters().list())
    first_block.push_back(first_block.back() + static_cast<std::size_t>(block_count(p.elements())));
  std::vector<std::int64_t> bits(first_block.back());  // 0 where another rank owns the block
  trainer.optimizer().visit_block_sums([&](std::size_t tensor, std::int64_t block, double sum) {
    bits[first_block[tensor] + static_cast<std::size_t>(block)] = std::bit_cast<std::int64_t>(sum);
  });
  ranks.sum(bits);
  const std::vector<std::uint64_t> sums(bits.begin(), bits.end());
  record.add_digest(step + "block_sums", digest_words(sums));
  record.add_number(step + "sum_of_squares", report.norm.sum_of_squares);
  const AdamwStep factors =
      trainer.optimizer().factors(report.norm, report.step, report.learning_rate);
  record.add_number(step + "a1", static_cast<double>(factors.correction1));
  record.add_number(step + "a2", static_cast<double>(factors.correction2));
}

void add_report(Record& record, const std::string& step, const StepReport& report) {
  record.add_number(step + "loss", report.loss);
  for (std::size_t k = 0; k < report.mtp.size(); ++k)
    record.add_number(fmt::format("{}mtp{}", step, k + 1), report.mtp[k]);
  record.add_number(step + "balance", report.balance);
  record.add_number(step + "norm", report.norm.value);
  record.add_number(step + "k", static_cast<double>(report.norm.k));
  record.add_number(step + "lr", report.learning_rate);
  for (std::size_t layer = 0; layer < report.loads.size(); ++layer) {
    std::vector<std::uint64_t> loads(report.loads[layer].begin(), report.loads[layer].end());
    record.add_digest(fmt::format("{}loads/{}", step, layer), digest_words(loads));
  }
}

void add_moments(Record& record, const std::string& step, const Trainer& trainer,
                 const Communicator& ranks) {
  const Optimizer& optimizer = trainer.optimizer();
  const Tensors tensors(trainer, ranks);
  // bfloat16 moments by the float32 values that they stand for.
  const auto widen = [](Vector<std::uint16_t> stored, std::vector<float>& wide) {
    std::vector<std::uint16_t> host(static_cast<std::size_t>(stored.size));
    copy_to_host(stored.data, host.size(), host.data());
    wide.clear();
    for (const std::uint16_t bits : host)
      wide.push_back(std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16));
    return Vector<const float>{wide.data(), stored.size};
  };
  std::vector<float> wide;
  const bool bf16 = optimizer.bf16_moments();
  tensors.add(record, step + "m/", [&](const Optimizer::Piece& p) -> Vector<const float> {
    return bf16 ? widen(optimizer.m_bf16(p), wide) : Vector<const float>(optimizer.m(p));
  });
  tensors.add(record, step + "v/", [&](const Optimizer::Piece& p) -> Vector<const float> {
    return bf16 ? widen(optimizer.v_bf16(p), wide) : Vector<const float>(optimizer.v(p));
  });
}

void add_state(Record& record, const std::string& step, const Trainer& trainer,
               const Communicator& ranks) {
  const Parameters<float>& parameters = trainer.model().parameters();
  const Tensors tensors(trainer, ranks);
  tensors.add(record, step + "w/", [&](const Optimizer::Piece& p) {
    return parameters.values(parameters.list()[p.tensor], p.elements());
  });
  const Optimizer& optimizer = trainer.optimizer();
  if (optimizer.has_ema())
    tensors.add(record, step + "ema/", [&](const Optimizer::Piece& p) { return optimizer.ema(p); });
  for (const Moe<float>* moe : trainer.model().moe_layers()) {
    if (moe->bias().size == 0) continue;
    std::vector<float> bias = to_host(moe->bias());
    record.add_digest(step + "bias/" + moe->name(), digest_floats(bias));
  }
}

/// What is computed before the first step: the rotary table and the softmax scale.
void add_constants(Record& record, const Deck& deck) {
  const AttentionConfig& config = deck.model.attention;
  std::vector<float> frequencies = inverse_frequencies(config);
  record.add_digest("step0/frequencies", digest_floats(frequencies));
  record.add_number("step0/softmax_scale", static_cast<double>(softmax_scale(config)));
  Arena plan;
  RotaryTable<float>(plan, config, deck.batch.length);
  Arena arena;
  arena.reserve(plan);
  RotaryTable<float> table(arena, config, deck.batch.length);
  table.fill(config);
  for (const auto& [name, values] :
       {std::pair("cosine", table.cosine()), std::pair("sine", table.sine())}) {
    std::vector<float> host = to_host({values.data, values.rows * values.cols});
    record.add_digest(fmt::format("step0/{}", name), digest_floats(host));
  }
}

/// Gradients of step 1 after folding: of each tensor, and of each use of the embedding but the
/// trunk's.
void add_gradients(Record& record, const std::string& step, Trainer& trainer,
                   const Communicator& ranks) {
  const Parameters<float>& parameters = trainer.model().parameters();
  const Tensors tensors(trainer, ranks);
  // The embedding is tensor 0. The ranks that sum its uses need not be its own.
  const ElementRange owned = trainer.owned_embedding_uses();
  for (std::int64_t use = 0; use < trainer.model().depth(); ++use) {
    std::vector<Optimizer::Piece> pieces;
    const auto& sums = trainer.model().embedding_uses();
    if (!sums.empty()) pieces.push_back({.begin = owned.begin, .count = owned.size()});
    std::vector<float> host = tensors.whole(0, pieces, [&](const Optimizer::Piece& p) {
      return Vector<const float>{sums[static_cast<std::size_t>(use)].data + p.begin, p.count};
    });
    record.add_digest(fmt::format("{}G/embedding.use{}", step, use + 1), digest_floats(host));
  }
  tensors.add(record, step + "G/", [&](const Optimizer::Piece& p) {
    return parameters.gradient(parameters.list()[p.tensor], 0).slice(p.begin, p.count);
  });
}

}  // namespace

Record run(const Deck& deck, const Communicator& ranks) {
  MORAY_REQUIRE(deck.data.synthetic == "keyed");
  Trainer trainer(deck, ranks);
  Arena plan;
  trainer.allocate(plan);
  Arena arena;
  arena.reserve(plan);
  trainer.allocate(arena);
  trainer.initialize();
  TrainingData data(deck.data,
                    {deck.run.seed, deck.batch.length, deck.model.model.vocabulary, "."});

  Record record;
  add_constants(record, deck);
  add_random_words(record, deck, trainer.model().parameters());
  add_state(record, "step0/", trainer, ranks);
  DigestProbe probe(ranks, trainer.layout(), deck.model.moe.experts);
  for (std::int64_t step = 0; step < trainer.timeline().total(); ++step) {
    const std::string name = fmt::format("step{}/", step + 1);
    trainer.pass().probe = step == 0 ? &probe : nullptr;
    const StepReport report =
        trainer.step(step, [&](std::uint64_t g, std::span<std::int32_t> tokens) {
          data.sample(g, tokens);
          if (step == 0) probe.tokens(static_cast<std::int64_t>(g), tokens);
        });
    if (step == 0) {
      probe.add_to(record, name);
      add_gradients(record, name, trainer, ranks);
      add_update(record, name, trainer, ranks, report);
    }
    add_report(record, name, report);
    if (step == 0) add_moments(record, name, trainer, ranks);
    add_state(record, name, trainer, ranks);
  }
  return ranks.rank() == 0 ? record : Record();
}

}  // namespace moray::golden
