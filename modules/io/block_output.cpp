#include "io/block_output.hpp"

#include <fcntl.h>

#include "io/files.hpp"

namespace moray {
namespace {

class PosixOutput final : public BlockOutput {
 public:
  explicit PosixOutput(const std::string& path) : file_(path, O_WRONLY) {}
  void write(const void* data, std::size_t size, std::int64_t offset) override {
    file_.write(data, size, offset);
  }
  void sync() override { file_.sync(); }

 private:
  File file_;
};

}  // namespace

std::unique_ptr<BlockOutput> posix_output(const std::string& path) {
  return std::make_unique<PosixOutput>(path);
}

}  // namespace moray
