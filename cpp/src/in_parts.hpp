// Work on large arrays a part at a time: filling or copying hundreds of megabytes takes long enough to be
// interrupted.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#ifdef __linux__
#include <sys/mman.h>
#endif

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

// Room for n numbers, in pages of 2 MB where the system has them on request: touching new memory in pages of
// 4 kB takes 0.5 s a gigabyte, a fifth of it in large ones.
template <class Vector>
void reserve_large(Vector& values, std::size_t n) {
  values.reserve(n);
#if defined(__linux__) && defined(MADV_HUGEPAGE)
  constexpr std::uintptr_t page = std::uintptr_t{1} << 21;
  const std::uintptr_t start = reinterpret_cast<std::uintptr_t>(values.data());
  const std::uintptr_t first = (start + page - 1) / page * page;
  const std::uintptr_t last = (start + values.capacity() * sizeof(values[0])) / page * page;
  // A wish: where it is refused nothing changes.
  if (last > first) static_cast<void>(madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE));
#endif
}

// n zeros.
template <class Vector>
void fill_zeros(Vector& values, std::size_t n, const Poll& poll) {
  if (values.capacity() < n) Vector().swap(values);  // the old memory goes before the new is taken
  values.clear();
  if (values.capacity() < n) reserve_large(values, n);
  in_parts(n, poll, [&](std::size_t, std::size_t last) { values.resize(last); });
}

}  // namespace moefast
