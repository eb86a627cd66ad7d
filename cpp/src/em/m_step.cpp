#include "em/m_step.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <utility>

namespace moefast {
namespace {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// An expert with less than this share of the weight keeps its regression: there is nothing to fit it to.
constexpr double kSmallestShare = 1e-12;

// Shapes this near to a bound are at it, relatively: a logarithm and back leave them a rounding beside it.
constexpr double kAtBound = 1e-12;

// Of the logarithm of a shape.
constexpr double kLongestShapeStep = 1;

// Systems of this size poll while they are filled.
constexpr index_t kPolled = 128;

double sum_of(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value;
  return sum;
}

}  // namespace

MStep::MStep(const EmData& data, const EmSettings& settings, const Poll& poll)
    : data_(data), settings_(settings), poll_(poll), metric_(data, settings) {
  for (index_t i = 0; i < data.n; ++i) weight_ += data.w[i];
}

double MStep::objective(const MixtureParameters& p, const EmStatistics& stats) const {
  double value = stats.log_likelihood;
  const Eigen::Map<const RowMatrix> gates(p.gates.data(), p.k, p.gate_dim),
      experts(p.experts.data(), p.k * p.n_predictors, p.expert_dim);
  if (settings_.gate_alpha > 0) {
    const auto slopes = gates.leftCols(p.gate_dim - 1);
    value -= 0.5 * settings_.gate_alpha * (slopes.rowwise() - slopes.colwise().mean()).squaredNorm();
  }
  if (settings_.alpha > 0 && !data_.frozen()) {
    for (index_t i = 0; i < experts.rows(); ++i) {
      const double variance = p.variance[i / p.n_predictors];
      value -= 0.5 * settings_.alpha * experts.row(i).head(p.expert_dim - 1).squaredNorm() / variance;
    }
  }
  return value;
}

// The system of expert i, with its ridge; returns the trace of the Gram matrix without it.
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
    if (b + 1 < dim) matrix(b, b) += settings_.alpha;
  }
  return trace;
}

void MStep::update_experts(MixtureParameters& p, const EmStatistics& stats, double damping) {
  squares_ = stats.squares;
  if (!data_.frozen()) {
    if (p.n_predictors > 1) {
      move_predictors(p, stats);
    } else if (settings_.common_columns.empty()) {
      move_each(p, stats, damping);
    } else {
      move_together(p, stats);
    }
  }
  if (settings_.fits_scale()) update_noise(p, squares_, stats.totals);
  if (settings_.fits_shape()) update_shape(p, stats);
}

void MStep::move_each(MixtureParameters& p, const EmStatistics& stats, double damping) {
  const index_t d = p.expert_dim - 1, m = d + (settings_.fit_intercept ? 1 : 0);
  for (index_t i = 0; i < p.k; ++i) {
    if (stats.totals[i] <= kSmallestShare * weight_) continue;
    Eigen::Map<Eigen::VectorXd> a(&p.experts[i * p.expert_dim], m);
    const double trace = fill(stats, i, m);
    target_ = Eigen::Map<const Eigen::VectorXd>(&stats.residuals[i * p.expert_dim], m);
    target_.head(d) -= settings_.alpha * a.head(d);
    if (settings_.link) {
      squares_[i] += settings_.alpha * a.head(d).squaredNorm();
      if (m > 0) expert_.matrix(m).diagonal().array() += damping * trace / static_cast<double>(m);
    }
    expert_.factor(poll_);
    delta_ = target_;
    expert_.solve(delta_, poll_);
    if (settings_.link) {
      a += delta_;
    } else {
      move(p, stats, i, delta_.dot(target_));  // whether or not the system has full rank
    }
  }
}

// Experts of several predictors: one system for all of an expert's, then across them the inverse of the fixed
// matrix that their second derivatives have in common.
void MStep::move_predictors(MixtureParameters& p, const EmStatistics& stats) {
  const index_t d = p.expert_dim - 1, m = d + (settings_.fit_intercept ? 1 : 0), q = p.n_predictors;
  RowMatrix steps(m, q);
  for (index_t i = 0; i < p.k; ++i) {
    if (stats.totals[i] <= kSmallestShare * weight_) continue;
    fill(stats, i, m);
    expert_.factor(poll_);
    for (index_t a = 0; a < q; ++a) {
      const index_t row = (i * q + a) * p.expert_dim;
      delta_ = Eigen::Map<const Eigen::VectorXd>(&stats.residuals[row], m);
      delta_.head(d) -= settings_.alpha * Eigen::Map<const Eigen::VectorXd>(&p.experts[row], d);
      expert_.solve(delta_, poll_);
      steps.col(a) = delta_;
    }
    for (index_t j = 0; j < m; ++j) {
      settings_.family->precondition(&steps(j, 0));
      for (index_t a = 0; a < q; ++a) p.experts[(i * q + a) * p.expert_dim + j] += steps(j, a);
    }
  }
}

