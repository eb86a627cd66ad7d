// What is taken off the log-likelihood for the coefficients of experts, intercepts aside:
//
//     sum_i (alpha/2 ||a_i||^2 + alpha_mean/2 ||a_i - c||^2 + alpha_l1 ||a_i||_1) / s_i^2
//     c = sum_i pi_i a_i / sum_i pi_i,   pi_i = 1 / s_i^2
//
// No other c makes it less. For first derivatives c may then be taken as given: its own move says nothing.
// Coefficients that all experts have in common are at their mean.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "em/information_layout.hpp"
#include "moefast/em.hpp"

namespace moefast {

// s_i^2 times the derivative of the smooth part, k q x expert_dim: alpha a_i + alpha_mean (a_i - c), 0 for
// intercepts.
void ridge_pull(const MixtureParameters& p, const EmSettings& settings, std::vector<double>& out);

// 2 s_i^2 times what is taken off for each expert, k: what stands beside the squares of its residuals.
void penalty_squares(const MixtureParameters& p, const EmSettings& settings, std::vector<double>& out);

// Adds the second derivative of the smooth part to that by theta, see information.hpp. A mean that follows
// takes from that at a given c what the move of c saves.
void add_ridge(const MixtureParameters& p, const EmSettings& settings, const ThetaLayout& layout,
               Eigen::MatrixXd& hessian);

}  // namespace moefast
