// The robust tensor power method (Anandkumar, Ge, Hsu, Kakade, Telgarsky, JMLR 2014, Algorithm 1).
#pragma once

#include <vector>

#include "moefast/types.hpp"

namespace moefast {

// What the power method needs of a symmetric order-3 tensor: its size and T(I, u, u). The tensor may be
// dense, packed or implicit in samples.
class TensorOperator {
 public:
  virtual ~TensorOperator() = default;
  virtual index_t dim() const = 0;
  // out[i] = sum_{j,l} T[i,j,l] u[j] u[l]; u and out: dim values.
  virtual void contract(const double* u, double* out) const = 0;
};

// A dense dim x dim x dim array, not owned.
class DenseTensorOperator final : public TensorOperator {
 public:
  DenseTensorOperator(const double* entries, index_t dim) : entries_(entries), dim_(dim) {}
  index_t dim() const override { return dim_; }
  void contract(const double* u, double* out) const override;

 private:
  const double* entries_;
  index_t dim_;
};

struct PowerSettings {
  index_t rank = 1;
  int max_iter = 200;        // updates per restart
  double tolerance = 1e-12;  // on the change of the unit vector
  void check() const;        // throws std::invalid_argument
};

struct EigenPair {
  double value = 0;            // T(u, u, u) of the deflated tensor, positive
  std::vector<double> vector;  // unit length
  double residual = 0;         // || T(I, u, u) - value u ||
  int n_iter = 0;              // updates of the winning restart
  Status status = Status::degenerate;
};

// Finds `rank` eigenpairs one after another: from each of the n_starts rows of `starts` (n_starts x dim)
// iterate u <- T(I, u, u) / ||.||, keep the restart of largest T(u, u, u), deflate T by value u (x) u (x) u.
// A pair that did not settle has status iteration_limit; a zero tensor gives degenerate pairs.
std::vector<EigenPair> power_iteration(const TensorOperator& tensor, const double* starts, index_t n_starts,
                                       const PowerSettings& settings, const Poll& poll);

}  // namespace moefast
