#include "training/state.hpp"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "core/error.hpp"
#include "io/fp8_weights.hpp"
#include "training/fp8_state.hpp"

namespace moray {
namespace {

constexpr const char* kExperts = ".experts.";

/// Splits off the index of an expert: ("...experts.up_proj.weight", 7), or (name, -1).
std::pair<std::string, std::int64_t> split_expert(const std::string& name) {
  const std::size_t at = name.find(kExperts);
  if (at == std::string::npos) return {name, -1};
  const std::size_t begin = at + std::string(kExperts).size();
  const std::size_t end = name.find('.', begin);
  return {name.substr(0, begin) + name.substr(end + 1),
          std::stoll(name.substr(begin, end - begin))};
}

/// Tensors of one kind (weights, first moments, ...), experts stacked.
class Collector {
 public:
  /// Describes all tensors of the model; pieces are added.
  Collector(const Parameters<float>& parameters, const std::string& prefix, Dtype dtype,
            std::vector<StateTensor>& out)
      : dtype_(dtype), out_(out) {
    std::unordered_map<std::string, std::size_t> index;
    for (const Parameter& p : parameters.list()) {
      const auto [name, expert] = split_expert(p.name);
      if (expert <= 0) {
        index[name] = out_.size();
        out_.push_back(describe(p, prefix, expert == 0));
      }
      const std::size_t tensor = index.at(name);
      DatasetSpec& spec = out_[tensor].spec;
      if (expert > 0) spec.shape[0] = ++spec.parts;
      places_.push_back({tensor, std::max<std::int64_t>(expert, 0) * p.elements()});
    }
  }

  /// Elements from `begin` of the tensor with this index in the list; `data` is where they lie.
  void add(std::size_t tensor, std::int64_t begin, std::int64_t count, void* data) {
    const auto [dataset, offset] = places_[tensor];
    out_[dataset].pieces.push_back({offset + begin, count, data});
  }

 private:
  StateTensor describe(const Parameter& p, const std::string& prefix, bool experts) const {
    StateTensor tensor;
    tensor.spec.name = prefix + dataset_name(p.name);
    tensor.spec.dtype = dtype_;
    tensor.spec.shape = p.is_vector ? std::vector{p.rows} : std::vector{p.rows, p.cols};
    tensor.spec.axes = p.is_vector ? "channel" : "out,in";
    if (experts) {
      tensor.spec.shape.insert(tensor.spec.shape.begin(), 1);
      tensor.spec.axes = "expert," + tensor.spec.axes;
    }
    return tensor;
  }

