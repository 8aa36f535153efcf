#pragma once

#include <mpfr.h>

namespace moray_test {

/// A function of MPFR (Fousse et al., 2007), which rounds correctly.
using MpfrFunction = int (*)(mpfr_t, const mpfr_t, mpfr_rnd_t);

/// Values of functions by MPFR; one object for each thread, since the exponent range is a thread's.
class MpfrReference {
 public:
  MpfrReference() {
    mpfr_init2(argument_, 53);
    mpfr_init2(result_, 24);
    mpfr_init2(long_result_, 160);
    mpfr_init2(difference_, 160);
  }
  ~MpfrReference() {
    for (mpfr_ptr each : {argument_, result_, long_result_, difference_}) mpfr_clear(each);
  }
  MpfrReference(const MpfrReference&) = delete;
  MpfrReference& operator=(const MpfrReference&) = delete;

  /// f(x) rounded once to float32, denormals included.
  float rounded(MpfrFunction f, float x) {
    const mpfr_exp_t low = mpfr_get_emin(), high = mpfr_get_emax();
    mpfr_set_emin(-148);  // 2^-149 = 0.5 2^-148, the smallest float32
    mpfr_set_emax(128);
    mpfr_set_flt(argument_, x, MPFR_RNDN);
    int direction = f(result_, argument_, MPFR_RNDN);
    direction = mpfr_check_range(result_, direction, MPFR_RNDN);
    mpfr_subnormalize(result_, direction, MPFR_RNDN);
    mpfr_set_emin(low);
    mpfr_set_emax(high);
    return mpfr_get_flt(result_, MPFR_RNDN);
  }

  /// |y - f(x)| / |f(x)|.
  double relative_error(MpfrFunction f, double x, double y) {
    mpfr_set_d(argument_, x, MPFR_RNDN);
    f(long_result_, argument_, MPFR_RNDN);
    mpfr_set_d(argument_, y, MPFR_RNDN);
    mpfr_sub(difference_, argument_, long_result_, MPFR_RNDN);
    mpfr_div(difference_, difference_, long_result_, MPFR_RNDN);
    const double error = mpfr_get_d(difference_, MPFR_RNDN);
    return error < 0 ? -error : error;
  }

 private:
  mpfr_t argument_, result_, long_result_, difference_;
};

}  // namespace moray_test
