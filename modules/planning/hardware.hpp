#pragma once

#include <cstdint>
#include <string>

namespace moray {

class Section;

/// Times of one layer on a machine, from a hardware file (input/hardware/*.yaml). Milliseconds.
struct LayerTimes {
  double flops = 0;   ///< forward, of a token in this layer
  double tokens = 0;  ///< of the micro-batch that was timed
  double forward = 0;
  double input_gradient = 0;
  double weight_gradient = 0;
  double dispatch = 0;  ///< with nothing to hide behind; once in F and once in B
  double combine = 0;   ///< the same
  double overlapped =
      0;  ///< forward, input and weight gradient of two micro-batches, exchanges included
};

/// What a real run reported, to stand beside the prediction. Seconds; never read by a prediction.
struct PublishedStep {
  std::string deck;      ///< run.name of the deck that it is about; empty: nothing was published
  std::string schedule;  ///< of the pipeline that ran; a step of another has other parts
  std::int64_t pipeline = 0;       ///< its ranks
  std::int64_t micro_batches = 0;  ///< its micro-batches of a data rank
  std::string source;
  double forward = 0;
  double backward = 0;
  double weight = 0;
  double overlapped = 0;
  double bubble = 0;
  double optimizer = 0;
  double step = 0;
};

struct Hardware {
  std::string name;
  LayerTimes layer;
  double stage_exchange = 0;  ///< between pipeline ranks, per micro-batch
  double link = 0;            ///< GB/s of a rank to other nodes, for gradients and weights
  double near_link = 0;       ///< GB/s of a rank to ranks of its node; 0: those of `link`
  double memory = 0;          ///< GB of a rank; 0: not said
  PublishedStep published;
};
void declare(Section& root, Hardware& hardware);

/// Throws Error(usage) that lists every problem with its place, or says why the file cannot be read.
Hardware read_hardware(const std::string& path);

}  // namespace moray
