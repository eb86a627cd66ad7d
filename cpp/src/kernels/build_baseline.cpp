// Every CPU of the architecture: SSE2 on x86-64 (4 x 2 accumulators of 16 registers), NEON on AArch64
// (6 x 4 of 32), plain numbers where the compiler has no vector types (MSVC) or
// MOEFAST_SCALAR_KERNELS plays such a one.
#define MOEFAST_KERNEL_NAMESPACE baseline
#if defined(__GNUC__) && defined(__aarch64__) && !defined(MOEFAST_SCALAR_KERNELS)
#define MOEFAST_BYTES 16
#define MOEFAST_TILE_ROWS 6
#define MOEFAST_TILE_VECTORS 4
#define MOEFAST_DOT_ROWS 4
#define MOEFAST_DOT_COLUMNS 5
#elif defined(__GNUC__) && !defined(MOEFAST_SCALAR_KERNELS)
#define MOEFAST_BYTES 16
#define MOEFAST_TILE_ROWS 4
#define MOEFAST_TILE_VECTORS 2
#define MOEFAST_DOT_ROWS 2
#define MOEFAST_DOT_COLUMNS 4
#else
#define MOEFAST_BYTES 0
#define MOEFAST_TILE_ROWS 4
#define MOEFAST_TILE_VECTORS 4
#define MOEFAST_DOT_ROWS 2
#define MOEFAST_DOT_COLUMNS 4
#endif
#include "kernels/table.hpp"
