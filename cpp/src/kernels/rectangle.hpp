// A bilinear form of a rectangle M and its gradients, for many pairs (row vector, column vector) at once, in
// one read of M. With p_r[l] = s[l] A_r[l] + t[l] B_r[l] (B may be missing) and y_r[l] = sum_c M[r][c]
// Q_c[l]:
//
//     f[l] = sum_r p_r[l] y_r[l]:     by Q:  Z_c[l] += sum_r M[r][c] p_r[l]
//                                     by A:  by_A_r[l] += s[l] y_r[l]      by s:  by_s[l] += sum_r A_r[l]
//                                     y_r[l] by B:  by_B_r[l] += t[l] y_r[l]      by t:  by_t[l] += sum_r
//                                     B_r[l] y_r[l]
//
// M: rows x cols; A, B, by_A, by_B: rows x width; Q, Z: cols x width; s, t, by_s, by_t: width numbers; all
// row-major without gaps. width: 1, or a multiple of the lanes of a vector.
//
// Lanes lie along l. A tile is 4 rows of M by two vectors of lanes: its p and its sums y stay in registers,
// and each column takes 4 broadcasts of M, 2 vectors of Q, 2 of Z (read and written) and 16 multiply-adds.
// Columns go in blocks, such that Q and Z of a block stay in the first-level cache over all rows. With width
// 1 lanes lie along the columns instead.
#pragma once

#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

constexpr int kRectangleRows = 4;
constexpr int kRectangleVectors = 2;
// Two vectors of Q and of Z a column: 32 kB with AVX-512.
constexpr index_t kRectangleColumns = 128;

// ---- lanes along the pairs of vectors ---------------------------------------------------------------------

// Rows x cols of M by Count vectors of lanes from lane `first` on; ldm: the row stride of M. The sums over
// rows, by_s and by_t, are left in registers of the caller.
template <class V, int Rows, int Count, bool WithB>
void rectangle_tile(const RectangleArgs& g, index_t row, index_t first, index_t column, index_t cols,
                    typename V::type* by_s, typename V::type* by_t) {
  typename V::type p[Rows][Count], y[Rows][Count] = {};
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Count; ++v) {
      const index_t lane = first + v * V::lanes, at_row = (row + r) * g.width + lane;
      p[r][v] = load<V>(g.s + lane) * load<V>(g.A + at_row);
      if constexpr (WithB) p[r][v] += load<V>(g.t + lane) * load<V>(g.B + at_row);
    }
  }
  const double* M = g.M + row * g.cols + column;
  const double* Q = g.Q + column * g.width + first;
  double* Z = g.Z + column * g.width + first;
  for (index_t c = 0; c < cols; ++c, Q += g.width, Z += g.width) {
    typename V::type q[Count], z[Count];
    for (int v = 0; v < Count; ++v) {
      q[v] = load<V>(Q + v * V::lanes);
      z[v] = load<V>(Z + v * V::lanes);
    }
    for (int r = 0; r < Rows; ++r) {
      const double m = M[r * g.cols + c];
      for (int v = 0; v < Count; ++v) {
        y[r][v] += m * q[v];
        z[v] += m * p[r][v];
      }
    }
    for (int v = 0; v < Count; ++v) at<V>(Z + v * V::lanes) = z[v];
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Count; ++v) {
      const index_t lane = first + v * V::lanes, at_row = (row + r) * g.width + lane;
      at<V>(g.by_A + at_row) += load<V>(g.s + lane) * y[r][v];
      by_s[v] += load<V>(g.A + at_row) * y[r][v];
      if constexpr (WithB) {
        at<V>(g.by_B + at_row) += load<V>(g.t + lane) * y[r][v];
        by_t[v] += load<V>(g.B + at_row) * y[r][v];
      }
    }
  }
}

template <class V, int Count, bool WithB>
void rectangle_rows(const RectangleArgs& g, index_t first, index_t column, index_t cols) {
  constexpr int full = kRectangleRows;
  typename V::type by_s[Count] = {}, by_t[Count] = {};
  index_t row = 0;
  for (; row + full <= g.rows; row += full) {
    rectangle_tile<V, full, Count, WithB>(g, row, first, column, cols, by_s, by_t);
  }
  switch (g.rows - row) {
    case 3:
      rectangle_tile<V, 3, Count, WithB>(g, row, first, column, cols, by_s, by_t);
      break;
    case 2:
      rectangle_tile<V, 2, Count, WithB>(g, row, first, column, cols, by_s, by_t);
      break;
    case 1:
      rectangle_tile<V, 1, Count, WithB>(g, row, first, column, cols, by_s, by_t);
      break;
    default:
      break;
  }
  for (int v = 0; v < Count; ++v) {
    at<V>(g.by_s + first + v * V::lanes) += by_s[v];
    if constexpr (WithB) at<V>(g.by_t + first + v * V::lanes) += by_t[v];
  }
}

