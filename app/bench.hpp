#pragma once

#include <string>
#include <vector>

namespace moray {

class Report;
struct Options;

/// What `moray bench` was asked for.
struct BenchOptions {
  std::string deck;  ///< whose sizes; empty: the benchmark's own deck
  std::vector<std::string> overrides;
  double seconds = 0.2;  ///< for each contestant of each row
  bool json = false;
  bool csv = false;
};

/// Prints in the form that was asked for.
void print(const Report& report, const BenchOptions& options);

/// The products of a model beside OpenBLAS and oneDNN. Kokkos is initialised. Returns the exit code.
int bench_gemm(const BenchOptions& options);

/// The same products in FP8 and bf16 beside those in float32, and quantisation beside copies of the same
/// bytes. Likewise.
int bench_fp8_gemm(const BenchOptions& options);
int bench_quantize(const BenchOptions& options);

/// What saving costs: bandwidth beside a raw write, and steps that save beside those that do not.
/// Starts MPI and Kokkos itself. Returns the exit code.
int bench_checkpoint(const Options& options, const BenchOptions& wanted);

/// A whole training step in float32, bf16 and FP8, exact and with vendor kernels. Likewise; one rank.
int bench_step(const Options& options, const BenchOptions& wanted);

/// The attention core of a model, every variant, per score of the causal triangle. Likewise.
int bench_attention(const BenchOptions& options);

/// Tokens to the ranks of their experts beside MPI_Alltoallv of the same bytes. Starts MPI and Kokkos.
int bench_alltoall(const Options& options, const BenchOptions& wanted);

/// What is left of an exchange that is in flight during a computation. Starts MPI and Kokkos.
int bench_progress(const Options& options, const BenchOptions& wanted);

}  // namespace moray
