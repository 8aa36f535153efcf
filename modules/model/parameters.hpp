#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "core/arena.hpp"
#include "core/matrix.hpp"
#include "kernels/mixed_gemm/mixed_gemm.hpp"
#include "model/fp8_statistics.hpp"
#include "model/precision.hpp"

namespace moray {

/// Tensors of a region share gradient lanes, and the ranks that have copies of them: dense ones have L
/// lanes, experts X each. A rank with two chunks of a pipeline has a pair of regions for each of them.
enum class Region : int { dense, expert, second_dense, second_expert };
inline constexpr int kRegions = 4;
constexpr bool is_expert(Region region) {
  return region == Region::expert || region == Region::second_expert;
}
/// 0 or 1.
constexpr int chunk_of(Region region) {
  return static_cast<int>(region) / 2;
}

/// A logical tensor with the name that it has in a Hugging Face DeepSeek-V3 checkpoint, in memory,
/// in files and in messages. Each expert's matrix is a tensor of its own.
struct Parameter {
  std::string name;
  Region region = Region::dense;
  std::int64_t offset = 0;  ///< of its first element in the region
  std::int64_t rows = 0;
  std::int64_t cols = 1;
  bool is_vector = false;  ///< (rows): norm gains
  bool held = true;        ///< by this rank; others have no offset
  std::size_t matrix = 0;  ///< what it is declared as or in, counted from 0
  std::int64_t elements() const { return rows * cols; }
};

/// `elements` of T, filled up to whole lines of 64 bytes: tensors and pieces of them begin with a line.
template <class T>
constexpr std::int64_t whole_lines(std::int64_t elements) {
  constexpr auto line = static_cast<std::int64_t>(64 / sizeof(T));
  return (elements + line - 1) / line * line;
}

/// Elements [begin, end).
struct ElementRange {
  std::int64_t begin = 0;
  std::int64_t end = 0;
  std::int64_t size() const { return end - begin; }
};

/// A matrix of one or several parameters whose rows follow each other (gate|up, q_a|kv_a).
struct WeightRef {
  Region region = Region::dense;
  std::int64_t offset = 0;
  std::int64_t rows = 0;
  std::int64_t cols = 0;
  Compute compute = Compute::float32;  ///< of its products
  std::int64_t copy = -1;              ///< its number among the copies in low precision
  std::int64_t tensor = -1;            ///< its number in fp8_tensors()
  std::size_t matrix = 0;              ///< its number among what is declared
};

/// What ranks with the same tensors have from those that own an element (ZeRO stage 1), in arrays that
/// each have the order of the elements: float32 values, and of weights whose float32 values only their
/// owners have the codes that products read, one or two bytes an element, and their scales.
enum class Gathered : int { values, codes, scales };
inline constexpr int kGathered = 3;

/// All weights of a model and their gradients: one flat array a region, so that folding lanes,
/// reducing over ranks, norms, the update and files walk over arrays instead of tensors.
/// Weights (size), gradients (lanes, size): lane l of a tensor is at the same offset.
///
/// A weight whose products compute in bf16 or FP8 has a copy that they read, made once a step: the
/// blocks of an FP8 copy are those of the whole matrix (docs/fp8.md section 4). float32 only. Nothing
/// else reads its float32 values but the optimizer and files, so that split() leaves each rank those
/// that it owns.
template <class Real>
class Parameters {
 public:
  struct Part {
    std::string name;
    std::int64_t rows;
  };

  /// What is declared from here on belongs to this chunk of the pipeline, the second one in regions of
  /// its own; -1: to another rank, and is not held here.
  void set_chunk(int chunk) { chunk_ = chunk; }
  /// Says how the products of what is declared from here on compute.
  void set_precision(const PrecisionConfig& precision) { precision_ = precision; }
  const PrecisionConfig& precision() const { return precision_; }
  /// Declares consecutive row blocks of one matrix with `cols` columns. Every rank declares every
  /// tensor of the model, in the same order; those of other ranks are not `held` and take no memory.
  WeightRef declare(Region region, std::int64_t cols, const std::vector<Part>& parts,
                    bool held = true);
  /// Declares a vector (norm gain), initialised to 1.
  WeightRef declare_vector(const std::string& name, std::int64_t size);

  /// What split() is to leave whole, though it has a copy: its float32 values are read.
  void keep_whole(std::size_t matrix) { matrices_[matrix].kept_whole = true; }
  /// Before allocate(): of the weights of a region that have copies this rank holds the float32 values
  /// of the elements `owned` alone; the others' copies come from their owners. Not where an ablation
  /// rounds with one scale for a whole weight, nor what is kept whole.
  void split(Region region, ElementRange owned);
  /// Whether ranks may own a tensor from different sides of this element on: owners of a weight with a
  /// copy own whole rows of scale blocks, so that they make them alone.
  bool may_cut(const Parameter& parameter, std::int64_t element) const;
  /// Takes weights and gradients from the arena, after all declarations.
  void allocate(Arena& arena, std::int64_t lanes, std::int64_t expert_lanes);
  /// Without gradients: inference.
  void allocate_weights(Arena& arena);
  /// Uses the weights of another model instead of memory of its own. Its declarations begin with
  /// the same tensors; those of MTP modules come last and may be missing here.
  void share_weights(const Parameters& lender);
  /// Makes the copies in low precision anew, of split weights the owned rows: due whenever weights have
  /// changed.
  void update_copies(const ExecSpace& exec);
  /// What the ranks with copies of a region gather from its owners; not float32 values of split weights.
  Vector<char> gathered(Region region, Gathered what) const;
  /// Where in that array an element of the region begins that may be cut, or its end; before allocate(), too.
  std::int64_t gathered_place(Region region, Gathered what, std::int64_t element) const;

