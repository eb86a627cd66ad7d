// Every CPU of the architecture: SSE2 on x86-64, NEON on AArch64 (4 x 2 accumulators of two lanes each), one
// lane where the compiler has no vector types (MSVC).
#define MOEFAST_KERNEL_NAMESPACE baseline
#if defined(__GNUC__)
#define MOEFAST_LANES 2
#define MOEFAST_TILE_VECTORS 2
#else
#define MOEFAST_LANES 1
#define MOEFAST_TILE_VECTORS 4
#endif
#define MOEFAST_TILE_ROWS 4
#include "kernels/rank_update_tiles.hpp"
