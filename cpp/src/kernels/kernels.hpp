// The innermost loops of the package, as the rest of the core sees them.
//
// Each is one readable source (rank_update.hpp, ...), compiled once for every instruction set by
// build_<set>.cpp into a table of functions; dispatch.cpp chooses the table.
#pragma once

#include "kernels/tuning.hpp"
#include "moefast/index.hpp"

namespace moefast::kernels {

// Numbers that must be readable before and after a panel that pairs are made from: the widest vector.
constexpr index_t kPanelPadding = 16;

// Products of the numbers a .. a + length - 1 of a row and number b of another, for columns `lane` and on.
struct PairRun {
  index_t a, b, length, lane;
};

// Vectors in a row of the register tile, at most.
constexpr index_t kMostTileVectors = 4;

// Pairs (a <= b) that fill one row of a register tile: what each of its vectors is.
struct PairGroup {
  index_t n_runs = 0;  // each inside a vector
  // Vector v is U[s][a[v] + i] * F[s][b[v]]; vector 0 only up to lane `second`, where the pairs (0, b[0] +
  // 1), (1, b[0] + 1), .. begin. Lanes without a pair may be anything.
  index_t a[kMostTileVectors] = {}, b[kMostTileVectors] = {}, second = 0;
  bool mixed = false;    // second is inside the vector
  bool in_tile = false;  // otherwise more vectors have two runs, or one has three
};

// What the kernel of rectangle.hpp reads and adds to; shapes there. B, t, by_B and by_t may be null together.
struct RectangleArgs {
  index_t rows, cols, width;
  const double *M, *Q;
  const double *A, *s, *B, *t;
  double* Z;
  double *by_A, *by_s, *by_B, *by_t;
};

// Kernels with samples along the vectors take a multiple of this many, on every instruction set.
constexpr index_t kSampleStep = 8;

// The E-step of a panel of samples. Arrays named x stride have rows of `stride` numbers, a row an expert.
struct Expectation {
  index_t samples = 0;  // a multiple of kSampleStep; pad with weight 0
  index_t k = 0;
  index_t stride = 0;
  const double* scores = nullptr;  // 2k x stride: predictions m_i, then logits l_i
  bool log_densities = false;      // the first k rows of scores are log f_i(y) in place of m_i; e_i is then 0
  const double* y = nullptr;
  const double* w = nullptr;
  const double* given = nullptr;          // k x stride: responsibilities in place of the posterior, or null
  const double* inverse_sigma = nullptr;  // k: 1 / s_i
  const double* log_scale = nullptr;      // k: log(s_i sqrt(2 pi))
  double inverse_temperature = 1;         // beta: r_i is in proportion to (p_i N_i)^beta
  double* weights = nullptr;              // k + k (k - 1) / 2 x stride: w r_i, then w p_i (delta_ij - p_j)
  bool gate_products = true;              // false: only the first k rows of weights
  double* residuals = nullptr;            // k x stride: w r_i e_i
  double* slopes = nullptr;               // k x stride: w (r_i - p_i)
  // (2k + 1) x kSampleStep, added to: sums of w r_i, w r_i e_i^2 and w log P(y | x), to be added up by rows.
  double* lane_sums = nullptr;
};

// The terms of a family whose only sums are of y eta and of a function of eta, see
// families/{poisson,binomial}.
struct CanonicalTerms {
  index_t n = 0;
  const double *y = nullptr, *eta = nullptr;
  const double* trials = nullptr;    // of the binomial; null: 1
  const double* constant = nullptr;  // what log f has of the row alone; null: 0
  double* log_density = nullptr;     // may be the array of eta
  double *slope = nullptr, *weight = nullptr;
};

// The kernels for panels of one type.
template <class Real>
struct Kernels {
  // Vectors of the widest register tile times their lanes: panels of this many columns have no edges.
  index_t panel_columns;
  // Numbers of a vector.
  index_t lanes;

