// What was measured to be fastest, by instruction set: when the moments (moments/sum_plan.hpp) take the outer
// form rather than the dot form, and how much of the samples they take at a time.
//
// Measured with bench/peak_share.py and the kernels alone on an AMD EPYC of family 26 (48 kB of first-level,
// 1 MB of second-level cache), GCC 12, the outer form of order 3 with AVX2 on one of family 25 (32 kB, 1 MB).
// None of it depends on the machine at hand: chunks set the order of the sums, so the same set gives the same
// bits everywhere.
#pragma once

#include "moefast/index.hpp"

namespace moefast::kernels {

struct Tuning {
  // The fewest features from which on the outer form is taken, for order 3 with one channel, with several,
  // whose columns share the pairs, and for order 4.
  index_t outer_features[3];
  // Samples of a chunk in the outer form, for order 3 and order 4: twice as many of float32.
  index_t outer_samples[2];
  // Samples of a chunk in the dot form, order 2 and 3, and order 4; likewise.
  index_t dot_samples[2];
  // Numbers of a chunk's columns that all channels may have together; above, the channels take turns.
  index_t column_numbers;
};

namespace tuning {

constexpr Tuning avx512 = {{36, 18, 21}, {64, 64}, {256, 256}, 64 * 1024};
constexpr Tuning avx2 = {{48, 21, 20}, {48, 64}, {512, 256}, 48 * 1024};
constexpr Tuning baseline = {{index_t{1} << 30, index_t{1} << 30, 25}, {64, 64}, {512, 256}, 64 * 1024};

}  // namespace tuning
}  // namespace moefast::kernels
