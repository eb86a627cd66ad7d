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

template <class Real, int Rows, bool Mixed, bool Ones>
void pair_tile(const PairGroup& group, index_t samples, const Real* U, const Real* F, index_t ldu,
               const Real* A, index_t lda, Real* P, index_t ldp, double* M, index_t ldm) {
  using V = Vector<Real, kLanes<Real>>;
  using Type = typename V::type;
  constexpr int count = MOEFAST_TILE_VECTORS;
  const Real *u[count], *f[count];
  over<count>([&](auto v) MOEFAST_ALWAYS_INLINE { u[v] = U + group.a[v], f[v] = F + group.b[v]; });
  // The second run of vector 0 has the next b, and begins at lane 0 of U moved to the right.
  const Real* const u2 = U - group.second;
  const auto lanes_of_second = [&]() MOEFAST_ALWAYS_INLINE {
    return load<V>(kLater<Real> + kZeros - group.second);
  };
  const Type later = lanes_of_second();
  Type sum[Rows][count];
  over<Rows, count>([&](auto r, auto v) MOEFAST_ALWAYS_INLINE { sum[r][v] = Type{}; });
  for (index_t s = 0, at_u = 0; s < samples; ++s, at_u += ldu, A += lda, P += ldp) {
    Type row[count];
    unroll<count>([&](auto v) MOEFAST_ALWAYS_INLINE {
      if (Mixed && v == 0) {  // both sides are blended: one product takes the place of two
        // AVX-512 has registers for masks; others would drop a sum for it, and read it anew.
        const Type second = MOEFAST_BYTES == 64 ? later : lanes_of_second();
        const Type a = second > 0 ? load<V>(u2 + at_u) : load<V>(u[v] + at_u);
        const Type b = second > 0 ? f[v][at_u + 1] - Type{} : f[v][at_u] - Type{};
        row[v] = a * b;
      } else {
        row[v] = load<V>(u[v] + at_u) * f[v][at_u];
      }
      at<V>(P + v * V::lanes) = row[v];
    });
    over<Rows, count>([&](auto r, auto v) MOEFAST_ALWAYS_INLINE {
      if (Ones && r == Rows - 1) {
        sum[r][v] += row[v];
      } else {
        sum[r][v] += A[r] * row[v];
      }
    });
  }
  add_tile<Real, V, Rows, count>(sum, M, ldm);
}

template <class Real>
using PairTile = void (*)(const PairGroup&, index_t, const Real*, const Real*, index_t, const Real*, index_t,
                          Real*, index_t, double*, index_t);

// Tiles of 1 + Less rows.
template <class Real, bool Mixed, int... Less>
PairTile<Real> pair_tile_of(index_t height, std::integer_sequence<int, Less...>) {
  static constexpr PairTile<Real> tiles[] = {pair_tile<Real, 1 + Less, Mixed, true>...};
  return tiles[height - 1];
}

template <class Real>
void pair_update(const PairRun* runs, const PairGroup& group, index_t samples, const Real* U, const Real* F,
                 index_t ldu, bool ones, index_t rows, const Real* A, index_t lda, Real* P, index_t ldp,
                 double* M, index_t ldm) {
  constexpr int most = MOEFAST_TILE_ROWS;
  constexpr index_t width = kLanes<Real> * MOEFAST_TILE_VECTORS;
  static_assert(MOEFAST_TILE_VECTORS <= kMostTileVectors);
  constexpr std::make_integer_sequence<int, most> heights;
  PairTile<Real> tile = nullptr;
  index_t height = 0;  // of the block that makes the pairs, the last one
  if (group.in_tile && ones) {
    const index_t blocks = (rows + most - 1) / most;
    height = (rows + blocks - 1) / blocks;
    tile =
        group.mixed ? pair_tile_of<Real, true>(height, heights) : pair_tile_of<Real, false>(height, heights);
  } else if (group.in_tile && rows >= most) {
    height = most;
    tile = group.mixed ? pair_tile<Real, most, true, false> : pair_tile<Real, most, false, false>;
  }
  rows -= height;
  if (tile) {
    tile(group, samples, U, F, ldu, A + rows, lda, P, ldp, M + rows * ldm, ldm);
  } else {
    pair_panel<Real>(runs, group.n_runs, samples, U, ldu, F, ldu, P, ldp);
  }
  if (rows > 0) rank_update<Real>(rows, width, samples, A, lda, P, ldp, M, ldm);
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
