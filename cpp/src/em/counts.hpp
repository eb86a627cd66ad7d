// Counts that many parts of EM need.
#pragma once

#include <algorithm>
#include <cstddef>

#include "moefast/types.hpp"

namespace moefast {

// What indexes the containers of the C++ library.
inline std::size_t size(index_t n) { return static_cast<std::size_t>(n); }

// Pairs a <= b of n.
inline index_t n_pairs(index_t n) { return n * (n + 1) / 2; }

// What a density, its logarithm and its share take, in multiply-adds.
inline constexpr index_t kDensity = 40;

// Systems of this size poll while they are filled.
inline constexpr index_t kPolled = 128;

// Rows are cut into at most kMostLanes runs, each summed on its own and added in order: the result is the
// same for any number of threads. Lanes hold no more than kLaneNumbers together, unless one lane does: 64 MiB
// beside one set of sums.
inline constexpr index_t kMostLanes = 16;
inline constexpr index_t kRowsPerLane = 1024;
inline constexpr index_t kLaneNumbers = index_t{1} << 23;

// For n rows and sums of that many numbers.
inline index_t n_lanes(index_t n, index_t numbers) {
  const index_t fitting = kLaneNumbers / std::max<index_t>(1, numbers);
  return std::clamp<index_t>(std::min(n / kRowsPerLane, fitting), 1, kMostLanes);
}

}  // namespace moefast
