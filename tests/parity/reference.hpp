#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "model/model_config.hpp"

/// References computed by Hugging Face transformers (tests/parity/README.md): small DeepSeek-V3
/// models whose weights follow from an integer hash, with logits, losses and gradients.
namespace moray::test {

/// Element `index` (row-major) of the parameter `name`, the one that the reference was made with:
/// splitmix64 of (FNV-1a of the name, index). Exact in float32.
float parity_weight(std::string_view name, std::int64_t index);

/// One reference file in memory.
class ParityReference {
 public:
  /// Reads references/<shape>.ref. Throws Error(io) on anything but a whole, well-formed file.
  explicit ParityReference(const std::string& shape);

  /// The shapes that are committed.
  static const std::vector<std::string>& shapes();

  /// Sizes of the model, in the keys of a deck; the balance loss is off.
  ModelConfig config() const;
  std::int64_t sequences() const { return integer("sequences"); }  ///< B
  std::int64_t length() const { return integer("length"); }        ///< T: a sample has T + 1 tokens

  std::span<const std::int32_t> tokens() const;  ///< (B, T + 1)

  /// "logits" (B T, V), "loss" (1); of MTP module k "mtp.<k>.logits" (B (T - k), V), "mtp.<k>.loss";
  /// "gradient.<parameter>". A loss is the sum of its terms / (B T). Gradients are those of the
  /// sum over tokens, MTP's terms times lambda / depth. Throws Error(io) on an unknown name.
  std::span<const float> values(const std::string& name) const;
  const std::vector<std::int64_t>& extents(const std::string& name) const;

  /// Names of all parameters with a gradient, in the file's order.
  const std::vector<std::string>& parameters() const { return parameters_; }

 private:
  struct Tensor {
    std::string type;
    std::vector<std::int64_t> extents;
    std::size_t offset = 0;  ///< into data_, in elements of 4 bytes
    std::size_t count = 0;
  };
  const Tensor& tensor(const std::string& name, std::string_view type) const;
  const std::string& text(const std::string& key) const;
  std::int64_t integer(const std::string& key) const;
  double real(const std::string& key) const;

  std::string path_;
  std::map<std::string, std::string> keys_;
  std::map<std::string, Tensor> tensors_;
  std::vector<std::string> parameters_;
  std::vector<float> data_;
};

/// max|a - b| / max|b|; 0 when both are zero everywhere, infinite when only b is.
double max_relative_difference(std::span<const float> a, std::span<const float> b);

/// |a - b|^2 / (|a|^2 + |b|^2), which is 1 - 2 a.b / (|a|^2 + |b|^2) without its cancellation:
/// 0 when both are zero everywhere, 1 when one is.
double calc_diff(std::span<const float> a, std::span<const float> b);

}  // namespace moray::test
