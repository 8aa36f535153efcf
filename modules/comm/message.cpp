#include "comm/message.hpp"

#include <fmt/format.h>

#include <limits>

#include "core/error.hpp"

namespace moray {

Message::~Message() {
  pending_.wait();
  if (row_ != MPI_DATATYPE_NULL) note_mpi(MPI_Type_free(&row_), "MPI_Type_free");
}

Message& Message::operator=(Message&& other) noexcept {
  std::swap(row_, other.row_);
  std::swap(row_bytes_, other.row_bytes_);
  std::swap(what_, other.what_);
  std::swap(ranks_, other.ranks_);
  std::swap(peer_, other.peer_);
  pending_ = std::move(other.pending_);
  return *this;
}

/// A step makes no text of a call that succeeds.
void Message::check(int code, const char* call) const {
  if (code != MPI_SUCCESS)
    check_mpi(code, call, fmt::format("{} with {}", what_, ranks_->name_of(peer_)));
}

/// Counts are in rows, so that no message is limited to 2 GiB.
void Message::prepare(const Communicator& ranks, std::int64_t count, std::int64_t row_bytes,
                      int peer) {
  MORAY_REQUIRE(!in_flight() && count <= std::numeric_limits<int>::max());
  ranks_ = &ranks;
  peer_ = peer;
  if (row_bytes == row_bytes_) return;
  if (row_ != MPI_DATATYPE_NULL) note_mpi(MPI_Type_free(&row_), "MPI_Type_free");
  check(MPI_Type_contiguous(static_cast<int>(row_bytes), MPI_BYTE, &row_), "MPI_Type_contiguous");
  check(MPI_Type_commit(&row_), "MPI_Type_commit");
  row_bytes_ = row_bytes;
}

void Message::send(const Communicator& ranks, const void* rows, std::int64_t count,
                   std::int64_t row_bytes, int peer, int tag) {
  prepare(ranks, count, row_bytes, peer);
  ranks.count_sent(peer, count * row_bytes);
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Isend(rows, static_cast<int>(count), row_, peer, tag, ranks.raw(), &request),
        "MPI_Isend");
  pending_.start(request);
}

void Message::receive(const Communicator& ranks, void* rows, std::int64_t count,
                      std::int64_t row_bytes, int peer, int tag) {
  prepare(ranks, count, row_bytes, peer);
  MPI_Request request = MPI_REQUEST_NULL;
  check(MPI_Irecv(rows, static_cast<int>(count), row_, peer, tag, ranks.raw(), &request),
        "MPI_Irecv");
  pending_.start(request);
}

void Message::wait() {
  check(pending_.wait(), "MPI_Wait");
}

}  // namespace moray
