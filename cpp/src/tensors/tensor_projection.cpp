// T(W, .., W)[i, j, ...] = sum_{a, b, ...} T[a, b, ...] W[a,i] W[b,j] ...;   W: dim x m
//
// With M_b the rectangles weighted by multiplicity and A_b = W[0 .. b, :]' M_b (m x columns of b):
//
//     N[j][i][column] = sum_b W[b,j] A_b[i][column]
//     Q[i,j,k,l] = sum_{c <= e} N[j][i][(c, e)] W[c,k] W[e,l]        (one index for order 3, none for order
//     2)
//
// and T(W, .., W) is the mean of Q over all orders of its indices. About m size + m^2 dim cols + m^2 dim^3
// multiply-adds for order 4.
#include <Eigen/Core>
#include <algorithm>
#include <array>
#include <cmath>
#include <new>

#include "in_parts.hpp"
#include "kernels/kernels.hpp"
#include "matrices.hpp"
#include "moefast/contraction.hpp"
#include "tensors/scaling.hpp"

namespace moefast {
namespace {

// Q[i,j,..] of one (i, j): what its columns become when they too are taken along W; m^(order - 2) numbers.
void take_columns(const PackedLayout& layout, const double* columns, const RowMatrix& W, double* out) {
  if (layout.order == 2) {
    *out = columns[0];
  } else if (layout.order == 3) {
    Eigen::Map<Eigen::VectorXd>(out, W.cols()) =
        times_vector(W.transpose(), Eigen::Map<const Eigen::VectorXd>(columns, W.rows()));
  } else {
    Eigen::MatrixXd pairs(W.rows(), W.rows());
    for (index_t c = 0; c < layout.dim; ++c) {
      pairs(c, c) = *columns++;
      for (index_t e = c + 1; e < layout.dim; ++e) pairs(c, e) = pairs(e, c) = *columns++ / 2;
    }
    // Symmetric: its columns are its rows.
    Eigen::Map<Eigen::MatrixXd>(out, W.cols(), W.cols()) = product(product(W.transpose(), pairs), W);
  }
}

// Replaces Q, m^Order numbers, by its mean over all orders of the indices.
template <std::size_t Order>
void symmetrise(std::vector<double>& Q, index_t m, const Poll& poll) {
  const std::vector<double> given = Q;
  std::array<index_t, Order> index{};
  for (;;) {
    if (poll && index.back() == m - 1) poll();
    std::array<std::size_t, Order> order;
    for (std::size_t k = 0; k < Order; ++k) order[k] = k;
    std::array<std::size_t, 24> places{};
    std::size_t n = 0;
    double sum = 0;
    do {
      index_t place = 0;
      for (std::size_t k : order) place = place * m + index[k];
      places[n++] = static_cast<std::size_t>(place);
      sum += given[static_cast<std::size_t>(place)];
    } while (std::next_permutation(order.begin(), order.end()));
    for (std::size_t p = 0; p < n; ++p) Q[places[p]] = sum / static_cast<double>(n);
    // The next sorted tuple.
    std::size_t k = Order;
    while (k > 0 && index[k - 1] == m - 1) --k;
    if (k == 0) return;
    const index_t next = index[k - 1] + 1;
    std::fill(index.begin() + static_cast<std::ptrdiff_t>(k) - 1, index.end(), next);
  }
}

}  // namespace

std::vector<double> TensorContraction::project(const double* given, index_t m, const Poll& poll) const {
  if (m == 0) return {};
  const index_t dim = layout_.dim, n_cols = layout_.cols(0);
  // More numbers than there are addresses; before their count overflows.
  if (std::pow(static_cast<double>(m), layout_.order) > 0x1p59) throw std::bad_alloc();
  RowMatrix W = Eigen::Map<const RowMatrix>(given, dim, m);
  const int scale = exponent_of_largest(W.data(), dim * m);
  W = W.unaryExpr(PowerOfTwo(-scale)).eval();

  std::vector<double> A(static_cast<std::size_t>(m * n_cols)), N, Q;
  fill_zeros(N, static_cast<std::size_t>(m * m * n_cols), poll);
  for (index_t b = 0; b < dim; ++b) {
    if (poll) poll();
    const index_t cols = layout_.cols(b);
    std::fill_n(A.begin(), m * cols, 0.0);
    kernels::rank_update(m, cols, layout_.rows(b), W.data(), m, &weighted_[layout_.offset(b)], cols, A.data(),
                         cols);
    for (index_t i = 0; i < m; ++i) {
      if (poll) poll();
      kernels::rank_update(m, cols, 1, W.data() + b * m, m, &A[i * cols], cols,
                           &N[i * n_cols + layout_.first_col(b)], m * n_cols);
    }
  }
  index_t block = 1;  // numbers of each (i, j)
  for (int k = 2; k < layout_.order; ++k) block *= m;
  fill_zeros(Q, static_cast<std::size_t>(m * m * block), poll);
  for (index_t i = 0; i < m; ++i) {
    for (index_t j = 0; j < m; ++j) {
      if (poll) poll();
      take_columns(layout_, &N[(j * m + i) * n_cols], W, &Q[(i * m + j) * block]);
    }
  }
  if (layout_.order == 2) symmetrise<2>(Q, m, poll);
  if (layout_.order == 3) symmetrise<3>(Q, m, poll);
  if (layout_.order == 4) symmetrise<4>(Q, m, poll);
  const PowerOfTwo unscaled(exponent_ + layout_.order * scale);
  for (double& x : Q) x = unscaled(x);
  return Q;
}

}  // namespace moefast
