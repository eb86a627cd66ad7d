// The calibration kernel: as many independent multiply-adds as the register tile has, on nothing but
// registers. Its rate is the most that any kernel here could reach on the machine at hand.
#pragma once

#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

template <class Real>
double fma_peak(index_t n_steps, double* sink) {
  using V = Vector<Real, kLanes<Real>>;
  constexpr int chains = MOEFAST_TILE_ROWS * MOEFAST_TILE_VECTORS;
  constexpr int inner = 8;
  typename V::type sum[chains] = {};
  typename V::type factor = Real(0.5) + typename V::type{};
  for (index_t step = 0; step < n_steps; ++step) {
    for (int i = 0; i < inner; ++i) {
      for (int c = 0; c < chains; ++c) sum[c] = sum[c] * factor + factor;
#if defined(__GNUC__)
      asm volatile("" : "+m"(factor));  // or the loop would be folded
#endif
    }
  }
  *sink = 0;
  for (int c = 0; c < chains; ++c) {
    Real lanes[V::lanes];
    at<V>(lanes) = sum[c];
    for (index_t l = 0; l < V::lanes; ++l) *sink += lanes[l];
  }
  return 2.0 * chains * inner * static_cast<double>(V::lanes) * static_cast<double>(n_steps);
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
