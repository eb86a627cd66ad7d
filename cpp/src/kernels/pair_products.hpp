// M[r][pair(a, b)] += sum_s A[r][s] U[a][s] U[b][s]: weighted Gram matrices from weights and features.
//
// A: rows x samples, row stride lda; U: features x samples, row stride ldu; M: a row of pairs a <= b for each
// row of A, sorted by b then a, row stride ldm. Samples lie along the vectors: products u_a u_b live in
// registers only, and a weight is loaded once for MOEFAST_TILE_VECTORS of them.
#pragma once

#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

// The sum of a vector's numbers: halves added to each other.
template <class V>
inline double sum_of_lanes(const typename V::type& v) {
  double lanes[V::lanes];
  at<V>(lanes) = v;
  for (index_t half = V::lanes / 2; half > 0; half /= 2) {
    for (index_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
  }
  return lanes[0];
}

// Rows x Count entries: features U[0 .. Count) times `other`.
template <int Rows, int Count>
void pair_tile(index_t samples, const double* A, index_t lda, const double* U, index_t ldu,
               const double* other, double* M, index_t ldm) {
  using V = Vector<double, kLanes<double>>;
  typename V::type sum[Rows][Count] = {};
  index_t s = 0;
  do {  // at least once: a loop that may be empty makes the compiler keep the sums in memory too
    typename V::type pair[Count];
    for (int c = 0; c < Count; ++c) pair[c] = load<V>(U + c * ldu + s) * load<V>(other + s);
    for (int r = 0; r < Rows; ++r) {
      const typename V::type weight = load<V>(A + r * lda + s);
      for (int c = 0; c < Count; ++c) sum[r][c] += weight * pair[c];
    }
    s += V::lanes;
  } while (s < samples);
  for (int r = 0; r < Rows; ++r) {
    for (int c = 0; c < Count; ++c) M[r * ldm + c] += sum_of_lanes<V>(sum[r][c]);
  }
}

// The features that are left, fewer than a full tile.
template <int Rows, int Count>
void last_pairs(index_t left, index_t samples, const double* A, index_t lda, const double* U, index_t ldu,
                const double* other, double* M, index_t ldm) {
  if constexpr (Count > 0) {
    if (left == Count) {
      pair_tile<Rows, Count>(samples, A, lda, U, ldu, other, M, ldm);
    } else {
      last_pairs<Rows, Count - 1>(left, samples, A, lda, U, ldu, other, M, ldm);
    }
  }
}

template <int Rows>
void pair_rows(index_t first_b, index_t last_b, index_t samples, const double* A, index_t lda,
               const double* U, index_t ldu, double* M, index_t ldm) {
  constexpr int full = MOEFAST_TILE_VECTORS;
  for (index_t b = first_b; b < last_b; ++b) {
    const double* other = U + b * ldu;
    index_t a = 0;
    for (; a + full <= b + 1; a += full) {
      pair_tile<Rows, full>(samples, A, lda, U + a * ldu, ldu, other, M + a, ldm);
    }
    last_pairs<Rows, full - 1>(b + 1 - a, samples, A, lda, U + a * ldu, ldu, other, M + a, ldm);
    M += b + 1;
  }
}

template <int Rows>
void last_pair_rows(index_t rows, index_t first_b, index_t last_b, index_t samples, const double* A,
                    index_t lda, const double* U, index_t ldu, double* M, index_t ldm) {
  if constexpr (Rows > 0) {
    if (rows == Rows) {
      pair_rows<Rows>(first_b, last_b, samples, A, lda, U, ldu, M, ldm);
    } else {
      last_pair_rows<Rows - 1>(rows, first_b, last_b, samples, A, lda, U, ldu, M, ldm);
    }
  }
}

void pair_products(index_t rows, index_t first_b, index_t last_b, index_t samples, const double* A,
                   index_t lda, const double* U, index_t ldu, double* M, index_t ldm) {
  constexpr int full = MOEFAST_TILE_ROWS;
  for (; rows >= full; rows -= full, A += full * lda, M += full * ldm) {
    pair_rows<full>(first_b, last_b, samples, A, lda, U, ldu, M, ldm);
  }
  last_pair_rows<full - 1>(rows, first_b, last_b, samples, A, lda, U, ldu, M, ldm);
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
