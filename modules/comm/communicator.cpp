#include "comm/communicator.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <limits>
#include <thread>
#include <utility>

#include "core/error.hpp"
#include "core/log.hpp"
#include "core/recorder.hpp"

namespace moray {
namespace {

/// Bytes of texts that lie one behind the other, as MPI takes them.
struct TextPlaces {
  explicit TextPlaces(const std::vector<std::int64_t>& lengths) {
    std::int64_t place = 0;
    for (const std::int64_t length : lengths) {
      sizes.push_back(static_cast<int>(length));
      places.push_back(static_cast<int>(place));
      place += length;
    }
    MORAY_REQUIRE(place <= std::numeric_limits<int>::max());
    all.resize(static_cast<std::size_t>(place));
  }
  std::vector<std::string> texts() const {
    std::vector<std::string> texts;
    for (std::size_t r = 0; r < sizes.size(); ++r) {
      texts.push_back(
          all.substr(static_cast<std::size_t>(places[r]), static_cast<std::size_t>(sizes[r])));
    }
    return texts;
  }

  std::vector<int> sizes, places;
  std::string all;
};

/// Elements of one message: far below the 2^31 limit of a count.
constexpr std::size_t kMessage = std::size_t{1} << 28;

template <class T>
void exchange_pieces(std::span<const T> out, std::span<T> in, int partner, MPI_Datatype type,
                     const Communicator& ranks) {
  const std::size_t most = std::max(out.size(), in.size());
  for (std::size_t begin = 0; begin < most; begin += kMessage) {
    const auto piece = [&](auto span) {
      const std::size_t from = std::min(begin, span.size());
      return span.subspan(from, std::min(kMessage, span.size() - from));
    };
    const auto send = piece(out);
    const auto receive = piece(in);
    const int code = MPI_Sendrecv(send.data(), static_cast<int>(send.size()), type, partner, 0,
                                  receive.data(), static_cast<int>(receive.size()), type, partner,
                                  0, ranks.raw(), MPI_STATUS_IGNORE);
    // A step makes no text of a place that nothing has to say of.
    if (code != MPI_SUCCESS)
      check_mpi(code, "MPI_Sendrecv", fmt::format("an exchange with {}", ranks.name_of(partner)));
  }
}

}  // namespace

void check_mpi(int code, const char* call, const std::string& place) {
  if (code == MPI_SUCCESS) return;
  char text[MPI_MAX_ERROR_STRING];
  int length = 0;
  MPI_Error_string(code, text, &length);
  fail(ExitCode::communication, "{} failed in {}: {}", call, place,
       std::string(text, static_cast<std::size_t>(length)));
}

void note_mpi(int code, const char* call) noexcept {
  try {
    check_mpi(code, call, "the end of what it belongs to");
  } catch (const Error& error) {
    Log::global().warn("{}", error.what());
  }
}

MpiSession::MpiSession(int& argc, char**& argv) {
  int provided = 0;
  check_mpi(MPI_Init_thread(&argc, &argv, kThreadLevel, &provided), "MPI_Init_thread", "start");
  if (provided < kThreadLevel) {
    fail(ExitCode::communication, "this MPI offers thread level {} where {} is needed", provided,
         kThreadLevel);
  }
  check_mpi(MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler",
            "start");
}

MpiSession::~MpiSession() {
  note_mpi(MPI_Finalize(), "MPI_Finalize");
}

Communicator::Communicator(MPI_Comm comm) : comm_(comm) {
  check_mpi(MPI_Comm_set_errhandler(comm_, MPI_ERRORS_RETURN), "MPI_Comm_set_errhandler",
            "communicator");
  check_mpi(MPI_Comm_rank(comm_, &rank_), "MPI_Comm_rank", "communicator");
  check_mpi(MPI_Comm_size(comm_, &size_), "MPI_Comm_size", "communicator");
}

Communicator Communicator::world() {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_dup(MPI_COMM_WORLD, &comm), "MPI_Comm_dup", "world");
  return Communicator(comm);
}

Communicator Communicator::split(int color, int key) const {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split(comm_, color, key, &comm), "MPI_Comm_split", "mesh");
  return Communicator(comm);
}

Communicator Communicator::node() const {
  MPI_Comm comm = MPI_COMM_NULL;
  check_mpi(MPI_Comm_split_type(comm_, MPI_COMM_TYPE_SHARED, rank_, MPI_INFO_NULL, &comm),
            "MPI_Comm_split_type", "node");
  return Communicator(comm);
}

