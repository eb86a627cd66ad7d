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

// Solves A x = b for a symmetric positive semi-definite A (its lower triangle is read). Scaled to unit
// diagonal first, so units do not matter; directions in which A is zero to rounding (collinear or
// constant columns, fewer rows than columns) get no part of x, so x is always finite.
Eigen::VectorXd solve_semidefinite(const Eigen::MatrixXd& A, const Eigen::VectorXd& b, const Poll& poll,
                                   const LongSolve& from = {});

}  // namespace moefast
