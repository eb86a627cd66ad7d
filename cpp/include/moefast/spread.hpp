// Weighted means and standard deviations of columns, safe for huge and tiny values.
#pragma once

#include <vector>

#include "moefast/types.hpp"

namespace moefast {

struct Spread {
  std::vector<double> mean, deviation;  // d
};

// Of X, n x d, row-major, n >= 1, with weights w that are not negative and have a positive sum; ddof = 0. A
// column whose values differ by rounding only has its first value as the mean and deviation 0. T: double,
// float.
template <class T>
Spread spread_of(const T* X, const double* w, index_t n, index_t d, const Poll& poll);

}  // namespace moefast
