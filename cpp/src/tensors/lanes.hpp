// Between rows, one vector a row, and lanes, one vector a lane: what the rectangle kernel wants.
#pragma once

#include "moefast/types.hpp"
#include "tensors/scaling.hpp"

namespace moefast {

inline index_t rounded_up(index_t n, index_t step) { return (n + step - 1) / step * step; }

// Rows of X (n x dim) become lanes, lanes[i][r] = X[r][i] 2^-exponent[r].
inline void to_lanes(const double* X, index_t n, index_t dim, index_t width, double* lanes, int* exponent) {
  for (index_t r = 0; r < n; ++r) {
    exponent[r] = exponent_of_largest(X + r * dim, dim);
    const PowerOfTwo scaled(-exponent[r]);
    for (index_t i = 0; i < dim; ++i) lanes[i * width + r] = scaled(X[r * dim + i]);
  }
}

// Lane r of x (dim x width) goes to out (dim numbers), times 2^exponent / divisor.
inline void from_lane(const double* x, index_t r, index_t dim, index_t width, int exponent, double divisor,
                      double* out) {
  const PowerOfTwo scaled(exponent);
  for (index_t i = 0; i < dim; ++i) out[i] = scaled(x[i * width + r] / divisor);
}

inline double lane_dot(const double* x, const double* y, index_t r, index_t dim, index_t width) {
  double sum = 0;
  for (index_t i = 0; i < dim; ++i) sum += x[i * width + r] * y[i * width + r];
  return sum;
}

}  // namespace moefast
