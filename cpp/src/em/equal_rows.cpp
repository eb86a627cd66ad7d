// Rows are looked up by a hash in a table of open addresses and then compared value by value: no two
// different rows are ever taken for equal. The table is larger than any cache, so rows are hashed some at a
// time and their addresses asked for ahead; beside the number of a row it has half of its hash, which tells
// nearly all other rows apart without a look at them.
#include "moefast/equal_rows.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "em/mixed_bits.hpp"

namespace moefast {
namespace {

constexpr index_t kRowsBetweenPolls = 65536;
constexpr index_t kRowsAhead = 64;

void ask_for(const void* address) {
#if defined(__GNUC__)
  __builtin_prefetch(address);
#else
  static_cast<void>(address);
#endif
}

template <class T>
std::uint64_t hash(const T* x, index_t d, double y) {
  std::uint64_t h = mix(bits_of(y));
  for (index_t j = 0; j < d; ++j) h = mixed_with(h, static_cast<double>(x[j]));
  return h;
}

// Index: unsigned, large enough for n and one more.
template <class Index, class T>
std::vector<index_t> groups(const T* X, const double* y, index_t n, index_t d, const Poll& poll) {
  struct Entry {
    Index mark, row;  // of the hash; the first row of the group at an address
  };
  constexpr Index kEmpty = std::numeric_limits<Index>::max();
  // At most half full.
  const std::size_t size = std::bit_ceil(static_cast<std::size_t>(std::max<index_t>(2 * n, 2)));
  std::vector<Entry> table(size, Entry{0, kEmpty});
  std::vector<index_t> group;  // once two rows were equal
  index_t n_groups = 0;
  std::array<std::uint64_t, kRowsAhead> hashes;
  for (index_t first = 0; first < n; first += kRowsAhead) {
    if (poll && first % kRowsBetweenPolls == 0) poll();
    const index_t last = std::min(n, first + kRowsAhead);
    for (index_t s = first; s < last; ++s) {
      const std::uint64_t h = hash(X + s * d, d, y[s]);
      hashes[static_cast<std::size_t>(s - first)] = h;
      ask_for(&table[h & (size - 1)]);
    }
    for (index_t s = first; s < last; ++s) {
      const std::uint64_t h = hashes[static_cast<std::size_t>(s - first)];
      const Index mark = static_cast<Index>(h >> 32);
      const T* x = X + s * d;
      std::size_t at = h & (size - 1);
      const auto same = [&](const Entry& entry) {
        const index_t other = static_cast<index_t>(entry.row);
        return entry.mark == mark && y[other] == y[s] && std::equal(x, x + d, X + other * d);
      };
      while (table[at].row != kEmpty && !same(table[at])) at = (at + 1) & (size - 1);
      const bool is_new = table[at].row == kEmpty;
      if (!is_new && group.empty()) {
        group.resize(static_cast<std::size_t>(n));
        for (index_t before = 0; before < s; ++before) group[static_cast<std::size_t>(before)] = before;
      }
      if (is_new) table[at] = {mark, static_cast<Index>(s)};
      if (!group.empty()) {
        group[static_cast<std::size_t>(s)] =
            is_new ? n_groups : group[static_cast<std::size_t>(table[at].row)];
      }
      n_groups += is_new;
    }
  }
  return group;
}

}  // namespace

template <class T>
std::vector<index_t> equal_rows(const T* X, const double* y, index_t n, index_t d, const Poll& poll) {
  const bool is_short = n < static_cast<index_t>(std::numeric_limits<std::uint32_t>::max());
  return is_short ? groups<std::uint32_t>(X, y, n, d, poll) : groups<std::uint64_t>(X, y, n, d, poll);
}

template std::vector<index_t> equal_rows<double>(const double*, const double*, index_t, index_t, const Poll&);
template std::vector<index_t> equal_rows<float>(const float*, const double*, index_t, index_t, const Poll&);

}  // namespace moefast
