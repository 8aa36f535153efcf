// Sums over lanes that begin before they are asked for, on however many ranks the test is started on.
#include "catch.hpp"
#include "kernels/adamw/adamw.hpp"
#include "mpi_world.hpp"
#include "optimizer/lane_reducer.hpp"

using namespace moray;

namespace {

constexpr std::int64_t kLanes = 2;  // of a rank
constexpr std::int64_t kSize = 5 * kBlockElements + 128;

/// Lanes of this rank: numbers whose sum depends on its order.
std::vector<float> lane_values(std::int64_t rank) {
  std::vector<float> values;
  for (std::int64_t i = 0; i < kLanes * kSize; ++i)
    values.push_back(0.1f * static_cast<float>((i * 37 + rank * 101) % 1000 - 500));
  return values;
}

std::int64_t all_bytes(const std::vector<SentBytes>& levels) {
  std::int64_t bytes = 0;
  for (const SentBytes& level : levels) bytes += level.total();
  return bytes;
}

/// A reducer with what it needs.
struct Reduced {
  explicit Reduced(const Communicator& ranks)
      : reducer(ranks),
        lanes_view("test::lanes", static_cast<std::size_t>(kLanes * kSize)),
        buffer_view("test::buffer", static_cast<std::size_t>(kSize)),
        lanes(matrix(lanes_view.data(), kLanes, kSize)) {
    const std::vector<float> values = lane_values(ranks.rank());
    copy_to_device(values.data(), values.size(), lanes_view.data());
  }
  std::vector<float> sums(ElementRange range) const {
    std::vector<float> host(static_cast<std::size_t>(range.size()));
    copy_to_host(lanes.data + range.begin, host.size(), host.data());
    return host;
  }
  Vector<float> buffer() const { return {buffer_view.data(), kSize}; }

  LaneReducer reducer;
  View1<float> lanes_view, buffer_view;
  Matrix<float> lanes;
};

}  // namespace

TEST_CASE("a reduce that was started has sent its first half, and ends with the same bits",
          "[lanes]") {
  const Communicator& ranks = test::world();
  Parameters<float> parameters;
  parameters.declare(Region::dense, 128, {{"t", kSize / 128}});
  const Shards shards = Shards::of(parameters, Region::dense, ranks.size(), ranks.rank());
  REQUIRE(shards.all().size() == kSize);
  const ExecSpace exec;
  Reduced early(ranks), late(ranks);
  early.reducer.set_own_buffer(early.buffer());
  late.reducer.set_buffer(late.buffer());

  early.reducer.start(exec, early.lanes, shards);
  late.reducer.start(exec, late.lanes, shards);
  CHECK(all_bytes(late.reducer.sums_sent()) == 0);  // its buffer is not its own
  std::int64_t half = 0;
  if (kHostBackend && ranks.size() > 1)
    half = 4 * (shards.path()[0].size() - shards.path()[1].size());
  CHECK(all_bytes(early.reducer.sums_sent()) == half);

  early.reducer.reduce(exec, early.lanes, shards, true);
  late.reducer.reduce(exec, late.lanes, shards, true);
  fence(exec, "test: reduced");
  CHECK(early.reducer.sums_sent() == late.reducer.sums_sent());
  CHECK(early.sums(shards.owned()) == late.sums(shards.owned()));
}