  /// What has statistics of FP8, on every rank the same: each matrix that one product serves, named like
  /// "model.layers.3.mlp.experts.gate_proj+up_proj"; the experts of a layer are one.
  const std::vector<std::string>& fp8_tensors() const { return fp8_tensors_; }
  /// Adds the weights of a region: of split ones the owned rows, the others if `whole` says so.
  void add_statistics(const ExecSpace& exec, Region region, bool whole,
                      Fp8Statistics& statistics) const;

  const std::vector<Parameter>& list() const { return list_; }
  std::int64_t size(Region region) const { return sizes_[static_cast<std::size_t>(region)]; }
  std::int64_t lanes(Region region) const {
    return gradients_[static_cast<std::size_t>(region)].rows;
  }

  Matrix<const Real> weight(const WeightRef& ref) const;
  Vector<const Real> vector(const WeightRef& ref) const;
  /// What low-precision products read of a weight.
  MixedOperand low_weight(const WeightRef& ref) const;
  Matrix<Real> gradient(const WeightRef& ref, std::int64_t lane) const;
  Vector<Real> gradient_vector(const WeightRef& ref, std::int64_t lane) const;

  /// Float32 values of a tensor that is not split.
  Vector<Real> values(const Parameter& parameter) const;
  /// Elements whose values this rank holds in float32: all of a tensor, or what it owns of a split one.
  ElementRange present(const Parameter& parameter) const;
  /// Values of elements in present().
  Vector<Real> values(const Parameter& parameter, ElementRange elements) const;
  /// Whether products read a copy in low precision.
  bool has_copy(const Parameter& parameter) const {
    return matrices_[parameter.matrix].ref.copy >= 0;
  }
  bool is_split(const Parameter& parameter) const { return matrices_[parameter.matrix].split; }
  /// Whether no scale block of its FP8 copy, whose blocks are those of the whole matrix, holds rows of
  /// another tensor too.
  bool has_own_scales(const Parameter& parameter) const;
  /// Those scales, one row each 128 rows of the tensor.
  Matrix<const float> copy_scales(const Parameter& parameter) const;
  /// What they read of elements of a tensor with a copy, decoded, on the host.
  std::vector<float> copy_values(const Parameter& parameter, ElementRange elements) const;
  /// The tensor's gradient in a lane (0 after folding: the sum).
  Vector<Real> gradient(const Parameter& parameter, std::int64_t lane) const;
  Matrix<Real> gradients(Region region) const {
    return gradients_[static_cast<std::size_t>(region)];
  }

 private:
  std::int64_t start(Region region);
  Region in_chunk(Region region) const {
    return static_cast<Region>(static_cast<int>(region) + (chunk_ > 0 ? 2 : 0));
  }

  /// A weight in low precision.
  struct Copy {
    WeightRef ref;
    Matrix<std::uint16_t> bf16;
    Quantized fp8;
  };
  /// What is declared at once.
  struct DeclaredMatrix {
    WeightRef ref;
    bool kept_whole = false;
    bool split = false;
    ElementRange present;    ///< of its elements, in float32
    std::int64_t place = 0;  ///< of these, in weights_ or, if split, in masters_
    /// Where its part of a gathered array begins, in bytes; that of the next one if it has none.
    std::array<std::int64_t, kGathered> gathered = {};
  };
  void declare_matrix(WeightRef& ref);
  void lay_out();
  bool is_gathered(const DeclaredMatrix& matrix, Gathered what) const;
  void allocate_copies(Arena& arena);
  /// Rows of a weight whose float32 values are here, and of its copy.
  struct PresentRows {
    Matrix<const Real> values;
    Matrix<std::uint16_t> bf16;
    Quantized fp8;
  };
  PresentRows present_rows(const Copy& copy) const;
  void update_copy(const ExecSpace& exec, const Copy& copy);
  /// The number of the tensor that these parts belong to.
  std::int64_t fp8_tensor(const std::vector<Part>& parts);

  int chunk_ = 0;
  PrecisionConfig precision_;
  std::vector<Copy> copies_;
  std::vector<std::string> fp8_tensors_;
  Vector<float> coarse_;  ///< a weight rounded with one scale, under an ablation
  std::vector<Parameter> list_;
  std::vector<DeclaredMatrix> matrices_;
  std::vector<std::size_t> in_order_[kRegions];  ///< those that are held, by offset
  std::int64_t sizes_[kRegions] = {};
  std::array<std::int64_t, kGathered> gathered_sizes_[kRegions] = {};  ///< bytes
  std::int64_t masters_sizes_[kRegions] = {};
  Vector<Real> weights_[kRegions];        ///< those that are whole
  Vector<Real> masters_[kRegions];        ///< what is owned of split ones
  Vector<std::uint8_t> codes_[kRegions];  ///< copies of split ones
  Vector<float> scales_[kRegions];        ///< of these
  Matrix<Real> gradients_[kRegions];
};

}  // namespace moray
