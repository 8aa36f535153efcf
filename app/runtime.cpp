#include "runtime.hpp"

#include <Kokkos_Core.hpp>

#include "comm/progress.hpp"
#include "core/log.hpp"
#include "kernels/functions/self_check.hpp"
#include "kernels/variants.hpp"

namespace moray {
namespace {
constexpr double kMeetSeconds = 2;
}

Runtime::Runtime(const Options& options) {
  std::vector<std::string> words = {"moray"};
  words.insert(words.end(), options.kokkos_arguments.begin(), options.kokkos_arguments.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int count = static_cast<int>(words.size());
  char** values = arguments.data();
  mpi_ = std::make_unique<MpiSession>(count, values);
  Kokkos::initialize(count, values);
}

KokkosSession::KokkosSession(const Options& options) {
  std::vector<std::string> words = {"moray"};
  words.insert(words.end(), options.kokkos_arguments.begin(), options.kokkos_arguments.end());
  std::vector<char*> arguments;
  for (std::string& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  int count = static_cast<int>(words.size());
  Kokkos::initialize(count, arguments.data());
}

KokkosSession::~KokkosSession() {
  Kokkos::finalize();
}

Runtime::~Runtime() {
  Kokkos::finalize();
  mpi_.reset();
}

int Runtime::run(const std::function<ExitCode(const Communicator&)>& work) {
  const Communicator ranks = Communicator::world();
  Log::global().set_rank(ranks.rank());
  std::int64_t code = 0;
  std::string message;
  try {
    code = static_cast<std::int64_t>(work(ranks));
  } catch (const Error& error) {
    code = static_cast<std::int64_t>(error.code());
    message = error.what();
  } catch (const std::exception& error) {
    code = 1;
    message = error.what();
  }
  Log::global().close();
  const bool failed = !message.empty();
  // Errors are agreed on before they are thrown, so rank 0 speaks for all. A rank that failed alone
  // finds the others missing, says so itself, and ends the job before they wait for ever.
  const bool together = !failed || (!requests_abandoned() && ranks.meet(kMeetSeconds));
  if (failed && (ranks.rank() == 0 || !together)) fmt::print(stderr, "{}\n", message);
  if (!together) ranks.abort(static_cast<int>(code));
  return static_cast<int>(code);
}

void select_kernels(const Deck& deck) {
  const KernelsConfig& k = deck.kernels;
  if (deck.run.determinism == "exact") {
    require_exact_arithmetic();
    require_exact_arithmetic(ExecSpace());
  } else {
    prefer_vendor_variants();
  }
  const auto force = [](Op op, const std::string& name) {
    if (name.empty()) return;
    for (const Variant v : available_variants(op)) {
      if (variant_name(v) == name) return force_variant(op, v);
    }
    fail(ExitCode::usage, "kernels.{}: this build or processor has no variant '{}'", op_name(op),
         name);
  };
  force(Op::gemm, k.gemm);
  force(Op::attention, k.attention);
  force(Op::rmsnorm, k.rmsnorm);
  force(Op::swiglu, k.swiglu);
  force(Op::cross_entropy, k.cross_entropy);
  force(Op::adamw, k.adamw);
  force(Op::elementwise, k.elementwise);
  force(Op::quantize, k.quantize);
  force(Op::mixed_gemm, k.mixed_gemm);
}

}  // namespace moray
