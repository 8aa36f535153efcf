#include "kernels/variants.hpp"

#include <algorithm>
#include <array>

#include "core/error.hpp"
#include "core/kokkos.hpp"
#include "kernels/host/processor.hpp"

namespace moray {
namespace {

/// Every op has host micro-kernels: its files are compiled once per instruction set
/// (cmake/MorayKernels.cmake). Vendor variants are of products alone.
std::vector<Variant> find_variants([[maybe_unused]] Op op) {
  std::vector<Variant> found;
  if (kHostBackend) {
#if defined(MORAY_HAVE_HOST_v4)
    if (processor_runs_v4()) found.push_back(Variant::host_v4);
#endif
#if defined(MORAY_HAVE_HOST_v3)
    if (processor_runs_v3()) found.push_back(Variant::host_v3);
#endif
#if defined(MORAY_HAVE_HOST_generic)
    found.push_back(Variant::host_generic);
#endif
  }
  found.push_back(Variant::portable);
#if defined(MORAY_HAVE_BLAS)
  if (op == Op::gemm) found.push_back(Variant::blas);
#endif
#if defined(MORAY_HAVE_ONEDNN)
  if (op == Op::gemm) found.push_back(Variant::onednn);
  if (op == Op::mixed_gemm && processor_runs_bf16()) found.push_back(Variant::onednn);
#endif
#if defined(MORAY_HAVE_KOKKOS_KERNELS)
  if (op == Op::gemm) found.push_back(Variant::kokkos_kernels);
#endif
  return found;
}

struct Choice {
  std::vector<Variant> available;
  Variant selected = Variant::portable;
};

/// The choices of the process, found once: launches only read them.
std::array<Choice, std::size(kOps)>& choices() {
  static std::array<Choice, std::size(kOps)> table = [] {
    std::array<Choice, std::size(kOps)> fresh;
    for (std::size_t i = 0; i < fresh.size(); ++i) {
      fresh[i].available = find_variants(static_cast<Op>(i));
      fresh[i].selected = fresh[i].available.front();
    }
    return fresh;
  }();
  return table;
}

Choice& choice(Op op) {
  return choices()[static_cast<std::size_t>(op)];
}

}  // namespace

std::string_view variant_name(Variant variant) {
  switch (variant) {
    case Variant::portable:
      return "portable";
    case Variant::host_generic:
      return "host_generic";
    case Variant::host_v3:
      return "host_v3";
    case Variant::host_v4:
      return "host_v4";
    case Variant::blas:
      return "blas";
    case Variant::onednn:
      return "onednn";
    case Variant::kokkos_kernels:
      return "kokkos_kernels";
  }
  return "unknown";
}

bool is_exact(Variant variant) {
  return variant != Variant::blas && variant != Variant::onednn &&
         variant != Variant::kokkos_kernels;
}

std::string_view op_name(Op op) {
  constexpr std::array<std::string_view, std::size(kOps)> names = {
      "gemm",  "attention",   "rmsnorm",  "swiglu",    "cross_entropy",
      "adamw", "elementwise", "quantize", "mixed_gemm"};
  return names[static_cast<std::size_t>(op)];
}

std::vector<Variant> available_variants(Op op) {
  return choice(op).available;
}

Variant selected_variant(Op op) {
  return choice(op).selected;
}

void force_variant(Op op, Variant variant) {
  std::string names;
  for (const Variant have : choice(op).available) {
    if (have == variant) {
      choice(op).selected = variant;
      return;
    }
    names += names.empty() ? "" : ", ";
    names += variant_name(have);
  }
  fail(ExitCode::usage, "kernels.{}: this build or processor has no variant '{}'; it has {}",
       op_name(op), variant_name(variant), names);
}

void prefer_vendor_variants() {
  for (Choice& each : choices()) {
    const auto vendor = std::find_if_not(each.available.begin(), each.available.end(), is_exact);
    if (vendor != each.available.end()) each.selected = *vendor;
  }
}

void reset_variants() {
  for (Choice& each : choices()) each.selected = each.available.front();
}

}  // namespace moray
