// The exact second derivatives of the log-likelihood of a mixture of experts, and the products of its scores:
// what standard errors are made of.
//
//     theta = (a_i, b_i for every expert | W_j, c_j for every gate j < k - 1 | log s_i)
//
// Experts and gates may use different columns of u = (x, 1); a column that is not used has no parameter.
#pragma once

#include <vector>

#include "moefast/em.hpp"

namespace moefast {

// Numbers of columns of u, 0 .. d, the constant being d; each at most once.
struct UsedColumns {
  std::vector<index_t> experts, gates;
  void check(index_t dim) const;  // throws std::invalid_argument
};

// The number P of parameters: k |experts| + (k - 1) |gates| + k, the last one 1 with shared noise.
index_t n_parameters(index_t k, const UsedColumns& columns, bool shared_noise);

struct Information {
  std::vector<double> score;           // P: sum_n w s_n, s_n = d log P(y_n | x_n) / d theta
  std::vector<double> hessian;         // P x P: sum_n w d^2 log P(y_n | x_n) / d theta^2
  std::vector<double> score_products;  // P x P: sum_n w s_n s_n'
};

// What is differentiated: the log-likelihood without ridges. Of `settings` only link, shared_noise and
// n_threads are read; the result does not depend on the last. `curvature`, n x k, is g'' at a_i.x + b_i; null
// means 0.
Information information(const EmData& data, const MixtureParameters& parameters, const EmSettings& settings,
                        const UsedColumns& columns, const double* curvature, const Poll& poll);

// The scores s_n, without their weights, n x P.
std::vector<double> row_scores(const EmData& data, const MixtureParameters& parameters,
                               const EmSettings& settings, const UsedColumns& columns, const Poll& poll);

}  // namespace moefast
