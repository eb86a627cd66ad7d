// Packed storage of a symmetric order-3 tensor, grouped by the middle index.
//
// The unique entries T[a][b][c], a <= b <= c < dim, are stored as one dense rectangle for every b:
// rows a = 0 .. b, columns c = b .. dim - 1, row-major. The rectangles tile the tetrahedron exactly
// (dim (dim + 1)(dim + 2) / 6 entries), so accumulating and contracting are dense products on
// rectangles, without diagonal cases and without computing an entry twice.
#pragma once

#include <algorithm>
#include <utility>

#include "moefast/types.hpp"

namespace moefast {

struct PackedLayout3 {
  index_t dim;

  constexpr index_t size() const { return dim * (dim + 1) * (dim + 2) / 6; }
  constexpr index_t rows(index_t b) const { return b + 1; }
  constexpr index_t cols(index_t b) const { return dim - b; }
  // Where rectangle b starts: sum_{j<b} (j + 1)(dim - j).
  constexpr index_t offset(index_t b) const {
    return b * dim + (dim - 1) * (b * (b - 1) / 2) - (b - 1) * b * (2 * b - 1) / 6;
  }
  // The place of a sorted triple a <= b <= c.
  constexpr index_t at_sorted(index_t a, index_t b, index_t c) const {
    return offset(b) + a * cols(b) + (c - b);
  }
  constexpr index_t at(index_t a, index_t b, index_t c) const {
    if (a > b) std::swap(a, b);
    if (b > c) std::swap(b, c);
    if (a > b) std::swap(a, b);
    return at_sorted(a, b, c);
  }
};

static_assert(PackedLayout3{4}.offset(4) == PackedLayout3{4}.size());
static_assert(PackedLayout3{5}.at(4, 0, 2) == PackedLayout3{5}.at_sorted(0, 2, 4));
// 64-bit all the way: dim = 3000 needs 4.5e9 entries.
static_assert(PackedLayout3{3000}.offset(3000) == 4504501000);

}  // namespace moefast
