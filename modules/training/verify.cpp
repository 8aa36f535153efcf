#include "training/verify.hpp"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <optional>

#include "core/error.hpp"
#include "data/data.hpp"
#include "io/digest.hpp"
#include "training/trainer.hpp"

namespace moray {
namespace {

enum Kind : int { kGradient, kWeight, kCopy };
constexpr int kKinds = 3;
constexpr const char* kKindNames[kKinds] = {"gradient of ", "weight ",
                                            "what products read of weight "};

/// A block of 2^16 elements of a tensor after a step.
struct TensorBlock {
  std::int64_t step = 0;
  int kind = kGradient;
  std::size_t tensor = 0;
  std::int64_t block = 0;  ///< within the tensor
  friend bool operator==(const TensorBlock&, const TensorBlock&) = default;
};

using Scalars = std::vector<std::pair<std::string, double>>;

/// A block by its number in the order of steps, kinds and tensors.
struct BlockDigest {
  std::int64_t number = 0;
  Digest digest;
};
static_assert(sizeof(BlockDigest) == sizeof(std::int64_t) + sizeof(Digest));

/// What one layout computed: scalars of each step, on its rank 0, and the blocks that this rank has.
struct Trace {
  std::vector<Scalars> scalars;
  std::vector<BlockDigest> digests;
};

/// Blocks of all tensors of a model, the same for every layout.
class BlockIndex {
 public:
  explicit BlockIndex(const Parameters<float>& parameters) {
    for (const Parameter& p : parameters.list())
      first_.push_back(first_.back() + block_count(p.elements()));
  }
  std::int64_t blocks() const { return first_.back(); }
  std::int64_t number(const TensorBlock& b) const {
    return ((b.step * kKinds + b.kind) * blocks()) + first_[b.tensor] + b.block;
  }
  TensorBlock block(std::int64_t number) const {
    TensorBlock b;
    b.step = number / (kKinds * blocks());
    b.kind = static_cast<int>(number / blocks() % kKinds);
    const std::int64_t at = number % blocks();
    while (first_[b.tensor + 1] <= at) ++b.tensor;
    b.block = at - first_[b.tensor];
    return b;
  }

 private:
  std::vector<std::int64_t> first_ = {0};  ///< of each tensor; and the end
};

Scalars scalars_of(const StepReport& report, const std::vector<Moe<float>*>& moes) {
  Scalars scalars = {{"loss", report.loss}};
  for (std::size_t k = 0; k < report.mtp.size(); ++k)
    scalars.emplace_back(fmt::format("loss of MTP module {}", k + 1), report.mtp[k]);
  scalars.emplace_back("balance loss", report.balance);
  scalars.emplace_back("gradient norm", report.norm.value);
  for (std::size_t layer = 0; layer < report.loads.size(); ++layer) {
    for (std::size_t e = 0; e < report.loads[layer].size(); ++e)
      scalars.emplace_back(fmt::format("load of expert {} of {}", e, moes[layer]->name()),
                           static_cast<double>(report.loads[layer][e]));
  }
  return scalars;
}

/// A training run of a layout.
class LayoutRun {
 public:
  LayoutRun(const Deck& deck, const std::string& folder, const Communicator& ranks)
      : ranks_(ranks),
        trainer_(deck, ranks),
        data_(deck.data, {deck.run.seed, deck.batch.length, deck.model.model.vocabulary, folder}),
        index_(trainer_.model().parameters()) {
    Arena plan;
    trainer_.allocate(plan);
    arena_.reserve(plan);
    trainer_.allocate(arena_);
    trainer_.initialize();
  }

  Trace trace(std::int64_t steps) {
    Trace trace;
    for (std::int64_t step = 0; step < steps; ++step) {
      const StepReport report = this->step(step);
      trace.scalars.push_back(scalars_of(report, trainer_.model().moe_layers()));
      add_biases(trace.scalars.back());
      visit(step, [&](const TensorBlock& block, const std::vector<float>& values) {
        trace.digests.push_back(
            {index_.number(block), digest_of(values.data(), values.size() * sizeof(float))});
      });
    }
    return trace;
  }

