#include "moefast/moments.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/kernels.hpp"
#include "moefast/parallel.hpp"

namespace moefast {
namespace {

constexpr index_t kChannels = MomentSums::kChannels;
// Samples per call of the kernel: both its panels stay in the first-level cache for d up to about 30, in
// the second-level one beyond. 64 was the best or within a few percent of it for all d in a prototype.
constexpr index_t kChunk = 64;

// The rows of one super-block: first the pending ones, then some of the caller's.
template <class Scalar>
struct Block {
  SampleView<Scalar> head, tail;

  index_t n() const { return head.n + tail.n; }
  const SampleView<Scalar>& source(index_t& row) const {
    if (row < head.n) return head;
    row -= head.n;
    return tail;
  }
};

template <class Scalar>
SampleView<Scalar> slice(SampleView<Scalar> view, index_t first, index_t n) {
  view.x += first * view.x_row_stride;
  view.y += first * view.y_stride;
  if (view.w) view.w += first * view.w_stride;
  view.n = n;
  return view;
}

// Weighted means of the columns of (x, y), and the largest |value| of each.
template <class Scalar>
void find_centre(const Block<Scalar>& block, index_t d, MomentSums& out) {
  std::vector<double> sums(static_cast<std::size_t>(d + 1));
  double weight = 0;
  for (index_t i = 0; i < block.n(); ++i) {
    index_t row = i;
    const SampleView<Scalar>& view = block.source(row);
    const double w = view.weight(row);
    weight += w;
    for (index_t j = 0; j <= d; ++j) {
      const double value = j < d ? view.feature(row, j) : view.response(row);
      sums[j] += w * value;
      out.magnitude[j] = std::max(out.magnitude[j], std::abs(value));
    }
  }
  for (index_t j = 0; j <= d; ++j) {
    out.centre[j] = sums[j] / weight;
    if (!std::isfinite(out.centre[j])) {
      throw ColumnError(ColumnError::Kind::overflow, j, -1,
                        "its sum goes beyond the range of float64; rescale it");
    }
  }
}

// sums[h][a,b,c] = sum_n w (y - v)^h u_a u_b u_c over one block, about the block's own means.
// Per chunk of samples and middle index b: A = u_a u_b (chunk x (b+1)), B = w (y - v)^h u_c (chunk x 4 dim,
// channels innermost); the columns c >= b are a suffix of B and the rectangle b is their product.
template <class Scalar>
MomentSums sum_block(const Block<Scalar>& block, index_t d, Checkpoint* checkpoint) {
  MomentSums out(d);
  out.count = block.n();
  find_centre(block, d, out);
  const index_t dim = d + 1;
  const PackedLayout layout = out.layout();
  std::vector<double> U(static_cast<std::size_t>(kChunk * dim)), A(U.size()), B(U.size() * kChannels);
  for (index_t first = 0; first < block.n(); first += kChunk) {
    if (checkpoint) checkpoint->check();
    const index_t n = std::min(kChunk, block.n() - first);
    for (index_t s = 0; s < n; ++s) {
      index_t row = first + s;
      const SampleView<Scalar>& view = block.source(row);
      double* u = &U[s * dim];
      for (index_t j = 0; j < d; ++j) u[j] = view.feature(row, j) - out.centre[j];
      u[d] = 1;
      const double t = view.response(row) - out.centre[d];
      double channel = view.weight(row);
      for (index_t h = 0; h < kChannels; ++h, channel *= t) {
        for (index_t c = 0; c < dim; ++c) B[s * dim * kChannels + c * kChannels + h] = channel * u[c];
      }
    }
    for (index_t b = 0; b < dim; ++b) {
      for (index_t s = 0; s < n; ++s) {
        for (index_t a = 0; a <= b; ++a) A[s * dim + a] = U[s * dim + a] * U[s * dim + b];
      }
      kernels::rank_update(layout.rows(b), layout.cols(b) * kChannels, n, A.data(), dim,
                           B.data() + b * kChannels, dim * kChannels,
                           out.sums.data() + layout.offset(b) * kChannels, layout.cols(b) * kChannels);
    }
  }
  out.check_finite();
  return out;
}

template <class Scalar>
void check_values(const SampleView<Scalar>& view, index_t d) {
  for (index_t i = 0; i < view.n; ++i) {
    for (index_t j = 0; j <= d; ++j) {
      const Scalar value = j < d ? view.feature(i, j) : view.response(i);
      if (!std::isfinite(value)) {
        throw ColumnError(ColumnError::Kind::not_finite, j, i, std::isnan(value) ? "is NaN" : "is infinite");
      }
    }
    const double w = view.weight(i);
    if (!(w > 0) || !std::isfinite(w)) {
      throw ColumnError(ColumnError::Kind::not_positive, d + 1, i, "is " + std::to_string(w));
    }
  }
}

}  // namespace

template <class Scalar>
MomentAccumulator<Scalar>::MomentAccumulator(index_t n_features) : total_(n_features) {}

template <class Scalar>
SampleView<Scalar> MomentAccumulator<Scalar>::pending_view() const {
  SampleView<Scalar> view;
  view.x = reinterpret_cast<const char*>(pending_x_.data());
  view.y = reinterpret_cast<const char*>(pending_y_.data());
  view.w = reinterpret_cast<const char*>(pending_w_.data());
  view.n = pending_rows();
  view.x_row_stride = n_features() * static_cast<index_t>(sizeof(Scalar));
  view.x_col_stride = view.y_stride = sizeof(Scalar);
  view.w_stride = sizeof(double);
  return view;
}

template <class Scalar>
void MomentAccumulator<Scalar>::update(const SampleView<Scalar>& samples, int n_threads, const Poll& poll) {
  const index_t d = n_features(), waiting = pending_rows();
  check_values(samples, d);
  const index_t n_blocks = (waiting + samples.n) / kSuperBlock;
  // Rows of the caller's that full blocks take; the rest becomes pending.
  const index_t taken = n_blocks > 0 ? n_blocks * kSuperBlock - waiting : 0;

  MomentSums total;
  if (n_blocks > 0) {
    total = total_;
    // As many blocks at once as there are threads, so memory stays bounded; merged in order.
    const index_t wave = usable_threads(n_threads, n_blocks);
    std::vector<MomentSums> sums(static_cast<std::size_t>(wave));
    for (index_t first = 0; first < n_blocks; first += wave) {
      const index_t n = std::min(wave, n_blocks - first);
      if (poll) poll();
      parallel_for(n, n_threads, poll, [&](index_t i, Checkpoint& checkpoint) {
        Block<Scalar> block;
        if (first + i == 0) block.head = pending_view();
        const index_t start = std::max<index_t>(0, (first + i) * kSuperBlock - waiting);
        block.tail = slice(samples, start, kSuperBlock - block.head.n);
        sums[i] = sum_block(block, d, &checkpoint);
      });
      for (index_t i = 0; i < n; ++i) {
        total.merge(sums[i]);
        total.check_finite();
      }
    }
  }

  const SampleView<Scalar> rest = slice(samples, taken, samples.n - taken);
  if (n_blocks > 0) {
    MomentAccumulator next(d);
    next.total_ = std::move(total);
    next.append(rest);
    *this = std::move(next);  // from here on nothing throws
  } else {
    append(rest);
  }
}

// Rows that wait are not summed yet, but an overflow, alone or with the blocks before, must be told now and
// not when they are.
template <class Scalar>
void MomentAccumulator<Scalar>::append(const SampleView<Scalar>& rows) {
  const index_t d = n_features();
  const auto grow = [](auto& values, index_t more) {
    const std::size_t needed = values.size() + static_cast<std::size_t>(more);
    if (needed > values.capacity()) values.reserve(std::max(needed, 2 * values.capacity()));
  };
  grow(pending_x_, rows.n * d), grow(pending_y_, rows.n), grow(pending_w_, rows.n);
  double x_max = pending_bound_[0], y_max = pending_bound_[1], w_max = pending_bound_[2];
  for (index_t i = 0; i < rows.n; ++i) {
    for (index_t j = 0; j < d; ++j) {
      pending_x_.push_back(rows.feature(i, j));
      x_max = std::max<double>(x_max, std::abs(rows.feature(i, j)));
    }
    pending_y_.push_back(rows.response(i));
    pending_w_.push_back(rows.weight(i));
    y_max = std::max<double>(y_max, std::abs(rows.response(i)));
    w_max = std::max(w_max, rows.weight(i));
  }
  // |value - mean| <= 2 max: only beyond this bound is the real sum tried.
  double x_all = x_max;
  for (index_t j = 0; j < d; ++j) x_all = std::max(x_all, total_.magnitude[j]);
  const double y_all = std::max(y_max, total_.magnitude[d]);
  const double w_all = w_max * static_cast<double>(pending_rows()) + total_.weight();
  const double bits = 3 * (std::log2(std::max(x_all, 1.0)) + std::log2(std::max(y_all, 1.0)) + 2) +
                      std::log2(std::max(w_all, 1.0));
  if (bits > 1020) {
    try {
      snapshot();
    } catch (...) {
      pending_x_.resize(pending_x_.size() - static_cast<std::size_t>(rows.n * d));
      pending_y_.resize(pending_y_.size() - static_cast<std::size_t>(rows.n));
      pending_w_.resize(pending_w_.size() - static_cast<std::size_t>(rows.n));
      throw;
    }
  }
  pending_bound_ = {x_max, y_max, w_max};
}

template <class Scalar>
void MomentAccumulator<Scalar>::merge(const MomentAccumulator& other) {
  MomentAccumulator result = *this;
  result.total_.merge(other.total_);
  result.total_.check_finite();
  const SampleView<Scalar> rows = other.pending_view();
  if (rows.n > 0) result.update(rows, 1, {});
  *this = std::move(result);
}

template <class Scalar>
MomentSums MomentAccumulator<Scalar>::snapshot() const {
  MomentSums all = total_;
  if (pending_rows() > 0) all.merge(sum_block(Block<Scalar>{pending_view(), {}}, n_features(), nullptr));
  if (all.count > 0) all.recentre_to_mean();
  all.check_finite();
  return all;
}

template <class Scalar>
void MomentAccumulator<Scalar>::restore(MomentSums total, const SampleView<Scalar>& pending) {
  MomentAccumulator next(total.n_features);
  check_values(pending, total.n_features);
  next.total_ = std::move(total);
  next.append(pending);
  *this = std::move(next);
}

template class MomentAccumulator<double>;
template class MomentAccumulator<float>;

}  // namespace moefast
