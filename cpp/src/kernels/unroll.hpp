// Loops over what lives in registers.
//
// The sums of a register tile are an array. A plain loop over it is unrolled after GCC has decided what lives
// in registers: around the loop over samples it then keeps the array in memory, and clears, stores and reads
// it for every tile, 5 to 30 % of the time of the short tiles of 64 samples. Unrolled by a pragma, which
// comes first of all, the array is taken apart at once. (Indices that are constants of templates do the same,
// but a function for each of them is most of what these files then take the compiler.)
#pragma once

#include "kernels/vectors.hpp"

#ifdef __GNUC__
#define MOEFAST_ALWAYS_INLINE __attribute__((always_inline))
#else
#define MOEFAST_ALWAYS_INLINE
#endif

// Before a loop of at most 32 steps.
#if defined(__clang__)
#define MOEFAST_UNROLL _Pragma("unroll")
#elif defined(__GNUC__)
#define MOEFAST_UNROLL _Pragma("GCC unroll 32")
#else
#define MOEFAST_UNROLL
#endif

// The register tile of an outer product, and before a loop over it. With the two operands of SSE2 plain
// loops, which GCC unrolls late, in a function that it may leave apart are up to a sixth faster: the others
// copy their sums from register to register.
#if MOEFAST_BYTES > 16
#define MOEFAST_TILE MOEFAST_ALWAYS_INLINE inline
#define MOEFAST_UNROLL_TILE MOEFAST_UNROLL
#else
#define MOEFAST_TILE
#define MOEFAST_UNROLL_TILE
#endif
