// M[r][i] += sum_s A[s][r] * P[s][i],   P[s][i] = U[s][a] * U[s][b] for the pair i = (a, b):
// pair_panel.hpp and rank_update.hpp in one sweep.
//
// The pairs are one register tile wide. The first block of rows makes its vectors of pairs in registers, uses
// them and leaves them in P for the other blocks: a panel made beforehand is read and written once more,
// which cost 10 (dim = 100) to 20 % (dim = 50) of the time of order 3.
#pragma once

#include "kernels/pair_panel.hpp"
#include "kernels/rank_update.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

// Zeros, then ones: where a second run begins at lane l, they are read from number kZeros - l on.
constexpr index_t kZeros = 16;
template <class Real>
constexpr Real kLater[2 * kZeros] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                     1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

template <class Real, int Rows, bool Mixed>
void pair_tile(const PairGroup& group, index_t samples, const Real* U, index_t ldu, const Real* A,
               index_t lda, Real* P, index_t ldp, double* M, index_t ldm) {
  using V = Vector<Real, kLanes<Real>>;
  using Type = typename V::type;
  constexpr int count = MOEFAST_TILE_VECTORS;
  // The second runs have the next b, and begin at lane 0 of U moved to the right.
  const Real *u[count], *f[count], *u2[count];
  Type later[count];
  over<count>([&](auto v) MOEFAST_ALWAYS_INLINE {
    u[v] = U + group.a[v], f[v] = U + group.b[v];
    if constexpr (Mixed) {
      u2[v] = U - group.second[v];
      later[v] = load<V>(kLater<Real> + kZeros - group.second[v]);
    }
  });
  Type sum[Rows][count];
  over<Rows, count>([&](auto r, auto v) MOEFAST_ALWAYS_INLINE { sum[r][v] = Type{}; });
  for (index_t s = 0, at_u = 0; s < samples; ++s, at_u += ldu, A += lda, P += ldp) {
    Type row[count];
    unroll<count>([&](auto v) MOEFAST_ALWAYS_INLINE {
      row[v] = load<V>(u[v] + at_u) * f[v][at_u];
      if constexpr (Mixed) row[v] = later[v] > 0 ? load<V>(u2[v] + at_u) * f[v][at_u + 1] : row[v];
      at<V>(P + v * V::lanes) = row[v];
    });
    over<Rows, count>([&](auto r, auto v) MOEFAST_ALWAYS_INLINE { sum[r][v] += A[r] * row[v]; });
  }
  add_tile<Real, V, Rows, count>(sum, M, ldm);
}

template <class Real, int Rows>
void pair_tile_of(index_t height, const PairGroup& group, index_t samples, const Real* U, index_t ldu,
                  const Real* A, index_t lda, Real* P, index_t ldp, double* M, index_t ldm) {
  if (height < Rows) {
    if constexpr (Rows > 1) {
      pair_tile_of<Real, Rows - 1>(height, group, samples, U, ldu, A, lda, P, ldp, M, ldm);
    }
  } else if (group.mixed) {
    pair_tile<Real, Rows, true>(group, samples, U, ldu, A, lda, P, ldp, M, ldm);
  } else {
    pair_tile<Real, Rows, false>(group, samples, U, ldu, A, lda, P, ldp, M, ldm);
  }
}

template <class Real>
void pair_update(const PairRun* runs, const PairGroup& group, index_t samples, const Real* U, index_t ldu,
                 index_t rows, const Real* A, index_t lda, Real* P, index_t ldp, double* M, index_t ldm) {
  constexpr index_t most = MOEFAST_TILE_ROWS, width = kLanes<Real> * MOEFAST_TILE_VECTORS;
  static_assert(MOEFAST_TILE_VECTORS <= kMostTileVectors);
  index_t height = 0;  // of the block that makes the pairs
  if (group.in_tile) {
    const index_t blocks = (rows + most - 1) / most;
    height = (rows + blocks - 1) / blocks;
    pair_tile_of<Real, most>(height, group, samples, U, ldu, A, lda, P, ldp, M, ldm);
  } else {
    pair_panel<Real>(runs, group.n_runs, samples, U, ldu, U, ldu, P, ldp);
  }
  if (rows == height) return;
  rank_update<Real>(rows - height, width, samples, A + height, lda, P, ldp, M + height * ldm, ldm);
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
