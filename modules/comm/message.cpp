#include "comm/message.hpp"

#include <fmt/format.h>

#include <limits>

#include "core/error.hpp"

namespace moray {

Message::~Message() {
  if (in_flight()) MPI_Wait(&request_, MPI_STATUS_IGNORE);
  if (row_ != MPI_DATATYPE_NULL) MPI_Type_free(&row_);
}

Message& Message::operator=(Message&& other) noexcept {
  std::swap(row_, other.row_);
  std::swap(row_bytes_, other.row_bytes_);
  std::swap(request_, other.request_);
  std::swap(peer_, other.peer_);
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
  check_mpi(MPI_Isend(rows, static_cast<int>(count), row_, peer, tag, ranks.raw(), &request_),
            "MPI_Isend", fmt::format("message {} to pipeline rank {}", tag, peer));
}

void Message::receive(const Communicator& ranks, void* rows, std::int64_t count,
                      std::int64_t row_bytes, int peer, int tag) {
  prepare(count, row_bytes, peer);
  check_mpi(MPI_Irecv(rows, static_cast<int>(count), row_, peer, tag, ranks.raw(), &request_),
            "MPI_Irecv", fmt::format("message {} from pipeline rank {}", tag, peer));
}

void Message::wait() {
  if (!in_flight()) return;
  const int code = MPI_Wait(&request_, MPI_STATUS_IGNORE);
  if (code != MPI_SUCCESS)
    check_mpi(code, "MPI_Wait", fmt::format("a message of pipeline rank {}", peer_));
}

}  // namespace moray
