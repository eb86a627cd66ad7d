// Factorisations of large symmetric matrices that poll: those of Eigen cannot be interrupted.
#pragma once

#include <Eigen/Core>

#include "moefast/types.hpp"

namespace moefast {

// Cholesky, L in the lower triangle of S; what lies above the diagonal stays. False, with S half done, as
// soon as a squared pivot is not above `smallest`.
bool polled_cholesky(Eigen::MatrixXd& S, double smallest, const Poll& poll);

// V f(Lambda) V' t for S = V Lambda V', f(v) = 1 / v above `tolerance` times the largest |v| and 0 below;
// spoils S, whose lower triangle is read. S is made tridiagonal, Q' S Q = T, and T diagonal by rotations;
// neither Q nor V is ever formed, t goes through the reflections and rotations itself and back again.
Eigen::VectorXd polled_pseudo_solve(Eigen::MatrixXd& S, const Eigen::VectorXd& t, double tolerance,
                                    const Poll& poll);

}  // namespace moefast
