#include "em/theta.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "em/expert_ridge.hpp"

namespace moefast {
namespace {

using Eigen::MatrixXd, Eigen::VectorXd;

// Values this near to a bound are at it, relatively.
constexpr double kAtBound = 1e-10;

}  // namespace

Theta::Theta(const ThetaLayout& layout, const EmSettings& settings, const ResponseCovariance& covariance)
    : layout_(layout), settings_(settings), covariance_(covariance), stands_for_(representatives()) {}

// Where log s, or log shape, may lie.
std::pair<double, double> Theta::bounds(Kind kind) const {
  if (kind == kNoise) return {settings_.variance_floor, std::numeric_limits<double>::infinity()};
  return {settings_.family->least_shape(), settings_.family->largest_shape()};
}

MixtureParameters Theta::put_on_bounds(MixtureParameters p) const {
  for_dispersion(p, [&](Kind kind, index_t i) {
    const auto [least, largest] = bounds(kind);
    double& value = (kind == kNoise ? p.variance : p.shape)[size(i)];
    if (value < least * (1 + kAtBound)) value = least;
    if (value > largest * (1 - kAtBound)) value = largest;
  });
  return p;
}

// Calls see(parameter, kind, i, column) for the coefficients of every expert and free gate.
template <class See>
void Theta::for_coefficients(const See& see) const {
  for (const Kind kind : {kExpert, kGate}) {
    const index_t width = layout_.width(kind);
    for (index_t i = 0; i < layout_.count[kind]; ++i)
      for (index_t a = 0; a < width; ++a) see(layout_.parameter(kind) + i * width + a, kind, i, a);
  }
}

// Calls see(kind, i) for what there is of log s_i and log shape_i of every expert, shared or not.
template <class See>
void Theta::for_dispersion(const MixtureParameters& p, const See& see) const {
  for (const Kind kind : {kNoise, kShape}) {
    if (kind == kNoise && p.several_responses()) continue;
    for (index_t i = 0; layout_.count[kind] > 0 && i < layout_.n_experts; ++i) see(kind, i);
  }
}

// Calls see(i) for every expert with a covariance that is fitted, shared or not.
template <class See>
void Theta::for_covariances(const MixtureParameters& p, const See& see) const {
  for (index_t i = 0; p.several_responses() && layout_.count[kNoise] > 0 && i < layout_.n_experts; ++i)
    see(i);
}

// The parameter that stands for each: of coefficients that all experts have in common the first expert's.
std::vector<index_t> Theta::representatives() const {
  std::vector<index_t> found(size(layout_.n_parameters()));
  std::iota(found.begin(), found.end(), index_t{0});
  const index_t width = layout_.width(kExpert);
  for (const index_t j : settings_.common_columns)
    for (index_t i = 1; j < width && i < layout_.n_experts; ++i) found[size(i * width + j)] = j;
  return found;
}

// Calls see(parameter, the one that stands for it) where they differ.
template <class See>
void Theta::for_tied(const See& see) const {
  for (index_t a = 0; a < layout_.n_parameters(); ++a)
    if (stands_for_[size(a)] != a) see(a, stands_for_[size(a)]);
}

VectorXd Theta::gradient(const MixtureParameters& p, const EmStatistics& stats) const {
  VectorXd g = VectorXd::Zero(layout_.n_parameters());
  std::vector<double> pull, penalties;
  ridge_pull(p, settings_, pull);
  penalty_squares(p, settings_, penalties);
  for_coefficients([&](index_t at, Kind kind, index_t i, index_t a) {
    if (kind == kExpert) {
      const std::size_t from = size(i * p.expert_dim + a);
      const double v = p.variance[size(i / layout_.n_predictors)];
      if (p.several_responses()) return;
      g[at] = (stats.residuals[from] - pull[from]) / v;
    } else {
      const double ridge = a + 1 < p.gate_dim ? settings_.gate_alpha : 0;
      const index_t from = i * p.gate_dim + a;
      double mean = 0;
      for (index_t j = 0; j < p.k; ++j) mean += p.gates[size(j * p.gate_dim + a)];
      mean /= static_cast<double>(p.k);
      g[at] = stats.gate_slope[size(from)] - ridge * (p.gates[size(from)] - mean);
    }
  });
  if (p.several_responses()) covariance_.add_gradient(p, stats, layout_, g);
  for_dispersion(p, [&](Kind kind, index_t i) {
    if (kind == kShape) {
      g[layout_.of_expert(kind, i)] += stats.shape_slopes[size(i)];
      return;
    }
    const double squares = stats.squares[size(i)] + penalties[size(i)];
    g[layout_.of_expert(kind, i)] += squares / p.variance[size(i)] - stats.totals[size(i)];
  });
  for_tied([&](index_t a, index_t first) {
    g[first] += g[a];
    g[a] = 0;
  });
  return g;
}

void Theta::add_ridges(const MixtureParameters& p, MatrixXd& bends) const {
  const index_t width = layout_.width(kGate);
  if (p.several_responses()) {
    covariance_.add_ridge(p, layout_, bends);
  } else {
    add_ridge(p, settings_, layout_, bends);
  }
  for_coefficients([&](index_t at, Kind kind, index_t i, index_t a) {
    if (kind == kGate && a + 1 < p.gate_dim) {
      for (index_t j = 0; j < layout_.count[kGate]; ++j)
        bends(at, at + (j - i) * width) += settings_.gate_alpha * ((i == j) - 1.0 / static_cast<double>(p.k));
    }
  });
  for_tied([&](index_t a, index_t first) {
    bends.row(first) += bends.row(a);
    bends.col(first) += bends.col(a);
  });
}

bool Theta::is_free(index_t parameter, const MixtureParameters& p, const VectorXd& gradient) const {
  if (stands_for_[size(parameter)] != parameter) return false;
  bool free = true;
  for_covariances(p, [&](index_t i) {
    const index_t own = parameter - layout_.of_expert(kNoise, i);
    if (own >= 0 && own < layout_.n_scales && covariance_.at_floor(p, i)) free = false;
  });
  for_dispersion(p, [&](Kind kind, index_t i) {
    if (layout_.of_expert(kind, i) != parameter) return;
    const auto [least, largest] = bounds(kind);
    const double value = (kind == kNoise ? p.variance : p.shape)[size(i)], up = gradient[parameter];
    free = (value > least || up > 0) && (value < largest || up < 0);
  });
  return free;
}

std::vector<index_t> Theta::free(const MixtureParameters& p, const VectorXd& gradient) const {
  std::vector<index_t> found;
  for (index_t a = 0; a < layout_.n_parameters(); ++a)
    if (is_free(a, p, gradient)) found.push_back(a);
  return found;
}

MixtureParameters Theta::moved(MixtureParameters p, VectorXd change) const {
  for_tied([&](index_t a, index_t first) { change[a] = change[first]; });
  for_coefficients([&](index_t at, Kind kind, index_t i, index_t a) {
    (kind == kExpert ? p.experts[size(i * p.expert_dim + a)] : p.gates[size(i * p.gate_dim + a)]) +=
        change[at];
  });
  for_covariances(p, [&](index_t i) {
    if (layout_.shared && i > 0) return;
    std::vector<double> numbers(size(layout_.n_scales));
    covariance_.read(p, i, numbers.data());
    const double* by = change.data() + layout_.of_expert(kNoise, i);
    const auto moves = [](double c) { return c != 0; };
    if (!std::any_of(by, by + layout_.n_scales, moves)) return;
    for (double& number : numbers) number += *by++;
    covariance_.write(numbers.data(), i, p);
  });
  for_dispersion(p, [&](Kind kind, index_t i) {
    const auto [least, largest] = bounds(kind);
    const double log_ratio = change[layout_.of_expert(kind, i)];
    double& value = (kind == kNoise ? p.variance : p.shape)[size(i)];
    value = std::clamp(value * std::exp(kind == kNoise ? 2 * log_ratio : log_ratio), least, largest);
  });
  return p;
}

}  // namespace moefast
