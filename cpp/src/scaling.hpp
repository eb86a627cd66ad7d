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

// x 2^exponent: a product where 2^exponent is a number, which is far quicker than ldexp.
class PowerOfTwo {
 public:
  explicit PowerOfTwo(int exponent) : exponent_(exponent), factor_(std::ldexp(1.0, exponent)) {}
  double operator()(double x) const {
    return exponent_ > -1022 && exponent_ < 1024 ? x * factor_ : std::ldexp(x, exponent_);
  }

 private:
  int exponent_;
  double factor_;
};

}  // namespace moefast