std::string Communicator::name_of(int rank) const {
  MPI_Group here = MPI_GROUP_NULL, all = MPI_GROUP_NULL;
  int number = MPI_UNDEFINED;
  if (MPI_Comm_group(comm_, &here) == MPI_SUCCESS &&
      MPI_Comm_group(MPI_COMM_WORLD, &all) == MPI_SUCCESS) {
    MPI_Group_translate_ranks(here, 1, &rank, all, &number);  // else it stays undefined
  }
  if (here != MPI_GROUP_NULL) note_mpi(MPI_Group_free(&here), "MPI_Group_free");
  if (all != MPI_GROUP_NULL) note_mpi(MPI_Group_free(&all), "MPI_Group_free");
  return number == MPI_UNDEFINED ? fmt::format("rank {} of {}", rank, size_)
                                 : fmt::format("rank {} of all", number);
}

Communicator::Communicator(Communicator&& other) noexcept
    : comm_(std::exchange(other.comm_, MPI_COMM_NULL)),
      rank_(other.rank_),
      size_(other.size_),
      here_(std::move(other.here_)),
      sent_(other.sent_) {}

Communicator& Communicator::operator=(Communicator&& other) noexcept {
  std::swap(comm_, other.comm_);
  rank_ = other.rank_;
  size_ = other.size_;
  here_.swap(other.here_);
  sent_ = other.sent_;
  return *this;
}

Communicator::~Communicator() {
  if (comm_ != MPI_COMM_NULL) note_mpi(MPI_Comm_free(&comm_), "MPI_Comm_free");
}

void Communicator::set_nodes(std::vector<char> here) {
  MORAY_REQUIRE(static_cast<int>(here.size()) == size_);
  here_ = std::move(here);
  sent_ = {};
}

void Communicator::count_sent(int peer, std::int64_t bytes) const {
  if (peer == rank_) return;
  const bool here = here_.empty() || here_[static_cast<std::size_t>(peer)] != 0;
  (here ? sent_.inside : sent_.across) += bytes;
}

void Communicator::barrier() const {
  check_mpi(MPI_Barrier(comm_), "MPI_Barrier", "barrier");
}

bool Communicator::meet(double seconds) const {
  if (size_ == 1) return true;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(comm_, &request), "MPI_Ibarrier", "meet");
  const double end = MPI_Wtime() + seconds;
  int done = 0;
  while (done == 0 && MPI_Wtime() < end) {
    check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test", "meet");
    if (done == 0) std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return done != 0;
}

void Communicator::abort(int code) const {
  MPI_Abort(comm_, code);
  std::abort();
}

void Communicator::sum(std::span<std::int64_t> values) const {
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_INT64_T,
                          MPI_SUM, comm_),
            "MPI_Allreduce", "sum of integers");
}

void Communicator::maximum(std::span<std::int64_t> values) const {
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_INT64_T,
                          MPI_MAX, comm_),
            "MPI_Allreduce", "maximum");
}

void Communicator::maximum(std::span<double> values) const {
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE,
                          MPI_MAX, comm_),
            "MPI_Allreduce", "maximum");
}

bool Communicator::all(bool value) const {
  std::int64_t no = value ? 0 : 1;
  maximum(std::span(&no, 1));
  return no == 0;
}

void Communicator::sum(ExactSum& value) const {
  value.normalize();
  sum(std::span(value.data(), ExactSum::kWords));
}

void Communicator::broadcast(std::span<char> bytes, int root) const {
  for (std::size_t begin = 0; begin < bytes.size(); begin += kMessage) {
    const auto piece = bytes.subspan(begin, std::min(kMessage, bytes.size() - begin));
    check_mpi(MPI_Bcast(piece.data(), static_cast<int>(piece.size()), MPI_CHAR, root, comm_),
              "MPI_Bcast", fmt::format("broadcast from rank {}", root));
  }
}

std::string Communicator::broadcast(const std::string& text, int root) const {
  std::int64_t size = static_cast<std::int64_t>(text.size());
  check_mpi(MPI_Bcast(&size, 1, MPI_INT64_T, root, comm_), "MPI_Bcast", "length of a text");
  std::string result = rank_ == root ? text : std::string(static_cast<std::size_t>(size), '\0');
  broadcast(std::span(result.data(), result.size()), root);
  return result;
}

