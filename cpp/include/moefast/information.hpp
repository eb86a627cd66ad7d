// The exact second derivatives of the log-likelihood of a mixture of experts, and the products of its scores:
// what standard errors are made of.
//
//     theta = (a_i, b_i for every expert | W_j, c_j for every gate j < k - 1 | log s_i | log shape_i)
//
// over the columns that experts and gates see. There is no b_i without fit_intercept, no c_j without
// fit_gate_intercept, and one log s and one log shape with shared_noise. There is no log s, or log shape,
// where the family has none or it is not fitted (EmSettings::fits_scale, fits_shape). Of several responses
// the numbers of em/covariance.hpp stand in the place of log s_i, and A_i, b_i of each response in that of
// a_i, b_i.
#pragma once

#include <vector>

#include "moefast/em.hpp"

namespace moefast {

// The length P of theta.
index_t n_parameters(const MixtureParameters& parameters, const EmSettings& settings);

struct Information {
  std::vector<double> score;           // P: sum_n w s_n, s_n = d log P(y_n | x_n) / d theta
  std::vector<double> hessian;         // P x P: sum_n w d^2 log P(y_n | x_n) / d theta^2
  std::vector<double> score_products;  // P x P: sum_n w s_n s_n'; empty where they are not wanted
};

// What is differentiated: the log-likelihood without ridges, of experts that are not frozen. The result does
// not depend on n_threads.
Information information(const EmData& data, const MixtureParameters& parameters, const EmSettings& settings,
                        const Poll& poll, bool score_products = true);

// The scores s_n, without their weights, n x P.
std::vector<double> row_scores(const EmData& data, const MixtureParameters& parameters,
                               const EmSettings& settings, const Poll& poll);

}  // namespace moefast
