// The M-step of what there is of noise and shapes, of every expert or, with shared noise, of all together;
// `weight` is the sum of the weights of all rows.
#pragma once

#include <vector>

#include "moefast/em.hpp"

namespace moefast {

// An expert with less than this share of the weight keeps its regression, noise and shape: there is nothing
// to fit them to.
constexpr double kSmallestShare = 1e-12;

// s_i^2 = squares_i / totals_i, not below the floor.
void update_noise(MixtureParameters& p, const EmSettings& settings, const std::vector<double>& squares,
                  const std::vector<double>& totals, double weight);

void update_shape(MixtureParameters& p, const EmSettings& settings, const EmStatistics& stats, double weight);

}  // namespace moefast
