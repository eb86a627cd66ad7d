// Functions of numbers and of rows of numbers that several families need.
#pragma once

#include <algorithm>
#include <cmath>
#include <unsupported/Eigen/SpecialFunctions>

#include "kernels/kernels.hpp"

namespace moefast::families {

// Numbers handled together, on the stack.
constexpr index_t kBlock = 256;

// Predictors of logarithms are held within this: beyond it a step overshot, and is halved since the
// likelihood there is far too low; but nothing may become infinite on the way.
constexpr double kLargestPredictor = 300;

inline double bounded(double eta) { return std::clamp(eta, -kLargestPredictor, kLargestPredictor); }

inline double log_gamma(double x) { return Eigen::numext::lgamma(x); }
inline double digamma(double x) { return Eigen::numext::digamma(x); }
inline double trigamma(double x) { return Eigen::numext::zeta(2.0, x); }

// Calls body(first, length) for blocks of at most kBlock of n numbers.
template <class Body>
void by_blocks(index_t n, const Body& body) {
  for (index_t first = 0; first < n; first += kBlock) body(first, std::min(kBlock, n - first));
}

inline void exponentials(index_t n, double* x) { kernels::active().exponentials(n, x, x); }
inline void logarithms(index_t n, double* x) { kernels::active().logarithms(n, x, x); }

}  // namespace moefast::families
