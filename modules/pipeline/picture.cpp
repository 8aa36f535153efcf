#include "pipeline/picture.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace moray {
namespace {

// Colours that stay apart for the colour-blind; the second chunk's are darker, with white numbers.
struct Paint {
  const char* fill;
  const char* text;
};
constexpr Paint kForward[] = {{"#f6b44b", "#222"}, {"#c97a12", "#fff"}};
constexpr Paint kInput[] = {{"#8fd19e", "#222"}, {"#3f9159", "#fff"}};
constexpr Paint kWeight[] = {{"#8fb8ea", "#222"}, {"#3c6fb4", "#fff"}};
constexpr Paint kBackward[] = {{"#5fbf9f", "#222"}, {"#17806d", "#fff"}};

// All that is no op is of a class, which a reader who prefers the dark sees in other colours.
constexpr const char* kDark =
    "<style>@media(prefers-color-scheme:dark){.ground{fill:#0d1117}.idle{fill:#262c36}"
    ".word{fill:#e6edf3}.number{fill:#9da7b3}.mark{fill:#6e7681}}</style>";
constexpr const char* kGround = "class=\"ground\" fill=\"#fff\"";
constexpr const char* kIdle = "class=\"idle\" fill=\"#eceff1\"";
constexpr const char* kWord = "class=\"word\" fill=\"#222\"";
constexpr const char* kNumber = "class=\"number\" fill=\"#555\"";
constexpr const char* kMark = "class=\"mark\" fill=\"#777\"";

constexpr double kLeft = 64;
constexpr double kTop = 34;
constexpr double kRow = 26;
constexpr double kGap = 3;
constexpr double kRight = 118;
constexpr double kDigit = 6.2;  // width of a digit at 10 pixels

/// A round step for about eight marks on an axis.
double axis_step(double range) {
  const double raw = range / 8;
  const double power = std::pow(10, std::floor(std::log10(raw)));
  for (const double m : {1.0, 2.0, 5.0})
    if (raw <= m * power) return m * power;
  return 10 * power;
}

std::string escaped(const std::string& text) {
  std::string result;
  for (const char c : text) {
    if (c == '&')
      result += "&amp;";
    else if (c == '<')
      result += "&lt;";
    else if (c == '>')
      result += "&gt;";
    else
      result += c;
  }
  return result;
}

class Picture {
 public:
  Picture(const PipelineTimeline& timeline, const PictureOptions& options)
      : timeline_(timeline), options_(options) {
    range_ = options.until > 0 ? options.until : timeline.end();
    if (range_ <= 0) range_ = 1;
    bottom_ = kTop + kRow * static_cast<double>(timeline.ranks.size());
    // As the longest one needs: numbers in some of equal boxes would look like a pattern.
    const int last = timeline.shape.stream_micro_batches() - 1;
    number_width_ = kDigit * static_cast<double>(fmt::format("{}", last).size()) + 2;
  }

  std::string draw() {
    const double width = kLeft + options_.width + kRight;
    const double height = bottom_ + 64;
    out_ = fmt::format(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{0:.0f}\" height=\"{1:.0f}\" "
        "viewBox=\"0 0 {0:.0f} {1:.0f}\" font-family=\"Helvetica, Arial, sans-serif\" "
        "font-size=\"10\">\n{2}\n<rect width=\"100%\" height=\"100%\" {3}/>\n",
        width, height, kDark, kGround);
    text(kLeft, 20, "start", kWord, options_.title, " font-size=\"14\" font-weight=\"bold\"");
    for (int rank = 0; rank < static_cast<int>(timeline_.ranks.size()); ++rank) row(rank);
    axis();
    legend();
    return out_ + "</svg>\n";
  }

 private:
  double x(double time) const { return kLeft + options_.width * time / range_; }

  void text(double at, double y, const char* anchor, const std::string& paint,
            const std::string& words, const char* more = "") {
    out_ += fmt::format("<text x=\"{:.1f}\" y=\"{:.1f}\" text-anchor=\"{}\" {}{}>{}</text>\n", at,
                        y, anchor, paint, more, escaped(words));
  }
  void box(double left, double y, double width, double height, const std::string& paint) {
    out_ += fmt::format("<rect x=\"{:.2f}\" y=\"{:.2f}\" width=\"{:.2f}\" height=\"{:.2f}\" {}/>\n",
                        left, y, width, height, paint);
  }
  static std::string filled(const char* colour) { return fmt::format("fill=\"{}\"", colour); }
  void part(double left, double y, double width, double height, const Paint& paint, int micro) {
    box(left, y, width, height, filled(paint.fill));
    if (width > number_width_ && height > 8)
      text(left + width / 2, y + height / 2 + 3.5, "middle", filled(paint.text),
           fmt::format("{}", micro));
  }

