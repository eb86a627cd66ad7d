// M[r][c] += sum_l A[r][l] * f[l] * B[c][l]: the dot-product form, vectors along the summed index.
//
// A: rows x length, row stride lda; f: length, or null for 1; B: cols x length, row stride ldb; M: rows x
// cols, row stride ldm, float64. `length` is a multiple of the vector length: pad with zeros.
//
// f multiplies A, or B where that makes fewer products and fewer tiles. The first tile that needs the
// products makes them in registers and leaves them in a buffer for the tiles beside it. At the end comes a
// sum over the lanes of every accumulator: `length` should be some hundreds. It also projects samples onto a
// few directions.
#pragma once

#include <utility>

#include "kernels/interleave.hpp"
#include "kernels/unroll.hpp"
#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

// Numbers of a row summed at once: the products of a tile of rows stay in the first-level cache.
template <class Real>
constexpr index_t kProducts = 4096 / sizeof(Real);
// A line more from row to row, which would otherwise fall into the same sets of the cache.
template <class Real>
constexpr index_t kProductStride = kProducts<Real> + 64 / sizeof(Real);
// Columns that are gone through before the next rows: they stay in the second-level cache.
constexpr index_t kDotStrip = 64;

// The sums of the lanes of the vectors v[i], in lane i of one vector; halves are added first.
template <class Real, int Lanes>
MOEFAST_ALWAYS_INLINE inline typename Vector<Real, Lanes>::type lane_sums(
    typename Vector<Real, Lanes>::type (&v)[Lanes]) {
#if MOEFAST_BYTES > 0
  using Type = typename Vector<Real, Lanes>::type;
  MOEFAST_UNROLL
  for (int half = Lanes / 2; half > 0; half /= 2) {
    MOEFAST_UNROLL
    for (int i = 0; i < half; ++i)
      v[i] = low<Type, Lanes>(v[i], v[i + half]) + high<Type, Lanes>(v[i], v[i + half]);
  }
#endif
  return v[0];
}

// Rows of A times f, or, where f is null, of A. The products are left in P.
// M: strides ldr from row to row, ldc from column to column.
template <class Real, int Rows, int Cols>
void dot_tile(index_t length, const Real* A, index_t lda, const Real* f, Real* P, const Real* B, index_t ldb,
              double* M, index_t ldr, index_t ldc) {
  using V = Vector<Real, kLanes<Real>>;
  using Type = typename V::type;
  constexpr int n = Rows * Cols, lanes = V::lanes, groups = (n + lanes - 1) / lanes;
  Type sum[n];
  MOEFAST_UNROLL
  for (int i = 0; i < n; ++i) sum[i] = Type{};
  for (index_t l = 0; l < length; l += lanes) {
    Type row[Rows];
    MOEFAST_UNROLL
    for (int r = 0; r < Rows; ++r) row[r] = load<V>(A + r * lda + l);
    if (f) {
      MOEFAST_UNROLL
      for (int r = 0; r < Rows; ++r) at<V>(P + r * kProductStride<Real> + l) = row[r] *= load<V>(f + l);
    }
    MOEFAST_UNROLL
    for (int c = 0; c < Cols; ++c) {
      const Type column = load<V>(B + c * ldb + l);
      MOEFAST_UNROLL
      for (int r = 0; r < Rows; ++r) sum[r * Cols + c] += row[r] * column;
    }
  }
  Real sums[groups * lanes];
  MOEFAST_UNROLL
  for (int g = 0; g < groups; ++g) {
    Type group[lanes];
    MOEFAST_UNROLL
    for (int i = 0; i < lanes; ++i) group[i] = g * lanes + i < n ? sum[g * lanes + i] : Type{};
    at<V>(sums + g * lanes) = lane_sums<Real, lanes>(group);
  }
  MOEFAST_UNROLL
  for (int r = 0; r < Rows; ++r) {
    MOEFAST_UNROLL
    for (int c = 0; c < Cols; ++c) M[r * ldr + c * ldc] += sums[r * Cols + c];
  }
}

template <class Real>
using DotTile = void (*)(index_t, const Real*, index_t, const Real*, Real*, const Real*, index_t, double*,
                         index_t, index_t);

// The tile of height x width.
template <class Real, int... I>
DotTile<Real> dot_tile_of(index_t height, index_t width, std::integer_sequence<int, I...>) {
  constexpr int most = MOEFAST_DOT_COLUMNS;
  static constexpr DotTile<Real> tiles[] = {dot_tile<Real, 1 + I / most, 1 + I % most>...};
  return tiles[(height - 1) * most + width - 1];
}

// A strip of columns: block of rows after block of rows, cut evenly.
template <class Real>
void dot_strip(index_t rows, index_t cols, index_t length, const Real* A, index_t lda, const Real* f,
               const Real* B, index_t ldb, double* M, index_t ldr, index_t ldc) {
  constexpr int most_rows = MOEFAST_DOT_ROWS, most_cols = MOEFAST_DOT_COLUMNS;
  constexpr std::make_integer_sequence<int, most_rows * most_cols> all;
  alignas(64) Real products[most_rows * kProductStride<Real>];
  for (index_t blocks = (rows + most_rows - 1) / most_rows; blocks > 0; --blocks) {
    const index_t height = (rows + blocks - 1) / blocks;
    index_t c = 0;
    for (index_t tiles = (cols + most_cols - 1) / most_cols; tiles > 0; --tiles) {
      const index_t width = (cols - c + tiles - 1) / tiles;
      const auto tile = dot_tile_of<Real>(height, width, all);
      const bool made = f && c > 0;  // by the first tile
      tile(length, made ? products : A, made ? kProductStride<Real> : lda, made ? nullptr : f, products,
           B + c * ldb, ldb, M + c * ldc, ldr, ldc);
      c += width;
    }
    rows -= height, A += height * lda, M += height * ldr;
  }
}

// Into how many tiles rows x cols are cut.
inline index_t dot_tiles(index_t rows, index_t cols) {
  constexpr index_t most_rows = MOEFAST_DOT_ROWS, most_cols = MOEFAST_DOT_COLUMNS;
  return ((rows + most_rows - 1) / most_rows) * ((cols + most_cols - 1) / most_cols);
}

template <class Real>
void dot_update(index_t rows, index_t cols, index_t length, const Real* A, index_t lda, const Real* f,
                const Real* B, index_t ldb, double* M, index_t ldm) {
  const auto strips = [&](index_t n_rows, index_t n_cols, const Real* left, index_t ldl, const Real* right,
                          index_t ldright, index_t ldr, index_t ldc) {
    for (index_t l = 0; l < length; l += kProducts<Real>) {
      const index_t part = length - l < kProducts<Real> ? length - l : kProducts<Real>;
      for (index_t c = 0; c < n_cols; c += kDotStrip) {
        dot_strip<Real>(n_rows, n_cols - c < kDotStrip ? n_cols - c : kDotStrip, part, left + l, ldl,
                        f ? f + l : f, right + c * ldright + l, ldright, M + c * ldc, ldr, ldc);
      }
    }
  };
  if (f && cols < rows && dot_tiles(cols, rows) < dot_tiles(rows, cols)) {
    strips(cols, rows, B, ldb, A, lda, 1, ldm);
  } else {
    strips(rows, cols, A, lda, B, ldb, ldm, 1);
  }
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
