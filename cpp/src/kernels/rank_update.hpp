// The one kernel of the package.
#pragma once

#include "moefast/types.hpp"

namespace moefast::kernels {

// M[r][c] += sum_s A[s][r] * B[s][c],   r < rows, c < cols, s < samples.
//
// A: samples x rows, row stride lda; B: samples x cols, row stride ldb; M: rows x cols, row stride ldm.
// The moment tensors use it with A = pair products x_a x_b and B = response channels times x_c; EM with
// A = posterior and gate weights and B = pair products, or A = weighted residuals and B = x.
// The sum over s is held in registers and added to M once, in an order that depends on nothing but the
// arguments.
void rank_update(index_t rows, index_t cols, index_t samples, const double* A, index_t lda, const double* B,
                 index_t ldb, double* M, index_t ldm);

}  // namespace moefast::kernels
