// The M-step: what the statistics of a pass say the parameters should be, and how good they are.
//
// With the sums of the E-step (em.hpp), m = d (+ 1):
//
//     experts  delta_i = (sum w r_i u u' + alpha)^-1 (sum w r_i e_i u - alpha a_i)         m x m systems
//     noise    s_i^2 = sum w r_i e_i^2 / sum w r_i after the experts have moved
//     lasso    the same systems by coordinate descent
//     links    the experts' step is a damped Gauss-Newton step, the noise is that of the experts before it
//     families delta_i likewise, with the sums that a family makes: a Newton step, or one of EM; log shape
//     goes
//              its Newton step, of limited length
//     several  responses: delta_i = (sum w r_i u u' + alpha)^-1 (sum w r_i u e_i' - alpha A_i'), for every
//              response with one matrix; the covariances are those of covariance.hpp
//     common   coefficients that all experts share, and a ridge towards the mean of experts: the same systems
//     over s_i^2, solved together
//     gates    (H + ridge)^-1 (sum w (r - p) v - ridge W), H in (k - 1) x (k - 1) blocks of m x m; constant
//              gates have p_i = sum w r_i / sum w
//
// No ridge holds intercepts.
#pragma once

#include <cmath>
#include <vector>

#include "em/covariance.hpp"
#include "em/gate_metric.hpp"
#include "em/solve.hpp"
#include "matrices.hpp"
#include "moefast/em.hpp"

namespace moefast {

class MStep {
 public:
  // Of data, whose rows are not read; `weight` is the sum of theirs. All but it have to outlive it.
  MStep(const EmData& data, double weight, const EmSettings& settings, const Poll& poll);

  // The log-likelihood less the ridges: what EM climbs.
  double objective(const MixtureParameters& p, const EmStatistics& stats) const;

  // Weighted least squares for every expert, then the noise. Written in residuals (delta = G^-1 sum r e u),
  // so that near the end nothing cancels. With a link, G is linearised and `damping` holds the step back;
  // what it does to the squares is not known before the next pass, so the noise follows the experts by one
  // step.
  void update_experts(MixtureParameters& p, const EmStatistics& stats, double damping = 0);

  // Where the gates go, k x gate_dim, last row 0: their Newton direction (H + ridge)^-1 (slope - ridge
  // gates), or for constant gates all the way to their maximum.
  void gate_direction(const MixtureParameters& p, const EmStatistics& stats, std::vector<double>& direction);

  GateMetric& metric() { return metric_; }
  const GateMetric& metric() const { return metric_; }
  const ResponseCovariance& covariance() const { return covariance_; }

  // Largest component of the gradient of the mean objective by the free parameters, experts in units of their
  // noise (a_i / s_i), noise as log s_i. At the floor only a gradient that points upwards counts.
  double gradient(const MixtureParameters& p, const EmStatistics& stats) const;

  // sum_n w
  double weight() const { return weight_; }
  // What is left of a fall of the objective when steps go to 0.
  double rounding(double objective) const { return 1e-13 * (std::abs(objective) + weight_); }

 private:
  double fill(const EmStatistics& stats, index_t i, index_t m);
  // Adds delta to the experts, one by one or together; `squares_` follows. `pull_`: see expert_ridge.hpp.
  void move_each(MixtureParameters& p, const EmStatistics& stats, double damping);
  void move_predictors(MixtureParameters& p, const EmStatistics& stats);
  void move_squares(const EmStatistics& stats, index_t i, const RowMatrix& steps);
  void move_together(MixtureParameters& p, const EmStatistics& stats, double damping);
  void add_steps(MixtureParameters& p, index_t i, RowMatrix& steps) const;
  void move(MixtureParameters& p, const EmStatistics& stats, index_t i, double quadratic);
  void add_penalties(const MixtureParameters& p);  // to `squares_`
  bool is_common(index_t column) const;
  template <class See>
  void see_responses(const MixtureParameters& p, const EmStatistics& stats, const See& see) const;

  const EmData& data_;
  const EmSettings& settings_;
  const Poll& poll_;
  const double weight_;
  GateMetric metric_;
  ResponseCovariance covariance_;
  // Room for the systems, one after another.
  SemidefiniteSystem expert_, common_;
  Eigen::VectorXd target_, delta_, gate_step_;
  std::vector<double> squares_, pull_, penalties_;
};

}  // namespace moefast