  /// The values of a block wherever it is, on rank 0.
  std::vector<std::vector<float>> fetch(const TensorBlock& wanted) {
    for (std::int64_t step = 0; step <= wanted.step; ++step) this->step(step);
    std::string mine;
    visit(wanted.step, [&](const TensorBlock& block, const std::vector<float>& values) {
      if (block == wanted)
        mine.assign(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    });
    std::vector<std::vector<float>> copies;
    for (const std::string& text : ranks_.gather(mine, 0)) {
      if (text.empty()) continue;
      copies.emplace_back(text.size() / sizeof(float));
      std::memcpy(copies.back().data(), text.data(), text.size());
    }
    return copies;
  }

 private:
  StepReport step(std::int64_t step) {
    return trainer_.step(
        step, [&](std::uint64_t g, std::span<std::int32_t> tokens) { data_.sample(g, tokens); });
  }

  using Show = std::function<void(const TensorBlock&, const std::vector<float>&)>;

  /// After a step, blocks of the gradients that this rank owns, of all weights that it has, and of their
  /// copies in low precision.
  void visit(std::int64_t step, const Show& show) {
    const Parameters<float>& parameters = trainer_.model().parameters();
    const auto blocks = [&](int kind, std::size_t tensor, Vector<float> all, std::int64_t first) {
      for (std::int64_t begin = 0; begin < all.size; begin += kBlockElements) {
        const auto count = static_cast<std::size_t>(std::min(kBlockElements, all.size - begin));
        std::vector<float> values(count);
        copy_to_host(all.data + begin, count, values.data());
        show({step, kind, tensor, (first + begin) / kBlockElements}, values);
      }
    };
    for (const Optimizer::Piece& piece : trainer_.optimizer().pieces()) {
      const Vector<float> all = parameters.gradient(parameters.list()[piece.tensor], 0);
      blocks(kGradient, piece.tensor, all.slice(piece.begin, piece.count), piece.begin);
    }
    for (std::size_t tensor = 0; tensor < parameters.list().size(); ++tensor) {
      const Parameter& p = parameters.list()[tensor];
      if (!p.held) continue;
      const ElementRange present = parameters.present(p);
      blocks(kWeight, tensor, parameters.values(p, present), present.begin);
      if (!parameters.has_copy(p)) continue;
      for (std::int64_t begin = 0; begin < p.elements(); begin += kBlockElements) {
        const std::int64_t end = std::min(begin + kBlockElements, p.elements());
        show({step, kCopy, tensor, begin / kBlockElements},
             parameters.copy_values(p, {begin, end}));
      }
    }
  }

  /// Adds the routing biases, which every rank has; of copies that differ, one that does.
  void add_biases(Scalars& scalars) const {
    std::vector<float> mine;
    std::vector<std::string> names;
    for (const Moe<float>* moe : trainer_.model().moe_layers()) {
      std::vector<float> bias(static_cast<std::size_t>(moe->bias().size));
      copy_to_host(moe->bias().data, bias.size(), bias.data());
      for (std::size_t e = 0; e < bias.size(); ++e)
        names.push_back(fmt::format("routing bias of expert {} of {}", e, moe->name()));
      mine.insert(mine.end(), bias.begin(), bias.end());
    }
    // The largest and the smallest bits of each.
    std::vector<std::int64_t> bits;
    for (const float value : mine) {
      const auto number = static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(value));
      bits.insert(bits.end(), {number, -number});
    }
    ranks_.maximum(bits);
    for (std::size_t i = 0; i < names.size() && ranks_.rank() == 0; ++i) {
      const auto first = static_cast<std::int64_t>(std::bit_cast<std::uint32_t>(mine[i]));
      const std::int64_t other = bits[2 * i] != first ? bits[2 * i] : -bits[2 * i + 1];
      scalars.emplace_back(names[i], std::bit_cast<float>(static_cast<std::uint32_t>(other)));
    }
  }

