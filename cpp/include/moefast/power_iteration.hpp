// The robust tensor power method (Anandkumar, Ge, Hsu, Kakade, Telgarsky, JMLR 2014, Algorithm 1), all
// restarts together.
#pragma once

#include <vector>

#include "moefast/contraction.hpp"
#include "moefast/types.hpp"

namespace moefast {

// What the power method needs of a symmetric tensor: its size and T(I, u, .., u). The tensor may be packed or
// implicit in samples.
class TensorOperator {
 public:
  virtual ~TensorOperator() = default;
  virtual index_t dim() const = 0;
  virtual int order() const = 0;  // at least 2
  // out[r] = T(I, u_r, .., u_r) for the n rows of U; U and out: n x dim.
  virtual void contract(const double* U, index_t n, double* out, const Poll& poll) const = 0;
};

// A packed tensor, not owned.
class PackedTensorOperator final : public TensorOperator {
 public:
  explicit PackedTensorOperator(const TensorContraction& tensor) : tensor_(tensor) {}
  index_t dim() const override { return tensor_.dim(); }
  int order() const override { return tensor_.order(); }
  void contract(const double* U, index_t n, double* out, const Poll& poll) const override {
    tensor_.apply(U, n, out, poll);
  }

 private:
  const TensorContraction& tensor_;
};

struct PowerSettings {
  index_t rank = 1;
  int max_iter = 200;        // updates per restart
  double tolerance = 1e-12;  // on the change of the unit vector
  void check() const;        // throws std::invalid_argument
};

struct EigenPair {
  double value = 0;  // T(u, .., u) of the deflated tensor; not negative once settled if the order is odd
  std::vector<double> vector;  // unit length
  double residual = 0;         // || T(I, u, .., u) - value u ||
  int n_iter = 0;              // updates of the winning restart
  Status status = Status::degenerate;
};

// Finds `rank` eigenpairs one after another: from each of the n_starts rows of `starts` (n_starts x dim)
// iterate u <- T(I, u, .., u) / ||.||, keep the best restart, deflate T by value u (x) .. (x) u.
//
// Of odd order u and value go together, -value with -u, and the largest T(u, .., u) is best. Of even order u
// and -u have one value, of either sign: an update that turns u round is turned back, and the largest
// absolute value is best.
//
// A pair that did not settle has status iteration_limit; a zero tensor gives degenerate pairs. Throws
// std::overflow_error when a contraction goes beyond the range of float64.
std::vector<EigenPair> power_iteration(const TensorOperator& tensor, const double* starts, index_t n_starts,
                                       const PowerSettings& settings, const Poll& poll);

}  // namespace moefast
