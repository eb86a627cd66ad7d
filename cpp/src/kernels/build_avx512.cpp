// AVX-512: 8 x 3 accumulators use 24 of 32 registers. Compiled with -mavx512f,
// -mfma (for the narrow tiles) and -mprefer-vector-width=512, without which GCC halves the registers.
#define MOEFAST_KERNEL_NAMESPACE avx512
#define MOEFAST_BYTES 64
#define MOEFAST_TILE_ROWS 8
#define MOEFAST_TILE_VECTORS 3
#define MOEFAST_DOT_ROWS 4
#define MOEFAST_DOT_COLUMNS 6
#include "kernels/table.hpp"
