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

// Where the vectors of pairs come from, in the row of a sample: vector v is u[v] times the number f[v]. In
// one of them at most, number `mixed`, a second run begins at lane `second`.
template <class Real>
struct PairSource {
  const Real *u[MOEFAST_TILE_VECTORS], *f[MOEFAST_TILE_VECTORS];
  int mixed;  // -1: none
  const Real *u2, *f2;
  index_t second;
};

// False where the pairs do not fill the tile or their runs meet more often.
template <class Real>
bool find_source(const PairRun* run, index_t n_runs, const Real* U, PairSource<Real>& out) {
  constexpr index_t lanes = kLanes<Real>, width = lanes * MOEFAST_TILE_VECTORS;
  const PairRun* const last = run + n_runs - 1;
  if (last->lane + last->length < width) return false;
  out.mixed = -1;
  for (int v = 0; v < MOEFAST_TILE_VECTORS; ++v) {
    const index_t lane = v * lanes;
    if (run->lane + run->length <= lane) ++run;
    out.u[v] = U + run->a + (lane - run->lane), out.f[v] = U + run->b;
    if (run->lane + run->length >= lane + lanes) continue;
    ++run;
    if (out.mixed >= 0 || run->lane + run->length < lane + lanes) return false;
    out.mixed = v, out.second = run->lane - lane;
    out.u2 = U + run->a + (lane - run->lane), out.f2 = U + run->b;
  }
  return true;
}

template <class Real, int Rows, int Mixed>
void pair_tile(index_t samples, const PairSource<Real>& from, index_t ldu, const Real* A, index_t lda,
               Real* P, index_t ldp, double* M, index_t ldm) {
  using V = Vector<Real, kLanes<Real>>;
  using Type = typename V::type;
  constexpr int count = MOEFAST_TILE_VECTORS;
  const PairSource<Real> source = from;  // of which nobody thinks that P might change it
  const Blend<Real> blend(Mixed >= 0 ? source.second : 0);
  Type sum[Rows][count];
  over<Rows, count>([&](auto r, auto v) MOEFAST_ALWAYS_INLINE { sum[r][v] = Type{}; });
  for (index_t s = 0, u = 0; s < samples; ++s, u += ldu, A += lda, P += ldp) {
    Type row[count];
    unroll<count>([&](auto v) MOEFAST_ALWAYS_INLINE {
      row[v] = load<V>(source.u[v] + u) * source.f[v][u];
      if constexpr (v == Mixed) row[v] = blend(row[v], load<V>(source.u2 + u) * source.f2[u]);
      at<V>(P + v * V::lanes) = row[v];
    });
    over<Rows, count>([&](auto r, auto v) MOEFAST_ALWAYS_INLINE { sum[r][v] += A[r] * row[v]; });
  }
  add_tile<Real, V, Rows, count>(sum, M, ldm);
}

template <class Real, int Rows, int Mixed>
void pair_tile_of(index_t height, index_t samples, const PairSource<Real>& from, index_t ldu, const Real* A,
                  index_t lda, Real* P, index_t ldp, double* M, index_t ldm) {
  if (height < Rows) {
    if constexpr (Rows > 1) {
      pair_tile_of<Real, Rows - 1, Mixed>(height, samples, from, ldu, A, lda, P, ldp, M, ldm);
    }
  } else if (from.mixed == Mixed) {
    pair_tile<Real, Rows, Mixed>(samples, from, ldu, A, lda, P, ldp, M, ldm);
  } else if constexpr (Mixed >= 0) {
    pair_tile_of<Real, Rows, Mixed - 1>(height, samples, from, ldu, A, lda, P, ldp, M, ldm);
  }
}

template <class Real>
void pair_update(const PairRun* runs, index_t n_runs, index_t samples, const Real* U, index_t ldu,
                 index_t rows, const Real* A, index_t lda, Real* P, index_t ldp, double* M, index_t ldm) {
  constexpr index_t most = MOEFAST_TILE_ROWS, width = kLanes<Real> * MOEFAST_TILE_VECTORS;
  PairSource<Real> source;
  index_t height = 0;  // of the block that makes the pairs
  if (find_source(runs, n_runs, U, source)) {
    const index_t blocks = (rows + most - 1) / most;
    height = (rows + blocks - 1) / blocks;
    pair_tile_of<Real, most, MOEFAST_TILE_VECTORS - 1>(height, samples, source, ldu, A, lda, P, ldp, M, ldm);
  } else {
    pair_panel<Real>(runs, n_runs, samples, U, ldu, U, ldu, P, ldp);
  }
  if (rows == height) return;
  rank_update<Real>(rows - height, width, samples, A + height, lda, P, ldp, M + height * ldm, ldm);
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
