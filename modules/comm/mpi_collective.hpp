#pragma once

#include "comm/communicator.hpp"
#include "core/collective.hpp"

namespace moray {

/// The operations over ranks that file formats need, over MPI.
class MpiCollective final : public Collective {
 public:
  explicit MpiCollective(const Communicator& ranks) : ranks_(ranks) {}
  int rank() const override { return ranks_.rank(); }
  int size() const override { return ranks_.size(); }
  bool all(bool value) override { return ranks_.all(value); }
  void broadcast(std::string& bytes) override { bytes = ranks_.broadcast(bytes, 0); }
  std::vector<std::string> gather(const std::string& bytes) override {
    return ranks_.gather(bytes, 0);
  }
  std::vector<std::string> exchange(const std::vector<std::string>& to) override {
    return ranks_.all_to_all(to);
  }

 private:
  const Communicator& ranks_;
};

}  // namespace moray
