#include "em/expert_ridge.hpp"

#include <cmath>

namespace moefast {
namespace {

// Calls see(predictor, column, place of the first expert, c) for the slopes of all predictors; those of other
// experts follow in steps of q x expert_dim.
template <class See>
void for_slopes(const MixtureParameters& p, const EmSettings& settings, const See& see) {
  for (index_t a = 0; a < p.n_predictors; ++a) {
    for (index_t j = 0; j + 1 < p.expert_dim; ++j) {
      double sum = 0, precision = 0;
      const index_t first = a * p.expert_dim + j;
      if (settings.alpha_mean > 0) {
        for (index_t i = 0; i < p.k; ++i) {
          sum += p.experts[size(first + i * p.n_predictors * p.expert_dim)] / p.variance[size(i)];
          precision += 1 / p.variance[size(i)];
        }
      }
      see(a, j, first, precision > 0 ? sum / precision : 0.0);
    }
  }
}

}  // namespace

void ridge_pull(const MixtureParameters& p, const EmSettings& settings, std::vector<double>& out) {
  out.assign(p.experts.size(), 0.0);
  if (settings.alpha == 0 && settings.alpha_mean == 0) return;
  const index_t step = p.n_predictors * p.expert_dim;
  for_slopes(p, settings, [&](index_t, index_t, index_t first, double c) {
    for (index_t i = 0; i < p.k; ++i) {
      const double slope = p.experts[size(first + i * step)];
      out[size(first + i * step)] = settings.alpha * slope + settings.alpha_mean * (slope - c);
    }
  });
}

void penalty_squares(const MixtureParameters& p, const EmSettings& settings, std::vector<double>& out) {
  out.assign(size(p.k), 0.0);
  if (settings.alpha == 0 && settings.alpha_mean == 0 && settings.alpha_l1 == 0) return;
  const index_t step = p.n_predictors * p.expert_dim;
  for_slopes(p, settings, [&](index_t, index_t, index_t first, double c) {
    for (index_t i = 0; i < p.k; ++i) {
      const double slope = p.experts[size(first + i * step)];
      out[size(i)] += settings.alpha * slope * slope + settings.alpha_mean * (slope - c) * (slope - c) +
                      2 * settings.alpha_l1 * std::abs(slope);
    }
  });
}

// By a_ij, c_j and l_i = log s_i, with b = a - c, each slope j of a predictor adds
//
//     a a: (alpha + alpha_mean) pi_i   a l: -2 (alpha a + alpha_mean b) pi_i   l l: 2 (alpha a^2 + alpha_mean
//     b^2) pi_i,   c c: alpha_mean sum_i pi_i   c a: -alpha_mean pi_i   c l: 2 alpha_mean b pi_i
//
// and to eliminate c takes off (c .)(c .)' / (c c).
void add_ridge(const MixtureParameters& p, const EmSettings& settings, const ThetaLayout& layout,
               Eigen::MatrixXd& hessian) {
  const double to_zero = settings.alpha, to_mean = settings.alpha_mean;
  if (to_zero == 0 && to_mean == 0) return;
  const index_t q = p.n_predictors, width = layout.width(kExpert);
  const bool noise = layout.count[kNoise] > 0;
  Eigen::VectorXd of_mean(layout.n_parameters());
  for_slopes(p, settings, [&](index_t predictor, index_t j, index_t first, double c) {
    of_mean.setZero();
    double precision = 0;
    for (index_t i = 0; i < p.k; ++i) {
      const double pi = 1 / p.variance[size(i)], a = p.experts[size(first + i * q * p.expert_dim)], b = a - c;
      const index_t at = layout.parameter(kExpert) + (i * q + predictor) * width + j;
      hessian(at, at) += (to_zero + to_mean) * pi;
      of_mean[at] = -to_mean * pi;
      precision += to_mean * pi;
      if (!noise) continue;
      const index_t l = layout.of_expert(kNoise, i);
      const double mixed = 2 * (to_zero * a + to_mean * b) * pi;
      hessian(at, l) -= mixed;
      hessian(l, at) -= mixed;
      hessian(l, l) += 2 * (to_zero * a * a + to_mean * b * b) * pi;
      of_mean[l] += 2 * to_mean * b * pi;
    }
    if (to_mean > 0) hessian -= of_mean * of_mean.transpose() / precision;
  });
}

}  // namespace moefast
