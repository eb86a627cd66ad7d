// The calibration kernel: as many independent multiply-adds as the register tile has, on nothing but
// registers. Its rate is the most that any kernel here could reach on the machine at hand.
#pragma once

#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

template <class Real>
double fma_peak(index_t n_steps, double* sink) {
  using V = Vector<Real, kLanes<Real>>;
  constexpr int rows = MOEFAST_TILE_ROWS, vectors = MOEFAST_TILE_VECTORS;
  typename V::type sum[rows][vectors];
  for (int r = 0; r < rows; ++r) {  // all different, or the compiler would compute one of them
    for (int v = 0; v < vectors; ++v) sum[r][v] = static_cast<Real>(r * vectors + v) - typename V::type{};
  }
  const typename V::type factor = static_cast<Real>(n_steps % 2 == 0 ? 0.5 : 0.25) - typename V::type{};
  for (index_t step = 0; step < n_steps; ++step) {
    for (int r = 0; r < rows; ++r) {
      for (int v = 0; v < vectors; ++v) sum[r][v] = sum[r][v] * factor + factor;
    }
  }
  *sink = 0;
  for (int r = 0; r < rows; ++r) {
    for (int v = 0; v < vectors; ++v) {
      Real lanes[V::lanes];
      at<V>(lanes) = sum[r][v];
      for (index_t l = 0; l < V::lanes; ++l) *sink += lanes[l];
    }
  }
  return 2.0 * rows * vectors * static_cast<double>(V::lanes) * static_cast<double>(n_steps);
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
