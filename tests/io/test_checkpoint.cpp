#include <fstream>

#include "catch.hpp"
#include "io/checkpoint_folder.hpp"
#include "io/hdf5.hpp"
#include "tests/io/ranks.hpp"
#include "tests/io/sample.hpp"

using namespace moray;
using namespace moray::testing;

namespace {

std::string bytes_of_file(const std::string& path) {
  return read_text(path, 1 << 26);
}

void write_file(const std::string& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// A checkpoint's manifest after a change of its text, with a digest that is right again.
void rewrite_manifest(const std::string& checkpoint, const std::string& from,
                      const std::string& to) {
  const std::string path = checkpoint + "/" + kManifestFile;
  std::string text = bytes_of_file(path);
  text.resize(text.rfind("\n\"digest\""));
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  text.replace(at, from.size(), to);
  text += "\n\"digest\":\"" + digest_of(text).hex() + "\"}\n";
  write_file(path, text);
}

}  // namespace

TEST_CASE("any number of ranks writes the same bytes, any number reads them", "[checkpoint]") {
  TemporaryFolder one, three;
  REQUIRE(save_sample(one.path(), 42, 1)[0].empty());
  CHECK(save_sample(three.path(), 42, 3) == std::vector<std::string>(3));
  for (const char* name : {kTensorFile, kBlockFile}) {
    CHECK(bytes_of_file(one / "step_00000042/" + name) ==
          bytes_of_file(three / "step_00000042/" + name));
  }
  for (int size : {1, 2, 4}) {
    const auto errors = run_ranks(size, [&](Collective& ranks) {
      const auto checkpoint = open_newest(ranks, three.path());
      if (!checkpoint || checkpoint->step() != 42 || !equals_sample(*checkpoint))
        throw std::runtime_error("wrong values");
    });
    CHECK(errors == std::vector<std::string>(static_cast<std::size_t>(size)));
  }
}

TEST_CASE("attributes, texts and descriptions come back", "[checkpoint]") {
  TemporaryFolder folder;
  REQUIRE(save_sample(folder.path(), 5)[0].empty());
  const Checkpoint checkpoint(folder / "step_00000005");
  CHECK(checkpoint.integer("tokens") == 5000);
  CHECK(checkpoint.real("loss") == 1.0 / 3.0);
  CHECK(checkpoint.string("seed") == "7");
  CHECK_FALSE(checkpoint.has_attribute("nothing"));
  CHECK_THROWS_AS(checkpoint.integer("seed"), Error);
  CHECK(checkpoint.text("deck") == "run: {name: sample}\n");
  CHECK(checkpoint.text("build") == "möray\n");
  CHECK(checkpoint.text("empty").empty());
  CHECK_THROWS_AS(checkpoint.text("model/norm/weight"), Error);
  CHECK_NOTHROW(checkpoint.expect("model/norm/weight", Dtype::float32, {300}));
  CHECK_THROWS_AS(checkpoint.expect("model/norm/weight", Dtype::bfloat16, {300}), Error);
  CHECK_THROWS_AS(checkpoint.expect("model/norm/weight", Dtype::float32, {301}), Error);
  CHECK_THROWS_AS(checkpoint.find("model/norm"), Error);
  CHECK(checkpoint.find("model/layers/1/mlp/experts/up_proj/weight").spec.parts == 4);
}

TEST_CASE("a damaged checkpoint is set aside and the one before is taken", "[checkpoint]") {
  TemporaryFolder folder;
  REQUIRE(save_sample(folder.path(), 1)[0].empty());
  REQUIRE(save_sample(folder.path(), 2)[0].empty());
  const std::string tensors = folder / "step_00000002/checkpoint.h5";
  std::string bytes = bytes_of_file(tensors);
  const Checkpoint whole(folder / "step_00000002");
  const auto at = static_cast<std::size_t>(whole.find("data/norms").offset);
  bytes[at] = static_cast<char>(bytes[at] ^ 1);
  write_file(tensors, bytes);
  const auto errors = run_ranks(3, [&](Collective& ranks) {
    const auto checkpoint = open_newest(ranks, folder.path());
    if (!checkpoint || checkpoint->step() != 1) throw std::runtime_error("not the one before");
  });
  CHECK(errors == std::vector<std::string>(3));
  CHECK(path_exists(folder / "step_00000002.bad"));
  CHECK(list_checkpoints(folder.path()) == std::vector<std::int64_t>{1});
  SerialCollective alone;
  CHECK_THROWS_AS(open_verified(alone, folder / "step_00000002.bad"), DamagedCheckpoint);
}

TEST_CASE("a future version is refused with both versions and left alone", "[checkpoint]") {
  TemporaryFolder folder;
  REQUIRE(save_sample(folder.path(), 3)[0].empty());
  rewrite_manifest(folder / "step_00000003", "\"version_major\":1", "\"version_major\":9");
  SerialCollective alone;
  try {
    open_newest(alone, folder.path());
    FAIL("accepted");
  } catch (const DamagedCheckpoint& error) {
    FAIL(error.what());
  } catch (const Error& error) {
    CHECK(std::string(error.what()).find("version 9.0 is newer than 1.0") != std::string::npos);
  }
  CHECK(path_exists(folder / "step_00000003"));
  // A higher minor version only adds.
  rewrite_manifest(folder / "step_00000003", "\"version_major\":9", "\"version_major\":1");
  rewrite_manifest(folder / "step_00000003", "\"version_minor\":0",
                   "\"version_minor\":7,\n\"new\":{}");
  CHECK(equals_sample(Checkpoint(folder / "step_00000003")));
}

TEST_CASE("a manifest that its digest confirms but that lies is refused", "[checkpoint]") {
  TemporaryFolder folder;
  REQUIRE(save_sample(folder.path(), 3)[0].empty());
  const std::string path = folder / "step_00000003";
  const std::string original = bytes_of_file(path + "/manifest.json");
  const std::vector<std::pair<std::string, std::string>> lies = {
      {"\"shape\":[300]", "\"shape\":[299]"},
      {"\"shape\":[300]", "\"shape\":[-300]"},
      {"\"shape\":[300]", "\"shape\":[9223372036854775807]"},
      {"\"shape\":[300]", "\"shape\":[1,2,3,4,5]"},
      {"\"shape\":[300]", "\"shape\":\"300\""},
      {"\"dtype\":\"int64\"", "\"dtype\":\"float64\""},
      {"\"dtype\":\"int64\"", "\"dtype\":\"complex\""},
      {"\"parts\":4", "\"parts\":3"},
      {"\"parts\":4", "\"parts\":0"},
      {"\"parts\":4", "\"parts\":2"},
      {"\"name\":\"data/norms\"", "\"name\":\"data/../norms\""},
      {"\"name\":\"data/norms\"", "\"name\":\"model/norm/weight\""},
      {"\"step\":3", "\"step\":\"3\""},
      {"\"step\":3,", "\"step\":3,\"step\":4,"},
      {"\"texts\":[\"deck\"", "\"texts\":[[[[[[[[[\"deck\"]]]]]]]]"},
      {"\"format\":\"moray-checkpoint\"", "\"format\":\"other\""},
      {"\"size\":", "\"size\":1"},
  };
  for (const auto& [from, to] : lies) {
    INFO(from << " -> " << to);
    write_file(path + "/manifest.json", original);
    rewrite_manifest(path, from, to);
    CHECK_THROWS_AS(Checkpoint(path), Error);
  }
  write_file(path + "/manifest.json", original);
  CHECK(equals_sample(Checkpoint(path)));
}

TEST_CASE("links, filters and variable-length types are refused", "[checkpoint]") {
  TemporaryFolder folder;
  const auto listed = [&](const std::string& name, const std::function<void(hid_t)>& add) {
    const std::string path = folder / name;
    {
      const hdf5::Handle file = hdf5::create_file(path);
      hdf5::create_dataset(file, "x", hdf5::file_type(Dtype::float32), hdf5::space({4}), path);
      add(file);
    }
    return hdf5::list_datasets(hdf5::open_file(path), path);
  };
  CHECK(listed("plain", [](hid_t) {}) == std::vector<std::string>{"x"});
  CHECK_THROWS_AS(
      listed("soft", [](hid_t file) { H5Lcreate_soft("/x", file, "y", H5P_DEFAULT, H5P_DEFAULT); }),
      Error);
  CHECK_THROWS_AS(listed("external",
                         [](hid_t file) {
                           H5Lcreate_external("/etc/passwd", "/x", file, "y", H5P_DEFAULT,
                                              H5P_DEFAULT);
                         }),
                  Error);
  CHECK_THROWS_AS(listed("filter",
                         [](hid_t file) {
                           const hdf5::Handle plist(H5Pcreate(H5P_DATASET_CREATE), H5Pclose);
                           const hsize_t chunk = 4;
                           H5Pset_chunk(plist, 1, &chunk);
                           H5Pset_fletcher32(plist);
                           H5Dclose(H5Dcreate2(file, "y", H5T_IEEE_F32LE, hdf5::space({4}),
                                               H5P_DEFAULT, plist, H5P_DEFAULT));
                         }),
                  Error);
  CHECK_THROWS_AS(listed("variable",
                         [](hid_t file) {
                           const hdf5::Handle type(H5Tcopy(H5T_C_S1), H5Tclose);
                           H5Tset_size(type, H5T_VARIABLE);
                           hdf5::create_dataset(file, "y", type, hdf5::space({4}), "f");
                         }),
                  Error);
}

TEST_CASE("retention keeps the last, every so manieth and what was verified", "[checkpoint]") {
  TemporaryFolder folder;
  for (std::int64_t step : {10, 20, 30, 40, 50})
    REQUIRE(save_sample(folder.path(), step)[0].empty());
  apply_retention(folder.path(), {2, 0}, 10);
  CHECK(list_checkpoints(folder.path()) == std::vector<std::int64_t>{10, 40, 50});
  REQUIRE(save_sample(folder.path(), 60)[0].empty());
  apply_retention(folder.path(), {1, 40}, -1);
  CHECK(list_checkpoints(folder.path()) == std::vector<std::int64_t>{40, 60});
  // The newest is damaged: the newest whole one stays although it is not among the last 1.
  write_file(folder / "step_00000060/manifest.json", "{}");
  apply_retention(folder.path(), {1, 0}, -1);
  CHECK(list_checkpoints(folder.path()) == std::vector<std::int64_t>{40, 60});
  // Nothing is whole: nothing is deleted.
  write_file(folder / "step_00000040/manifest.json", "{}");
  apply_retention(folder.path(), {1, 0}, -1);
  CHECK(list_checkpoints(folder.path()) == std::vector<std::int64_t>{40, 60});
}

TEST_CASE("a step is never saved over, and another future is set aside", "[checkpoint]") {
  TemporaryFolder folder;
  REQUIRE(save_sample(folder.path(), 10)[0].empty());
  REQUIRE(save_sample(folder.path(), 20)[0].empty());
  for (const std::string& error : save_sample(folder.path(), 20, 2))
    CHECK(error.find("is there already") != std::string::npos);
  CHECK(list_folder(folder.path()).size() == 2);
  supersede_after(folder.path(), 10);
  CHECK(list_checkpoints(folder.path()) == std::vector<std::int64_t>{10});
  CHECK(save_sample(folder.path(), 20)[0].empty());
  CHECK(resolve_checkpoint(folder.path()) == folder / "step_00000020");
  CHECK(resolve_checkpoint(folder / "step_00000010") == folder / "step_00000010");
  CHECK_THROWS_AS(resolve_checkpoint(folder / "nowhere"), Error);
}

namespace {

/// Bytes that others sent to each rank alone.
struct Received {
  std::vector<std::size_t> gathered, exchanged;
};

constexpr int kSaving = 4;  ///< ranks

/// Saves 16 tensors of so many blocks, the i-th block written by rank i modulo their number.
Received save_blocks(std::int64_t blocks, const std::string& folder) {
  CheckpointContent content;
  content.step = blocks;
  for (int i = 0; i < 16; ++i)
    content.datasets.push_back(
        {fmt::format("tensor{}", i), Dtype::uint8, {blocks * kDigestBlock}, "channel", 1, {}});
  const std::vector<char> values(static_cast<std::size_t>(kDigestBlock), 'x');
  Received received{std::vector<std::size_t>(kSaving), std::vector<std::size_t>(kSaving)};
  const auto errors = run_ranks(kSaving, [&](Collective& ranks) {
    std::vector<Slab> slabs;
    for (std::size_t dataset = 0; dataset < content.datasets.size(); ++dataset) {
      for (std::int64_t block = ranks.rank(); block < blocks; block += kSaving)
        slabs.push_back({dataset, block * kDigestBlock, kDigestBlock, values.data()});
    }
    save_checkpoint(ranks, folder, "test", content, slabs);
    const auto rank = static_cast<std::size_t>(ranks.rank());
    const auto& counted = dynamic_cast<const ThreadCollective&>(ranks);
    received.gathered[rank] = counted.gathered();
    received.exchanged[rank] = counted.exchanged();
  });
  REQUIRE(errors == std::vector<std::string>(kSaving));
  return received;
}

}  // namespace

TEST_CASE("block digests are spread over ranks, rank 0 gets one of each dataset", "[checkpoint]") {
  TemporaryFolder folder;
  for (const std::int64_t blocks : {4, 20}) {
    const Received received = save_blocks(blocks, folder.path());
    // Of each dataset of the other three ranks 16 bytes, whatever its size.
    CHECK(received.gathered == std::vector<std::size_t>{12 * sizeof(Digest), 0, 0, 0});
    // Each digests four datasets, three quarters of which the others wrote.
    const std::size_t share = 4 * static_cast<std::size_t>(blocks) * 3 / 4;
    CHECK(received.exchanged ==
          std::vector<std::size_t>(kSaving, share * (sizeof(std::int64_t) + sizeof(Digest))));
  }
  SerialCollective alone;
  CHECK_NOTHROW(open_verified(alone, folder / "step_00000020"));
}

namespace {

/// How many of so many ranks find damage.
int finders(const Checkpoint& checkpoint, int ranks) {
  int finders = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    try {
      checkpoint.verify_blocks(rank, ranks);
    } catch (const DamagedCheckpoint&) {
      ++finders;
    }
  }
  return finders;
}

}  // namespace