  // M[r][c] += sum_l A[r][l] * f[l] * B[c][l],   r < rows, c < cols, l < length: the same sums from
  // transposed panels, vectors along the summed index; f may be null. `length` is a multiple of
  // panel_columns' vectors (kPanelPadding serves all).
  void (*dot_update)(index_t rows, index_t cols, index_t length, const Real* A, index_t lda, const Real* f,
                     const Real* B, index_t ldb, double* M, index_t ldm);

  // P[s][lane + i] = U[s][a + i] * F[s][b] for every run; see pair_panel.hpp for the padding.
  void (*pair_panel)(const PairRun* runs, index_t n_runs, index_t samples, const Real* U, index_t ldu,
                     const Real* F, index_t ldf, Real* P, index_t ldp);

  // M[r][i] += sum_s A[s][r] * P[s][i] for the products P = U[s][a] * F[s][b] of the runs, which are a group;
  // they are left in P. ones: A[s][rows - 1] is 1. In the float form products and register sums are float32,
  // M is float64: keep samples small. See pair_update.hpp.
  void (*pair_update)(const PairRun* runs, const PairGroup& group, index_t samples, const Real* U,
                      const Real* F, index_t ldu, bool ones, index_t rows, const Real* A, index_t lda,
                      Real* P, index_t ldp, double* M, index_t ldm);

  // out[r][l] = A[r][l] * f[l]; `length` as above
  void (*scale_rows)(index_t rows, index_t length, const Real* A, index_t lda, const Real* f, Real* out,
                     index_t ldo);

  // sums[j] += sum_s w[s] X[s][j],   bounds[j] = max(bounds[j], max_s |X[s][j]|)
  void (*scan_rows)(index_t samples, index_t cols, const Real* X, index_t ldx, const double* w, double* sums,
                    double* bounds);

  // U[s][j] = (X[s][j] - centre[j]) * scale[j]
  void (*centre_rows)(index_t samples, index_t cols, const Real* X, index_t ldx, const double* centre,
                      const double* scale, Real* U, index_t ldu);
  // U[j][s] = the same
  void (*centre_rows_transposed)(index_t samples, index_t cols, const Real* X, index_t ldx,
                                 const double* centre, const double* scale, Real* U, index_t ldu);

  // n_steps rounds of independent multiply-adds in registers; returns the flops done and writes a number
  // that depends on all of them. For measuring the peak rate of this machine.
  double (*fma_peak)(index_t n_steps, double* sink);
};

struct KernelTable {
  const char* name;
  Tuning tuning;
  Kernels<double> f64;
  Kernels<float> f32;

  // Lanes of a vector of float64, and how many of them the tile of `rectangle` has.
  index_t lanes_f64, rectangle_lanes;
  // M[r][c] += sum_s A[s][r] * B[s][c],   r < rows, c < cols, s < samples
  //
  // A: samples x rows, row stride lda; B: samples x cols, row stride ldb; M: rows x cols, row stride ldm.
  // The sum over s is held in registers and added to M once, in an order that depends on nothing but the
  // arguments.
  void (*rank_update)(index_t rows, index_t cols, index_t samples, const double* A, index_t lda,
                      const double* B, index_t ldb, double* M, index_t ldm);
  // The bilinear form of a rectangle and its gradients; see rectangle.hpp.
  void (*rectangle)(const RectangleArgs&);

  // The E-step; see expectation.hpp.
  void (*expectation)(const Expectation& panel);
  // out[i] = exp(x[i]), log(x[i])
  void (*exponentials)(index_t n, const double* x, double* out);
  void (*logarithms)(index_t n, const double* x, double* out);
  void (*poisson_terms)(const CanonicalTerms& rows);
  void (*binomial_terms)(const CanonicalTerms& rows);
};

// The table in use; see instruction_set.hpp.
const KernelTable& active();

// Its kernels for panels of type Real.
template <class Real>
const Kernels<Real>& of() {
  if constexpr (sizeof(Real) == sizeof(double)) {
    return active().f64;
  } else {
    return active().f32;
  }
}

inline void rank_update(index_t rows, index_t cols, index_t samples, const double* A, index_t lda,
                        const double* B, index_t ldb, double* M, index_t ldm) {
  active().rank_update(rows, cols, samples, A, lda, B, ldb, M, ldm);
}

}  // namespace moefast::kernels
