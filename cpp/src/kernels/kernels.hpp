// The innermost loops of the package, as the rest of the core sees them.
//
// Each is one readable source (rank_update.hpp, ...), compiled once for every instruction set by
// build_<set>.cpp into a table of functions; dispatch.cpp chooses the table.
#pragma once

#include "moefast/types.hpp"

namespace moefast::kernels {

// What the kernel of rectangle.hpp reads and adds to; shapes there. B, t, by_B and by_t may be null together.
struct RectangleArgs {
  index_t rows, cols, width;
  const double *M, *Q;
  const double *A, *s, *B, *t;
  double* Z;
  double *by_A, *by_s, *by_B, *by_t;
};

struct KernelTable {
  const char* name;
  // Vectors of the widest register tile times their lanes: panels of this many columns have no edges.
  index_t panel_columns_f64, panel_columns_f32;

  // M[r][c] += sum_s A[s][r] * B[s][c],   r < rows, c < cols, s < samples
  //
  // A: samples x rows, row stride lda; B: samples x cols, row stride ldb; M: rows x cols, row stride ldm.
  // The sum over s is held in registers and added to M once, in an order that depends on nothing but the
  // arguments. In the float form products and register sums are float32, M is float64: keep samples small.
  void (*rank_update_f64)(index_t rows, index_t cols, index_t samples, const double* A, index_t lda,
                          const double* B, index_t ldb, double* M, index_t ldm);
  void (*rank_update_f32)(index_t rows, index_t cols, index_t samples, const float* A, index_t lda,
                          const float* B, index_t ldb, double* M, index_t ldm);

  // Lanes of a vector of float64, and how many of them the tile of `rectangle` has.
  index_t lanes_f64, rectangle_lanes;

  // The bilinear form of a rectangle and its gradients; see rectangle.hpp.
  void (*rectangle)(const RectangleArgs&);

  // n_steps dependent rounds of independent fused multiply-adds in registers; returns the flops done and
  // writes a number that depends on all of them. For measuring the peak rate of this machine.
  double (*fma_peak_f64)(index_t n_steps, double* sink);
  double (*fma_peak_f32)(index_t n_steps, double* sink);
};

// The table in use; see instruction_set.hpp.
const KernelTable& active();

inline void rank_update(index_t rows, index_t cols, index_t samples, const double* A, index_t lda,
                        const double* B, index_t ldb, double* M, index_t ldm) {
  active().rank_update_f64(rows, cols, samples, A, lda, B, ldb, M, ldm);
}
inline void rank_update(index_t rows, index_t cols, index_t samples, const float* A, index_t lda,
                        const float* B, index_t ldb, double* M, index_t ldm) {
  active().rank_update_f32(rows, cols, samples, A, lda, B, ldb, M, ldm);
}

}  // namespace moefast::kernels