TEST_CASE("each block is verified by one rank, whatever their number", "[checkpoint]") {
  TemporaryFolder folder;
  REQUIRE(save_sample(folder.path(), 1)[0].empty());
  const std::string path = folder / "step_00000001";
  const std::string whole = bytes_of_file(path + "/checkpoint.h5");
  const Checkpoint checkpoint(path);
  for (const StoredDataset& stored : checkpoint.manifest().datasets) {
    INFO(stored.spec.name);
    const BlockGrid grid(stored.spec);
    for (std::int64_t block = 0; block < grid.blocks(); ++block) {
      std::string bytes = whole;
      const auto at =
          static_cast<std::size_t>(stored.offset + grid.begin(block) * bytes_of(stored.spec.dtype));
      bytes[at] = static_cast<char>(bytes[at] ^ 1);
      write_file(path + "/checkpoint.h5", bytes);
      for (const int size : {1, 2, 3, 7, 50}) CHECK(finders(checkpoint, size) == 1);
    }
  }
  write_file(path + "/checkpoint.h5", whole);
  CHECK(finders(checkpoint, 3) == 0);
}

TEST_CASE("a rank that verifies reads the digests of its datasets alone", "[checkpoint]") {
  TemporaryFolder folder;
  save_blocks(20, folder.path());
  const std::string path = folder / "step_00000020/blocks.xxh3";
  std::string digests = bytes_of_file(path);
  digests.back() = static_cast<char>(digests.back() ^ 1);
  write_file(path, digests);
  CHECK(finders(Checkpoint(folder / "step_00000020"), 16) == 1);
}

TEST_CASE("a block that no rank or two ranks write is an error on all ranks", "[checkpoint]") {
  TemporaryFolder folder;
  const Sample sample(1);
  for (int shift : {0, 1}) {
    const auto errors = run_ranks(2, [&](Collective& ranks) {
      // Both ranks write the first half, or nobody the last block.
      auto slabs = sample.slabs(shift == 0 ? 0 : ranks.rank(), 2);
      if (shift == 1 && ranks.rank() == 1) slabs.pop_back();
      save_checkpoint(ranks, folder.path(), "test", sample.content, slabs);
    });
    const std::string times = shift == 0 ? "was written 2 times" : "was written 0 times";
    CHECK(errors[0].find(times) != std::string::npos);
    CHECK(errors[0] == errors[1]);
    CHECK(list_folder(folder.path()).empty());
  }
}