  void row(int rank) {
    const double y = kTop + kRow * rank;
    const double height = kRow - kGap;
    text(kLeft - 8, y + height / 2 + 4, "end", kWord, fmt::format("rank {}", rank),
         " font-size=\"12\"");
    box(kLeft, y, x(timeline_.end()) - kLeft, height, kIdle);
    for (const TimelineEvent& e : timeline_.ranks[static_cast<std::size_t>(rank)])
      event(e, y, height);
    const double idle = timeline_.idle(rank);
    text(x(timeline_.end()) + 8, y + height / 2 + 4, "start", kNumber,
         fmt::format("waits {:.4g} ({:.1f} %)", idle,
                     100 * idle / std::max(timeline_.end(), 1e-300)));
  }

  void event(const TimelineEvent& e, double y, double height) {
    const double left = x(e.start);
    // A hairline of the ground between neighbours, unless that would be all there is of an op.
    const double width = std::max(x(e.end) - left - 0.6, (x(e.end) - left) * 0.7);
    out_ += fmt::format("<g><title>{} from {:.6g} to {:.6g} {}</title>\n", to_text(e.op), e.start,
                        e.end, options_.unit);
    const Unit f = e.op.forward;
    const Unit b = e.op.backward;
    switch (e.op.kind) {
      case OpKind::F:
        part(left, y, width, height, kForward[f.chunk], f.micro);
        break;
      case OpKind::B:
        part(left, y, width, height, kInput[b.chunk], b.micro);
        break;
      case OpKind::W:
        part(left, y, width, height, kWeight[b.chunk], b.micro);
        break;
      case OpKind::BW:
        part(left, y, width, height, kBackward[b.chunk], b.micro);
        break;
      case OpKind::FB:
        part(left, y, width, height / 2, kForward[f.chunk], f.micro);
        part(left, y + height / 2, width, height / 2, kBackward[b.chunk], b.micro);
        break;
    }
    out_ += "</g>\n";
  }

  void axis() {
    const double step = axis_step(range_);
    for (int i = 0; i * step <= range_ * (1 + 1e-9); ++i) {
      const double at = x(i * step);
      box(at, bottom_, 1, 5, kMark);
      text(at, bottom_ + 16, "middle", kNumber, fmt::format("{:.6g}", i * step));
    }
    text(x(range_) + 8, bottom_ + 16, "start", kNumber, options_.unit);
  }

  void legend() {
    const double y = bottom_ + 32;
    double at = kLeft;
    const bool two = timeline_.shape.chunks() == 2;
    const auto entry = [&](OpKind kind, const Paint* paint, const char* words) {
      if (!occurs(kind) && !(occurs(OpKind::FB) && kind == OpKind::BW)) return;
      for (int chunk = 0; chunk < (two ? 2 : 1); ++chunk, at += 16)
        part(at, y, 15, 15, paint[chunk], chunk);
      text(at + 4, y + 11.5, "start", kWord, words, " font-size=\"12\"");
      at += 24 + 6.4 * static_cast<double>(std::string(words).size());
    };
    entry(OpKind::F, kForward, "forward (F)");
    entry(OpKind::B, kInput, "input gradient (B)");
    entry(OpKind::W, kWeight, "weight gradient (W)");
    entry(OpKind::BW, kBackward, "both gradients (BW)");
    if (!two) return;
    part(at, y, 15, 7.5, kForward[0], 0);
    part(at, y + 7.5, 15, 7.5, kBackward[1], 0);
    text(at + 20, y + 11.5, "start", kWord,
         "overlapped forward and backward (FB); 0 and 1 are the rank's chunks",
         " font-size=\"12\"");
  }
  bool occurs(OpKind kind) const {
    for (const auto& events : timeline_.ranks)
      for (const TimelineEvent& e : events)
        if (e.op.kind == kind) return true;
    return false;
  }

  const PipelineTimeline& timeline_;
  const PictureOptions& options_;
  double range_ = 1;
  double bottom_ = 0;
  double number_width_ = 0;
  std::string out_;
};

}  // namespace

std::string timeline_picture(const PipelineTimeline& timeline, const PictureOptions& options) {
  return Picture(timeline, options).draw();
}

}  // namespace moray