std::vector<std::string> Communicator::gather(const std::string& text, int root) const {
  const auto length = static_cast<std::int64_t>(text.size());
  std::vector<std::int64_t> lengths(rank_ == root ? static_cast<std::size_t>(size_) : 0);
  check_mpi(MPI_Gather(&length, 1, MPI_INT64_T, lengths.data(), 1, MPI_INT64_T, root, comm_),
            "MPI_Gather", "lengths of texts");
  TextPlaces in(lengths);
  check_mpi(MPI_Gatherv(text.data(), static_cast<int>(length), MPI_CHAR, in.all.data(),
                        in.sizes.data(), in.places.data(), MPI_CHAR, root, comm_),
            "MPI_Gatherv", "texts");
  return in.texts();
}

std::vector<std::string> Communicator::all_to_all(const std::vector<std::string>& texts) const {
  MORAY_REQUIRE(static_cast<int>(texts.size()) == size_);
  std::vector<std::int64_t> lengths, lengths_in(texts.size());
  for (const std::string& text : texts) lengths.push_back(static_cast<std::int64_t>(text.size()));
  check_mpi(MPI_Alltoall(lengths.data(), 1, MPI_INT64_T, lengths_in.data(), 1, MPI_INT64_T, comm_),
            "MPI_Alltoall", "lengths of texts");
  TextPlaces out(lengths), in(lengths_in);
  out.all.clear();
  for (const std::string& text : texts) out.all += text;
  check_mpi(MPI_Alltoallv(out.all.data(), out.sizes.data(), out.places.data(), MPI_CHAR,
                          in.all.data(), in.sizes.data(), in.places.data(), MPI_CHAR, comm_),
            "MPI_Alltoallv", "texts");
  return in.texts();
}

void Communicator::sum_any_order(std::span<float> values) const {
  for (std::size_t begin = 0; begin < values.size(); begin += kMessage) {
    const auto piece = values.subspan(begin, std::min(kMessage, values.size() - begin));
    check_mpi(MPI_Allreduce(MPI_IN_PLACE, piece.data(), static_cast<int>(piece.size()), MPI_FLOAT,
                            MPI_SUM, comm_),
              "MPI_Allreduce", "sum of gradients");
  }
}

void Communicator::sum_any_order(std::span<double> values) const {
  check_mpi(MPI_Allreduce(MPI_IN_PLACE, values.data(), static_cast<int>(values.size()), MPI_DOUBLE,
                          MPI_SUM, comm_),
            "MPI_Allreduce", "sum of times");
}

void Communicator::all_to_all(std::span<const std::int32_t> out, std::span<std::int32_t> in,
                              std::int64_t per_rank) const {
  const Recorder::Scope recorded(Phase::counts);
  const auto each = static_cast<int>(per_rank);
  for (int peer = 0; peer < size_; ++peer)
    count_sent(peer, per_rank * static_cast<std::int64_t>(sizeof(std::int32_t)));
  check_mpi(MPI_Alltoall(out.data(), each, MPI_INT32_T, in.data(), each, MPI_INT32_T, comm_),
            "MPI_Alltoall", "counts of tokens");
}

void Communicator::exchange(std::span<const char> out, std::span<char> in, int partner) const {
  count_sent(partner, static_cast<std::int64_t>(out.size_bytes()));
  exchange_pieces(out, in, partner, MPI_CHAR, *this);
}

void Communicator::exchange(std::span<const float> out, std::span<float> in, int partner) const {
  count_sent(partner, static_cast<std::int64_t>(out.size_bytes()));
  exchange_pieces(out, in, partner, MPI_FLOAT, *this);
}

void Communicator::exchange(std::span<const double> out, std::span<double> in, int partner) const {
  count_sent(partner, static_cast<std::int64_t>(out.size_bytes()));
  exchange_pieces(out, in, partner, MPI_DOUBLE, *this);
}

void agree_on_errors(const Communicator& ranks, const std::function<void()>& work) {
  std::string text;
  std::int64_t code = 0;
  try {
    work();
  } catch (const Error& error) {
    if (ranks.size() == 1) throw;
    text = error.what();
    code = static_cast<std::int64_t>(error.code());
  }
  if (ranks.size() == 1 || ranks.all(code == 0)) return;
  const std::vector<std::string> texts = ranks.gather(fmt::format("{}:{}", code, text), 0);
  std::string first;
  for (std::size_t r = 0; r < texts.size() && first.empty(); ++r) {
    if (!texts[r].starts_with("0:")) first = fmt::format("{} (rank {})", texts[r], r);
  }
  first = ranks.broadcast(first, 0);
  const std::size_t colon = first.find(':');
  throw Error(static_cast<ExitCode>(std::stoi(first.substr(0, colon))), first.substr(colon + 1));
}

}  // namespace moray
