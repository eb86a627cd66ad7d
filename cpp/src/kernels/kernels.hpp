// The innermost loops of the package, as the rest of the core sees them.
//
// Each is one readable source (rank_update.hpp, ...), compiled once for every instruction set by
// build_<set>.cpp into a table of functions; dispatch.cpp chooses the table.
#pragma once

#include "moefast/types.hpp"

namespace moefast::kernels {

// Kernels with samples along the vectors take a multiple of this many, on every instruction set.
constexpr index_t kSampleStep = 8;

// The E-step of a panel of samples. Arrays named x stride have rows of `stride` numbers, a row an expert.
struct Expectation {
  index_t samples = 0;  // a multiple of kSampleStep; pad with weight 0
  index_t k = 0;
  index_t stride = 0;
  const double* scores = nullptr;  // 2k x stride: predictions m_i, then logits l_i
  const double* y = nullptr;
  const double* w = nullptr;
  const double* given = nullptr;          // k x stride: responsibilities in place of the posterior, or null
  const double* inverse_sigma = nullptr;  // k: 1 / s_i
  const double* log_scale = nullptr;      // k: log(s_i sqrt(2 pi))
  double* weights = nullptr;              // k + k (k - 1) / 2 x stride: w r_i, then w p_i (delta_ij - p_j)
  double* residuals = nullptr;            // k x stride: w r_i e_i
  double* slopes = nullptr;               // k x stride: w (r_i - p_i)
  // (2k + 1) x kSampleStep, added to: sums of w r_i, w r_i e_i^2 and w log P(y | x), to be added up by rows.
  double* lane_sums = nullptr;
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

  // M[r][pair(a, b)] += sum_s A[r][s] U[a][s] U[b][s],   a <= b, first_b <= b < last_b
  //
  // A: rows x samples, row stride lda; U: last_b x samples, row stride ldu; M: a row of pairs sorted by b
  // then a, the first being (0, first_b), row stride ldm. samples: a multiple of kSampleStep.
  void (*pair_products)(index_t rows, index_t first_b, index_t last_b, index_t samples, const double* A,
                        index_t lda, const double* U, index_t ldu, double* M, index_t ldm);
  void (*expectation)(const Expectation& panel);
  // out[i] = exp(x[i]), log(x[i])
  void (*exponentials)(index_t n, const double* x, double* out);
  void (*logarithms)(index_t n, const double* x, double* out);

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
