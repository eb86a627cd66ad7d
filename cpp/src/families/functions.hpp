// Functions of numbers and of rows of numbers that several families need.
#pragma once

#include <algorithm>
#include <cmath>
#include <unsupported/Eigen/SpecialFunctions>

#include "kernels/kernels.hpp"
#include "moefast/family.hpp"

namespace moefast::families {

// Numbers handled together, on the stack.
constexpr index_t kBlock = 256;

// Exponentials are taken of predictors within this: nothing may become infinite on the way of a step that
// overshot. What is linear in the predictor has it as it is, so that log f falls as it should.
constexpr double kLargestPredictor = 300;

inline double bounded(double eta) { return std::clamp(eta, -kLargestPredictor, kLargestPredictor); }

inline double log_gamma(double x) { return Eigen::numext::lgamma(x); }
inline double digamma(double x) { return Eigen::numext::digamma(x); }
inline double trigamma(double x) { return Eigen::numext::zeta(2.0, x); }

// log Gamma(x + 1/2) - log Gamma(x), which two large numbers would lose: for large x by its expansion.
inline double log_gamma_step(double x) {
  if (x < 50) return log_gamma(x + 0.5) - log_gamma(x);
  const double q = 1 / (x * x);
  return 0.5 * std::log(x) - (0.125 - q * (1.0 / 192 - q / 640)) / x;
}

// Calls body(first, length) for blocks of at most kBlock of n numbers.
template <class Body>
void by_blocks(index_t n, const Body& body) {
  for (index_t first = 0; first < n; first += kBlock) body(first, std::min(kBlock, n - first));
}

// What all rows have where nothing is given of them: a row of a block of at most kBlock.
struct SameForAll {
  double values[kBlock];
  explicit SameForAll(double value) { std::fill_n(values, kBlock, value); }
  // The given values from row `first` on, or these.
  const double* or_given(const double* given, index_t first) const { return given ? given + first : values; }
};

inline void exponentials(index_t n, double* x) { kernels::active().exponentials(n, x, x); }
inline void logarithms(index_t n, double* x) { kernels::active().logarithms(n, x, x); }

// log(1 + x) of at most kBlock numbers x >= 0, also of small ones (D. Goldberg, ACM Comput. Surv. 1991,
// theorem 4).
inline void logarithms_of_one_plus(index_t n, double* x) {
  double sum[kBlock];
  for (index_t s = 0; s < n; ++s) sum[s] = 1 + x[s];
  double logarithm[kBlock];
  kernels::active().logarithms(n, sum, logarithm);
  for (index_t s = 0; s < n; ++s) {
    const double kept = sum[s] - 1;
    x[s] = kept > 0 && sum[s] < 1e15 ? logarithm[s] * (x[s] / kept) : (kept > 0 ? logarithm[s] : x[s]);
  }
}

// What the kernels of families/{poisson,binomial}.cpp take.
inline kernels::CanonicalTerms canonical_terms(const ResponseRows& rows, const double* eta,
                                               const FamilyTerms& out) {
  return {rows.n, rows.y, eta, rows.trials, rows.row_term, out.log_density, out.slope, out.weight};
}

// Families without scale and shape whose weight is minus the second derivative: their link is canonical.
class CanonicalFamily : public Family {
 public:
  void derivatives(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
                   const FamilyDerivatives& out) const final {
    FamilyTerms terms;
    terms.log_density = out.log_density, terms.slope = out.eta, terms.weight = out.eta_eta;
    this->terms(rows, dispersion, eta, terms);
    for (index_t s = 0; s < rows.n; ++s) out.eta_eta[s] = -out.eta_eta[s];
  }
};

// The derivatives that `terms` knows, with its weights in out.eta_eta, unscaled.
inline void derivatives_of_terms(const Family& family, const ResponseRows& rows, const Dispersion& dispersion,
                                 const double* eta, const FamilyDerivatives& out) {
  FamilyTerms terms;
  terms.log_density = out.log_density, terms.slope = out.eta, terms.weight = out.eta_eta;
  terms.square = out.l, terms.shape_slope = out.h, terms.shape_curvature = out.h_h;
  family.terms(rows, dispersion, eta, terms);
  const double inverse = 1 / dispersion.variance;
  for (index_t s = 0; s < rows.n; ++s) {
    out.eta[s] *= inverse, out.eta_eta[s] *= inverse;
    if (family.has_scale()) out.l[s] = out.l[s] * inverse - 1;
  }
}

// Where s log f is a function of e / s, e = y - eta, what follows from the derivatives by eta and the shape;
// `out.eta_l` holds e.
inline void derivatives_of_scale(index_t n, bool has_shape, const FamilyDerivatives& out) {
  for (index_t s = 0; s < n; ++s) {
    const double e = out.eta_l[s];
    out.eta_l[s] = e * out.eta_eta[s] - out.eta[s];
    out.l_l[s] = e * out.eta_l[s];
    if (has_shape) out.l_h[s] = e * out.eta_h[s];
  }
}

}  // namespace moefast::families
