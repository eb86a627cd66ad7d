// AVX2 with FMA: 4 x 3 accumulators use 12 of 16 registers. Compiled with -mavx2 -mfma.
#define MOEFAST_KERNEL_NAMESPACE avx2
#define MOEFAST_BYTES 32
#define MOEFAST_TILE_ROWS 4
#define MOEFAST_TILE_VECTORS 3
#define MOEFAST_DOT_ROWS 3
#define MOEFAST_DOT_COLUMNS 4
#include "kernels/table.hpp"
