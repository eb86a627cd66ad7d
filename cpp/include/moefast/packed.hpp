// Packed storage of a symmetric tensor of order 2, 3 or 4, grouped by the second index.
//
// The unique entries T[a,b], T[a,b,c] or T[a,b,c,e], 0 <= a <= b <= c <= e < dim, are stored as one dense
// row-major rectangle for every b. Its rows are a = 0 .. b. Its columns are what may follow b:
//
//     order 2: nothing, a single column
//     order 3: c = b .. dim - 1
//     order 4: the pairs (c, e), b <= c <= e < dim, by c and then by e
//
// All the columns of b = 0 in a row are the full list of columns; those of a later b are a suffix of it. The
// rectangles tile the unique entries exactly, so accumulating and contracting are dense products on
// rectangles, without diagonal cases and without an entry twice. Everything is 64-bit: dim = 3000 of order 3
// has 4.5e9 entries.
#pragma once

#include <array>
#include <utility>

#include "moefast/types.hpp"

namespace moefast {

// How many multisets of `count` of n things there are: unique entries of a symmetric tensor of order `count`.
constexpr index_t multisets(index_t n, int count) {
  index_t result = 1;
  // n (n + 1) .. (n + k - 1) / k!, divided as early as it goes evenly.
  for (int k = 1; k <= count; ++k) result = result * (n + k - 1) / k;
  return result;
}

struct PackedLayout {
 private:  // first, since some compilers want it defined before a constant needs it
  template <std::size_t N>
  static constexpr std::array<index_t, N> sorted(std::array<index_t, N> i) {
    for (std::size_t end = N; end > 1; --end) {
      for (std::size_t k = 1; k < end; ++k) {
        if (i[k - 1] > i[k]) std::swap(i[k - 1], i[k]);
      }
    }
    return i;
  }

 public:
  index_t dim;
  int order;  // 2, 3 or 4

  constexpr index_t size() const { return multisets(dim, order); }
  constexpr index_t rows(index_t b) const { return b + 1; }
  constexpr index_t cols(index_t b) const { return multisets(dim - b, order - 2); }
  // Where rectangle b starts: all entries, less those of second index b or more, m = dim - b: one index
  // below b and order - 1 above it, or all above it.
  constexpr index_t offset(index_t b) const {
    const index_t m = dim - b;
    return size() - b * multisets(m, order - 1) - multisets(m, order);
  }
  // Where the columns of rectangle b start in the full list of columns.
  constexpr index_t first_col(index_t b) const { return cols(0) - cols(b); }

  // The column of c (order 3) or c <= e (order 4) in rectangle b <= c; without arguments that of order 2.
  constexpr index_t col(index_t) const { return 0; }
  constexpr index_t col(index_t b, index_t c) const { return c - b; }
  constexpr index_t col(index_t b, index_t c, index_t e) const { return cols(b) - cols(c) + (e - c); }

  // The place of a sorted tuple a <= b [<= c [<= e]]; as many indices as the order.
  template <class... Rest>
  constexpr index_t at_sorted(index_t a, index_t b, Rest... rest) const {
    return offset(b) + a * cols(b) + col(b, rest...);
  }
  constexpr index_t at(index_t a, index_t b) const { return a > b ? at_sorted(b, a) : at_sorted(a, b); }
  constexpr index_t at(index_t a, index_t b, index_t c) const {
    const auto i = sorted<3>({a, b, c});
    return at_sorted(i[0], i[1], i[2]);
  }
  constexpr index_t at(index_t a, index_t b, index_t c, index_t e) const {
    const auto i = sorted<4>({a, b, c, e});
    return at_sorted(i[0], i[1], i[2], i[3]);
  }
};

static_assert(PackedLayout{4, 2}.offset(4) == PackedLayout{4, 2}.size());
static_assert(PackedLayout{4, 3}.offset(4) == PackedLayout{4, 3}.size());
static_assert(PackedLayout{4, 4}.offset(4) == PackedLayout{4, 4}.size());
static_assert(PackedLayout{5, 2}.at(4, 2) == 10 + 2);
static_assert(PackedLayout{5, 3}.at(4, 0, 2) == PackedLayout{5, 3}.at_sorted(0, 2, 4));
static_assert(PackedLayout{5, 4}.at(4, 1, 3, 2) == PackedLayout{5, 4}.offset(2) + 1 * 6 + 4);
// Beyond 2^31 entries, and beyond 2^32.
static_assert(PackedLayout{3000, 3}.offset(3000) == 4504501000);
static_assert(PackedLayout{500, 4}.offset(500) == 2635531375);
static_assert(PackedLayout{500, 4}.at(499, 499, 499, 499) == 2635531374);
static_assert(PackedLayout{4000, 4}.size() == 10682674001000);

}  // namespace moefast
