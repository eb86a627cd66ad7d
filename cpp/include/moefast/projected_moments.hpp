// Moments of samples seen along a few directions, without the tensor of all features.
//
//     z = W' (x - offset),   sums of w f(y) z^(x)m,   m <= order
//
// The second pass of the two-pass path: k^3 (k^4) numbers in place of d^3 (d^4). Projection and summation are
// one pass over X, a super-block at a time.
#pragma once

#include <vector>

#include "moefast/moments.hpp"

namespace moefast {

struct Projection {
  index_t n_features = 0;      // d
  std::vector<double> W;       // d x k, row-major
  std::vector<double> offset;  // d
};

// shape.n_features is k. Sums are float64, and the products too, whatever Scalar is. Throws ColumnError for a
// value that is not finite (columns as in `samples`) and std::overflow_error when the moments leave the
// range.
template <class Scalar>
MomentSums projected_moments(const SampleView<Scalar>& samples, const Projection& projection,
                             const MomentShape& shape, int n_threads, const Poll& poll);

extern template MomentSums projected_moments(const SampleView<double>&, const Projection&, const MomentShape&,
                                             int, const Poll&);
extern template MomentSums projected_moments(const SampleView<float>&, const Projection&, const MomentShape&,
                                             int, const Poll&);

}  // namespace moefast