  const Communicator& ranks_;
  Trainer trainer_;
  TrainingData data_;
  BlockIndex index_;
  Arena arena_;
};

/// Blocks [first, first + digests.size()) of a layout, on the rank that compares them.
struct Share {
  std::int64_t first = 0;
  std::vector<Digest> digests;  ///< where ranks have copies that differ, of none of them
};

/// Each of `world` gets about as many of the `blocks` of a trace, from the ranks that have them.
Share share_out(std::vector<BlockDigest> mine, std::int64_t blocks, const Communicator& world) {
  std::sort(mine.begin(), mine.end(),
            [](const BlockDigest& a, const BlockDigest& b) { return a.number < b.number; });
  const auto first = [&](int rank) { return blocks * rank / world.size(); };
  std::vector<std::string> out;
  auto begin = mine.begin();
  for (int rank = 0; rank < world.size(); ++rank) {
    const auto end = std::lower_bound(
        begin, mine.end(), first(rank + 1),
        [](const BlockDigest& block, std::int64_t number) { return block.number < number; });
    out.emplace_back(reinterpret_cast<const char*>(mine.data() + (begin - mine.begin())),
                     static_cast<std::size_t>(end - begin) * sizeof(BlockDigest));
    begin = end;
  }
  Share share{first(world.rank()), {}};
  share.digests.resize(static_cast<std::size_t>(first(world.rank() + 1) - share.first));
  for (const std::string& records : world.all_to_all(out)) {
    for (std::size_t at = 0; at < records.size(); at += sizeof(BlockDigest)) {
      BlockDigest block;
      std::memcpy(&block, records.data() + at, sizeof block);
      Digest& known = share.digests.at(static_cast<std::size_t>(block.number - share.first));
      // That of nothing is no block's.
      known = known == Digest{} || known == block.digest ? block.digest : digest_of(nullptr, 0);
    }
  }
  return share;
}

/// The first of `blocks` that differs on any rank, or -1; the same on all.
std::int64_t first_difference(const Share& a, const Share& b, std::int64_t blocks,
                              const Communicator& world) {
  const auto at = std::mismatch(a.digests.begin(), a.digests.end(), b.digests.begin()).first;
  // How many blocks there are from it on: most where it is first.
  std::int64_t left = at == a.digests.end() ? 0 : blocks - (a.first + (at - a.digests.begin()));
  world.maximum(std::span(&left, 1));
  return left == 0 ? -1 : blocks - left;
}

/// Where two traces differ first: a sentence on a scalar, the number of a block, or both.
struct FirstDifference {
  std::string scalar;
  std::int64_t block = -1;
  bool none() const { return scalar.empty() && block < 0; }
};

/// `block` is the first that differs, of `blocks` of a step, or -1.
FirstDifference compare(const Trace& a, const Trace& b, std::int64_t block, std::int64_t blocks) {
  for (std::size_t step = 0; step < a.scalars.size(); ++step) {
    // The loss comes from the forward, everything else after the gradients.
    const auto differs = [&](std::size_t i) {
      return std::memcmp(&a.scalars[step][i].second, &b.scalars[step][i].second, sizeof(double)) !=
             0;
    };
    const auto sentence = [&](std::size_t i) {
      return fmt::format("step {}: {} {:a} there, {:a} here", step + 1, a.scalars[step][i].first,
                         a.scalars[step][i].second, b.scalars[step][i].second);
    };
    const std::string loss = differs(0) ? sentence(0) : "";
    if (block >= 0 && block / blocks == static_cast<std::int64_t>(step)) return {loss, block};
    if (!loss.empty()) return {loss};
    for (std::size_t i = 1; i < a.scalars[step].size(); ++i)
      if (differs(i)) return {sentence(i)};
  }
  return {};
}

/// The first element of `copies` that is not that of the first of `expected`.
std::string describe(const TensorBlock& block, const Parameter& p,
                     const std::vector<std::vector<float>>& expected,
                     const std::vector<std::vector<float>>& copies) {
  const std::vector<float>& a = expected.at(0);
  std::vector<float> b = a;
  std::size_t at = a.size();
  for (const std::vector<float>& copy : copies) {
    MORAY_REQUIRE(copy.size() == a.size());
    std::size_t i = 0;
    while (i < at && std::memcmp(&a[i], &copy[i], sizeof(float)) == 0) ++i;
    if (i < at) b = copy;
    at = i;
  }
  if (at == a.size()) {
    return fmt::format("step {}: {}{} differed once and not again: the run is not deterministic",
                       block.step + 1, kKindNames[block.kind], p.name);
  }
  const std::int64_t element = block.block * kBlockElements + static_cast<std::int64_t>(at);
  const std::string place = p.is_vector
                                ? fmt::format("[{}]", element)
                                : fmt::format("[{}, {}]", element / p.cols, element % p.cols);
  return fmt::format("step {}: {}{}, element {} {}: {:a} there, {:a} here", block.step + 1,
                     kKindNames[block.kind], p.name, element, place, a[at], b[at]);
}

}  // namespace

std::vector<Verdict> verify_layouts(const std::vector<NamedLayout>& layouts,
                                    const std::vector<Deck>& decks, const std::string& folder,
                                    std::int64_t steps, const Communicator& world) {
  MORAY_REQUIRE(!layouts.empty() && layouts.size() == decks.size());
  // Every rank takes part in making the communicators; those beyond a layout's wait.
  const auto with = [&](std::size_t i, const std::function<void(LayoutRun&)>& work) {
    const bool takes_part = world.rank() < layouts[i].ranks();
    const Communicator ranks = world.split(takes_part ? 0 : 1, world.rank());
    if (!takes_part) return;
    LayoutRun run(decks[i], folder, ranks);
    work(run);
  };
  Model<float> shape(decks[0].model);
  std::int64_t values = 0;
  for (const Parameter& p : shape.parameters().list())
    values += (shape.parameters().has_copy(p) ? kKinds : kKinds - 1) * p.elements();
  const BlockIndex index(shape.parameters());
  const std::int64_t of_step = kKinds * index.blocks(), blocks = of_step * steps;
  const auto traced = [&](std::size_t i) {
    Trace trace;
    with(i, [&](LayoutRun& run) { trace = run.trace(steps); });
    return trace;
  };
  Trace expected = traced(0);
  const Share expected_share = share_out(std::move(expected.digests), blocks, world);
  std::vector<Verdict> verdicts;
  for (std::size_t i = 1; i < layouts.size(); ++i) {
    Verdict verdict;
    verdict.values = values * steps;
    Trace found = traced(i);
    const Share found_share = share_out(std::move(found.digests), blocks, world);
    const std::int64_t differs = first_difference(expected_share, found_share, blocks, world);
    FirstDifference difference;
    if (world.rank() == 0) difference = compare(expected, found, differs, of_step);
    std::vector<std::int64_t> block = {world.rank() == 0 ? difference.block : -1};
    world.maximum(block);
    if (block[0] >= 0) {
      const TensorBlock where = index.block(block[0]);
      std::vector<std::vector<float>> there, here;
      with(0, [&](LayoutRun& run) { there = run.fetch(where); });
      with(i, [&](LayoutRun& run) { here = run.fetch(where); });
      if (world.rank() == 0) {
        verdict.difference = describe(where, shape.parameters().list()[where.tensor], there, here);
        if (!difference.scalar.empty())
          verdict.difference = difference.scalar + ", and " + verdict.difference;
      }
    } else {
      verdict.difference = difference.scalar;
    }
    verdict.equal = verdict.difference.empty();
    verdicts.push_back(verdict);
  }
  return verdicts;
}

}  // namespace moray
