#include "training/state.hpp"

#include <algorithm>
#include <unordered_map>

#include "core/error.hpp"

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
  Collector(std::string prefix, Dtype dtype, std::vector<StateTensor>& out)
      : prefix_(std::move(prefix)), dtype_(dtype), out_(out) {}

  void add(const Parameter& p, void* data) {
    const auto [name, expert] = split_expert(p.name);
    if (expert <= 0) {
      index_[name] = out_.size();
      StateTensor tensor;
      tensor.spec.name = prefix_ + dataset_name(p.name);
      tensor.spec.dtype = dtype_;
      tensor.spec.shape = p.is_vector ? std::vector{p.rows} : std::vector{p.rows, p.cols};
      tensor.spec.axes = p.is_vector ? "channel" : "out,in";
      tensor.part_elements = p.elements();
      if (expert == 0) {
        tensor.spec.shape.insert(tensor.spec.shape.begin(), 0);
        tensor.spec.axes = "expert," + tensor.spec.axes;
      }
      out_.push_back(std::move(tensor));
    }
    StateTensor& tensor = out_[index_.at(name)];
    tensor.parts.push_back(data);
    tensor.spec.parts = static_cast<std::int64_t>(tensor.parts.size());
    if (expert >= 0) tensor.spec.shape[0] = tensor.spec.parts;
  }

 private:
  std::string prefix_;
  Dtype dtype_;
  std::vector<StateTensor>& out_;
  std::unordered_map<std::string, std::size_t> index_;
};

StateTensor vector_of(const std::string& name, Dtype dtype, std::int64_t size, void* data,
                      bool on_host) {
  StateTensor tensor;
  tensor.spec.name = name;
  tensor.spec.dtype = dtype;
  tensor.spec.shape = {size};
  tensor.spec.axes = "expert";
  tensor.parts = {data};
  tensor.part_elements = size;
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

std::vector<StateTensor> model_state(Model<float>& model) {
  std::vector<StateTensor> tensors;
  Collector weights("", Dtype::float32, tensors);
  for (const Parameter& p : model.parameters().list())
    weights.add(p, model.parameters().values(p).data);
  for (Moe<float>* moe : model.moe_layers()) {
    const std::string gate = slashes(moe->name() + "gate.");
    const Vector<float> bias = moe->bias();
    if (bias.size > 0) {
      tensors.push_back(
          vector_of(gate + "e_score_correction_bias", Dtype::float32, bias.size, bias.data, false));
    }
    tensors.push_back(vector_of(gate + "loads", Dtype::int64,
                                static_cast<std::int64_t>(moe->loads().size()), moe->loads().data(),
                                true));
  }
  return tensors;
}

std::vector<StateTensor> optimizer_state(const Model<float>& model, const Optimizer& optimizer) {
  std::vector<StateTensor> tensors;
  const Dtype dtype = optimizer.bf16_moments() ? Dtype::bfloat16 : Dtype::float32;
  Collector m("optimizer/m/", dtype, tensors);
  Collector v("optimizer/v/", dtype, tensors);
  Collector ema("ema/", Dtype::float32, tensors);
  for (const Parameter& p : model.parameters().list()) {
    m.add(p, optimizer.bf16_moments() ? static_cast<void*>(optimizer.m_bf16(p).data)
                                      : optimizer.m(p).data);
    v.add(p, optimizer.bf16_moments() ? static_cast<void*>(optimizer.v_bf16(p).data)
                                      : optimizer.v(p).data);
    if (optimizer.has_ema()) ema.add(p, optimizer.ema(p).data);
  }
  return tensors;
}

std::string save_state(Collective& ranks, const std::string& folder, const std::string& run,
                       const std::vector<StateTensor>& tensors, CheckpointContent content) {
  for (const StateTensor& tensor : tensors) content.datasets.push_back(tensor.spec);
  CheckpointWriter writer(ranks, folder, run);
  writer.begin(content);
  std::vector<char> staging;
  for (std::size_t d = 0; d < tensors.size(); ++d) {
    const StateTensor& tensor = tensors[d];
    const std::int64_t bytes = bytes_of(tensor.spec.dtype);
    const std::int64_t blocks = (tensor.part_elements + kDigestBlock - 1) / kDigestBlock;
    for (std::size_t part = 0; part < tensor.parts.size(); ++part) {
      // A contiguous share of the blocks; parts start with different ranks so that small tensors
      // spread too.
      const std::int64_t share =
          (ranks.rank() + static_cast<std::int64_t>(part + d)) % ranks.size();
      const std::int64_t begin =
          std::min(blocks * share / ranks.size() * kDigestBlock, tensor.part_elements);
      const std::int64_t end =
          std::min(blocks * (share + 1) / ranks.size() * kDigestBlock, tensor.part_elements);
      if (begin == end) continue;
      const char* data = static_cast<const char*>(tensor.parts[part]) + begin * bytes;
      if (!kHostBackend && !tensor.on_host) {
        staging.resize(static_cast<std::size_t>((end - begin) * bytes));
        copy_to_host(data, staging.size(), staging.data());
        data = staging.data();
      }
      const Slab slab{d, static_cast<std::int64_t>(part) * tensor.part_elements + begin,
                      end - begin, data};
      writer.write(std::span(&slab, 1));
    }
  }
  return writer.commit();
}

void load_state(const Checkpoint& checkpoint, const std::vector<StateTensor>& tensors) {
  std::vector<char> staging;
  for (const StateTensor& tensor : tensors) {
    checkpoint.expect(tensor.spec.name, tensor.spec.dtype, tensor.spec.shape);
    const auto bytes = static_cast<std::size_t>(tensor.part_elements * bytes_of(tensor.spec.dtype));
    for (std::size_t part = 0; part < tensor.parts.size(); ++part) {
      const std::int64_t offset = static_cast<std::int64_t>(part) * tensor.part_elements;
      if (kHostBackend || tensor.on_host) {
        checkpoint.read(tensor.spec.name, offset, tensor.part_elements, tensor.parts[part]);
      } else {
        staging.resize(bytes);
        checkpoint.read(tensor.spec.name, offset, tensor.part_elements, staging.data());
        copy_to_device(staging.data(), bytes, static_cast<char*>(tensor.parts[part]));
      }
    }
  }
}

}  // namespace moray
