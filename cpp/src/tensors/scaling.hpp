// Scaling by powers of two: exact, and it keeps products of entries in range.
#pragma once

#include <algorithm>
#include <cmath>

#include "moefast/types.hpp"

namespace moefast {

// The largest |value(i)|, i < n; 0 where there are none. Eight maxima at once: a single one would wait for
// itself in every step.
template <class Value>
double largest_absolute(index_t n, const Value& value) {
  double largest[8] = {};
  index_t i = 0;
  for (; i + 8 <= n; i += 8) {
    for (index_t k = 0; k < 8; ++k) largest[k] = std::max(largest[k], std::abs(value(i + k)));
  }
  for (; i < n; ++i) largest[0] = std::max(largest[0], std::abs(value(i)));
  return *std::max_element(largest, largest + 8);
}

// The exponent k with 2^k <= max |x_i| < 2^(k+1); 0 where all are zero or one is not finite.
inline int exponent_of_largest(const double* x, index_t n) {
  const double largest = largest_absolute(n, [x](index_t i) { return x[i]; });
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
