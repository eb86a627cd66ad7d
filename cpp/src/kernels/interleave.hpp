// The transpose of a square of vectors, by a network of interleavings.
//
//     low(a, b) = a0 b0 a1 b1 ...,   high(a, b) = the rest, from the upper halves
//
// With L lanes, putting low and high of vectors i and i + L/2 in places 2i and 2i + 1, log2(L) times,
// transposes L vectors.
#pragma once

#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

#if MOEFAST_BYTES > 0
template <class Type, int Lanes>
inline Type low(Type a, Type b) {
  if constexpr (Lanes == 2) return __builtin_shufflevector(a, b, 0, 2);
  if constexpr (Lanes == 4) return __builtin_shufflevector(a, b, 0, 4, 1, 5);
  if constexpr (Lanes == 8) return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11);
  if constexpr (Lanes == 16) {
    return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  }
}
template <class Type, int Lanes>
inline Type high(Type a, Type b) {
  if constexpr (Lanes == 2) return __builtin_shufflevector(a, b, 1, 3);
  if constexpr (Lanes == 4) return __builtin_shufflevector(a, b, 2, 6, 3, 7);
  if constexpr (Lanes == 8) return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15);
  if constexpr (Lanes == 16) {
    return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  }
}
#endif

// v[i][j] and v[j][i] change places.
template <class Real, int Lanes>
inline void transpose(typename Vector<Real, Lanes>::type (&v)[Lanes]) {
#if MOEFAST_BYTES > 0
  using Type = typename Vector<Real, Lanes>::type;
  for (int round = 1; round < Lanes; round *= 2) {
    Type next[Lanes];
    for (int i = 0; i < Lanes / 2; ++i) {
      next[2 * i] = low<Type, Lanes>(v[i], v[i + Lanes / 2]);
      next[2 * i + 1] = high<Type, Lanes>(v[i], v[i + Lanes / 2]);
    }
    for (int i = 0; i < Lanes; ++i) v[i] = next[i];
  }
#else
  static_cast<void>(v);
#endif
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
