#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/progress.hpp"

namespace moray {

/// An all-to-all of rows of bytes between the ranks of a communicator, from start() to finish(). The
/// rows for rank 0 come first in `out`, those from rank 0 first in `in`. Both buffers, in host
/// memory, belong to the exchange meanwhile. It moves while this rank computes (progress.hpp).
class RowExchange {
 public:
  RowExchange() = default;
  RowExchange(const RowExchange&) = delete;
  RowExchange& operator=(const RowExchange&) = delete;
  RowExchange(RowExchange&& other) noexcept { *this = std::move(other); }
  RowExchange& operator=(RowExchange&& other) noexcept;
  ~RowExchange();

  /// `out_rows` and `in_rows` have one count a rank.
  void start(const Communicator& ranks, const void* out, std::span<const std::int64_t> out_rows,
             void* in, std::span<const std::int64_t> in_rows, std::int64_t row_bytes);
  void finish();
  bool in_flight() const { return request_.in_flight(); }
  /// Known to be complete, without asking MPI.
  bool complete() const { return request_.complete(); }

 private:
  std::vector<int> out_counts_, out_places_, in_counts_, in_places_;
  MPI_Datatype row_ = MPI_DATATYPE_NULL;
  PendingRequest request_;
};

}  // namespace moray
