// Scaling by powers of two: exact, and it keeps products of entries in range.
#pragma once

#include <algorithm>
#include <cmath>

#include "moefast/types.hpp"

namespace moefast {

// The exponent k with 2^k <= max |x_i| < 2^(k+1); 0 where all are zero or one is not finite.
inline int exponent_of_largest(const double* x, index_t n) {
  double largest = 0;
  for (index_t i = 0; i < n; ++i) largest = std::max(largest, std::abs(x[i]));
  return largest > 0 && std::isfinite(largest) ? std::ilogb(largest) : 0;
}

}  // namespace moefast
