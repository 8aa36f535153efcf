#include "comm/row_exchange.hpp"

#include <limits>

#include "core/error.hpp"
#include "core/recorder.hpp"

namespace moray {
namespace {

constexpr const char* kPlace = "rows of tokens to their experts";

/// MPI's counts and their running sums, in rows.
void count(std::span<const std::int64_t> rows, std::vector<int>& counts, std::vector<int>& places) {
  counts.clear();
  places.clear();
  std::int64_t place = 0;
  for (const std::int64_t n : rows) {
    counts.push_back(static_cast<int>(n));
    places.push_back(static_cast<int>(place));
    place += n;
  }
  MORAY_REQUIRE(place <= std::numeric_limits<int>::max());
}

}  // namespace

RowExchange::~RowExchange() {
  request_.wait();
  if (row_ != MPI_DATATYPE_NULL) note_mpi(MPI_Type_free(&row_), "MPI_Type_free");
}

RowExchange& RowExchange::operator=(RowExchange&& other) noexcept {
  out_counts_.swap(other.out_counts_);
  out_places_.swap(other.out_places_);
  in_counts_.swap(other.in_counts_);
  in_places_.swap(other.in_places_);
  std::swap(row_, other.row_);
  request_ = std::move(other.request_);
  return *this;
}

void RowExchange::start(const Communicator& ranks, const void* out,
                        std::span<const std::int64_t> out_rows, void* in,
                        std::span<const std::int64_t> in_rows, std::int64_t row_bytes) {
  MORAY_REQUIRE(!in_flight() && static_cast<int>(out_rows.size()) == ranks.size() &&
                static_cast<int>(in_rows.size()) == ranks.size());
  count(out_rows, out_counts_, out_places_);
  count(in_rows, in_counts_, in_places_);
  for (int peer = 0; peer < ranks.size(); ++peer)
    ranks.count_sent(peer, out_rows[static_cast<std::size_t>(peer)] * row_bytes);
  if (row_ != MPI_DATATYPE_NULL) note_mpi(MPI_Type_free(&row_), "MPI_Type_free");
  check_mpi(MPI_Type_contiguous(static_cast<int>(row_bytes), MPI_BYTE, &row_),
            "MPI_Type_contiguous", "rows of tokens");
  check_mpi(MPI_Type_commit(&row_), "MPI_Type_commit", "rows of tokens");
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ialltoallv(out, out_counts_.data(), out_places_.data(), row_, in, in_counts_.data(),
                           in_places_.data(), row_, ranks.raw(), &request),
            "MPI_Ialltoallv", kPlace);
  request_.start(request);
}

void RowExchange::finish() {
  const Recorder::Scope recorded(Phase::tokens);
  if (const int code = request_.wait(); code != MPI_SUCCESS)
    check_mpi(code, "MPI_Ialltoallv", kPlace);
}

}  // namespace moray
