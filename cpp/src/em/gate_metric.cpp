#include "em/gate_metric.hpp"

#include <array>
#include <cmath>

#include "em/counts.hpp"

namespace moefast {
namespace {

// Steps that are taken with one factor.
constexpr index_t kMostSteps = 20;
// A step shows how far its metric was off: by the logarithm of the curvature along it to the one foreseen. Of
// 0.05 to 0.3, on short runs at k = 3, 5 and 8, the value that lost least for the time it saved.
constexpr double kMisjudged = 0.1;
// The products of gates are worth saving where they take this part of what else a row takes. Below, the steps
// lost cost more than is saved: at d = 3, k = 3 the ends of searches were 0.15 +- 0.05 lower.
constexpr double kWorthSaving = 0.4;

}  // namespace

GateMetric::GateMetric(const EmData& data, const EmSettings& settings)
    : data_(data),
      settings_(settings),
      dim_(data.gate_dim()),
      width_(dim_ - 1 + (settings.fit_gate_intercept ? 1 : 0)) {}

void GateMetric::update(const MixtureParameters& p, const EmStatistics& stats, const Poll& poll) {
  const bool sums_are_there = data_.one_design() && !data_.frozen() && !settings_.link && !settings_.family;
  const index_t of_gates = n_pairs(p.k - 1) * n_pairs(dim_), other = p.k * (n_pairs(dim_) + kDensity);
  if (sums_are_there && static_cast<double>(of_gates) >= kWorthSaving * static_cast<double>(other)) {
    most_steps_ = kMostSteps;
    learn(p, stats);
  }
  if (stats.sums == PassSums::all) factor(stats, poll);
}

void GateMetric::learn(const MixtureParameters& p, const EmStatistics& stats) {
  const index_t free = p.k - 1;
  const index_t columns = static_cast<index_t>(stats.products.size()) / n_pairs(dim_);
  const double* const responsible = stats.products.data() + n_pairs(dim_ - 1) * columns;  // sum w r_i v
  if (static_cast<index_t>(pairs_.size()) == n_pairs_) pairs_.emplace_back();
  Pair& pair = pairs_[static_cast<std::size_t>(n_pairs_)];
  pair.s.resize(free * width_);
  pair.y.resize(free * width_);
  for (index_t j = 0; j < width_; ++j) {
    const double ridge = j + 1 < dim_ ? settings_.gate_alpha : 0;  // intercepts are free
    double mean = 0;
    for (index_t i = 0; i < free; ++i) mean += p.gates[i * dim_ + j];
    mean /= static_cast<double>(p.k);
    for (index_t i = 0; i < free; ++i) {
      const double gate = p.gates[i * dim_ + j];
      pair.s[i * width_ + j] = gate;
      pair.y[i * width_ + j] =
          responsible[j * columns + i] - stats.gate_slope[i * dim_ + j] + ridge * (gate - mean);
    }
  }
  const bool first = gates_.size() == 0;
  gates_.swap(pair.s);
  sums_.swap(pair.y);
  if (first || stats.sums == PassSums::all) return;
  pair.s = gates_ - pair.s;
  pair.y = sums_ - pair.y;
  const double curvature = pair.s.dot(pair.y);
  // A leap says nothing of the metric. Where nothing moves any more this is NaN.
  if ((pair.s - step_).norm() <= 1e-6 * step_.norm()) {
    misjudged_ = !(std::abs(std::log(curvature / pair.s.dot(gradient_))) <= kMisjudged);
  }
  if (!(curvature > 1e-12 * pair.s.norm() * pair.y.norm())) return;
  pair.inverse = 1 / curvature;
  ++n_pairs_;
}

void GateMetric::factor(const EmStatistics& stats, const Poll& poll) {
  const index_t k = static_cast<index_t>(stats.totals.size()), free = k - 1, m = width_;
  const bool one_design = data_.one_design();
  const std::vector<double>& products = one_design ? stats.products : stats.gate_products;
  const index_t columns = static_cast<index_t>(products.size()) / n_pairs(dim_);
  Eigen::MatrixXd& hessian = system_.matrix(free * m);
  const double* packed = products.data() + (one_design ? k : 0);  // rows: pairs a <= b by b
  for (index_t b = 0; b < m; ++b) {
    if (poll && free * m > kPolled) poll();
    for (index_t a = 0; a <= b; ++a, packed += columns) {
      const double ridge = a == b && b + 1 < dim_ ? settings_.gate_alpha : 0;
      const double* value = packed;
      for (index_t i = 0; i < free; ++i) {
        for (index_t j = i; j < free; ++j, ++value) {
          const double entry = *value + ridge * ((i == j) - 1.0 / static_cast<double>(k));
          hessian(j * m + b, i * m + a) = entry;
          hessian(j * m + a, i * m + b) = entry;
        }
      }
    }
  }
  system_.factor(poll);
  age_ = n_pairs_ = 0;
  halved_ = misjudged_ = false;
}

void GateMetric::solve(Eigen::VectorXd& gradient, const Poll& poll) {
  gradient_ = gradient;
  std::array<double, kMostSteps> along;
  for (index_t i = n_pairs_; i-- > 0;) {
    const Pair& pair = pairs_[static_cast<std::size_t>(i)];
    along[i] = pair.inverse * pair.s.dot(gradient);
    gradient -= along[i] * pair.y;
  }
  system_.solve(gradient, poll);
  for (index_t i = 0; i < n_pairs_; ++i) {
    const Pair& pair = pairs_[static_cast<std::size_t>(i)];
    gradient += (along[i] - pair.inverse * pair.y.dot(gradient)) * pair.s;
  }
  step_ = gradient;
  ++age_;
}

}  // namespace moefast
