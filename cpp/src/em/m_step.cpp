#include "em/m_step.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <utility>

#include "em/coordinate_descent.hpp"
#include "em/counts.hpp"
#include "em/dispersion.hpp"
#include "em/expert_ridge.hpp"
#include "matrices.hpp"

namespace moefast {
namespace {

// Shapes this near to a bound are at it, relatively: a logarithm and back leave them a rounding beside it.
constexpr double kShapeAtBound = 1e-12;

double sum_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

// The slope of the objective at a coefficient, beside the lasso: at 0 what is steeper than the lasso.
double beside_lasso(double slope, double coefficient, double lasso) {
  if (coefficient != 0) return slope - std::copysign(lasso, coefficient);
  return std::copysign(std::max(0.0, std::abs(slope) - lasso), slope);
}

}  // namespace

MStep::MStep(const EmData& data, double weight, const EmSettings& settings, const Poll& poll)
    : data_(data),
      settings_(settings),
      poll_(poll),
      weight_(weight),
      metric_(data, settings),
      covariance_(settings) {}

double MStep::objective(const MixtureParameters& p, const EmStatistics& stats) const {
  double value = stats.log_likelihood;
  const Eigen::Map<const RowMatrix> gates(p.gates.data(), p.k, p.gate_dim);
  if (settings_.gate_alpha > 0) {
    const auto slopes = gates.leftCols(p.gate_dim - 1);
    value -= 0.5 * settings_.gate_alpha * (slopes.rowwise() - slopes.colwise().mean()).squaredNorm();
  }
  if (p.several_responses()) {
    if (settings_.alpha > 0 && !data_.frozen()) value -= 0.5 * covariance_.penalty(p);
    return value;
  }
  std::vector<double> penalties;
  if (!data_.frozen()) penalty_squares(p, settings_, penalties);
  for (index_t i = 0; i < static_cast<index_t>(penalties.size()); ++i)
    value -= 0.5 * penalties[i] / p.variance[i];
  return value;
}

// The system of expert i without its ridge; returns its trace.
double MStep::fill(const EmStatistics& stats, index_t i, index_t m) {
  const index_t dim = data_.expert_dim();
  const index_t columns = static_cast<index_t>(stats.products.size()) / (dim * (dim + 1) / 2);
  const double* packed = stats.products.data() + i;  // rows: pairs a <= b by b
  Eigen::MatrixXd& matrix = expert_.matrix(m);
  double trace = 0;
  for (index_t b = 0; b < m; ++b) {
    if (poll_ && m > kPolled) poll_();
    for (index_t a = 0; a <= b; ++a, packed += columns) matrix(b, a) = *packed;
    trace += matrix(b, b);
  }
  return trace;
}

void MStep::update_experts(MixtureParameters& p, const EmStatistics& stats, double damping) {
  squares_ = stats.squares;
  if (!data_.frozen()) {
    ridge_pull(p, settings_, pull_);
    if (settings_.link) add_penalties(p);  // of the experts that the squares are of
    if (!settings_.common_columns.empty() || settings_.alpha_mean > 0) {
      move_together(p, stats, damping);
    } else if (p.n_predictors > 1 || p.several_responses()) {
      move_predictors(p, stats);
    } else {
      move_each(p, stats, damping);
    }
    if (!settings_.link && !p.several_responses()) add_penalties(p);
  }
  if (settings_.fits_scale() && p.several_responses()) {
    covariance_.update(p, squares_, stats.totals, kSmallestShare * weight_);
  } else if (settings_.fits_scale()) {
    update_noise(p, settings_, squares_, stats.totals, weight_);
  }
  if (settings_.fits_shape()) update_shape(p, settings_, stats, weight_);
}

void MStep::move_each(MixtureParameters& p, const EmStatistics& stats, double damping) {
  const index_t d = p.expert_dim - 1, m = d + (settings_.fit_intercept ? 1 : 0);
  for (index_t i = 0; i < p.k; ++i) {
    if (stats.totals[i] <= kSmallestShare * weight_) continue;
    const double trace = fill(stats, i, m);
    Eigen::MatrixXd& matrix = expert_.matrix(m);
    matrix.diagonal().head(d).array() += settings_.alpha;
    if (settings_.link && m > 0) matrix.diagonal().array() += damping * trace / static_cast<double>(m);
    target_ = Eigen::Map<const Eigen::VectorXd>(&stats.residuals[i * p.expert_dim], m) -
              Eigen::Map<const Eigen::VectorXd>(&pull_[i * p.expert_dim], m);
    if (settings_.alpha_l1 > 0) {
      const Eigen::MatrixXd G = matrix.selfadjointView<Eigen::Lower>();
      const Eigen::Map<const Eigen::VectorXd> a(&p.experts[i * p.expert_dim], m);
      delta_ = lasso_step(G, target_, a, d, settings_.alpha_l1, poll_);
      move(p, stats, i, delta_.dot(times_vector(G, delta_)) - settings_.alpha * delta_.head(d).squaredNorm());
      continue;
    }
    expert_.factor(poll_);
    delta_ = target_;
    expert_.solve(delta_, poll_);
    // delta' G delta, whether or not the system has full rank
    move(p, stats, i, delta_.dot(target_) - settings_.alpha * delta_.head(d).squaredNorm());
  }
}

// Experts of several predictors: one system for all of an expert's, then across them the inverse of the fixed
// matrix that their second derivatives have in common; none where they are those of several responses.
void MStep::move_predictors(MixtureParameters& p, const EmStatistics& stats) {
  const index_t d = p.expert_dim - 1, m = d + (settings_.fit_intercept ? 1 : 0), q = p.n_predictors;
  RowMatrix steps(m, q);
  for (index_t i = 0; i < p.k; ++i) {
    if (stats.totals[i] <= kSmallestShare * weight_) continue;
    fill(stats, i, m);
    expert_.matrix(m).diagonal().head(d).array() += settings_.alpha;
    expert_.factor(poll_);
    for (index_t a = 0; a < q; ++a) {
      const index_t row = (i * q + a) * p.expert_dim;
      delta_ = Eigen::Map<const Eigen::VectorXd>(&stats.residuals[row], m) -
               Eigen::Map<const Eigen::VectorXd>(&pull_[row], m);
      expert_.solve(delta_, poll_);
      steps.col(a) = delta_;
    }
    if (p.several_responses()) move_squares(stats, i, steps);
    add_steps(p, i, steps);
  }
}

// Adds to the predictors of an expert their steps, m x q.
void MStep::add_steps(MixtureParameters& p, index_t i, RowMatrix& steps) const {
  const index_t q = p.n_predictors;
  for (index_t j = 0; j < steps.rows(); ++j) {
    settings_.family->precondition(&steps(j, 0));
    for (index_t a = 0; a < q; ++a) p.experts[(i * q + a) * p.expert_dim + j] += steps(j, a);
  }
}

// The squares after the steps D of expert i, m x q, S - D'T - T'D + D'G D with the slopes T and the Gram
// matrix G; (G + alpha) D = T - alpha A'.
void MStep::move_squares(const EmStatistics& stats, index_t i, const RowMatrix& steps) {
  const index_t dim = data_.expert_dim(), m = steps.rows(), q = steps.cols(), pairs = q * (q + 1) / 2;
  const index_t columns = static_cast<index_t>(stats.products.size()) / (dim * (dim + 1) / 2);
  const double* packed = stats.products.data() + i;
  Eigen::MatrixXd G(m, m);
  for (index_t b = 0; b < m; ++b)
    for (index_t a = 0; a <= b; ++a, packed += columns) G(a, b) = G(b, a) = *packed;
  const Eigen::Map<const RowMatrix> slopes(&stats.residuals[i * q * dim], q, dim);
  const Eigen::MatrixXd cross = product(slopes.leftCols(m), steps);
  const Eigen::MatrixXd change = product(product(steps.transpose(), G), steps) - cross - cross.transpose();
  double* square = squares_.data() + i * pairs;
  for (index_t b = 0; b < q; ++b)
    for (index_t a = 0; a <= b; ++a) *square++ += change(a, b);
}

// Adds delta_ to the expert; `quadratic` is delta' G delta. Without a link the squares become those after the
// step.
void MStep::move(MixtureParameters& p, const EmStatistics& stats, index_t i, double quadratic) {
  const index_t m = delta_.size();
  Eigen::Map<Eigen::VectorXd>(&p.experts[i * p.expert_dim], m) += delta_;
  if (settings_.link) return;
  const Eigen::Map<const Eigen::VectorXd> slope(&stats.residuals[i * p.expert_dim], m);
  const double change = quadratic - 2 * delta_.dot(slope);
  squares_[i] = std::max(0.0, squares_[i] + change);
}

void MStep::add_penalties(const MixtureParameters& p) {
  penalty_squares(p, settings_, penalties_);
  for (index_t i = 0; i < p.k; ++i) squares_[i] += penalties_[i];
}

bool MStep::is_common(index_t column) const {
  const auto& common = settings_.common_columns;
  return std::binary_search(common.begin(), common.end(), column);
}

// The systems of all experts, each over its s_i^2, solved together. What all do together, z, is the step of
// the columns that they have in common, and with a ridge towards the mean that of the mean of each other
// slope, which this ridge does not feel; beside it each expert takes a step of its own. With G_i that has the
// ridge towards zero, O_i its own columns with that towards the mean, C_i and X_i those of z and own times z,
// own steps are eliminated, which leaves
//
//     sum_i (C_i - X_i' O_i^-1 X_i) / s_i^2  z  =  sum_i (t_z - X_i' O_i^-1 t_o) / s_i^2
//
// with the ridge towards the mean in t_o, but not in t_z, where its sum is 0.
void MStep::move_together(MixtureParameters& p, const EmStatistics& stats, double damping) {
  const index_t d = p.expert_dim - 1, m = d + (settings_.fit_intercept ? 1 : 0), q = p.n_predictors;
  std::vector<Eigen::Index> own, together;
  for (index_t j = 0; j < m; ++j) {
    if (!is_common(j)) own.push_back(j);
    if (is_common(j) || (settings_.alpha_mean > 0 && j < d)) together.push_back(j);
  }
  const index_t n_own = static_cast<index_t>(own.size()), n = static_cast<index_t>(together.size());
  Eigen::MatrixXd sum = Eigen::MatrixXd::Zero(n, n);
  std::vector<Eigen::MatrixXd> systems, weights;  // G_i, O_i^-1 X_i
  std::vector<SemidefiniteSystem> of_own(static_cast<std::size_t>(p.k));
  for (index_t i = 0; i < p.k; ++i) {
    const double trace = fill(stats, i, m);
    Eigen::MatrixXd G = expert_.matrix(m).selfadjointView<Eigen::Lower>();
    G.diagonal().head(d).array() += settings_.alpha;
    if (settings_.link && m > 0) G.diagonal().array() += damping * trace / static_cast<double>(m);
    SemidefiniteSystem& system = of_own[static_cast<std::size_t>(i)];
    Eigen::MatrixXd& matrix = system.matrix(n_own);
    matrix = G(own, own);
    for (index_t j = 0; j < n_own; ++j)
      if (own[static_cast<std::size_t>(j)] < d) matrix(j, j) += settings_.alpha_mean;
    system.factor(poll_);
    Eigen::MatrixXd weight = G(own, together);
    for (index_t j = 0; j < n; ++j) system.solve(weight.col(j), poll_);
    sum += (G(together, together) - product(G(together, own), weight)) / p.variance[i];
    systems.push_back(std::move(G)), weights.push_back(std::move(weight));
  }
  common_.matrix(n) = sum;
  common_.factor(poll_);
  std::vector<RowMatrix> steps(static_cast<std::size_t>(p.k), RowMatrix(m, q));
  for (index_t a = 0; a < q; ++a) {
    Eigen::VectorXd right = Eigen::VectorXd::Zero(n);
    std::vector<Eigen::VectorXd> alone;  // O_i^-1 t_o
    for (index_t i = 0; i < p.k; ++i) {
      const index_t row = (i * q + a) * p.expert_dim;
      const Eigen::VectorXd target = Eigen::Map<const Eigen::VectorXd>(&stats.residuals[row], m) -
                                     Eigen::Map<const Eigen::VectorXd>(&pull_[row], m);
      Eigen::VectorXd step = target(own);
      of_own[static_cast<std::size_t>(i)].solve(step, poll_);
      right +=
          (Eigen::VectorXd(target(together)) - times_vector(systems[i](together, own), step)) / p.variance[i];
      alone.push_back(std::move(step));
    }
    common_.solve(right, poll_);
    for (index_t i = 0; i < p.k; ++i) {
      delta_ = Eigen::VectorXd::Zero(m);
      delta_(own) = alone[i] - times_vector(weights[i], right);
      delta_(together) += right;
      steps[i].col(a) = delta_;
    }
  }
  for (index_t i = 0; i < p.k; ++i) {
    if (q > 1) {
      add_steps(p, i, steps[i]);
      continue;
    }
    delta_ = steps[i].col(0);
    move(p, stats, i,
         delta_.dot(times_vector(systems[i], delta_)) - settings_.alpha * delta_.head(d).squaredNorm());
  }
}

void MStep::gate_direction(const MixtureParameters& p, const EmStatistics& stats,
                           std::vector<double>& direction) {
  direction.assign(p.gates.size(), 0.0);
  if (p.k < 2) return;
  const index_t free = p.k - 1, dim = p.gate_dim, m = dim - 1 + (settings_.fit_gate_intercept ? 1 : 0);
  if (m == 0) return;
  if (data_.constant_gates()) {
    const std::vector<double>& totals = data_.grouped() ? stats.group_totals : stats.totals;
    const double least = kSmallestShare * (data_.grouped() ? sum_of(totals) : weight_);
    const auto log_share = [&](index_t i) { return std::log(std::max(totals[i], least)); };
    for (index_t i = 0; i < free; ++i) direction[i] = log_share(i) - log_share(free) - p.gates[i];
    return;
  }
  gate_step_.resize(free * m);
  for (index_t j = 0; j < m; ++j) {
    const double ridge = j + 1 < dim ? settings_.gate_alpha : 0;  // intercepts are free
    double mean = 0;
    for (index_t i = 0; i < p.k; ++i) mean += p.gates[i * dim + j];
    mean /= static_cast<double>(p.k);
    for (index_t i = 0; i < free; ++i) {
      gate_step_[i * m + j] = stats.gate_slope[i * dim + j] - ridge * (p.gates[i * dim + j] - mean);
    }
  }
  metric_.update(p, stats, poll_);
  metric_.solve(gate_step_, poll_);
  for (index_t i = 0; i < free; ++i) {
    std::copy_n(gate_step_.data() + i * m, m, direction.begin() + i * dim);
  }
}

double MStep::gradient(const MixtureParameters& p, const EmStatistics& stats) const {
  double largest = 0, noise = 0, of_shapes = 0;
  const auto see = [&](double value) {
    if (!std::isnan(largest) && !(std::abs(value) <= largest)) largest = std::abs(value);  // NaN stays
  };
  std::vector<double> pull, penalties;
  ridge_pull(p, settings_, pull);
  penalty_squares(p, settings_, penalties);
  const Eigen::Map<const RowMatrix> gates(p.gates.data(), p.k, p.gate_dim);
  const Eigen::RowVectorXd mean = gates.colwise().mean();
  const index_t gate_d = p.gate_dim - 1;
  const index_t of_gate = gate_d + (settings_.fit_gate_intercept ? 1 : 0),
                of_expert = data_.frozen() ? 0 : p.expert_dim - (settings_.fit_intercept ? 0 : 1);
  const bool own_noise = p.n_predictors == 1 && !p.several_responses();
  if (p.several_responses() && !data_.frozen()) see_responses(p, stats, see);
  for (index_t row = 0; row < p.k * p.n_predictors && !own_noise && !p.several_responses(); ++row) {
    for (index_t j = 0; j < of_expert; ++j) {
      const index_t at = row * p.expert_dim + j;
      see(stats.residuals[at] - pull[at]);
    }
  }
  for (const index_t j : data_.frozen() ? std::vector<index_t>() : settings_.common_columns) {
    double slope = 0, precision = 0;
    for (index_t i = 0; i < p.k; ++i) {
      const index_t at = i * p.expert_dim + j;
      slope += (stats.residuals[at] - pull[at]) / p.variance[i];
      precision += 1 / p.variance[i];
    }
    if (j < of_expert) see(slope / std::sqrt(precision));
  }
  for (index_t i = 0; i < p.k; ++i) {
    const double s = std::sqrt(p.variance[i]);
    for (index_t j = 0; j < of_expert && own_noise; ++j) {
      const index_t at = i * p.expert_dim + j;
      const double l1 = j + 1 < p.expert_dim ? settings_.alpha_l1 : 0;
      if (!is_common(j)) see(beside_lasso(stats.residuals[at] - pull[at], p.experts[at], l1) / s);
    }
    for (index_t j = 0; j < of_gate; ++j) {
      const double ridge = j < gate_d ? settings_.gate_alpha : 0;
      see(stats.gate_slope[i * p.gate_dim + j] - ridge * (gates(i, j) - mean[j]));
    }
    if (settings_.fits_shape()) {
      of_shapes += stats.shape_slopes[i];
      const double up = settings_.shared_noise ? of_shapes : stats.shape_slopes[i];
      const bool held = up > 0 ? p.shape[i] >= (1 - kShapeAtBound) * settings_.family->largest_shape()
                               : p.shape[i] <= (1 + kShapeAtBound) * settings_.family->least_shape();
      if (!held && !(settings_.shared_noise && i + 1 < p.k)) see(up);
    }
    if (p.several_responses()) continue;
    const double squares = stats.squares[i] + (data_.frozen() ? 0 : penalties[i]),
                 own = squares / p.variance[i] - stats.totals[i];
    noise += own;
    if (settings_.shared_noise && i + 1 < p.k) continue;
    const double up = settings_.shared_noise ? noise : own;
    if (settings_.fits_scale() && (up > 0 || p.variance[i] > settings_.variance_floor)) see(up);
  }
  return largest / weight_;
}

// Of experts with several responses: A in units of L, and the covariances that are not at their floor.
template <class See>
void MStep::see_responses(const MixtureParameters& p, const EmStatistics& stats, const See& see) const {
  const index_t q = p.n_predictors, dim = p.expert_dim, m = dim - (settings_.fit_intercept ? 0 : 1);
  RowMatrix sum = RowMatrix::Zero(q, q);
  for (index_t i = 0; i < p.k; ++i) {
    RowMatrix slopes = Eigen::Map<const RowMatrix>(&stats.residuals[i * q * dim], q, dim);
    const Eigen::Map<const RowMatrix> experts(&p.experts[i * q * dim], q, dim);
    slopes.leftCols(dim - 1) -= settings_.alpha * experts.leftCols(dim - 1);
    slopes = product(covariance_.whitening(p, i), slopes);
    for (index_t a = 0; a < q; ++a)
      for (index_t j = 0; j < m; ++j) see(slopes(a, j));
    if (!settings_.fits_scale()) continue;
    const auto S = covariance_.squares(stats.squares, p, i);
    sum += S;
    if (!settings_.shared_noise && !covariance_.at_floor(p, i))
      see(covariance_.steepest(p, i, S, stats.totals[i]));
  }
  if (settings_.fits_scale() && settings_.shared_noise && !covariance_.at_floor(p, 0))
    see(covariance_.steepest(p, 0, sum, sum_of(stats.totals)));
}

}  // namespace moefast