// Adds delta_ to the expert; `quadratic` is delta' (G + alpha) delta. The squares become those after the
// step.
void MStep::move(MixtureParameters& p, const EmStatistics& stats, index_t i, double quadratic) {
  const index_t d = p.expert_dim - 1, m = delta_.size();
  Eigen::Map<Eigen::VectorXd> a(&p.experts[i * p.expert_dim], m);
  const Eigen::Map<const Eigen::VectorXd> slope(&stats.residuals[i * p.expert_dim], m);
  a += delta_;
  const double change = quadratic - settings_.alpha * delta_.head(d).squaredNorm() - 2 * delta_.dot(slope);
  squares_[i] = std::max(0.0, squares_[i] + change) + settings_.alpha * a.head(d).squaredNorm();
}

bool MStep::is_common(index_t column) const {
  const auto& common = settings_.common_columns;
  return std::binary_search(common.begin(), common.end(), column);
}

// The systems of all experts, each over its s_i^2, with the common part of delta the same in all: own parts
// are eliminated (O: own columns, X: own times common), which leaves
//
//     sum_i (C_i - X_i' O_i^-1 X_i) / s_i^2  delta_c  =  sum_i (t_c - X_i' O_i^-1 t_o) / s_i^2
void MStep::move_together(MixtureParameters& p, const EmStatistics& stats) {
  const index_t d = p.expert_dim - 1, m = d + (settings_.fit_intercept ? 1 : 0);
  std::vector<Eigen::Index> own, common;
  for (index_t j = 0; j < m; ++j) (is_common(j) ? common : own).push_back(j);
  const index_t n_own = static_cast<index_t>(own.size()), n_common = static_cast<index_t>(common.size());
  Eigen::MatrixXd sum = Eigen::MatrixXd::Zero(n_common, n_common);
  Eigen::VectorXd right = Eigen::VectorXd::Zero(n_common);
  std::vector<Eigen::MatrixXd> systems, weights;  // G_i + alpha, O_i^-1 X_i
  std::vector<Eigen::VectorXd> steps;             // O_i^-1 t_o
  for (index_t i = 0; i < p.k; ++i) {
    const Eigen::Map<const Eigen::VectorXd> a(&p.experts[i * p.expert_dim], m);
    fill(stats, i, m);
    const Eigen::MatrixXd G = expert_.matrix(m).selfadjointView<Eigen::Lower>();
    Eigen::VectorXd target = Eigen::Map<const Eigen::VectorXd>(&stats.residuals[i * p.expert_dim], m);
    target.head(d) -= settings_.alpha * a.head(d);
    Eigen::MatrixXd weight = G(own, common);
    Eigen::VectorXd step = target(own);
    own_.matrix(n_own) = G(own, own);
    own_.factor(poll_);
    own_.solve(step, poll_);
    for (index_t j = 0; j < n_common; ++j) own_.solve(weight.col(j), poll_);
    sum += (G(common, common) - G(common, own) * weight) / p.variance[i];
    right += (Eigen::VectorXd(target(common)) - G(common, own) * step) / p.variance[i];
    systems.push_back(G), weights.push_back(std::move(weight)), steps.push_back(std::move(step));
  }
  common_.matrix(n_common) = sum;
  common_.factor(poll_);
  common_.solve(right, poll_);
  for (index_t i = 0; i < p.k; ++i) {
    delta_.resize(m);
    delta_(common) = right;
    delta_(own) = steps[i] - weights[i] * right;
    move(p, stats, i, delta_.dot(systems[i] * delta_));
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
  const Eigen::Map<const RowMatrix> gates(p.gates.data(), p.k, p.gate_dim);
  const Eigen::RowVectorXd mean = gates.colwise().mean();
  const index_t expert_d = p.expert_dim - 1, gate_d = p.gate_dim - 1;
  const index_t of_gate = gate_d + (settings_.fit_gate_intercept ? 1 : 0),
                of_expert = data_.frozen() ? 0 : expert_d + (settings_.fit_intercept ? 1 : 0);
  for (index_t row = 0; row < p.k * p.n_predictors && p.n_predictors > 1; ++row) {
    for (index_t j = 0; j < of_expert; ++j) {
      const index_t at = row * p.expert_dim + j;
      see(stats.residuals[at] - (j < expert_d ? settings_.alpha : 0) * p.experts[at]);
    }
  }
  for (const index_t j : data_.frozen() ? std::vector<index_t>() : settings_.common_columns) {
    double slope = 0, precision = 0;
    for (index_t i = 0; i < p.k; ++i) {
      const double a = p.experts[i * p.expert_dim + j], ridge = j < expert_d ? settings_.alpha : 0;
      slope += (stats.residuals[i * p.expert_dim + j] - ridge * a) / p.variance[i];
      precision += 1 / p.variance[i];
    }
    if (j < of_expert) see(slope / std::sqrt(precision));
  }
  for (index_t i = 0; i < p.k; ++i) {
    const double s = std::sqrt(p.variance[i]);
    double squares = stats.squares[i];
    for (index_t j = 0; j < of_expert && p.n_predictors == 1; ++j) {
      const double a = p.experts[i * p.expert_dim + j], ridge = j < expert_d ? settings_.alpha : 0;
      if (!is_common(j)) see((stats.residuals[i * p.expert_dim + j] - ridge * a) / s);
      squares += ridge * a * a;
    }
    for (index_t j = 0; j < of_gate; ++j) {
      const double ridge = j < gate_d ? settings_.gate_alpha : 0;
      see(stats.gate_slope[i * p.gate_dim + j] - ridge * (gates(i, j) - mean[j]));
    }
    if (settings_.fits_shape()) {
      of_shapes += stats.shape_slopes[i];
      const double up = settings_.shared_noise ? of_shapes : stats.shape_slopes[i];
      const bool held = up > 0 ? p.shape[i] >= (1 - kAtBound) * settings_.family->largest_shape()
                               : p.shape[i] <= (1 + kAtBound) * settings_.family->least_shape();
      if (!held && !(settings_.shared_noise && i + 1 < p.k)) see(up);
    }
    const double own = squares / p.variance[i] - stats.totals[i];
    noise += own;
    if (settings_.shared_noise && i + 1 < p.k) continue;
    const double up = settings_.shared_noise ? noise : own;
    if (settings_.fits_scale() && (up > 0 || p.variance[i] > settings_.variance_floor)) see(up);
  }
  return largest / weight_;
}

void MStep::update_noise(MixtureParameters& p, const std::vector<double>& squares,
                         const std::vector<double>& totals) const {
  if (settings_.shared_noise) {
    const double common = std::max(settings_.variance_floor, sum_of(squares) / weight_);
    std::fill(p.variance.begin(), p.variance.end(), common);
    return;
  }
  for (index_t i = 0; i < p.k; ++i) {
    if (totals[i] > kSmallestShare * weight_) {
      p.variance[i] = std::max(settings_.variance_floor, squares[i] / totals[i]);
    }
  }
}

// A Newton step in log shape where the log-likelihood is concave there, else up or down by the step's limit.
void MStep::update_shape(MixtureParameters& p, const EmStatistics& stats) const {
  const auto moved = [this](double shape, double slope, double curvature) {
    if (slope == 0 || !std::isfinite(slope)) return shape;
    const double up = curvature < 0 ? -slope / curvature : std::copysign(kLongestShapeStep, slope);
    const double step = std::clamp(up, -kLongestShapeStep, kLongestShapeStep);
    return std::clamp(shape * std::exp(step), settings_.family->least_shape(),
                      settings_.family->largest_shape());
  };
  if (settings_.shared_noise) {
    double slope = 0, curvature = 0;
    for (index_t i = 0; i < p.k; ++i) slope += stats.shape_slopes[i], curvature += stats.shape_curvatures[i];
    std::fill(p.shape.begin(), p.shape.end(), moved(p.shape[0], slope, curvature));
    return;
  }
  for (index_t i = 0; i < p.k; ++i) {
    if (stats.totals[i] > kSmallestShare * weight_)
      p.shape[i] = moved(p.shape[i], stats.shape_slopes[i], stats.shape_curvatures[i]);
  }
}

}  // namespace moefast
