// Sums of monomials of (x, y) about a centre, and the exact formulas that move the centre.
//
// For a centre (m, v), with u = (x - m, 1) of length dim = n_features + 1, order M = 2, 3 or 4 and channel
// weights f_h:
//
//     sums[h][a, b, ...] = sum_n w_n f_h(y_n) u_a u_b ...   (M factors, a <= b <= ... < dim)
//
// f_h(y) = (y - v)^h for h = 0 .. M, or, where the transform is known beforehand, one channel f(y) = P(y).
// The appended 1 makes every lower order a part of the same packed tensor: with M = 3, entry (a, b, dim-1) is
// the second moment, (a, dim-1, dim-1) the first, (dim-1, dim-1, dim-1) the sum of the weighted channel.
#pragma once

#include <vector>

#include "moefast/packed.hpp"
#include "moefast/types.hpp"

namespace moefast {

class SymmetricTensor;

// What is summed.
struct MomentShape {
  index_t n_features = 1;
  int order = 3;
  // P(y) = sum_j polynomial[j] (y - about)^j, the only channel; empty: the powers of y - v.
  std::vector<double> polynomial;
  double about = 0;

  index_t dim() const { return n_features + 1; }
  index_t n_channels() const { return polynomial.empty() ? order + 1 : 1; }
  PackedLayout layout() const { return {dim(), order}; }
  bool operator==(const MomentShape&) const = default;
};

struct MomentSums {
  MomentSums() = default;
  // Of no rows: without sums until take_room() makes them zeros, or a merge brings them.
  explicit MomentSums(MomentShape shape);
  void take_room(const Poll& poll = {});

  // Adds another set of sums of the same shape: both are moved to their common mean, which becomes the
  // centre; what is empty takes the other's place. When poll throws, both are spoilt.
  void merge(MomentSums& other, const Poll& poll = {});
  // Moves the centre, by the binomial formula; exact but for rounding. `new_centre`: (m, v).
  void recentre(const std::vector<double>& new_centre, const Poll& poll = {});
  // Moves the centre to the weighted means of x and y.
  void recentre_to_mean(const Poll& poll = {});

  // sum_h coefficients[h] sums[h]: the packed tensor of sum_n w_n Q(y_n) u u u for Q = sum_h q_h f_h.
  SymmetricTensor combine(const std::vector<double>& coefficients, const Poll& poll = {}) const;
  // The same for a lower order m = 0, 1, 2, ... < order, dense: dim^m numbers.
  std::vector<double> lower_order(int m, const std::vector<double>& coefficients,
                                  const Poll& poll = {}) const;

  // The same sums, copied with a poll now and then.
  MomentSums copy(const Poll& poll) const;
  // Throws ColumnError (overflow), naming the column of largest magnitude, when a sum is not finite.
  void check_finite(const Poll& poll = {}) const;

  double* channel(index_t h) { return sums.data() + h * shape.layout().size(); }
  const double* channel(index_t h) const { return sums.data() + h * shape.layout().size(); }

  MomentShape shape;
  index_t count = 0;              // rows
  double weight = 0;              // sum_n w_n
  std::vector<double> centre;     // (m, v), length n_features + 1
  std::vector<double> magnitude;  // largest |value| seen in each column of (x, y)
  std::vector<double> sums;       // n_channels x layout().size()
};

}  // namespace moefast
