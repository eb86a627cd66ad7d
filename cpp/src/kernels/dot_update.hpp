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

// The sums of the lanes of the accumulators First, First + Step, .., as many as a vector has lanes, in the
// lanes of one vector; halves are added first, whatever the place of an accumulator.
template <class Real, int Lanes, int Count, int First, int Step, int N>
MOEFAST_ALWAYS_INLINE inline typename Vector<Real, Lanes>::type lane_sums(
    const typename Vector<Real, Lanes>::type (&sum)[N]) {
  using Type = typename Vector<Real, Lanes>::type;
  if constexpr (Count == 1) {
    if constexpr (First < N) {
      return sum[First];
    } else {
      return Type{};
    }
  } else {
#if MOEFAST_BYTES > 0
    const Type a = lane_sums<Real, Lanes, Count / 2, First, 2 * Step, N>(sum);
    const Type b = lane_sums<Real, Lanes, Count / 2, First + Step, 2 * Step, N>(sum);
    return low<Type, Lanes>(a, b) + high<Type, Lanes>(a, b);
#endif
  }
}

// What the rows of a tile are.
enum class Factor {
  none,  // A
  used,  // A f
  kept   // A f, which is left in P
};

// M: strides ldr from row to row, ldc from column to column.
template <class Real, int Rows, int Cols, Factor With>
void dot_tile(index_t length, const Real* A, index_t lda, const Real* f, Real* P, const Real* B, index_t ldb,
              double* M, index_t ldr, index_t ldc) {
  using V = Vector<Real, kLanes<Real>>;
  using Type = typename V::type;
  constexpr int n = Rows * Cols, lanes = V::lanes, groups = (n + lanes - 1) / lanes;
  Type sum[n];
  over<n>([&](auto i) MOEFAST_ALWAYS_INLINE { sum[i] = Type{}; });
  for (index_t l = 0; l < length; l += lanes) {
    Type row[Rows];
    over<Rows>([&](auto r) MOEFAST_ALWAYS_INLINE {
      row[r] = load<V>(A + r * lda + l);
      if constexpr (With != Factor::none) row[r] *= load<V>(f + l);
      if constexpr (With == Factor::kept) at<V>(P + r * kProductStride<Real> + l) = row[r];
    });
    over<Cols>([&](auto c) MOEFAST_ALWAYS_INLINE {
      const Type column = load<V>(B + c * ldb + l);
      over<Rows>([&](auto r) MOEFAST_ALWAYS_INLINE { sum[r * Cols + c] += row[r] * column; });
    });
  }
  Real sums[groups * lanes];
  unroll<groups>([&](auto g) MOEFAST_ALWAYS_INLINE {
    at<V>(sums + g * lanes) = lane_sums<Real, lanes, lanes, g * lanes, 1, n>(sum);
  });
  over<Rows, Cols>([&](auto r, auto c) MOEFAST_ALWAYS_INLINE { M[r * ldr + c * ldc] += sums[r * Cols + c]; });
}

template <class Real, int Rows, int Cols, Factor With>
void dot_tile_of(index_t height, index_t width, index_t length, const Real* A, index_t lda, const Real* f,
                 Real* P, const Real* B, index_t ldb, double* M, index_t ldr, index_t ldc) {
  if (height < Rows) {
    if constexpr (Rows > 1) {
      dot_tile_of<Real, Rows - 1, Cols, With>(height, width, length, A, lda, f, P, B, ldb, M, ldr, ldc);
    }
  } else if (width < Cols) {
    if constexpr (Cols > 1) {
      dot_tile_of<Real, Rows, Cols - 1, With>(height, width, length, A, lda, f, P, B, ldb, M, ldr, ldc);
    }
  } else {
    dot_tile<Real, Rows, Cols, With>(length, A, lda, f, P, B, ldb, M, ldr, ldc);
  }
}

// A strip of columns: block of rows after block of rows, cut evenly.
template <class Real>
void dot_strip(index_t rows, index_t cols, index_t length, const Real* A, index_t lda, const Real* f,
               const Real* B, index_t ldb, double* M, index_t ldr, index_t ldc) {
  constexpr int most_rows = MOEFAST_DOT_ROWS, most_cols = MOEFAST_DOT_COLUMNS;
  alignas(64) Real products[most_rows * kProductStride<Real>];
  for (index_t blocks = (rows + most_rows - 1) / most_rows; blocks > 0; --blocks) {
    const index_t height = (rows + blocks - 1) / blocks;
    index_t c = 0;
    for (index_t tiles = (cols + most_cols - 1) / most_cols; tiles > 0; --tiles) {
      const index_t width = (cols - c + tiles - 1) / tiles;
      const auto run = [&](auto tile, const Real* a, index_t stride) {
        tile(height, width, length, a, stride, f, products, B + c * ldb, ldb, M + c * ldc, ldr, ldc);
      };
      if (!f) {
        run(dot_tile_of<Real, most_rows, most_cols, Factor::none>, A, lda);
      } else if (c > 0) {
        run(dot_tile_of<Real, most_rows, most_cols, Factor::none>, products, kProductStride<Real>);
      } else if (tiles > 1) {
        run(dot_tile_of<Real, most_rows, most_cols, Factor::kept>, A, lda);
      } else {
        run(dot_tile_of<Real, most_rows, most_cols, Factor::used>, A, lda);
      }
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
