#include "comm/message.hpp"

#include <fmt/format.h>

#include <limits>

#include "core/error.hpp"

namespace moray {

Message::~Message() {
  pending_.wait();
  if (row_ != MPI_DATATYPE_NULL) MPI_Type_free(&row_);
}

Message& Message::operator=(Message&& other) noexcept {
  std::swap(row_, other.row_);
  std::swap(row_bytes_, other.row_bytes_);
  std::swap(peer_, other.peer_);
  pending_ = std::move(other.pending_);
  return *this;
}

/// Counts are in rows, so that no message is limited to 2 GiB.
void Message::prepare(std::int64_t count, std::int64_t row_bytes, int peer) {
  MORAY_REQUIRE(!in_flight() && count <= std::numeric_limits<int>::max());
  peer_ = peer;
  if (row_bytes == row_bytes_) return;
  if (row_ != MPI_DATATYPE_NULL) MPI_Type_free(&row_);
  check_mpi(MPI_Type_contiguous(static_cast<int>(row_bytes), MPI_BYTE, &row_),
            "MPI_Type_contiguous", "a message between stages");
  check_mpi(MPI_Type_commit(&row_), "MPI_Type_commit", "a message between stages");
  row_bytes_ = row_bytes;
}

void Message::send(const Communicator& ranks, const void* rows, std::int64_t count,
                   std::int64_t row_bytes, int peer, int tag) {
  prepare(count, row_bytes, peer);
  ranks.count_sent(peer, count * row_bytes);
  MPI_Request request = MPI_REQUEST_NULL;
  const int code = MPI_Isend(rows, static_cast<int>(count), row_, peer, tag, ranks.raw(), &request);
  if (code != MPI_SUCCESS)
    check_mpi(code, "MPI_Isend", fmt::format("message {} to pipeline rank {}", tag, peer));
  pending_.start(request);
}

void Message::receive(const Communicator& ranks, void* rows, std::int64_t count,
                      std::int64_t row_bytes, int peer, int tag) {
  prepare(count, row_bytes, peer);
  MPI_Request request = MPI_REQUEST_NULL;
  const int code = MPI_Irecv(rows, static_cast<int>(count), row_, peer, tag, ranks.raw(), &request);
  if (code != MPI_SUCCESS)
    check_mpi(code, "MPI_Irecv", fmt::format("message {} from pipeline rank {}", tag, peer));
  pending_.start(request);
}

void Message::wait() {
  const int code = pending_.wait();
  if (code != MPI_SUCCESS)
    check_mpi(code, "MPI_Wait", fmt::format("a message with pipeline rank {}", peer_));
}

}  // namespace moray
