#include "kernels/rank_update.hpp"

#include <algorithm>

namespace moefast::kernels {
namespace {

// 4 x 4 doubles are 8 two-lane registers of accumulators; with 2 for B and 1 for the broadcast of A
// they fit the 16 registers of baseline x86-64, and the 32 of AArch64.
constexpr index_t kTile = 4;

template <index_t Rows, index_t Cols>
void tile(index_t samples, const double* __restrict A, index_t lda, const double* __restrict B, index_t ldb,
          double* __restrict M, index_t ldm) {
  double sum[Rows][Cols] = {};
  for (index_t s = 0; s < samples; ++s) {
    for (index_t r = 0; r < Rows; ++r) {
      const double a = A[s * lda + r];
      for (index_t c = 0; c < Cols; ++c) sum[r][c] += a * B[s * ldb + c];
    }
  }
  for (index_t r = 0; r < Rows; ++r) {
    for (index_t c = 0; c < Cols; ++c) M[r * ldm + c] += sum[r][c];
  }
}

using Tile = void (*)(index_t, const double*, index_t, const double*, index_t, double*, index_t);

// Tiles at the right and lower edge are smaller; every size is compiled so that no loop bound is left open.
constexpr Tile kTiles[kTile][kTile] = {{tile<1, 1>, tile<1, 2>, tile<1, 3>, tile<1, 4>},
                                       {tile<2, 1>, tile<2, 2>, tile<2, 3>, tile<2, 4>},
                                       {tile<3, 1>, tile<3, 2>, tile<3, 3>, tile<3, 4>},
                                       {tile<4, 1>, tile<4, 2>, tile<4, 3>, tile<4, 4>}};

}  // namespace

void rank_update(index_t rows, index_t cols, index_t samples, const double* A, index_t lda, const double* B,
                 index_t ldb, double* M, index_t ldm) {
  for (index_t r = 0; r < rows; r += kTile) {
    for (index_t c = 0; c < cols; c += kTile) {
      const Tile compute = kTiles[std::min(kTile, rows - r) - 1][std::min(kTile, cols - c) - 1];
      compute(samples, A + r, lda, B + c, ldb, M + r * ldm + c, ldm);
    }
  }
}

}  // namespace moefast::kernels
