// Work on large arrays a part at a time: filling or copying hundreds of megabytes takes long enough to be
// interrupted.
#pragma once

#include <algorithm>
#include <cstddef>

#include "moefast/types.hpp"

namespace moefast {

// Calls work(first, last) on parts of 0 .. n that take milliseconds, with a poll before each.
template <class Work>
void in_parts(std::size_t n, const Poll& poll, const Work& work) {
  constexpr std::size_t kPart = std::size_t{1} << 20;
  for (std::size_t first = 0; first < n; first += kPart) {
    if (poll) poll();
    work(first, std::min(n, first + kPart));
  }
}

// n zeros.
template <class Vector>
void fill_zeros(Vector& values, std::size_t n, const Poll& poll) {
  if (values.capacity() < n) Vector().swap(values);  // the old memory goes before the new is taken
  values.clear();
  values.reserve(n);
  in_parts(n, poll, [&](std::size_t, std::size_t last) { values.resize(last); });
}

}  // namespace moefast
