// A regression with a lasso, from the sums of least squares.
#pragma once

#include <Eigen/Core>

#include "moefast/types.hpp"

namespace moefast {

// The step x from coefficients a that makes
//
//     x' G x / 2 - t' x + lambda sum_{j < d} |a_j + x_j|
//
// least, by cyclic coordinate descent from 0: with r = t - G x and v = a_j + x_j + r_j / G_jj, the best a_j +
// x_j is v moved towards 0 by lambda / G_jj, and 0 where it would pass it (Friedman, Hastie, Hofling,
// Tibshirani, Ann. Appl. Stat. 2007). No sweep makes it larger, so that a few are a step too. G is full and
// positive semi-definite, of m x m, m >= d; a has m numbers.
Eigen::VectorXd lasso_step(const Eigen::MatrixXd& G, const Eigen::VectorXd& t, const Eigen::VectorXd& a,
                           index_t d, double lambda, const Poll& poll);

}  // namespace moefast
