// M[r][c] += sum_s A[s][r] * B[s][c]: the outer-product micro-kernel.
//
// A: samples x rows, row stride lda; B: samples x cols, row stride ldb; M: rows x cols, row stride ldm,
// float64 whatever the type of A and B. Rows are broadcast, columns lie along the vectors.
//
// A register tile of 8 x 3 vectors (AVX-512) does 24 multiply-adds for 8 broadcasts and 3 loads. Where
// columns are left over, narrower tiles and then narrower vectors follow.
#pragma once

#include <utility>

#include "kernels/unroll.hpp"
#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

// M[r][i] += sums[r][i], float64 whatever the type of the sums; columns is a multiple of 8.
template <class Real>
void add_sums(index_t rows, index_t columns, const Real* sums, double* M, index_t ldm) {
  for (index_t r = 0; r < rows; ++r) {
    for (index_t i = 0; i < columns; ++i) M[r * ldm + i] += sums[r * columns + i];
  }
}

// M[r][v-th vector] += sum[r][v]
template <class Real, class V, int Rows, int Count>
MOEFAST_ALWAYS_INLINE inline void add_tile(const typename V::type (&sum)[Rows][Count], double* M,
                                           index_t ldm) {
  constexpr bool direct = sizeof(Real) == sizeof(double);
  Real sums[direct ? 1 : Rows * Count * V::lanes];
  MOEFAST_UNROLL_TILE
  for (int r = 0; r < Rows; ++r) {
    MOEFAST_UNROLL_TILE
    for (int v = 0; v < Count; ++v) {
      if constexpr (direct) {
        at<V>(M + r * ldm + v * V::lanes) += sum[r][v];
      } else {
        at<V>(sums + (r * Count + v) * V::lanes) = sum[r][v];
      }
    }
  }
  if constexpr (!direct) add_sums(Rows, Count * V::lanes, sums, M, ldm);
}

// Rows x (Count * lanes) entries of M, their sums held in registers and added to M once.
template <class Real, class V, int Rows, int Count>
MOEFAST_TILE void tile(index_t samples, const Real* A, index_t lda, const Real* B, index_t ldb, double* M,
                       index_t ldm) {
  using Type = typename V::type;
  Type sum[Rows][Count];
  MOEFAST_UNROLL_TILE
  for (int r = 0; r < Rows; ++r) {
    MOEFAST_UNROLL_TILE
    for (int v = 0; v < Count; ++v) {
      sum[r][v] = Type{};
      prefetch(M + r * ldm + v * V::lanes);
    }
  }
  for (index_t s = 0; s < samples; ++s, A += lda, B += ldb) {
    prefetch(A + Rows);
    Type row[Count];
    MOEFAST_UNROLL_TILE
    for (int v = 0; v < Count; ++v) row[v] = load<V>(B + v * V::lanes);
    MOEFAST_UNROLL_TILE
    for (int r = 0; r < Rows; ++r) {
      MOEFAST_UNROLL_TILE
      for (int v = 0; v < Count; ++v) sum[r][v] += A[r] * row[v];
    }
  }
  add_tile<Real, V, Rows, Count>(sum, M, ldm);
}

// As many tiles as so many columns have; returns where they end.
template <class Real, class V, int Rows, int Count>
index_t strip(index_t cols, index_t samples, const Real* A, index_t lda, const Real* B, index_t ldb,
              double* M, index_t ldm) {
  index_t c = 0;
  for (; c + Count * V::lanes <= cols; c += Count * V::lanes) {
    tile<Real, V, Rows, Count>(samples, A, lda, B + c, ldb, M + c, ldm);
  }
  return c;
}

template <class Real>
using Strip = index_t (*)(index_t, index_t, const Real*, index_t, const Real*, index_t, double*, index_t);

// Strips of 1 + Less rows.
template <class Real, int Lanes, int Count, int... Less>
Strip<Real> strip_of(index_t rows, std::integer_sequence<int, Less...>) {
  static constexpr Strip<Real> strips[] = {strip<Real, Vector<Real, Lanes>, 1 + Less, Count>...};
  return strips[rows - 1];
}

constexpr std::make_integer_sequence<int, MOEFAST_TILE_ROWS> kHeights;

// The rows of a tile where so many rows are left. Nine are better cut into 5 + 4 than into 8 + 1: a flat tile
// waits for its own additions.
inline index_t tile_rows(index_t rows) {
  const index_t blocks = (rows + MOEFAST_TILE_ROWS - 1) / MOEFAST_TILE_ROWS;
  return (rows + blocks - 1) / blocks;
}

// Narrower and narrower vectors for what is left of the columns.
template <int Lanes>
void edge(index_t rows, index_t cols, index_t samples, const double* A, index_t lda, const double* B,
          index_t ldb, double* M, index_t ldm) {
  if (cols >= Lanes) {
    const index_t c = strip_of<double, Lanes, 1>(rows, kHeights)(cols, samples, A, lda, B, ldb, M, ldm);
    cols -= c, B += c, M += c;
  }
  if constexpr (Lanes > 1) {
    if (cols > 0) edge<Lanes / 2>(rows, cols, samples, A, lda, B, ldb, M, ldm);
  }
}

void rank_update(index_t rows, index_t cols, index_t samples, const double* A, index_t lda, const double* B,
                 index_t ldb, double* M, index_t ldm) {
  constexpr int lanes = kLanes<double>;
  for (index_t height = 0; rows > 0; rows -= height, A += height, M += height * ldm) {
    height = tile_rows(rows);
    const auto tiles = strip_of<double, lanes, MOEFAST_TILE_VECTORS>(height, kHeights);
    const index_t c = tiles(cols, samples, A, lda, B, ldb, M, ldm);
    edge<lanes>(height, cols - c, samples, A, lda, B + c, ldb, M + c, ldm);
  }
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
