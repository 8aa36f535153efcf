#include <xxhash.h>

#include <cmath>
#include <cstring>
#include <vector>

#include "catch.hpp"
#include "kernels/attention/problem.hpp"
#include "kernels/functions/functions.hpp"
#include "kernels/rope/rope.hpp"

using namespace moray;
using moray::test::Buffer;
using moray::test::uniform;

namespace {

/// Rows of [other | blocks of width `width` every `stride` columns], tables of real angles.
template <class Real>
struct Rotation {
  std::int64_t rows, sequence_rows;
  RopeBlocks blocks;
  Buffer<Real> cosine, sine, x;

  Rotation(std::int64_t rows_, std::int64_t sequence_rows_, RopeBlocks blocks_)
      : rows(rows_), sequence_rows(sequence_rows_), blocks(blocks_) {
    const std::int64_t half = blocks.width / 2;
    cosine.resize(sequence_rows * half);
    sine.resize(sequence_rows * half);
    for (std::int64_t i = 0; i < sequence_rows * half; ++i) {
      const Real angle = static_cast<Real>(3.2 * uniform(i));
      cosine.host[i] = cos_exact(angle);
      sine.host[i] = sin_exact(angle);
    }
    x.resize(rows * cols());
    for (std::int64_t i = 0; i < rows * cols(); ++i) {
      x.host[i] = static_cast<Real>(uniform((1 << 20) + i));
    }
    for (Buffer<Real>* buffer : {&cosine, &sine, &x}) buffer->upload();
  }
  std::int64_t cols() const { return blocks.first + blocks.heads * blocks.head_stride + 1; }

  void run(bool inverse) {
    const ExecSpace exec;
    const std::int64_t half = blocks.width / 2;
    rope<Real>(exec, matrix(cosine.device.data(), sequence_rows, half),
               matrix(sine.device.data(), sequence_rows, half), blocks, sequence_rows, inverse,
               matrix(x.device.data(), rows, cols()));
    fence(exec, "test: rope");
    x.download();
  }

  void plain(bool inverse) {
    for (std::int64_t t = 0; t < rows; ++t) {
      for (std::int64_t h = 0; h < blocks.heads; ++h) {
        for (std::int64_t i = 0; i < blocks.width / 2; ++i) {
          const std::int64_t angle = (t % sequence_rows) * (blocks.width / 2) + i;
          const Real c = cosine.host[angle];
          const Real s = inverse ? -sine.host[angle] : sine.host[angle];
          Real* pair = &x.host[t * cols() + blocks.first + h * blocks.head_stride + 2 * i];
          const Real a = pair[0], b = pair[1];
          pair[0] = std::fma(a, c, -(b * s));
          pair[1] = std::fma(a, s, b * c);
        }
      }
    }
  }
};

}  // namespace

TEMPLATE_TEST_CASE("rope has the bits of its definition and touches nothing else", "[rope]", float,
                   double) {
  for (const std::int64_t width : {2, 6, 16, 64}) {
    for (const bool inverse : {false, true}) {
      CAPTURE(width, inverse);
      const RopeBlocks blocks{3, 5, width + 7, width};
      Rotation<TestType> run(14, 7, blocks), plain(14, 7, blocks);
      run.run(inverse);
      plain.plain(inverse);
      CHECK(std::memcmp(run.x.host.data(), plain.x.host.data(),
                        run.x.host.size() * sizeof(TestType)) == 0);
    }
  }
}

TEST_CASE("the inverse rotation undoes the rotation", "[rope]") {
  Rotation<double> rotation(10, 10, {2, 0, 8, 8});
  const std::vector<double> before = rotation.x.host;
  rotation.run(false);
  CHECK(rotation.x.host != before);
  rotation.run(true);
  for (std::size_t i = 0; i < before.size(); ++i) {
    CHECK(std::abs(rotation.x.host[i] - before[i]) < 1e-14);
  }
}
