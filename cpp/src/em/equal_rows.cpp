// Rows are looked up by a hash in a table of open addresses and then compared value by value: no two
// different rows are ever taken for equal.
#include "moefast/equal_rows.hpp"

#include <algorithm>
#include <bit>

namespace moefast {
namespace {

constexpr index_t kRowsBetweenPolls = 65536;
constexpr index_t kEmpty = -1;

// The finalizer of MurmurHash3 (Appleby, public domain): every bit of the input moves every bit of the
// output.
std::uint64_t mix(std::uint64_t h) {
  h ^= h >> 33;
  h *= 0xff51afd7ed558ccdULL;
  h ^= h >> 33;
  h *= 0xc4ceb9fe1a85ec53ULL;
  return h ^ (h >> 33);
}

std::uint64_t hash(const double* x, index_t d, double y) {
  const auto bits = [](double value) { return std::bit_cast<std::uint64_t>(value + 0.0); };  // -0 is 0
  std::uint64_t h = mix(bits(y));
  for (index_t j = 0; j < d; ++j) h = mix(h ^ bits(x[j])) + 0x9e3779b97f4a7c15ULL;
  return h;
}

}  // namespace

std::vector<index_t> equal_rows(const double* X, const double* y, index_t n, index_t d, const Poll& poll) {
  std::vector<index_t> group(static_cast<std::size_t>(n));
  // At most half full.
  const std::size_t size = std::bit_ceil(static_cast<std::size_t>(std::max<index_t>(2 * n, 2)));
  std::vector<index_t> first(size, kEmpty);  // the first row of the group at an address
  index_t n_groups = 0;
  for (index_t s = 0; s < n; ++s) {
    if (poll && s % kRowsBetweenPolls == 0) poll();
    const double* x = X + s * d;
    std::size_t at = hash(x, d, y[s]) & (size - 1);
    const auto same = [&](index_t other) { return y[other] == y[s] && std::equal(x, x + d, X + other * d); };
    while (first[at] != kEmpty && !same(first[at])) at = (at + 1) & (size - 1);
    if (first[at] == kEmpty) {
      first[at] = s;
      group[static_cast<std::size_t>(s)] = n_groups++;
    } else {
      group[static_cast<std::size_t>(s)] = group[static_cast<std::size_t>(first[at])];
    }
  }
  return group;
}

}  // namespace moefast
