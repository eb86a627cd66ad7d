// Sums of monomials of (x, y) about a centre, and the exact formulas that move the centre.
//
// For a centre (m, v), with u = (x - m, 1) of length dim = n_features + 1 and channel h = 0 .. order:
//
//     sums[h][a, b, c] = sum_n w_n (y_n - v)^h u_a u_b u_c,   a <= b <= c
//
// The appended 1 makes every lower order a part of the same packed tensor: entry (a, b, dim-1) is the
// second moment, (a, dim-1, dim-1) the first, (dim-1, dim-1, dim-1) the sum of the weighted channel.
// Storage: PackedLayout with the channels innermost, sums[at(a, b, c) * n_channels + h].
#pragma once

#include <array>
#include <vector>

#include "moefast/packed.hpp"
#include "moefast/types.hpp"

namespace moefast {

class SymmetricTensor;

struct MomentSums {
  static constexpr index_t kOrder = 3;
  static constexpr index_t kChannels = kOrder + 1;

  MomentSums() = default;
  explicit MomentSums(index_t n_features);

  index_t dim() const { return n_features + 1; }
  PackedLayout layout() const { return {dim(), kOrder}; }
  double weight() const;  // sum_n w_n

  // Adds another set of sums: both are moved to their common mean, which becomes the centre.
  void merge(const MomentSums& other);
  // Moves the centre, by the binomial formula; exact but for rounding. `new_centre`: (m, v).
  void recentre(const std::vector<double>& new_centre);
  // Moves the centre to the weighted means of x and y.
  void recentre_to_mean();

  // sum_h polynomial[h] (y - v)^h: the packed tensor of sum_n w_n P(y_n) u u u.
  SymmetricTensor combine(const std::array<double, kChannels>& polynomial) const;

  // Throws ColumnError (overflow), naming the column of largest magnitude, when a sum is not finite.
  void check_finite() const;

  index_t n_features = 0;
  index_t count = 0;              // rows
  std::vector<double> centre;     // (m, v), length n_features + 1
  std::vector<double> magnitude;  // largest |value| seen in each column of (x, y)
  std::vector<double> sums;
};

}  // namespace moefast
