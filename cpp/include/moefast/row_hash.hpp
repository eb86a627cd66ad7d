// A number for each row that depends on its values alone.
#pragma once

#include <cstdint>
#include <vector>

#include "moefast/em.hpp"

namespace moefast {

// Of n rows, by columns; the same for 32-bit and 64-bit numbers of one value, and for -0 and 0. Any row of
// other values has another one but for one chance in 2^64, and in an order as if drawn at random.
std::vector<std::uint64_t> row_hashes(const std::vector<Column>& columns, index_t n, const Poll& poll);

}  // namespace moefast
