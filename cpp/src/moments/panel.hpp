// Panels of numbers that the kernels work on, and a workspace that keeps them.
#pragma once

#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "aligned.hpp"
#include "kernels/kernels.hpp"
#include "moefast/types.hpp"

namespace moefast {

// Rows that start at a cache line, with room for kernels that read a vector before and beyond. Strides are
// odd multiples of a line, so that the rows spread over the cache's sets.
template <class Scalar>
class Panel {
 public:
  Panel() = default;
  Panel(index_t rows, index_t columns)
      : stride(row_stride(columns)),
        rows_(rows),
        numbers_(static_cast<std::size_t>(rows * stride + 2 * kernels::kPanelPadding)) {}

  Scalar* data() { return numbers_.data() + kernels::kPanelPadding; }
  Scalar* row(index_t r) { return data() + r * stride; }
  bool has(index_t rows, index_t columns) const {
    return !numbers_.empty() && rows_ == rows && stride == row_stride(columns);
  }

  index_t stride = 0;

 private:
  static index_t row_stride(index_t columns) {
    constexpr index_t line = 64 / sizeof(Scalar);
    return (((columns + line - 1) / line) | 1) * line;
  }

  index_t rows_ = 0;
  AlignedVector<Scalar> numbers_;
};

// A panel for every purpose, kept from block to block: one thread at a time.
template <class Scalar>
class Workspace {
 public:
  enum Purpose { features, pairs, channels, products, columns, n_purposes };

  // Zero when it is new or of another size than before, otherwise as it was left.
  Panel<Scalar>& panel(Purpose purpose, index_t rows, index_t columns) {
    Panel<Scalar>& panel = panels_[purpose];
    if (!panel.has(rows, columns)) panel = Panel<Scalar>(rows, columns);
    return panel;
  }

  // The sums of some pieces.
  AlignedVector<double>& sums() { return sums_; }

 private:
  Panel<Scalar> panels_[n_purposes];
  AlignedVector<double> sums_;
};

// As many workspaces as threads are at work at once, handed from task to task.
template <class Scalar>
class WorkspacePool {
 public:
  // Runs work(workspace) with one that nobody else has.
  template <class Work>
  void with(Work&& work) {
    std::unique_ptr<Workspace<Scalar>> workspace;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!idle_.empty()) {
        workspace = std::move(idle_.back());
        idle_.pop_back();
      }
    }
    if (!workspace) workspace = std::make_unique<Workspace<Scalar>>();
    work(*workspace);
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(workspace));
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<Workspace<Scalar>>> idle_;
};

}  // namespace moefast
