#include "em/m_step.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>

#include "em/solve.hpp"

namespace moefast {
namespace {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// An expert with less than this share of the weight keeps its regression: there is nothing to fit it to.
constexpr double kSmallestShare = 1e-12;

// Column `column` of the products (rows: pairs a <= b by b) as the leading m x m lower triangle.
Eigen::MatrixXd unpack(const std::vector<double>& products, index_t column, index_t dim, index_t m,
                       const Poll& poll) {
  const index_t columns = static_cast<index_t>(products.size()) / (dim * (dim + 1) / 2);
  const double* packed = products.data() + column;
  Eigen::MatrixXd matrix = Eigen::MatrixXd::Zero(m, m);
  for (index_t b = 0; b < m; ++b) {
    if (poll) poll();
    for (index_t a = 0; a <= b; ++a) matrix(b, a) = packed[(b * (b + 1) / 2 + a) * columns];
  }
  return matrix;
}

}  // namespace

MStep::MStep(const EmData& data, const EmSettings& settings, const Poll& poll)
    : data_(data), settings_(settings), poll_(poll) {
  for (index_t i = 0; i < data.n; ++i) weight_ += data.w[i];
}

double MStep::objective(const MixtureParameters& p, const EmStatistics& stats) const {
  double value = stats.log_likelihood;
  const Eigen::Map<const RowMatrix> gates(p.gates.data(), p.k, p.gate_dim),
      experts(p.experts.data(), p.k, p.expert_dim);
  if (settings_.gate_alpha > 0) {
    const auto slopes = gates.leftCols(p.gate_dim - 1);
    value -= 0.5 * settings_.gate_alpha * (slopes.rowwise() - slopes.colwise().mean()).squaredNorm();
  }
  if (settings_.alpha > 0 && !data_.frozen()) {
    for (index_t i = 0; i < p.k; ++i) {
      value -= 0.5 * settings_.alpha * experts.row(i).head(p.expert_dim - 1).squaredNorm() / p.variance[i];
    }
  }
  return value;
}

void MStep::update_experts(MixtureParameters& p, const EmStatistics& stats, double damping) const {
  const index_t d = p.expert_dim - 1, m = d + (settings_.fit_intercept ? 1 : 0);
  std::vector<double> squares = stats.squares;
  for (index_t i = 0; i < p.k && !data_.frozen(); ++i) {
    if (stats.totals[i] <= kSmallestShare * weight_) continue;
    Eigen::Map<Eigen::VectorXd> a(&p.experts[i * p.expert_dim], m);
    const Eigen::Map<const Eigen::VectorXd> slope(&stats.residuals[i * p.expert_dim], m);
    const Eigen::MatrixXd gram = unpack(stats.products, i, p.expert_dim, m, poll_);
    Eigen::MatrixXd ridged = gram;
    Eigen::VectorXd target = slope;
    ridged.diagonal().head(d).array() += settings_.alpha;
    target.head(d) -= settings_.alpha * a.head(d);
    if (settings_.link) {
      squares[i] += settings_.alpha * a.head(d).squaredNorm();
      if (m > 0) ridged.diagonal().array() += damping * gram.trace() / static_cast<double>(m);
      a += solve_semidefinite(ridged, target, poll_);
      continue;
    }
    const Eigen::VectorXd delta = solve_semidefinite(ridged, target, poll_);
    a += delta;
    const Eigen::VectorXd image = gram.selfadjointView<Eigen::Lower>() * delta;
    squares[i] =
        std::max(0.0, squares[i] + delta.dot(image - 2 * slope)) + settings_.alpha * a.head(d).squaredNorm();
  }
  if (settings_.update_noise) update_noise(p, squares, stats.totals);
}

std::vector<double> MStep::gate_direction(const MixtureParameters& p, const EmStatistics& stats) const {
  std::vector<double> direction(p.gates.size(), 0.0);
  if (p.k < 2) return direction;
  const index_t free = p.k - 1, dim = p.gate_dim, m = dim - 1 + (settings_.fit_gate_intercept ? 1 : 0);
  if (m == 0) return direction;
  if (data_.constant_gates()) {
    const auto log_share = [&](index_t i) {
      return std::log(std::max(stats.totals[i], kSmallestShare * weight_));
    };
    for (index_t i = 0; i < free; ++i) direction[i] = log_share(i) - log_share(free) - p.gates[i];
    return direction;
  }
  const Eigen::Map<const RowMatrix> gates(p.gates.data(), p.k, dim), slope(stats.gate_slope.data(), p.k, dim);
  const Eigen::RowVectorXd mean = gates.colwise().mean();
  Eigen::RowVectorXd ridge = Eigen::RowVectorXd::Constant(dim, settings_.gate_alpha);
  ridge[dim - 1] = 0;  // intercepts are free
  Eigen::MatrixXd hessian = Eigen::MatrixXd::Zero(free * m, free * m);
  Eigen::VectorXd gradient(free * m);
  const bool one_design = data_.one_design();
  const std::vector<double>& products = one_design ? stats.products : stats.gate_products;
  index_t column = one_design ? p.k : 0;
  for (index_t i = 0; i < free; ++i) {
    gradient.segment(i * m, m) =
        (slope.row(i) - (gates.row(i) - mean).cwiseProduct(ridge)).head(m).transpose();
    for (index_t j = i; j < free; ++j, ++column) {
      Eigen::MatrixXd block = unpack(products, column, dim, m, poll_);
      block.triangularView<Eigen::StrictlyUpper>() = block.transpose();
      block.diagonal() += ridge.head(m).transpose() * ((i == j) - 1.0 / static_cast<double>(p.k));
      hessian.block(j * m, i * m, m, m) = block;
    }
  }
  const Eigen::VectorXd step = solve_semidefinite(hessian, gradient, poll_);
  for (index_t i = 0; i < free; ++i) {
    std::copy_n(step.data() + i * m, m, direction.begin() + i * dim);
  }
  return direction;
}

double MStep::gradient(const MixtureParameters& p, const EmStatistics& stats) const {
  double largest = 0, noise = 0;
  const auto see = [&](double value) {
    if (!std::isnan(largest) && !(std::abs(value) <= largest)) largest = std::abs(value);  // NaN stays
  };
  const Eigen::Map<const RowMatrix> gates(p.gates.data(), p.k, p.gate_dim);
  const Eigen::RowVectorXd mean = gates.colwise().mean();
  const index_t expert_d = p.expert_dim - 1, gate_d = p.gate_dim - 1;
  const index_t of_gate = gate_d + (settings_.fit_gate_intercept ? 1 : 0),
                of_expert = data_.frozen() ? 0 : expert_d + (settings_.fit_intercept ? 1 : 0);
  for (index_t i = 0; i < p.k; ++i) {
    const double s = std::sqrt(p.variance[i]);
    double squares = stats.squares[i];
    for (index_t j = 0; j < of_expert; ++j) {
      const double a = p.experts[i * p.expert_dim + j], ridge = j < expert_d ? settings_.alpha : 0;
      see((stats.residuals[i * p.expert_dim + j] - ridge * a) / s);
      squares += ridge * a * a;
    }
    for (index_t j = 0; j < of_gate; ++j) {
      const double ridge = j < gate_d ? settings_.gate_alpha : 0;
      see(stats.gate_slope[i * p.gate_dim + j] - ridge * (gates(i, j) - mean[j]));
    }
    const double own = squares / p.variance[i] - stats.totals[i];
    noise += own;
    if (settings_.shared_noise && i + 1 < p.k) continue;
    const double up = settings_.shared_noise ? noise : own;
    if (settings_.update_noise && (up > 0 || p.variance[i] > settings_.variance_floor)) see(up);
  }
  return largest / weight_;
}

void MStep::update_noise(MixtureParameters& p, const std::vector<double>& squares,
                         const std::vector<double>& totals) const {
  if (settings_.shared_noise) {
    double sum = 0;
    for (double s : squares) sum += s;
    std::fill(p.variance.begin(), p.variance.end(), std::max(settings_.variance_floor, sum / weight_));
    return;
  }
  for (index_t i = 0; i < p.k; ++i) {
    if (totals[i] > kSmallestShare * weight_) {
      p.variance[i] = std::max(settings_.variance_floor, squares[i] / totals[i]);
    }
  }
}

}  // namespace moefast
