// The rows of one block, read a chunk at a time.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "moefast/moments.hpp"

namespace moefast {

// First some rows that waited, then some of the caller's.
template <class Scalar>
struct RowBlock {
  SampleView<Scalar> head, tail;

  index_t n() const { return head.n + tail.n; }
};

// Rows read at a time.
constexpr index_t kChunk = 64;

// A chunk of rows, row-major: where the caller's memory is that already, it is read in place.
template <class Scalar>
class RowChunk {
 public:
  RowChunk(const RowBlock<Scalar>& block, index_t n_features)
      : weighted(block.head.w || block.tail.w),
        block_(block),
        d_(n_features),
        x_(static_cast<std::size_t>(kChunk * n_features)) {
    std::fill(w, w + kChunk, 1.0);
  }

  // Rows first .. first + kChunk - 1 of the block, or as many as there are before `last`.
  void load(index_t first, index_t last) {
    n = std::min(kChunk, last - first);
    const SampleView<Scalar>& head = block_.head;
    const index_t waiting = std::clamp<index_t>(head.n - first, 0, n);
    const auto each = [&](auto&& take) {
      for (index_t s = 0; s < waiting; ++s) take(s, head, first + s);
      for (index_t s = waiting; s < n; ++s) take(s, block_.tail, first + s - head.n);
    };
    each([&](index_t s, const SampleView<Scalar>& view, index_t row) { y[s] = view.response(row); });
    if (weighted) {
      each([&](index_t s, const SampleView<Scalar>& view, index_t row) { w[s] = view.weight(row); });
    }
    const SampleView<Scalar>& view = waiting == 0 ? block_.tail : head;
    constexpr index_t size = sizeof(Scalar);
    const bool aligned = reinterpret_cast<std::uintptr_t>(view.x) % alignof(Scalar) == 0;
    if ((waiting == 0 || waiting == n) && aligned && view.x_col_stride == size &&
        view.x_row_stride % size == 0) {
      x = reinterpret_cast<const Scalar*>(view.x +
                                          (waiting == 0 ? first - head.n : first) * view.x_row_stride);
      stride = view.x_row_stride / size;
      return;
    }
    each([&](index_t s, const SampleView<Scalar>& from, index_t row) {
      for (index_t j = 0; j < d_; ++j) x_[s * d_ + j] = from.feature(row, j);
    });
    x = x_.data();
    stride = d_;
  }

  index_t n = 0, stride = 0;
  const Scalar* x = nullptr;
  double y[kChunk], w[kChunk];
  bool weighted;  // otherwise every w is 1

 private:
  const RowBlock<Scalar>& block_;
  index_t d_;
  std::vector<Scalar> x_;
};

}  // namespace moefast
