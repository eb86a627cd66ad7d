// M[r][i] += sum_s A[s][r] * P[s][i],   P[s][i] = U[s][a] * F[s][b] for the pair i = (a, b):
// pair_panel.hpp and rank_update.hpp in one sweep. U and F have the same row stride.
//
// The pairs are one register tile wide. The first block of rows makes its vectors of pairs in registers, uses
// them and leaves them in P for the other blocks: a panel made beforehand is read and written once more,
// which cost 10 (dim = 100) to 20 % (dim = 50) of the time of order 3.
//
// With `ones` the last column of A is 1 everywhere. The block that makes the pairs takes it and adds them up:
// processors that add beside their multiply-adds do so in no time.
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

template <class Real, int Rows, bool Ones>
void pair_tile(const PairGroup& group, index_t samples, const Real* U, const Real* F, index_t ldu,
               const Real* A, index_t lda, Real* P, index_t ldp, double* M, index_t ldm) {
  using V = Vector<Real, kLanes<Real>>;
  using Type = typename V::type;
  constexpr int count = MOEFAST_TILE_VECTORS;
  const Real *u[count], *f[count];
  MOEFAST_UNROLL
  for (int v = 0; v < count; ++v) u[v] = U + group.a[v], f[v] = F + group.b[v];
  // The second run of vector 0 has the next b, and begins at lane 0 of U moved to the right.
  const Real* const u2 = U - group.second;
  const auto lanes_of_second = [&]() MOEFAST_ALWAYS_INLINE {
    return load<V>(kLater<Real> + kZeros - group.second);
  };
  const Type later = lanes_of_second();
  Type sum[Rows][count];
  MOEFAST_UNROLL_TILE
  for (int r = 0; r < Rows; ++r) {
    MOEFAST_UNROLL_TILE
    for (int v = 0; v < count; ++v) sum[r][v] = Type{};
  }
  for (index_t s = 0, at_u = 0; s < samples; ++s, at_u += ldu, A += lda, P += ldp) {
    Type row[count];
    if (group.mixed) {  // both sides are blended: one product takes the place of two
      // AVX-512 has registers for masks; others would drop a sum for it, and read it anew.
      const Type second = MOEFAST_BYTES == 64 ? later : lanes_of_second();
      const Type a = second > 0 ? load<V>(u2 + at_u) : load<V>(u[0] + at_u);
      const Type b = second > 0 ? f[0][at_u + 1] - Type{} : f[0][at_u] - Type{};
      row[0] = a * b;
    } else {
      row[0] = load<V>(u[0] + at_u) * f[0][at_u];
    }
    MOEFAST_UNROLL
    for (int v = 1; v < count; ++v) row[v] = load<V>(u[v] + at_u) * f[v][at_u];
    MOEFAST_UNROLL
    for (int v = 0; v < count; ++v) at<V>(P + v * V::lanes) = row[v];
    MOEFAST_UNROLL_TILE
    for (int r = 0; r < Rows; ++r) {
      MOEFAST_UNROLL_TILE
      for (int v = 0; v < count; ++v) sum[r][v] += Ones && r == Rows - 1 ? row[v] : A[r] * row[v];
    }
  }
  add_tile<Real, V, Rows, count>(sum, M, ldm);
}

template <class Real>
using PairTile = void (*)(const PairGroup&, index_t, const Real*, const Real*, index_t, const Real*, index_t,
                          Real*, index_t, double*, index_t);

// Tiles of 1 + Less rows.
template <class Real, int... Less>
PairTile<Real> pair_tile_of(index_t height, std::integer_sequence<int, Less...>) {
  static constexpr PairTile<Real> tiles[] = {pair_tile<Real, 1 + Less, true>...};
  return tiles[height - 1];
}

template <class Real>
void pair_update(const PairRun* runs, const PairGroup& group, index_t samples, const Real* U, const Real* F,
                 index_t ldu, bool ones, index_t rows, const Real* A, index_t lda, Real* P, index_t ldp,
                 double* M, index_t ldm) {
  constexpr int most = MOEFAST_TILE_ROWS, lanes = kLanes<Real>, count = MOEFAST_TILE_VECTORS;
  static_assert(count <= kMostTileVectors);
  // Of the block that makes the pairs, the last one.
  index_t height = ones ? tile_rows(rows) : most;
  if (group.in_tile && rows >= height) {
    const PairTile<Real> tile = ones ? pair_tile_of<Real>(height, kHeights) : pair_tile<Real, most, false>;
    rows -= height;
    tile(group, samples, U, F, ldu, A + rows, lda, P, ldp, M + rows * ldm, ldm);
  } else {
    pair_panel<Real>(runs, group.n_runs, samples, U, ldu, F, ldu, P, ldp);
  }
  for (; rows > 0; rows -= height, A += height, M += height * ldm) {
    height = tile_rows(rows);
    strip_of<Real, lanes, count>(height, kHeights)(lanes * count, samples, A, lda, P, ldp, M, ldm);
  }
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
