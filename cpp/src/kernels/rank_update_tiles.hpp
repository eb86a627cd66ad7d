// The one source of the kernel, compiled once for each instruction set (rank_update_<set>.cpp), each time in
// a namespace of its own.
//
//     M[r][c] += sum_s A[s][r] * B[s][c],   r < rows, c < cols, s < samples
//
// A: samples x rows, row stride lda; B: samples x cols, row stride ldb; M: rows x cols, row stride ldm.
//
// Nothing but raw pointers and plain loops may stand here: an inline function or template of a library,
// compiled into the AVX-512 unit, could be the copy that the linker keeps for all (a crash on older CPUs).
// Everything is static, and a test looks at the symbols.
//
// Before inclusion define
//   MOEFAST_KERNEL_NAMESPACE  the namespace
//   MOEFAST_LANES             doubles in a vector register: 8, 4, 2 or 1
//   MOEFAST_TILE_ROWS         rows of the register tile
//   MOEFAST_TILE_VECTORS      vectors in a row of the tile: rows * vectors accumulators, plus one row of B
//   and
//                             one broadcast, have to fit the register file
#pragma once

#include <cstdint>

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

using index_t = std::int64_t;

// aligned(8): panels lie at any multiple of a double; may_alias: they are arrays of double.
#define MOEFAST_VECTOR(n)                                                             \
  struct Vector##n {                                                                  \
    typedef double type __attribute__((vector_size(8 * (n)), aligned(8), may_alias)); \
    static constexpr index_t lanes = n;                                               \
  };
struct Vector1 {
  typedef double type;
  static constexpr index_t lanes = 1;
};
#if MOEFAST_LANES >= 2
MOEFAST_VECTOR(2)
#endif
#if MOEFAST_LANES >= 4
MOEFAST_VECTOR(4)
#endif
#if MOEFAST_LANES >= 8
MOEFAST_VECTOR(8)
#endif
#undef MOEFAST_VECTOR

// Rows x (Count * lanes) entries of M, their sums held in registers and added to M once.
template <class V, int Rows, int Count>
void tile(index_t samples, const double* A, index_t lda, const double* B, index_t ldb, double* M,
          index_t ldm) {
  typename V::type sum[Rows][Count] = {};
  for (index_t s = 0; s < samples; ++s, A += lda, B += ldb) {
    for (int r = 0; r < Rows; ++r) {
      for (int v = 0; v < Count; ++v) {
        sum[r][v] += A[r] * *reinterpret_cast<const typename V::type*>(B + v * V::lanes);
      }
    }
  }
  for (int r = 0; r < Rows; ++r) {
    for (int v = 0; v < Count; ++v) {
      *reinterpret_cast<typename V::type*>(M + r * ldm + v * V::lanes) += sum[r][v];
    }
  }
}

// Columns c .. of Rows rows, as many as full tiles of this width take; returns where they end.
template <class V, int Rows, int Count>
index_t columns(index_t c, index_t cols, index_t samples, const double* A, index_t lda, const double* B,
                index_t ldb, double* M, index_t ldm) {
  for (; c + Count * V::lanes <= cols; c += Count * V::lanes) {
    tile<V, Rows, Count>(samples, A, lda, B + c, ldb, M + c, ldm);
  }
  return c;
}

// Wide tiles first, then narrower and narrower vectors for what is left.
template <int Rows>
void row_block(index_t cols, index_t samples, const double* A, index_t lda, const double* B, index_t ldb,
               double* M, index_t ldm) {
  index_t c = 0;
#if MOEFAST_LANES >= 8
  c = columns<Vector8, Rows, MOEFAST_TILE_VECTORS>(c, cols, samples, A, lda, B, ldb, M, ldm);
  c = columns<Vector8, Rows, 1>(c, cols, samples, A, lda, B, ldb, M, ldm);
  c = columns<Vector4, Rows, 1>(c, cols, samples, A, lda, B, ldb, M, ldm);
  c = columns<Vector2, Rows, 1>(c, cols, samples, A, lda, B, ldb, M, ldm);
#elif MOEFAST_LANES >= 4
  c = columns<Vector4, Rows, MOEFAST_TILE_VECTORS>(c, cols, samples, A, lda, B, ldb, M, ldm);
  c = columns<Vector4, Rows, 1>(c, cols, samples, A, lda, B, ldb, M, ldm);
  c = columns<Vector2, Rows, 1>(c, cols, samples, A, lda, B, ldb, M, ldm);
#elif MOEFAST_LANES >= 2
  c = columns<Vector2, Rows, MOEFAST_TILE_VECTORS>(c, cols, samples, A, lda, B, ldb, M, ldm);
  c = columns<Vector2, Rows, 1>(c, cols, samples, A, lda, B, ldb, M, ldm);
#else
  c = columns<Vector1, Rows, MOEFAST_TILE_VECTORS>(c, cols, samples, A, lda, B, ldb, M, ldm);
#endif
  columns<Vector1, Rows, 1>(c, cols, samples, A, lda, B, ldb, M, ldm);
}

// Rows r .. in blocks of this height; returns where they end.
template <int Rows>
index_t row_blocks(index_t r, index_t rows, index_t cols, index_t samples, const double* A, index_t lda,
                   const double* B, index_t ldb, double* M, index_t ldm) {
  for (; r + Rows <= rows; r += Rows) row_block<Rows>(cols, samples, A + r, lda, B, ldb, M + r * ldm, ldm);
  return r;
}

}  // namespace

void rank_update(index_t rows, index_t cols, index_t samples, const double* A, index_t lda, const double* B,
                 index_t ldb, double* M, index_t ldm) {
  index_t r = row_blocks<MOEFAST_TILE_ROWS>(0, rows, cols, samples, A, lda, B, ldb, M, ldm);
#if MOEFAST_TILE_ROWS > 4
  r = row_blocks<4>(r, rows, cols, samples, A, lda, B, ldb, M, ldm);
#endif
  r = row_blocks<2>(r, rows, cols, samples, A, lda, B, ldb, M, ldm);
  row_blocks<1>(r, rows, cols, samples, A, lda, B, ldb, M, ldm);
}

}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
