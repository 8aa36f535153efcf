#include "inspection/envelope.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <limits>

namespace moray {
namespace {

constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
constexpr double kLevels = 65534;  // 65535 is NaN
constexpr std::uint16_t kMissing = 65535;

std::uint16_t level_of(double value, double low, double high) {
  if (std::isnan(value)) return kMissing;
  if (!(high > low)) return 0;
  const double part = (std::clamp(value, low, high) - low) / (high - low);
  return static_cast<std::uint16_t>(std::lround(kLevels * part));
}

std::string base64(std::span<const unsigned char> bytes) {
  static constexpr char kDigits[] =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  text.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t i = 0; i < bytes.size(); i += 3) {
    const std::size_t left = std::min<std::size_t>(bytes.size() - i, 3);
    std::uint32_t word = 0;
    for (std::size_t k = 0; k < 3; ++k) word = word << 8 | (k < left ? bytes[i + k] : 0u);
    for (std::size_t k = 0; k < 4; ++k)
      text += k <= left ? kDigits[word >> (18 - 6 * k) & 63] : '=';
  }
  return text;
}

}  // namespace

Buckets::Buckets(std::int64_t rows, std::int64_t most) {
  const std::int64_t count = std::min(rows, most);
  for (std::int64_t b = 1; b <= count; ++b) {
    // rows b / count without an overflow: quotient and remainder apart.
    begin.push_back(rows / count * b + rows % count * b / count);
  }
}

Envelope envelope(std::span<const double> values, const Buckets& buckets) {
  Envelope result;
  for (std::size_t b = 0; b + 1 < buckets.begin.size(); ++b) {
    double sum = 0, low = kNone, high = kNone;
    std::int64_t count = 0;
    for (std::int64_t row = buckets.begin[b]; row < buckets.begin[b + 1]; ++row) {
      const double value = values[static_cast<std::size_t>(row)];
      if (std::isnan(value)) continue;
      sum += value;
      low = count == 0 ? value : std::min(low, value);
      high = count == 0 ? value : std::max(high, value);
      ++count;
    }
    result.mean.push_back(count > 0 ? sum / static_cast<double>(count) : kNone);
    result.low.push_back(low);
    result.high.push_back(high);
  }
  return result;
}

std::string pack_values(std::span<const double> values, double low, double high) {
  std::vector<unsigned char> bytes;
  bytes.reserve(2 * values.size());
  for (const double value : values) {
    const std::uint16_t level = level_of(value, low, high);
    bytes.push_back(static_cast<unsigned char>(level & 255));
    bytes.push_back(static_cast<unsigned char>(level >> 8));
  }
  return base64(bytes);
}

double seven_digits(double value) {
  if (!std::isfinite(value)) return value;
  return std::strtod(fmt::format("{:.7g}", value).c_str(), nullptr);
}

}  // namespace moray
