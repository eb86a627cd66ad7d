#include "em/dispersion.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace moefast {
namespace {

// Of the logarithm of a shape.
constexpr double kLongestShapeStep = 1;

}  // namespace

void update_noise(MixtureParameters& p, const EmSettings& settings, const std::vector<double>& squares,
                  const std::vector<double>& totals, double weight) {
  if (settings.shared_noise) {
    const double sum = std::accumulate(squares.begin(), squares.end(), 0.0);
    const double common = std::max(settings.variance_floor, sum / weight);
    std::fill(p.variance.begin(), p.variance.end(), common);
    return;
  }
  for (index_t i = 0; i < p.k; ++i) {
    if (totals[i] > kSmallestShare * weight) {
      p.variance[i] = std::max(settings.variance_floor, squares[i] / totals[i]);
    }
  }
}

// A Newton step in log shape where the log-likelihood is concave there, else up or down by the step's limit.
void update_shape(MixtureParameters& p, const EmSettings& settings, const EmStatistics& stats,
                  double weight) {
  const auto moved = [&settings](double shape, double slope, double curvature) {
    if (slope == 0 || !std::isfinite(slope)) return shape;
    const double up = curvature < 0 ? -slope / curvature : std::copysign(kLongestShapeStep, slope);
    const double step = std::clamp(up, -kLongestShapeStep, kLongestShapeStep);
    return std::clamp(shape * std::exp(step), settings.family->least_shape(),
                      settings.family->largest_shape());
  };
  if (settings.shared_noise) {
    double slope = 0, curvature = 0;
    for (index_t i = 0; i < p.k; ++i) slope += stats.shape_slopes[i], curvature += stats.shape_curvatures[i];
    std::fill(p.shape.begin(), p.shape.end(), moved(p.shape[0], slope, curvature));
    return;
  }
  for (index_t i = 0; i < p.k; ++i) {
    if (stats.totals[i] > kSmallestShare * weight)
      p.shape[i] = moved(p.shape[i], stats.shape_slopes[i], stats.shape_curvatures[i]);
  }
}

}  // namespace moefast
