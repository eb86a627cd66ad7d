// The stream of rows: cut into super-blocks of kSuperBlock rows by the running row index, each summed about
// its own means (block_sums.hpp), merged in order (moment_sums.hpp). State: n_channels x C(d + order, order)
// numbers.
#include "moefast/moments.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <stdexcept>
#include <string>

#include "moefast/parallel.hpp"
#include "moments/block_sums.hpp"
#include "moments/sum_plan.hpp"

namespace moefast {
namespace {

// Bytes of the sums of one block up to which every thread has a block of its own; above, the threads share
// the panels of one block, so memory does not grow with their number.
constexpr double kPrivateBytes = 2.5e6;
// Bytes of panels that are summed over a whole block before the next ones are taken up: what is written again
// and again stays in the second- or third-level cache (order 4, d = 80: a quarter faster).
constexpr double kPartBytes = 2e6;

double sums_bytes(const MomentShape& shape) {
  return 8.0 * static_cast<double>(shape.n_channels()) * static_cast<double>(shape.layout().size());
}

template <class Scalar>
SumPlan sum_plan(const MomentShape& shape) {
  const kernels::Kernels<Scalar>& kernel = kernels::of<Scalar>();
  return {shape, kernels::active().tuning, kernel.panel_columns, kernel.lanes};
}

index_t blocks_at_once(const MomentShape& shape, int n_threads, index_t n_blocks) {
  return sums_bytes(shape) > kPrivateBytes ? 1 : usable_threads(n_threads, n_blocks);
}

}  // namespace

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

template <class Scalar>
MomentAccumulator<Scalar>::MomentAccumulator(const MomentShape& shape) : total_(shape) {}

// The state, the copy of it that makes the strong guarantee, and for every block in work its sums, and as
// much again (a sixth more, or with few features a third) for what the allocator keeps of the sums before;
// for every thread its workspace with the sums of a part, and the pending rows, twice while they are
// replaced.
template <class Scalar>
double MomentAccumulator<Scalar>::memory(const MomentShape& shape, int n_threads) {
  const double blocks = static_cast<double>(blocks_at_once(shape, n_threads, n_threads));
  const SumPlan plan = sum_plan<Scalar>(shape);
  const double pending =
      2.0 * kSuperBlock * static_cast<double>(shape.dim() * static_cast<index_t>(sizeof(Scalar)) + 8);
  const double panels = static_cast<double>(plan.size) / static_cast<double>(plan.layout.size());
  return sums_bytes(shape) * (2 + std::max(2.2, 1.05 + panels) * blocks) + pending +
         static_cast<double>(usable_threads(n_threads, n_threads)) *
             BlockSums<Scalar>(shape, plan)
                 .workspace_bytes(std::min(kPartBytes, 8.0 * static_cast<double>(plan.size)));
}

template <class Scalar>
SampleView<Scalar> MomentAccumulator<Scalar>::pending_view() const {
  return contiguous_view(pending_x_, pending_y_, pending_w_, n_features());
}

// The total with n_blocks more super-blocks: the waiting rows and the first ones of `samples`.
template <class Scalar>
MomentSums MomentAccumulator<Scalar>::add_blocks(const SampleView<Scalar>& samples, index_t n_blocks,
                                                 int n_threads, const Poll& poll) const {
  const SumPlan plan = sum_plan<Scalar>(shape());
  const index_t waiting = pending_rows();
  const index_t wave = blocks_at_once(shape(), n_threads, n_blocks);
  const index_t wanted = static_cast<index_t>(static_cast<double>(plan.size) * 8 / kPartBytes);
  const std::vector<index_t> parts =
      plan.split(wave > 1 ? 1 : std::max<index_t>(usable_threads(n_threads, n_threads), wanted + 1));
  const index_t n_parts = static_cast<index_t>(parts.size()) - 1;
  MomentSums total;
  if (total_.count > 0) total = total_.copy(poll);  // else the first block takes its place
  std::vector<BlockSums<Scalar>> blocks(static_cast<std::size_t>(wave), BlockSums<Scalar>(shape(), plan));
  std::vector<MomentSums> sums(blocks.size());
  WorkspacePool<Scalar> workspaces;
  for (index_t first = 0; first < n_blocks; first += wave) {
    const index_t n = std::min(wave, n_blocks - first);
    if (poll) poll();
    const auto start = [&](index_t i, const Poll& look) {
      RowBlock<Scalar> rows;
      if (first + i == 0) rows.head = pending_view();
      const index_t row = std::max<index_t>(0, (first + i) * kSuperBlock - waiting);
      rows.tail = slice(samples, row, kSuperBlock - rows.head.n);
      blocks[i].start(rows, sums[i], look);
    };
    // Either many blocks, each on one thread, or one block whose panels the threads share.
    if (n_parts > 1) start(0, poll);
    parallel_for(n * n_parts, n_threads, poll, [&](index_t task, Checkpoint& checkpoint) {
      const index_t i = task / n_parts, part = task % n_parts;
      // The poll is for the calling thread alone; the checkpoint knows which one it is on.
      const Poll look = [&] { checkpoint.check(); };
      if (n_parts == 1) start(i, look);
      workspaces.with([&](Workspace<Scalar>& workspace) {
        blocks[i].sum(parts[part], parts[part + 1], workspace, checkpoint);
      });
      if (n_parts == 1) blocks[i].finish();
    });
    if (n_parts > 1) blocks[0].finish();
    for (index_t i = 0; i < n; ++i) {
      total.merge(sums[i], poll);
      total.check_finite(poll);
    }
  }
  return total;
}

template <class Scalar>
void MomentAccumulator<Scalar>::update(const SampleView<Scalar>& samples, int n_threads, const Poll& poll) {
  const index_t d = n_features(), waiting = pending_rows();
  const index_t n_blocks = (waiting + samples.n) / kSuperBlock;
  // Rows of the caller's that full blocks take; the rest becomes pending.
  const index_t taken = n_blocks > 0 ? n_blocks * kSuperBlock - waiting : 0;
  const SampleView<Scalar> rest = slice(samples, taken, samples.n - taken);
  if (n_blocks == 0) {
    check_values(rest, d);
    append(rest, poll);
    return;
  }
  MomentAccumulator next(MomentShape{});  // its own shape comes with the sums: no memory of that size twice
  try {
    check_values(rest, d);
    next.total_ = add_blocks(samples, n_blocks, n_threads, poll);
  } catch (const ColumnError&) {
    check_values(samples, d);  // names the first bad value, whichever thread met one
    throw;
  }
  next.append(rest, poll);
  *this = std::move(next);  // from here on nothing throws
}

// Rows that wait are not summed yet, but an overflow, alone or with the blocks before, must be told now and
// not when they are.
template <class Scalar>
void MomentAccumulator<Scalar>::append(const SampleView<Scalar>& rows, const Poll& poll) {
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
  const double w_all = w_max * static_cast<double>(pending_rows()) + total_.weight;
  // The channel is at most sum_j |q_j| t^j.
  double channel = 0;
  if (shape().polynomial.empty()) {
    channel = shape().order * (std::log2(std::max(y_all, 1.0)) + 1);
  } else {
    const double t = std::max(1.0, y_all + std::abs(shape().about));
    double largest = 1;
    for (const double q : shape().polynomial) largest = std::max(largest, std::abs(q));
    channel = static_cast<double>(shape().polynomial.size()) * std::log2(t) + std::log2(largest) + 3;
  }
  const double bits =
      channel + shape().order * (std::log2(std::max(x_all, 1.0)) + 1) + std::log2(std::max(w_all, 1.0));
  if (bits > 1020) {
    try {
      snapshot(poll);
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
void MomentAccumulator<Scalar>::merge(const MomentAccumulator& other, const Poll& poll) {
  if (!(other.shape() == shape())) {
    throw std::invalid_argument("other must have the same n_features, order and polynomial");
  }
  MomentAccumulator result = copy(poll);
  MomentSums moved = other.total_.copy(poll);
  result.total_.merge(moved, poll);
  result.total_.check_finite(poll);
  const SampleView<Scalar> rows = other.pending_view();
  if (rows.n > 0) result.update(rows, 1, poll);
  *this = std::move(result);
}

template <class Scalar>
MomentAccumulator<Scalar> MomentAccumulator<Scalar>::copy(const Poll& poll) const {
  MomentAccumulator out(MomentShape{});
  out.total_ = total_.copy(poll);
  out.pending_x_ = pending_x_;
  out.pending_y_ = pending_y_;
  out.pending_w_ = pending_w_;
  out.pending_bound_ = pending_bound_;
  return out;
}

template <class Scalar>
MomentSums MomentAccumulator<Scalar>::snapshot(const Poll& poll) const {
  MomentSums all = total_.copy(poll);
  // The rows that wait are less than a block: with float64 products even where they are float32, since few
  // rows do not average rounding errors out.
  if (pending_rows() > 0) {
    const std::vector<double> x(pending_x_.begin(), pending_x_.end()),
        y(pending_y_.begin(), pending_y_.end());
    const RowBlock<double> rows{contiguous_view(x, y, pending_w_, n_features()), {}};
    const SumPlan plan = sum_plan<double>(shape());
    BlockSums<double> block(shape(), plan);
    MomentSums sums;
    block.start(rows, sums, poll);
    Workspace<double> workspace;
    parallel_for(1, 1, poll, [&](index_t, Checkpoint& checkpoint) {
      block.sum(0, plan.n_pieces(), workspace, checkpoint);
    });
    block.finish();
    all.merge(sums, poll);
  }
  all.take_room(poll);
  if (all.count > 0) all.recentre_to_mean(poll);
  all.check_finite(poll);
  return all;
}

template <class Scalar>
void MomentAccumulator<Scalar>::restore(MomentSums total, const SampleView<Scalar>& pending,
                                        const Poll& poll) {
  MomentAccumulator next(MomentShape{});
  check_values(pending, total.shape.n_features);
  next.total_ = std::move(total);
  next.append(pending, poll);
  *this = std::move(next);
}

template void check_values(const SampleView<double>&, index_t);
template void check_values(const SampleView<float>&, index_t);
template class MomentAccumulator<double>;
template class MomentAccumulator<float>;

}  // namespace moefast
