// Loops whose index is a constant of the compiler's.
//
// The sums of a register tile are an array. A plain loop over it is unrolled after GCC has decided what lives
// in registers: around the loop over samples it then keeps the array in memory, and clears, stores and reads
// it for every tile, 5 to 30 % of the time of the short tiles of 64 samples. Indexed by constants, the array
// is taken apart at once.
#pragma once

#include <utility>

#include "kernels/vectors.hpp"

#ifdef __GNUC__
#define MOEFAST_ALWAYS_INLINE __attribute__((always_inline))
#else
#define MOEFAST_ALWAYS_INLINE
#endif

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

// Converts to the number, in constant expressions too.
template <int I>
struct Index {
  constexpr operator int() const { return I; }
};

template <int... I, class Body>
MOEFAST_ALWAYS_INLINE inline void call_each(std::integer_sequence<int, I...>, const Body& body) {
  (body(Index<I>()), ...);
}
template <int Columns, int... I, class Body>
MOEFAST_ALWAYS_INLINE inline void call_each_place(std::integer_sequence<int, I...>, const Body& body) {
  (body(Index<I / Columns>(), Index<I % Columns>()), ...);
}

// body(Index<0>), .., body(Index<N - 1>)
template <int N, class Body>
MOEFAST_ALWAYS_INLINE inline void unroll(const Body& body) {
  call_each(std::make_integer_sequence<int, N>(), body);
}

// body(row, column) for all of Rows x Columns, row by row
template <int Rows, int Columns, class Body>
MOEFAST_ALWAYS_INLINE inline void unroll(const Body& body) {
  call_each_place<Columns>(std::make_integer_sequence<int, Rows * Columns>(), body);
}

// The loops over a register tile: unrolled where instructions have three operands. With the two of SSE2 the
// plain loops, which GCC unrolls late, are up to a sixth faster: the others copy their sums from register to
// register.
template <int N, class Body>
MOEFAST_ALWAYS_INLINE inline void over(const Body& body) {
#if MOEFAST_BYTES > 16
  unroll<N>(body);
#else
  for (int i = 0; i < N; ++i) body(i);
#endif
}
template <int Rows, int Columns, class Body>
MOEFAST_ALWAYS_INLINE inline void over(const Body& body) {
#if MOEFAST_BYTES > 16
  unroll<Rows, Columns>(body);
#else
  for (int r = 0; r < Rows; ++r) {
    for (int c = 0; c < Columns; ++c) body(r, c);
  }
#endif
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
