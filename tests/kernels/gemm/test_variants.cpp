#include <algorithm>

#include "catch.hpp"
#include "core/error.hpp"
#include "kernels/variants.hpp"

using namespace moray;

TEST_CASE("the portable variant is always there and the default is exact", "[variants]") {
  for (const Op op : kOps) {
    const auto have = available_variants(op);
    INFO(op_name(op));
    CHECK(std::count(have.begin(), have.end(), Variant::portable) == 1);
    CHECK(is_exact(selected_variant(op)));
    CHECK(selected_variant(op) == have.front());
    for (const Variant variant : have) {
      force_variant(op, variant);
      CHECK(selected_variant(op) == variant);
    }
  }
  reset_variants();
  CHECK(is_exact(selected_variant(Op::gemm)));
}

TEST_CASE("forcing a variant that is not there names those that are", "[variants]") {
  try {
    force_variant(Op::adamw, Variant::onednn);
    FAIL("an AdamW by oneDNN was accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ExitCode::usage);
    CHECK(std::string(error.what()).find("portable") != std::string::npos);
  }
}

TEST_CASE("what this processor cannot run is said", "[variants]") {
  const auto have = available_variants(Op::gemm);
  for (const Variant variant : {Variant::host_v3, Variant::host_v4}) {
    if (std::count(have.begin(), have.end(), variant) == 1) continue;
    WARN("SKIPPED: no test of the variants " << variant_name(variant)
                                             << ": this processor or build does not run them");
  }
  SUCCEED();
}
