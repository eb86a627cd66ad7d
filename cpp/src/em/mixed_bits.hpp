// The hash that rows are told apart by.
#pragma once

#include <bit>
#include <cstdint>

namespace moefast {

// The finalizer of MurmurHash3 (Appleby, public domain): every bit of the input moves every bit of the
// output.
inline std::uint64_t mix(std::uint64_t h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdULL;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53ULL;
  return h ^ (h >> 33);
}

// -0 is 0
inline std::uint64_t bits_of(double value) { return std::bit_cast<std::uint64_t>(value + 0.0); }

// The hash of a row with one value more.
inline std::uint64_t mixed_with(std::uint64_t h, double value) {
  return mix(h ^ bits_of(value)) + 0x9e3779b97f4a7c15ULL;
}

}  // namespace moefast
