// Column by column, for some rows at a time, whose hashes stay in the first-level cache.
#include "moefast/row_hash.hpp"

#include <algorithm>

#include "em/mixed_bits.hpp"

namespace moefast {

std::vector<std::uint64_t> row_hashes(const std::vector<Column>& columns, index_t n, const Poll& poll) {
  constexpr index_t kRows = 1024;
  std::vector<std::uint64_t> hashes(static_cast<std::size_t>(n), 0);
  for (index_t first = 0; first < n; first += kRows) {
    if (poll) poll();
    std::uint64_t* const h = hashes.data() + first;
    const index_t rows = std::min(kRows, n - first);
    for (const Column& column : columns) {
      const auto add = [=](const auto* x) {
        for (index_t s = 0; s < rows; ++s) h[s] = mixed_with(h[s], static_cast<double>(x[first + s]));
      };
      column.values ? add(column.values) : add(column.values32);
    }
    for (index_t s = 0; s < rows; ++s) h[s] = mix(h[s]);
  }
  return hashes;
}

}  // namespace moefast
