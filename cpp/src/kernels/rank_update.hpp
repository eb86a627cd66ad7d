// M[r][c] += sum_s A[s][r] * B[s][c]: the outer-product micro-kernel.
//
// A: samples x rows, row stride lda; B: samples x cols, row stride ldb; M: rows x cols, row stride ldm,
// float64 whatever the type of A and B. Rows are broadcast, columns lie along the vectors.
//
// A register tile of 8 x 3 vectors (AVX-512) does 24 multiply-adds for 8 broadcasts and 3 loads. Where
// columns are left over, narrower tiles and then narrower vectors follow.
#pragma once

#include "kernels/unroll.hpp"
#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

// M[r][v-th vector] += sum[r][v], float64 whatever the type of the sums.
template <class Real, class V, int Rows, int Count>
MOEFAST_ALWAYS_INLINE inline void add_tile(const typename V::type (&sum)[Rows][Count], double* M,
                                           index_t ldm) {
  over<Rows, Count>([&](auto r, auto v) MOEFAST_ALWAYS_INLINE {
    double* m = M + r * ldm + v * V::lanes;
    if constexpr (sizeof(Real) == sizeof(double)) {
      at<V>(m) += sum[r][v];
    } else {
      Real lanes[V::lanes];
      at<V>(lanes) = sum[r][v];
      for (index_t l = 0; l < V::lanes; ++l) m[l] += lanes[l];
    }
  });
}

// Rows x (Count * lanes) entries of M, their sums held in registers and added to M once.
template <class Real, class V, int Rows, int Count>
void tile(index_t samples, const Real* A, index_t lda, const Real* B, index_t ldb, double* M, index_t ldm) {
  using Type = typename V::type;
  Type sum[Rows][Count];
  over<Rows, Count>([&](auto r, auto v) MOEFAST_ALWAYS_INLINE {
    sum[r][v] = Type{};
    prefetch(M + r * ldm + v * V::lanes);
  });
  for (index_t s = 0; s < samples; ++s, A += lda, B += ldb) {
    prefetch(A + Rows);
    Type row[Count];
    over<Count>([&](auto v) MOEFAST_ALWAYS_INLINE { row[v] = load<V>(B + v * V::lanes); });
    over<Rows, Count>([&](auto r, auto v) MOEFAST_ALWAYS_INLINE { sum[r][v] += A[r] * row[v]; });
  }
  add_tile<Real, V, Rows, Count>(sum, M, ldm);
}

// Columns c .. of Rows rows, as many as full tiles of this width take; returns where they end.
template <class Real, int Lanes, int Rows, int Count>
index_t columns(index_t c, index_t cols, index_t samples, const Real* A, index_t lda, const Real* B,
                index_t ldb, double* M, index_t ldm) {
  using V = Vector<Real, Lanes>;
  for (; c + Count * V::lanes <= cols; c += Count * V::lanes) {
    tile<Real, V, Rows, Count>(samples, A, lda, B + c, ldb, M + c, ldm);
  }
  return c;
}

// Narrower and narrower vectors for what is left.
template <class Real, int Lanes, int Rows>
void edge(index_t c, index_t cols, index_t samples, const Real* A, index_t lda, const Real* B, index_t ldb,
          double* M, index_t ldm) {
  if (c == cols) return;
  c = columns<Real, Lanes, Rows, 1>(c, cols, samples, A, lda, B, ldb, M, ldm);
  if constexpr (Lanes > 1) edge<Real, Lanes / 2, Rows>(c, cols, samples, A, lda, B, ldb, M, ldm);
}

template <class Real, int Rows>
void row_block(index_t cols, index_t samples, const Real* A, index_t lda, const Real* B, index_t ldb,
               double* M, index_t ldm) {
  constexpr int lanes = kLanes<Real>;
  const index_t c =
      columns<Real, lanes, Rows, MOEFAST_TILE_VECTORS>(0, cols, samples, A, lda, B, ldb, M, ldm);
  edge<Real, lanes, Rows>(c, cols, samples, A, lda, B, ldb, M, ldm);
}

// Rows is the height of the tile, at most that of the register tile.
template <class Real, int Rows>
void rows_of_height(index_t height, index_t cols, index_t samples, const Real* A, index_t lda, const Real* B,
                    index_t ldb, double* M, index_t ldm) {
  if (height == Rows) {
    row_block<Real, Rows>(cols, samples, A, lda, B, ldb, M, ldm);
  } else if constexpr (Rows > 1) {
    rows_of_height<Real, Rows - 1>(height, cols, samples, A, lda, B, ldb, M, ldm);
  }
}

// Nine rows are better cut into 5 + 4 than into 8 + 1: a flat tile waits for its own additions.
template <class Real>
void rank_update(index_t rows, index_t cols, index_t samples, const Real* A, index_t lda, const Real* B,
                 index_t ldb, double* M, index_t ldm) {
  constexpr index_t most = MOEFAST_TILE_ROWS;
  for (index_t blocks = (rows + most - 1) / most; blocks > 0; --blocks) {
    const index_t height = (rows + blocks - 1) / blocks;
    rows_of_height<Real, most>(height, cols, samples, A, lda, B, ldb, M, ldm);
    rows -= height, A += height, M += height * ldm;
  }
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
