// Factorisations of large symmetric matrices that poll: those of Eigen cannot be interrupted. And, from the
// same tridiagonal form, eigenvectors of small ones.
#pragma once

#include <Eigen/Core>

#include "matrices.hpp"
#include "moefast/types.hpp"

namespace moefast {

// Cholesky, L in the lower triangle of S; what lies above the diagonal stays. False, with S half done, as
// soon as a squared pivot is not above `smallest`.
bool polled_cholesky(MatrixInPlace S, double smallest, const Poll& poll);

// V f(Lambda) V' t for S = V Lambda V', f(v) = 1 / v above `tolerance` times the largest |v| and 0 below;
// spoils S, whose lower triangle is read. S is made tridiagonal, Q' S Q = T, and T diagonal by rotations;
// neither Q nor V is ever formed, t goes through the reflections and rotations itself and back again.
Eigen::VectorXd polled_pseudo_solve(Eigen::MatrixXd& S, const Eigen::VectorXd& t, double tolerance,
                                    const Poll& poll);

// S = V diag(values) V', values in increasing order, V in columns.
struct SymmetricEigen {
  Eigen::VectorXd values;
  Eigen::MatrixXd vectors;
};

// Rotations are those of Eigen. Its own way from the tridiagonal form to V, with products of blocks, takes
// the compiler as long as all other products and decompositions here together.
SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& S);

}  // namespace moefast
