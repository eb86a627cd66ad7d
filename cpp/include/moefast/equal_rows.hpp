// Which rows of a table are equal.
#pragma once

#include <vector>

#include "moefast/types.hpp"

namespace moefast {

// Numbers 0, 1, ... in the order in which different rows (x, y) first appear; equal rows have the same one.
// None at all where every row differs from every other. X: n x d, row-major, T: double, float; y: n. -0
// equals 0. No NaN.
template <class T>
std::vector<index_t> equal_rows(const T* X, const double* y, index_t n, index_t d, const Poll& poll);

}  // namespace moefast
