#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace moray {

/// Rows of a run in at most so many buckets: what a chart can show of a run of any length. Bucket b
/// has rows [begin[b], begin[b + 1]); their numbers differ by one at most.
struct Buckets {
  std::vector<std::int64_t> begin = {0};

  Buckets() = default;
  /// `rows` rows in min(rows, most) buckets.
  Buckets(std::int64_t rows, std::int64_t most);
  std::int64_t count() const { return static_cast<std::int64_t>(begin.size()) - 1; }
  /// The last row of a bucket.
  std::int64_t last(std::int64_t bucket) const {
    return begin[static_cast<std::size_t>(bucket) + 1] - 1;
  }
  bool one_row_each() const { return begin.back() == count(); }
};

/// Mean, least and largest value of each bucket: no spike is lost, however long the run. NaN where a
/// bucket has no value; infinities count.
struct Envelope {
  std::vector<double> mean, low, high;
};
Envelope envelope(std::span<const double> values, const Buckets& buckets);

/// Values in [low, high] as 16-bit integers, little-endian, in base64 (RFC 4648): 2.7 characters each
/// with an error of at most (high - low) / 131068. NaN is 65535. What lies outside is clamped.
std::string pack_values(std::span<const double> values, double low, double high);

/// The double nearest to the first 7 significant digits, which JSON writes in few characters.
double seven_digits(double value);

}  // namespace moray
