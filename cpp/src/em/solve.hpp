// Small symmetric systems of the M-steps, and large ones.
#pragma once

#include <Eigen/Core>

#include "moefast/types.hpp"

namespace moefast {

// From which size on a factorisation takes so long that it has to poll within. Eigen's own routines, which
// cannot, take about a tenth of a second at these sizes.
struct LongSolve {
  index_t cholesky = 1024;
  index_t eigen = 384;
};

// A x = b for a symmetric positive semi-definite A, factored once for any number of b. Scaled to unit
// diagonal first, so units do not matter; directions in which A is zero to rounding (collinear or constant
// columns, fewer rows than columns) get no part of x, so x is always finite. Takes no memory once it has had
// that of this size, unless such directions are found.
class SemidefiniteSystem {
 public:
  // A of n x n, whose lower triangle is to be filled before `factor`.
  Eigen::MatrixXd& matrix(index_t n);
  void factor(const Poll& poll, const LongSolve& from = {});
  // b becomes x.
  void solve(Eigen::Ref<Eigen::VectorXd> b, const Poll& poll) const;

  index_t size() const { return S_.rows(); }

 private:
  enum class Form { cholesky, eigen, polled };
  bool cholesky(const LongSolve& from, const Poll& poll);
  void restore(const Poll& poll) const;

  // S, A with unit diagonal: the factor takes its lower triangle, the upper one keeps it. The gates' Hessian
  // can be large, so there is one copy.
  mutable Eigen::MatrixXd S_;
  Eigen::VectorXd scale_, diagonal_, inverse_;  // of A, of S, of the factor's diagonal or the eigenvalues
  Eigen::MatrixXd eigenvectors_;
  Form form_ = Form::cholesky;
};

// The solution of one system. The lower triangle of A is read.
Eigen::VectorXd solve_semidefinite(const Eigen::MatrixXd& A, const Eigen::VectorXd& b, const Poll& poll,
                                   const LongSolve& from = {});

}  // namespace moefast
