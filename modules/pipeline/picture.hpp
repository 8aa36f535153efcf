#pragma once

#include <string>

#include "pipeline/simulate.hpp"

namespace moray {

struct PictureOptions {
  std::string title;
  std::string unit = "ms";
  double width = 1400;  ///< of the timeline, in pixels
  double until = 0;  ///< time at the right edge; 0: the timeline's end. For pictures to one scale
};

/// A timeline as one self-contained SVG: ranks as rows, time to the right, a colour for each kind of
/// op (an overlapped pair has its forward above its backward), micro-batch numbers where they fit, and
/// at the end of each row what share of the time the rank waits.
std::string timeline_picture(const PipelineTimeline& timeline, const PictureOptions& options);

}  // namespace moray
