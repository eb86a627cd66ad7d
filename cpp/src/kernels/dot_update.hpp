// M[r][c] += sum_l A[r][l] * f[l] * B[c][l]: the dot-product form, vectors along the summed index.
//
// A: rows x length, row stride lda; f: length, or null for 1; B: cols x length, row stride ldb; M: rows x
// cols, row stride ldm, float64. `length` is a multiple of the vector length: pad with zeros.
//
// The pair products A[r] f live in registers alone, while the outer form (rank_update.hpp) writes them to a
// panel and reads them again, which is a third of its time at dim = 20. The prices are one product for
// every MOEFAST_DOT_COLUMNS sums and, at the end, a sum over the lanes of every accumulator: `length` should
// be some hundreds. It also projects samples onto a few directions.
#pragma once

#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

// The sum of the lanes, halves first. By way of memory: a network of shuffles for all accumulators at once
// has a third of the instructions and was a tenth slower, since it competes with the next tile's sums.
template <class Real>
Real sum_lanes(const typename Vector<Real, kLanes<Real>>::type& vector) {
  using V = Vector<Real, kLanes<Real>>;
  Real lanes[V::lanes];
  at<V>(lanes) = vector;
  for (index_t half = V::lanes / 2; half > 0; half /= 2) {
    for (index_t i = 0; i < half; ++i) lanes[i] += lanes[i + half];
  }
  return lanes[0];
}

template <class Real, int Rows, int Cols>
void dot_tile(index_t length, const Real* A, index_t lda, const Real* f, const Real* B, index_t ldb,
              double* M, index_t ldm) {
  using V = Vector<Real, kLanes<Real>>;
  typename V::type sum[Rows][Cols];
  for (int r = 0; r < Rows; ++r) {
    for (int c = 0; c < Cols; ++c) sum[r][c] = typename V::type{};
  }
  for (index_t l = 0; l < length; l += V::lanes) {
    typename V::type row[Rows];
    for (int r = 0; r < Rows; ++r) row[r] = load<V>(A + r * lda + l);
    if (f) {
      for (int r = 0; r < Rows; ++r) row[r] *= load<V>(f + l);
    }
    for (int c = 0; c < Cols; ++c) {
      const typename V::type column = load<V>(B + c * ldb + l);
      for (int r = 0; r < Rows; ++r) sum[r][c] += row[r] * column;
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int c = 0; c < Cols; ++c) M[r * ldm + c] += sum_lanes<Real>(sum[r][c]);
  }
}

template <class Real, int Rows, int Cols>
void dot_rows(index_t height, index_t length, const Real* A, index_t lda, const Real* f, const Real* B,
              index_t ldb, double* M, index_t ldm) {
  if (height == Rows) {
    dot_tile<Real, Rows, Cols>(length, A, lda, f, B, ldb, M, ldm);
  } else if constexpr (Rows > 1) {
    dot_rows<Real, Rows - 1, Cols>(height, length, A, lda, f, B, ldb, M, ldm);
  }
}

// All rows for Cols columns, which stay in the first-level cache.
template <class Real, int Cols>
void dot_columns(index_t width, index_t rows, index_t length, const Real* A, index_t lda, const Real* f,
                 const Real* B, index_t ldb, double* M, index_t ldm) {
  if (width == Cols) {
    constexpr index_t most = MOEFAST_DOT_ROWS;
    for (index_t blocks = (rows + most - 1) / most; blocks > 0; --blocks) {
      const index_t height = (rows + blocks - 1) / blocks;
      dot_rows<Real, most, Cols>(height, length, A, lda, f, B, ldb, M, ldm);
      rows -= height, A += height * lda, M += height * ldm;
    }
  } else if constexpr (Cols > 1) {
    dot_columns<Real, Cols - 1>(width, rows, length, A, lda, f, B, ldb, M, ldm);
  }
}

template <class Real>
void dot_update(index_t rows, index_t cols, index_t length, const Real* A, index_t lda, const Real* f,
                const Real* B, index_t ldb, double* M, index_t ldm) {
  constexpr index_t most = MOEFAST_DOT_COLUMNS;
  for (index_t blocks = (cols + most - 1) / most; blocks > 0; --blocks) {
    const index_t width = (cols + blocks - 1) / blocks;
    dot_columns<Real, most>(width, rows, length, A, lda, f, B, ldb, M, ldm);
    cols -= width, B += width * ldb, M += width;
  }
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
