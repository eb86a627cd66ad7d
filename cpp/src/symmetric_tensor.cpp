#include "moefast/symmetric_tensor.hpp"

#include <Eigen/Dense>
#include <array>

namespace moefast {
namespace {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// How many of the 6 permutations of a sorted triple are distinct.
double multiplicity(index_t a, index_t b, index_t c) {
  if (a == b && b == c) return 1;
  return (a == b || b == c) ? 3 : 6;
}

}  // namespace

// With Q[i,j,k] = sum_{a<=b<=c} mult(a,b,c) T[a,b,c] V[a,i] V[b,j] V[c,k], T(V,V,V) is the mean of Q over
// the 6 orders of (i,j,k). Rectangle b gives N = V[0..b,:]' (mult T)_b V[b..,:] and Q[:,j,:] += V[b,j] N.
std::vector<double> SymmetricTensor3::contract(const double* V, index_t m) const {
  const index_t dim = layout.dim;
  const Eigen::Map<const RowMatrix> directions(V, dim, m);
  std::vector<double> one_order(static_cast<std::size_t>(m * m * m));
  RowMatrix weighted, N;
  for (index_t b = 0; b < dim; ++b) {
    const index_t rows = layout.rows(b), cols = layout.cols(b);
    weighted = Eigen::Map<const RowMatrix>(entries.data() + layout.offset(b), rows, cols);
    for (index_t a = 0; a < rows; ++a) {
      for (index_t c = b; c < dim; ++c) weighted(a, c - b) *= multiplicity(a, b, c);
    }
    N.noalias() = directions.topRows(rows).transpose() * (weighted * directions.bottomRows(cols));
    for (index_t i = 0; i < m; ++i) {
      for (index_t j = 0; j < m; ++j) {
        const double v = directions(b, j);
        double* out = &one_order[(i * m + j) * m];
        for (index_t k = 0; k < m; ++k) out[k] += v * N(i, k);
      }
    }
  }
  const auto Q = [&](index_t i, index_t j, index_t k) { return one_order[(i * m + j) * m + k]; };
  std::vector<double> result(one_order.size());
  for (index_t i = 0; i < m; ++i) {
    for (index_t j = i; j < m; ++j) {
      for (index_t k = j; k < m; ++k) {
        const double mean = (Q(i, j, k) + Q(i, k, j) + Q(j, i, k) + Q(j, k, i) + Q(k, i, j) + Q(k, j, i)) / 6;
        for (const auto& [p, q, r] :
             {std::array{i, j, k}, {i, k, j}, {j, i, k}, {j, k, i}, {k, i, j}, {k, j, i}})
          result[(p * m + q) * m + r] = mean;
      }
    }
  }
  return result;
}

std::vector<double> SymmetricTensor3::to_dense() const {
  const index_t dim = layout.dim;
  std::vector<double> dense(static_cast<std::size_t>(dim * dim * dim));
  for (index_t a = 0; a < dim; ++a) {
    for (index_t b = 0; b < dim; ++b) {
      for (index_t c = 0; c < dim; ++c) dense[(a * dim + b) * dim + c] = entries[layout.at(a, b, c)];
    }
  }
  return dense;
}

}  // namespace moefast
