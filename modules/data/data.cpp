#include "data/data.hpp"

#include <cmath>

#include "core/error.hpp"
#include "data/permutation.hpp"
#include "data/stream.hpp"
#include "kernels/random/random.hpp"

namespace moray {

/// One entry of `data.sources`, opened.
struct TrainingData::Source {
  std::string place;
  std::shared_ptr<FileSet> files;
  std::unique_ptr<TokenStream> training, validation;
  std::uint64_t windows = 0, validation_windows = 0;
  std::uint64_t shuffle_key = 0;
};

namespace {

/// The first byte of the validation part: the last floor(fraction bytes) bytes, rounded down so that
/// no character is cut in two.
std::uint64_t split_point(FileSet& files, double fraction) {
  const double part = std::floor(static_cast<double>(files.bytes()) * fraction);
  BlockReader reader(files, 64);
  return character_boundary(reader, files.bytes() - static_cast<std::uint64_t>(part),
                            files.bytes());
}

[[noreturn]] void too_short(const std::string& place, const char* part, const FileSet& files,
                            std::uint64_t tokens, std::int64_t length) {
  fail(ExitCode::io,
       "{}: {} of {}{} has {} tokens; one window needs {} (batch.length + 1). Give more text{} or "
       "lower batch.length",
       place, part, files.path(0),
       files.count() > 1 ? fmt::format(" and {} more files", files.count() - 1) : std::string(),
       tokens, length + 1, part[4] == 'v' ? ", raise data.validation_fraction" : "");
}

void check_values(const DataConfig& config) {
  if (config.synthetic.empty() == config.sources.empty()) {
    fail(ExitCode::usage, "data: give either sources or synthetic");
  }
  if (!config.synthetic.empty() && config.synthetic != "keyed") {
    fail(ExitCode::usage, "data.synthetic: there is no '{}'; this build has: keyed",
         config.synthetic);
  }
  if (!(config.fim_rate >= 0 && config.fim_rate <= 1)) {
    fail(ExitCode::usage, "data.fim_rate: {} is not in [0, 1]", config.fim_rate);
  }
  if (!(config.validation_fraction >= 0 && config.validation_fraction < 1)) {
    fail(ExitCode::usage, "data.validation_fraction: {} is not in [0, 1)",
         config.validation_fraction);
  }
  for (std::size_t s = 0; s < config.sources.size(); ++s) {
    const SourceConfig& source = config.sources[s];
    if (!(source.weight > 0 && std::isfinite(source.weight))) {
      fail(ExitCode::usage, "data.sources[{}].weight: {} is not above 0", s, source.weight);
    }
    if (!(source.max_epochs >= 0 && source.max_epochs <= 1e9)) {
      fail(ExitCode::usage, "data.sources[{}].max_epochs: {} is not in [0, 1e9]", s,
           source.max_epochs);
    }
  }
}

}  // namespace

TrainingData::TrainingData(const DataConfig& config, const DataShape& shape)
    : shape_(shape), tokenizer_(make_tokenizer(config.tokenizer)) {
  MORAY_REQUIRE(shape.length > 0);
  check_values(config);
  if (!config.synthetic.empty()) {
    synthetic_.emplace("data.synthetic", shape.seed, shape.vocabulary);
    synthetic_validation_.emplace("data.synthetic.validation", shape.seed, shape.vocabulary);
    validation_windows_ = SyntheticText::kValidationWindows;
    return;
  }
  if (shape.vocabulary < tokenizer_->vocabulary()) {
    fail(ExitCode::usage, "model.vocabulary: {} is less than the {} tokens of data.tokenizer '{}'",
         shape.vocabulary, tokenizer_->vocabulary(), tokenizer_->name());
  }
  open_sources(config);
  open_validation(config);
}

TrainingData::~TrainingData() = default;

void TrainingData::open_sources(const DataConfig& config) {
  const DocumentMode mode = document_mode(config.documents);
  const double fraction = config.validation.empty() ? config.validation_fraction : 0;
  std::vector<Mixture::Source> shares;
  for (std::size_t s = 0; s < config.sources.size(); ++s) {
    const SourceConfig& given = config.sources[s];
    Source source;
    source.place = fmt::format("data.sources[{}]", s);
    source.files = std::make_shared<FileSet>(expand_paths(given.paths, shape_.folder, source.place),
                                             source.place);
    source.shuffle_key = random_key(fmt::format("data.shuffle.{}", s), shape_.seed);
    const std::uint64_t split = split_point(*source.files, fraction);
    const FillInTheMiddle fim(config.fim_rate,
                              random_key(fmt::format("data.fim.{}", s), shape_.seed));
    source.training =
        std::make_unique<TokenStream>(source.files, 0, split, mode, fim, tokenizer_->special());
    source.windows = source.training->windows(shape_.length);
    if (source.windows == 0) {
      too_short(source.place, "the training part", *source.files, source.training->tokens(),
                shape_.length);
    }
    if (split < source.files->bytes()) {
      source.validation =
          std::make_unique<TokenStream>(source.files, split, source.files->bytes(), mode,
                                        FillInTheMiddle(0, 0), tokenizer_->special());
      source.validation_windows = source.validation->windows(shape_.length);
      validation_windows_ += source.validation_windows;
    }
    Mixture::Source share{given.weight, Mixture::kEndless};
    if (given.max_epochs > 0) {
      share.limit =
          static_cast<std::uint64_t>(given.max_epochs * static_cast<double>(source.windows));
      if (share.limit == 0) {
        fail(ExitCode::usage, "data.sources[{}].max_epochs: {} of {} windows is not even one", s,
             given.max_epochs, source.windows);
      }
    }
    shares.push_back(share);
    sources_.push_back(std::move(source));
  }
  mixture_.emplace(shares, random_key("data.mixture", shape_.seed));
  if (fraction > 0 && validation_windows_ == 0) {
    const Source& first = sources_.front();
    too_short(first.place, "the validation part", *first.files,
              first.validation ? first.validation->tokens() : 0, shape_.length);
  }
}

void TrainingData::open_validation(const DataConfig& config) {
  if (config.validation.empty()) return;
  validation_ = std::make_unique<Source>();
  validation_->place = "data.validation";
  validation_->files = std::make_shared<FileSet>(
      expand_paths(config.validation, shape_.folder, validation_->place), validation_->place);
  validation_->validation = std::make_unique<TokenStream>(
      validation_->files, 0, validation_->files->bytes(), document_mode(config.documents),
      FillInTheMiddle(0, 0), tokenizer_->special());
  validation_windows_ = validation_->validation_windows =
      validation_->validation->windows(shape_.length);
  if (validation_windows_ == 0) {
    too_short(validation_->place, "the text", *validation_->files,
              validation_->validation->tokens(), shape_.length);
  }
}

std::uint64_t TrainingData::samples() const {
  return synthetic_ ? Mixture::kEndless : mixture_->samples();
}

TrainingData::Origin TrainingData::origin(std::uint64_t g) const {
  if (synthetic_) return {};
  if (g >= mixture_->samples()) {
    fail(ExitCode::usage,
         "data.sources: all are exhausted after {} samples (max_epochs), but the run asks for "
         "sample "
         "{}; shorten run.length or raise max_epochs",
         mixture_->samples(), g);
  }
  const Mixture::Draw draw = mixture_->locate(g);
  const Source& source = sources_[draw.source];
  const std::uint64_t epoch = draw.number / source.windows;
  const Permutation order(source.windows, source.shuffle_key, epoch);
  return {draw.source, epoch, order.forward(draw.number % source.windows)};
}

void TrainingData::sample(std::uint64_t g, std::span<std::int32_t> tokens) {
  MORAY_REQUIRE(tokens.size() == static_cast<std::size_t>(shape_.length) + 1);
  if (synthetic_) return synthetic_->read(g, tokens);
  const Origin from = origin(g);
  Source& source = sources_[from.source];
  source.training->read(from.window * static_cast<std::uint64_t>(shape_.length), tokens);
  check_tokens(tokens, source.place);
}

void TrainingData::validation_window(std::uint64_t i, std::span<std::int32_t> tokens) {
  MORAY_REQUIRE(i < validation_windows_);
  MORAY_REQUIRE(tokens.size() == static_cast<std::size_t>(shape_.length) + 1);
  if (synthetic_validation_) return synthetic_validation_->read(i, tokens);
  Source* source = validation_ ? validation_.get() : sources_.data();
  while (i >= source->validation_windows) i -= (source++)->validation_windows;
  source->validation->read(i * static_cast<std::uint64_t>(shape_.length), tokens);
  check_tokens(tokens, source->place);
}

void TrainingData::check_tokens(std::span<const std::int32_t> tokens,
                                const std::string& place) const {
  for (const std::int32_t token : tokens) {
    if (token < 0 || token >= shape_.vocabulary) {
      fail(ExitCode::io, "{}: token {} is outside the model's vocabulary of {}", place, token,
           shape_.vocabulary);
    }
  }
}

std::vector<FileDigest> TrainingData::digests() {
  std::vector<FileDigest> all;
  for (Source& source : sources_) {
    for (FileDigest& digest : source.files->digests()) all.push_back(std::move(digest));
  }
  if (validation_) {
    for (FileDigest& digest : validation_->files->digests()) all.push_back(std::move(digest));
  }
  return all;
}

std::vector<TrainingData::Summary> TrainingData::summaries() const {
  std::vector<Summary> result;
  for (const Source& source : sources_) {
    result.push_back({source.place, source.files->count(), source.files->bytes(),
                      source.training->documents(), source.training->tokens(), source.windows,
                      source.validation_windows});
  }
  if (validation_) {
    result.push_back({validation_->place, validation_->files->count(), validation_->files->bytes(),
                      0, 0, 0, validation_windows_});
  }
  return result;
}

}  // namespace moray