  Dtype dtype_;
  std::vector<StateTensor>& out_;
  std::vector<std::pair<std::size_t, std::int64_t>> places_;  ///< dataset, offset, of each tensor
};

StateTensor vector_of(const std::string& name, Dtype dtype, std::int64_t size, void* data,
                      bool on_host) {
  StateTensor tensor;
  tensor.spec.name = name;
  tensor.spec.dtype = dtype;
  tensor.spec.shape = {size};
  tensor.spec.axes = "expert";
  if (data != nullptr) tensor.pieces = {{0, size, data}};
  tensor.on_host = on_host;
  return tensor;
}

std::string slashes(std::string name) {
  std::replace(name.begin(), name.end(), '.', '/');
  return name;
}

}  // namespace

std::string dataset_name(const std::string& parameter) {
  return slashes(split_expert(parameter).first);
}

namespace {

/// Biases and loads of the gates, in pieces where `with` says so of a MoE layer.
void add_gates(Model<float>& model, const GateChoice& with, std::vector<StateTensor>& tensors) {
  for (std::size_t layer = 0; layer < model.moe_layers().size(); ++layer) {
    Moe<float>& moe = *model.moe_layers()[layer];
    const std::string gate = slashes(moe.name() + "gate.");
    const bool here = with(layer);
    if (moe.has_bias()) {
      tensors.push_back(vector_of(gate + "e_score_correction_bias", Dtype::float32,
                                  moe.config().experts, here ? moe.bias().data : nullptr, false));
    }
    tensors.push_back(vector_of(gate + "loads", Dtype::int64, moe.config().experts,
                                here ? moe.loads().data() : nullptr, true));
  }
}

}  // namespace

std::vector<StateTensor> model_state(Model<float>& model) {
  std::vector<StateTensor> tensors;
  const Parameters<float>& parameters = model.parameters();
  Collector weights(parameters, "", Dtype::float32, tensors);
  for (std::size_t i = 0; i < parameters.list().size(); ++i) {
    const Parameter& p = parameters.list()[i];
    if (!p.held) continue;
    const ElementRange present = parameters.present(p);
    if (present.size() > 0)
      weights.add(i, present.begin, present.size(), parameters.values(p, present).data);
  }
  add_gates(
      model, [](std::size_t) { return true; }, tensors);
  return tensors;
}

std::vector<StateTensor> optimizer_state(const Model<float>& model, const Optimizer& optimizer) {
  std::vector<StateTensor> tensors;
  const Parameters<float>& parameters = model.parameters();
  const Dtype dtype = optimizer.bf16_moments() ? Dtype::bfloat16 : Dtype::float32;
  Collector m(parameters, "optimizer/m/", dtype, tensors);
  Collector v(parameters, "optimizer/v/", dtype, tensors);
  for (const Optimizer::Piece& p : optimizer.pieces()) {
    const bool bf16 = optimizer.bf16_moments();
    m.add(p.tensor, p.begin, p.count,
          bf16 ? static_cast<void*>(optimizer.m_bf16(p).data) : optimizer.m(p).data);
    v.add(p.tensor, p.begin, p.count,
          bf16 ? static_cast<void*>(optimizer.v_bf16(p).data) : optimizer.v(p).data);
  }
  if (!optimizer.has_ema()) return tensors;
  Collector ema(parameters, "ema/", Dtype::float32, tensors);
  for (const Optimizer::Piece& p : optimizer.pieces())
    ema.add(p.tensor, p.begin, p.count, optimizer.ema(p).data);
  return tensors;
}

std::vector<StateTensor> owned_state(Model<float>& model, const Optimizer& optimizer,
                                     const GateChoice& saves_gate, const Fp8Saving& fp8) {
  std::vector<StateTensor> tensors;
  const Parameters<float>& parameters = model.parameters();
  Collector weights(parameters, "", Dtype::float32, tensors);
  for (const Optimizer::Piece& p : optimizer.pieces()) {
    weights.add(p.tensor, p.begin, p.count,
                parameters.values(parameters.list()[p.tensor], p.elements()).data);
  }
  add_fp8_state(parameters, fp8, tensors);
  add_gates(model, saves_gate, tensors);
  const std::vector<StateTensor> more = optimizer_state(model, optimizer);
  tensors.insert(tensors.end(), more.begin(), more.end());
  return tensors;
}

std::int64_t owned_bytes(const Model<float>& model, const Optimizer& optimizer,
                         const GateChoice& saves_gate, const Fp8Saving& fp8) {
  constexpr std::int64_t kFloat = sizeof(float);
  const std::int64_t moment = bytes_of(optimizer.bf16_moments() ? Dtype::bfloat16 : Dtype::float32);
  const std::int64_t element = kFloat + 2 * moment + (optimizer.has_ema() ? kFloat : 0);
  std::int64_t bytes = 0;
  const Parameters<float>& parameters = model.parameters();
  for (const Optimizer::Piece& p : optimizer.pieces()) {
    bytes += p.count * element;
    const Parameter& parameter = parameters.list()[p.tensor];
    if (fp8.holds(parameters.precision(), parameter))
      bytes += fp8_bytes(parameter, p.begin, p.count);
  }
  for (std::size_t layer = 0; layer < model.moe_layers().size(); ++layer) {
    if (!saves_gate(layer)) continue;
    const Moe<float>& moe = *model.moe_layers()[layer];
    bytes += moe.config().experts * bytes_of(Dtype::int64);
    if (moe.has_bias()) bytes += moe.config().experts * kFloat;
  }
  return bytes;
}

void copy_piece(const StateTensor& tensor, const StatePiece& piece, void* host) {
  const auto bytes = static_cast<std::size_t>(piece.count * bytes_of(tensor.spec.dtype));
  if (tensor.make) {
    tensor.make(piece, host);
  } else if (kHostBackend || tensor.on_host) {
    std::memcpy(host, piece.data, bytes);
  } else {
    copy_to_host(static_cast<const char*>(piece.data), bytes, static_cast<char*>(host));
  }
}

std::string save_state(Collective& ranks, const std::string& folder, const std::string& run,
                       const std::vector<StateTensor>& tensors, CheckpointContent content,
                       OpenOutput open) {
  for (const StateTensor& tensor : tensors) content.datasets.push_back(tensor.spec);
  CheckpointWriter writer(ranks, folder, run, std::move(open));
  writer.begin(content);
  std::vector<char> staging;
  for (std::size_t d = 0; d < tensors.size(); ++d) {
    const std::int64_t bytes = bytes_of(tensors[d].spec.dtype);
    for (const StatePiece& piece : tensors[d].pieces) {
      const void* data = piece.data;
      if (tensors[d].make || (!kHostBackend && !tensors[d].on_host)) {
        staging.resize(static_cast<std::size_t>(piece.count * bytes));
        copy_piece(tensors[d], piece, staging.data());
        data = staging.data();
      }
      const Slab slab{d, piece.offset, piece.count, data};
      writer.write(std::span(&slab, 1));
    }
  }
  return writer.commit();
}

namespace {

/// A weight whose value is to be read from codes and scales.
bool in_fp8_alone(const Checkpoint& checkpoint, const DatasetSpec& spec) {
  return !checkpoint.contains(spec.name) && has_fp8_weights(checkpoint, spec.name);
}

void read_piece(const Checkpoint& checkpoint, const DatasetSpec& spec, const StatePiece& piece,
                void* host) {
  if (in_fp8_alone(checkpoint, spec)) {
    read_fp8_weights(checkpoint, spec, piece.offset, piece.count, static_cast<float*>(host));
  } else {
    checkpoint.read(spec.name, piece.offset, piece.count, host);
  }
}

}  // namespace

void require_state(const Checkpoint& checkpoint, const std::vector<StateTensor>& tensors,
                   Fp8Alone fp8_alone) {
  for (const StateTensor& tensor : tensors) {
    const DatasetSpec& spec = tensor.spec;
    const bool alone = in_fp8_alone(checkpoint, spec);
    if (alone && fp8_alone == Fp8Alone::refuse) {
      fail(ExitCode::io,
           "{}: holds {} in FP8 alone, from which no run goes on with the same bits; start a new "
           "one with `init: {{from: {}}}`",
           checkpoint.path(), spec.name, checkpoint.path());
    }
    if (!alone) checkpoint.expect(spec.name, spec.dtype, spec.shape);
    if (has_fp8_weights(checkpoint, spec.name)) require_fp8_weights(checkpoint, spec);
  }
}

void load_state(const Checkpoint& checkpoint, const std::vector<StateTensor>& tensors) {
  require_state(checkpoint, tensors, Fp8Alone::read);
  std::vector<char> staging;
  for (const StateTensor& tensor : tensors) {
    for (const StatePiece& piece : tensor.pieces) {
      if (kHostBackend || tensor.on_host) {
        read_piece(checkpoint, tensor.spec, piece, piece.data);
      } else {
        staging.resize(static_cast<std::size_t>(piece.count * bytes_of(tensor.spec.dtype)));
        read_piece(checkpoint, tensor.spec, piece, staging.data());
        copy_to_device(staging.data(), staging.size(), static_cast<char*>(piece.data));
      }
    }
  }
}

}  // namespace moray
