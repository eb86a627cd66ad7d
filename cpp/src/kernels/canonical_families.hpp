// The terms of families of counts and shares, see cpp/src/families: most of their time is one exponential and
// one logarithm a row, between which a vector of rows stays in registers here.
#pragma once

#include "kernels/exponential.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

// A mean beyond this is one of a step that went too far, and is halved; but it must stay finite.
constexpr double kLargestMean = 1e130;
// Exponentials are taken of predictors within this; what is linear in the predictor has it as it is.
constexpr double kLargestLogOdds = 300;

template <class V>
inline typename V::type or_all(const double* given, index_t s, double value) {
  using T = typename V::type;
  return given ? T(load<V>(given + s)) : T{} + value;
}

// log f = y t - exp(t) + constant
template <class V>
inline void poisson_rows(const CanonicalTerms& a, index_t s) {
  using T = typename V::type;
  const T t = load<V>(a.eta + s), y = load<V>(a.y + s);
  T mean = exponential<V>(t);
  mean = mean > kLargestMean ? T{} + kLargestMean : mean;  // NaN stays
  at<V>(a.log_density + s) = y * t - mean + or_all<V>(a.constant, s, 0);
  at<V>(a.slope + s) = y - mean;
  at<V>(a.weight + s) = mean;
}

// log f = y t - m log(1 + exp(t)) + constant
template <class V>
inline void binomial_rows(const CanonicalTerms& a, index_t s) {
  using T = typename V::type;
  const T t = load<V>(a.eta + s), y = load<V>(a.y + s), m = or_all<V>(a.trials, s, 1);
  const T zero = {}, lowest = zero - kLargestLogOdds;
  const auto negative = t < zero;
  T e = negative ? t : -t;
  e = exponential_share<V>(e < lowest ? lowest : e);   // exp(-|t|)
  const T share = 1.0 / (1.0 + e), other = e * share;  // share: the likelier outcome's
  const T above = negative ? zero : t;
  at<V>(a.log_density + s) = y * t - m * (above + logarithm<V>(1.0 + e)) + or_all<V>(a.constant, s, 0);
  at<V>(a.slope + s) = y - m * (negative ? other : share);
  at<V>(a.weight + s) = m * share * other;
}

#define MOEFAST_BY_ROWS(rows)                                        \
  using Wide = Vector<double, kLanes<double>>;                       \
  index_t s = 0;                                                     \
  for (; s + Wide::lanes <= a.n; s += Wide::lanes) rows<Wide>(a, s); \
  for (; s < a.n; ++s) rows<Vector<double, 1>>(a, s);

void poisson_terms(const CanonicalTerms& a) { MOEFAST_BY_ROWS(poisson_rows) }
void binomial_terms(const CanonicalTerms& a) { MOEFAST_BY_ROWS(binomial_rows) }

#undef MOEFAST_BY_ROWS

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
