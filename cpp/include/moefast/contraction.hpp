// Contractions of a packed symmetric tensor with many vectors at once.
//
// T(u, .., u) is a polynomial in u with one term an entry: entry times its multiplicity (how many index
// tuples share it) times u_a u_b u_c ... . Over a copy of the entries weighted by multiplicity it is
//
//     f(u) = sum_b u_b p' M_b q,   p = u[0 .. b],   q = 1, u_c or u_c u_e over the columns of rectangle b
//
// and T(I, u, .., u) is its gradient divided by the order. One read of M_b gives both M_b q and M_b' p.
#pragma once

#include <vector>

#include "moefast/packed.hpp"
#include "moefast/symmetric_tensor.hpp"
#include "moefast/types.hpp"

namespace moefast {

namespace kernels {
struct RectangleArgs;
}

// All vectors are rows: U is n x dim. Results beyond the range of float64 are infinite or NaN; nothing on the
// way to a result in range overflows or underflows, since tensor and vectors are scaled by powers of two.
class TensorContraction {
 public:
  // Keeps a weighted copy of the entries, not the tensor.
  explicit TensorContraction(const SymmetricTensor& tensor, const Poll& poll = {});

  index_t dim() const { return layout_.dim; }
  int order() const { return layout_.order; }

  // out[r] = T(I, u_r, .., u_r): n x dim
  void apply(const double* U, index_t n, double* out, const Poll& poll = {}) const;
  // out[r] = T(u_r, .., u_r): n
  void value(const double* U, index_t n, double* out, const Poll& poll = {}) const;

  // Order 4 (std::invalid_argument for another). F(u, v) = T(u, u, v, v): n values, and the gradients of F by
  // u and by v, n x dim each; any of the three results may be null.
  void pair(const double* U, const double* V, index_t n, double* values, double* by_u, double* by_v,
            const Poll& poll = {}) const;

  // T(W, .., W): m^order numbers, dense; W: dim x m. T(W, W, W)[i,j,k] = sum T[a,b,c] W[a,i] W[b,j] W[c,k].
  std::vector<double> project(const double* W, index_t m, const Poll& poll = {}) const;

 private:
  void all_rectangles(const kernels::RectangleArgs& whole) const;
  void contract(const double* U, index_t n, double* vectors, double* values, const Poll& poll) const;

  PackedLayout layout_;
  int exponent_ = 0;              // the entries are weighted_ times 2^exponent_
  std::vector<double> weighted_;  // entries times multiplicity, the largest entry of order 1
};

}  // namespace moefast