template <bool WithB>
void rectangle_blocks(const RectangleArgs& g) {
  using V = Vector<double, kLanes<double>>;
  constexpr int count = kRectangleVectors;
  for (index_t c = 0; c < g.cols; c += kRectangleColumns) {
    const index_t n = g.cols - c < kRectangleColumns ? g.cols - c : kRectangleColumns;
    index_t l = 0;
    for (; l + count * V::lanes <= g.width; l += count * V::lanes)
      rectangle_rows<V, count, WithB>(g, l, c, n);
    for (; l < g.width; l += V::lanes) rectangle_rows<V, 1, WithB>(g, l, c, n);
  }
}

// ---- width 1: lanes along the columns ---------------------------------------------------------------------

// Ones, then zeros: where the last vector starts n columns early, its first n lanes count for nothing.
constexpr index_t kMostLanes = 8;
constexpr double kKeep[2 * kMostLanes] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1};

// sum of the lanes
template <int Lanes>
double lane_sum(const double* lanes) {
  if constexpr (Lanes == 1) {
    return lanes[0];
  } else {
    using Half = Vector<double, Lanes / 2>;
    double sums[Half::lanes];
    at<Half>(sums) = load<Half>(lanes) + load<Half>(lanes + Half::lanes);
    return lane_sum<Lanes / 2>(sums);
  }
}

// y_r = sum_c M[r][c] q[c] and z[c] += sum_r M[r][c] p_r for Rows rows, cols >= Lanes.
template <int Lanes, int Rows>
void line_tile(index_t cols, const double* M, const double* p, const double* q, double* y, double* z) {
  using V = Vector<double, Lanes>;
  typename V::type sum[Rows] = {};
  const index_t ldm = cols;
  const auto step = [&](index_t c, const typename V::type& right, const typename V::type& keep) {
    typename V::type below = {};
    for (int r = 0; r < Rows; ++r) {
      const typename V::type m = load<V>(M + r * ldm + c);
      sum[r] += m * right;
      below += m * p[r];
    }
    at<V>(z + c) += keep * below;
  };
  const typename V::type all = load<V>(kKeep + kMostLanes);
  index_t c = 0;
  for (; c + V::lanes <= cols; c += V::lanes) step(c, load<V>(q + c), all);
  if (c < cols) {
    const index_t start = cols - V::lanes;
    const typename V::type keep = load<V>(kKeep + kMostLanes - (c - start));
    step(start, keep * load<V>(q + start), keep);
  }
  for (int r = 0; r < Rows; ++r) {
    double lanes[V::lanes];
    at<V>(lanes) = sum[r];
    y[r] = lane_sum<Lanes>(lanes);
  }
}

template <int Lanes, int Rows>
void line_rows(const RectangleArgs& g, index_t row) {
  if constexpr (Lanes > 1) {
    if (g.cols < Lanes) return line_rows<Lanes / 2, Rows>(g, row);
  }
  double p[Rows], y[Rows];
  for (int r = 0; r < Rows; ++r) p[r] = *g.s * g.A[row + r] + (g.B ? *g.t * g.B[row + r] : 0);
  line_tile<Lanes, Rows>(g.cols, g.M + row * g.cols, p, g.Q, y, g.Z);
  for (int r = 0; r < Rows; ++r) {
    g.by_A[row + r] += *g.s * y[r];
    *g.by_s += g.A[row + r] * y[r];
    if (g.B) {
      g.by_B[row + r] += *g.t * y[r];
      *g.by_t += g.B[row + r] * y[r];
    }
  }
}

void line_blocks(const RectangleArgs& g) {
  constexpr int lanes = kLanes<double>, full = kRectangleRows;
  index_t row = 0;
  for (; row + full <= g.rows; row += full) line_rows<lanes, full>(g, row);
  for (; row < g.rows; ++row) line_rows<lanes, 1>(g, row);
}

void rectangle(const RectangleArgs& g) {
  if (g.width == 1) {
    line_blocks(g);
  } else if (g.B) {
    rectangle_blocks<true>(g);
  } else {
    rectangle_blocks<false>(g);
  }
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
