// One pass over the samples: the raw moments of (x, y) from which every score tensor follows.
#pragma once

#include <array>
#include <cstring>
#include <utility>
#include <vector>

#include "moefast/moment_sums.hpp"
#include "moefast/types.hpp"

namespace moefast {

// Samples as the caller holds them: any strides (in bytes, of either sign), float32 or float64.
template <class Scalar>
struct SampleView {
  const char* x = nullptr;  // n x n_features
  const char* y = nullptr;  // n
  const char* w = nullptr;  // n, or nullptr for weights of 1
  index_t n = 0;
  index_t x_row_stride = 0, x_col_stride = 0, y_stride = 0, w_stride = 0;

  template <class T = Scalar>
  static T load(const char* p) {  // from any address
    T value;
    std::memcpy(&value, p, sizeof(value));
    return value;
  }
  Scalar feature(index_t row, index_t col) const { return load(x + row * x_row_stride + col * x_col_stride); }
  Scalar response(index_t row) const { return load(y + row * y_stride); }
  double weight(index_t row) const { return w ? load<double>(w + row * w_stride) : 1.0; }
};

// Some of the rows.
template <class Scalar>
SampleView<Scalar> slice(SampleView<Scalar> view, index_t first, index_t n) {
  view.x += first * view.x_row_stride;
  view.y += first * view.y_stride;
  if (view.w) view.w += first * view.w_stride;
  view.n = n;
  return view;
}

// Rows that lie in vectors of the core, row-major.
template <class Scalar>
SampleView<Scalar> contiguous_view(const std::vector<Scalar>& x, const std::vector<Scalar>& y,
                                   const std::vector<double>& w, index_t n_features) {
  SampleView<Scalar> view;
  view.x = reinterpret_cast<const char*>(x.data());
  view.y = reinterpret_cast<const char*>(y.data());
  view.w = reinterpret_cast<const char*>(w.data());
  view.n = static_cast<index_t>(w.size());
  view.x_row_stride = n_features * static_cast<index_t>(sizeof(Scalar));
  view.x_col_stride = view.y_stride = sizeof(Scalar);
  view.w_stride = sizeof(double);
  return view;
}

// Throws ColumnError for the first value that is not finite and the first weight that is not positive.
template <class Scalar>
void check_values(const SampleView<Scalar>& view, index_t n_features);

// Adds rows in super-blocks of kSuperBlock rows. Their boundaries are set by the running row index
// alone (rows that do not fill a block wait in `pending`), each block is centred on its own means, and blocks
// are merged in order. So the state does not depend, bit for bit, on the number of threads, on how rows were
// cut into calls or on the memory layout; sorted data, a leading outlier and means far from zero cost no
// digits.
//
// With Scalar = float the products are float32, of rows scaled by powers of two, and summed in float32 over
// some dozens of rows at most; all other sums are float64.
template <class Scalar>
class MomentAccumulator {
 public:
  static constexpr index_t kSuperBlock = 4096;

  // The memory for the sums is taken with the first rows that fill a block.
  explicit MomentAccumulator(const MomentShape& shape);

  // Strong guarantee: when this throws (bad values, overflow, an exception of poll), nothing has changed.
  // Weights must be positive: rows of weight zero are the caller's to drop.
  void update(const SampleView<Scalar>& samples, int n_threads, const Poll& poll);
  // Likewise. Throws std::invalid_argument where the shapes differ.
  void merge(const MomentAccumulator& other, const Poll& poll = {});
  MomentAccumulator copy(const Poll& poll) const;

  // All rows so far, pending ones included, centred on the means.
  MomentSums snapshot(const Poll& poll = {}) const;

  // Bytes that update needs at most, the state included, whatever the number of rows.
  static double memory(const MomentShape& shape, int n_threads);

  const MomentShape& shape() const { return total_.shape; }
  index_t n_features() const { return shape().n_features; }
  index_t n_samples() const { return total_.count + pending_rows(); }
  index_t pending_rows() const { return static_cast<index_t>(pending_w_.size()); }

  // The whole state, for serialising.
  const MomentSums& total() const { return total_; }
  MomentSums take_total() && { return std::move(total_); }
  const std::vector<Scalar>& pending_x() const { return pending_x_; }
  const std::vector<Scalar>& pending_y() const { return pending_y_; }
  const std::vector<double>& pending_w() const { return pending_w_; }
  void restore(MomentSums total, const SampleView<Scalar>& pending, const Poll& poll = {});

 private:
  SampleView<Scalar> pending_view() const;
  void append(const SampleView<Scalar>& rows, const Poll& poll);
  MomentSums add_blocks(const SampleView<Scalar>& samples, index_t n_blocks, int n_threads,
                        const Poll& poll) const;

  MomentSums total_;               // the full super-blocks
  std::vector<Scalar> pending_x_;  // pending rows, row-major
  std::vector<Scalar> pending_y_;
  std::vector<double> pending_w_;
  std::array<double, 3> pending_bound_{};  // largest |x|, |y| and w of the pending rows
};

extern template class MomentAccumulator<double>;
extern template class MomentAccumulator<float>;

}  // namespace moefast
