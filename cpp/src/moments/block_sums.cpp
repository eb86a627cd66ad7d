// sums[h][a, b, ...] = sum_n w_n f_h(y_n) u_a u_b ... of one block: means and scales first, then chunk by
// chunk of samples in one of the two forms of sum_plan.hpp. Transposed panels are (features or channels) x
// samples in the dot form, samples x (features or columns) in the outer form.
#include "moments/block_sums.hpp"

#include <algorithm>
#include <cmath>

#include "in_parts.hpp"

namespace moefast {
namespace {

// From this many features on a piece may take so long that an interrupt is looked for before.
constexpr index_t kLongPieces = 100;

// The power of two just above |bound|, inverted: products of numbers scaled by it stay within [-1, 1]. At
// most 2^+-1000, so that it and its inverse are finite: beyond, bounds are denormal or about to overflow.
double inverse_power_of_two(double bound) {
  if (!(bound > 0) || !std::isfinite(bound)) return 1.0;
  return std::ldexp(1.0, std::clamp(-std::ilogb(bound) - 1, -1000, 1000));
}

}  // namespace

// Chunks are as long as the panels they fill stay in a cache (kernels/tuning.hpp). Outer form: the panel of
// pairs in the first level (64 samples of 24 pairs are 12 KB). Dot form: the products of one tile in the
// first, everything in the second; longer chunks save sums over lanes.
template <class Scalar>
BlockSums<Scalar>::BlockSums(const MomentShape& shape, const SumPlan& plan) : shape_(shape), plan_(plan) {
  const kernels::Tuning& tuning = kernels::active().tuning;
  const index_t channels = shape.n_channels();
  const auto& samples = plan.dot_form ? tuning.dot_samples : tuning.outer_samples;
  chunk_ = samples[shape.order == 4 ? 1 : 0] * static_cast<index_t>(sizeof(double) / sizeof(Scalar));
  // As many channels at a time as the column panel has room for, in turns of equal size. The outer form of
  // order 4 takes one: what channels share there, the pairs, is next to nothing beside their columns.
  const bool apart = !plan.dot_form && shape.order == 4;
  const index_t room =
      apart ? 1 : std::max<index_t>(1, tuning.column_numbers / (chunk_ * plan.layout.cols(0)));
  const index_t turns = (channels + room - 1) / room;
  channels_at_once_ = (channels + turns - 1) / turns;
}

template <class Scalar>
double BlockSums<Scalar>::workspace_bytes(double part_bytes) const {
  const index_t dim = shape_.dim(), channels = channels_at_once_;
  const index_t columns = plan_.layout.cols(0) * channels;
  const index_t others = plan_.dot_form ? dim + 2 * channels : plan_.width + dim * (1 + channels) + channels;
  // A tenth for the padding of rows.
  return part_bytes * static_cast<double>(channels) + 1.1 * static_cast<double>(sizeof(Scalar)) *
                                                          static_cast<double>(chunk_) *
                                                          static_cast<double>(columns + others);
}

template <class Scalar>
void BlockSums<Scalar>::start(const RowBlock<Scalar>& block, MomentSums& out, const Poll& poll) {
  block_ = block;
  out_ = &out;
  const std::size_t columns = static_cast<std::size_t>(shape_.dim());
  weight_ = 0;
  centre_.assign(columns, 0.0);
  magnitude_.assign(columns, 0.0);
  scale_.assign(columns, 1.0);
  channel_scale_.assign(static_cast<std::size_t>(shape_.n_channels()), 1.0);
  find_centre();
  if constexpr (sizeof(Scalar) < sizeof(double)) find_scales();
  out.shape = shape_;
  out.count = block_.n();
  out.weight = weight_;
  out.centre = centre_;
  out.magnitude = magnitude_;
  fill_zeros(out.sums, static_cast<std::size_t>(shape_.n_channels() * shape_.layout().size()), poll);
}

// out[s] = w_s f_h(y_s), plain loops over s that the compiler turns into vectors.
template <class Scalar>
void BlockSums<Scalar>::channel(index_t h, const RowChunk<Scalar>& rows, double* out) const {
  const index_t n = rows.n;
  if (shape_.polynomial.empty()) {
    const double v = centre_.back();
    std::copy_n(rows.w, n, out);
    for (index_t power = 0; power < h; ++power) {
      for (index_t s = 0; s < n; ++s) out[s] *= rows.y[s] - v;
    }
    return;
  }
  std::fill_n(out, n, 0.0);
  for (auto q = shape_.polynomial.rbegin(); q != shape_.polynomial.rend(); ++q) {
    for (index_t s = 0; s < n; ++s) out[s] = out[s] * (rows.y[s] - shape_.about) + *q;
  }
  for (index_t s = 0; s < n; ++s) out[s] *= rows.w[s];
}

template <class Scalar>
void BlockSums<Scalar>::find_centre() {
  const index_t d = shape_.n_features;
  RowChunk<Scalar> rows(block_, d);
  double smallest_weight = 1, none = 0;
  double ones[kChunk];
  std::fill(ones, ones + kChunk, 1.0);
  for (index_t first = 0; first < block_.n(); first += kChunk) {
    rows.load(first, block_.n());
    kernels::of<Scalar>().scan_rows(rows.n, d, rows.x, rows.stride, rows.w, centre_.data(),
                                    magnitude_.data());
    const auto scan = kernels::of<double>().scan_rows;
    scan(rows.n, 1, rows.y, 1, rows.w, &centre_[d], &magnitude_[d]);
    if (!rows.weighted) continue;
    scan(rows.n, 1, rows.w, 1, ones, &weight_, &none);
    for (index_t s = 0; s < rows.n; ++s) smallest_weight = std::min(smallest_weight, rows.w[s]);
  }
  if (!rows.weighted) weight_ = static_cast<double>(block_.n());
  for (index_t j = 0; j <= d; ++j) {
    centre_[j] /= weight_;
    // Either a value is not finite, which the caller finds out, or the sum of finite values is not.
    if (!std::isfinite(centre_[j]) || !(smallest_weight > 0)) {
      throw ColumnError(ColumnError::Kind::overflow, weight_ > magnitude_[j] ? d + 1 : j, -1,
                        "its sum goes beyond the range of float64; rescale it");
    }
  }
}

template <class Scalar>
void BlockSums<Scalar>::find_scales() {
  const index_t d = shape_.n_features;
  for (index_t j = 0; j < d; ++j) scale_[j] = inverse_power_of_two(magnitude_[j] + std::abs(centre_[j]));
  std::vector<double> bound(channel_scale_.size());
  RowChunk<Scalar> rows(block_, d);
  for (index_t first = 0; first < block_.n(); first += kChunk) {
    rows.load(first, block_.n());
    for (std::size_t h = 0; h < bound.size(); ++h) {
      double values[kChunk];
      channel(static_cast<index_t>(h), rows, values);
      for (index_t s = 0; s < rows.n; ++s) bound[h] = std::max(bound[h], std::abs(values[s]));
    }
  }
  std::transform(bound.begin(), bound.end(), channel_scale_.begin(), inverse_power_of_two);
}

template <class Scalar>
void BlockSums<Scalar>::sum(index_t first_piece, index_t last_piece, Workspace<Scalar>& workspace,
                            Checkpoint& checkpoint) {
  // Channels outside, rows inside: the sums of one turn stay in the cache for the whole block, and the next
  // turn takes the same memory.
  const index_t channels = shape_.n_channels();
  const index_t offset = plan_.offset(first_piece), size = plan_.offset(last_piece) - offset;
  const Poll poll = [&checkpoint] { checkpoint.check(); };
  for (index_t h = 0; h < channels; h += channels_at_once_) {
    const index_t count = std::min(channels_at_once_, channels - h);
    AlignedVector<double>& sums = workspace.sums();
    fill_zeros(sums, static_cast<std::size_t>(size * count), poll);
    const Turn turn{h, count, first_piece, last_piece, sums.data(), offset};
    if (plan_.dot_form) {
      sum_dot(turn, workspace, checkpoint);
    } else {
      sum_outer(turn, workspace, checkpoint);
    }
    for (index_t i = 0; i < count; ++i) {
      plan_.unpack(sums.data(), {first_piece, last_piece}, {i, count}, out_->channel(h + i), poll);
    }
  }
}

// Channel weights of a chunk: F[i] = w f_{h + i}(y), scaled; one row a channel.
template <class Scalar>
void BlockSums<Scalar>::fill_channels(const RowChunk<Scalar>& rows, const Turn& turn, Scalar* F,
                                      index_t channel_stride, index_t sample_stride) const {
  double values[kChunk];
  for (index_t i = 0; i < turn.n_channels; ++i) {
    const index_t h = turn.channel + i;
    channel(h, rows, values);
    for (index_t s = 0; s < rows.n; ++s) {
      F[i * channel_stride + s * sample_stride] = static_cast<Scalar>(values[s] * channel_scale_[h]);
    }
  }
}

// Transposed panels, one row a feature: Ut (dim x chunk), F (channels x chunk), and the columns, channels
// innermost: f_h u_c (order 3) or f_h u_c u_e (order 4).
template <class Scalar>
void BlockSums<Scalar>::sum_dot(const Turn& turn, Workspace<Scalar>& workspace, Checkpoint& checkpoint) {
  const kernels::Kernels<Scalar>& kernel = kernels::of<Scalar>();
  const index_t d = shape_.n_features, dim = d + 1, channels = turn.n_channels;
  using W = Workspace<Scalar>;
  Panel<Scalar>& Ut = workspace.panel(W::features, dim, chunk_);
  Panel<Scalar>& F = workspace.panel(W::channels, channels, chunk_);
  Panel<Scalar>& T = workspace.panel(W::products, channels, chunk_);
  Panel<Scalar>& columns = workspace.panel(W::columns, plan_.layout.cols(0) * channels, chunk_);
  RowChunk<Scalar> rows(block_, d);
  for (index_t start = 0; start < block_.n(); start += chunk_) {
    checkpoint.check();
    const index_t n = std::min(chunk_, block_.n() - start);
    for (index_t at = 0; at < n; at += kChunk) {
      rows.load(start + at, start + n);
      kernel.centre_rows_transposed(rows.n, d, rows.x, rows.stride, centre_.data(), scale_.data(),
                                    Ut.data() + at, Ut.stride);
      fill_channels(rows, turn, F.data() + at, F.stride, 1);
    }
    constexpr index_t whole = kernels::kPanelPadding;
    const index_t length = (n + whole - 1) / whole * whole;  // whole vectors: zeros at the end
    std::fill(Ut.row(d), Ut.row(d) + n, Scalar(1));
    for (index_t j = 0; j < dim; ++j) std::fill(Ut.row(j) + n, Ut.row(j) + length, Scalar(0));
    for (index_t i = 0; i < channels; ++i) {
      std::fill(F.row(i) + n, F.row(i) + length, Scalar(0));
      const index_t step = channels * columns.stride;
      if (shape_.order == 2) std::copy_n(F.row(i), length, columns.row(i));
      if (shape_.order == 3) {
        kernel.scale_rows(dim, length, Ut.data(), Ut.stride, F.row(i), columns.row(i), step);
      }
      Scalar* out = columns.row(i);
      for (index_t c = 0; c < dim && shape_.order == 4; ++c, out += (dim - c + 1) * step) {
        kernel.scale_rows(1, length, Ut.row(c), Ut.stride, F.row(i), T.row(i), T.stride);
        kernel.scale_rows(dim - c, length, Ut.row(c), Ut.stride, T.row(i), out, step);
      }
    }
    for (index_t p = turn.first_piece; p < turn.last_piece; ++p) {
      if (dim > kLongPieces) checkpoint.check();
      const SumPlan::Piece& piece = plan_.pieces[p];
      const index_t n_columns = piece.n_columns * channels;
      kernel.dot_update(piece.b + 1, n_columns, length, Ut.data(), Ut.stride, Ut.row(piece.b),
                        columns.row(plan_.layout.first_col(piece.b) * channels), columns.stride,
                        turn.of(piece), n_columns);
    }
  }
}

// Panels with one row a sample: U (chunk x dim), F (chunk x channels), the columns and for every piece the
// pairs P (chunk x width). One channel: the pairs are u_a T_b, T = f u, and the columns u_c or u_c u_e, of
// which the last one is 1. So order 3 reads little but U, and all of it from the first-level cache. Several
// channels (order 3): the pairs are u_a u_b, and the columns f_h u_c, channels innermost.
template <class Scalar>
void BlockSums<Scalar>::sum_outer(const Turn& turn, Workspace<Scalar>& workspace, Checkpoint& checkpoint) {
  const kernels::Kernels<Scalar>& kernel = kernels::of<Scalar>();
  const index_t d = shape_.n_features, dim = d + 1, channels = turn.n_channels, width = plan_.width;
  const bool order_4 = shape_.order == 4, single = channels == 1;
  using W = Workspace<Scalar>;
  Panel<Scalar>& U = workspace.panel(W::features, chunk_, dim);
  Panel<Scalar>& P = workspace.panel(W::pairs, chunk_, width);
  Panel<Scalar>& F = workspace.panel(W::channels, chunk_, channels);
  Panel<Scalar>& T = single ? workspace.panel(W::products, chunk_, dim) : U;
  Panel<Scalar>& columns =
      single && !order_4 ? U : workspace.panel(W::columns, chunk_, plan_.layout.cols(0) * channels);
  // The columns that these pieces need, a suffix.
  const index_t from = plan_.pieces[turn.first_piece].b;
  std::vector<kernels::PairRun> column_runs;
  for (index_t c = from, column = plan_.layout.first_col(from); c < dim && order_4; ++c) {
    column_runs.push_back({c, c, dim - c, column});
    column += dim - c;
  }
  for (index_t c = from; c < dim && !single; ++c) column_runs.push_back({0, c, channels, c * channels});
  const std::vector<kernels::PairRun> all_features{{0, 0, dim, 0}};
  const auto multiply = [&](const std::vector<kernels::PairRun>& runs, index_t n, Panel<Scalar>& A,
                            Panel<Scalar>& B, Panel<Scalar>& out) {
    kernel.pair_panel(runs.data(), static_cast<index_t>(runs.size()), n, A.data(), A.stride, B.data(),
                      B.stride, out.data(), out.stride);
  };
  RowChunk<Scalar> rows(block_, d);
  for (index_t start = 0; start < block_.n(); start += chunk_) {
    const index_t n = std::min(chunk_, block_.n() - start);
    for (index_t at = 0; at < n; at += kChunk) {
      rows.load(start + at, start + n);
      kernel.centre_rows(rows.n, d, rows.x, rows.stride, centre_.data(), scale_.data(), U.row(at), U.stride);
      fill_channels(rows, turn, F.row(at), 1, F.stride);
    }
    for (index_t s = 0; s < n; ++s) U.row(s)[d] = 1;
    if (single) multiply(all_features, n, U, F, T);
    multiply(column_runs, n, single ? U : F, U, columns);
    checkpoint.check();
    for (index_t p = turn.first_piece; p < turn.last_piece; ++p) {
      if (order_4 || dim > kLongPieces) checkpoint.check();
      const SumPlan::Piece& piece = plan_.pieces[p];
      kernel.pair_update(&plan_.pair_runs[piece.first_run], piece.group, n, U.data(), T.data(), U.stride,
                         single, piece.n_columns * channels,
                         columns.data() + plan_.layout.first_col(piece.b) * channels, columns.stride,
                         P.data(), P.stride, turn.of(piece), width);
    }
  }
}

template <class Scalar>
void BlockSums<Scalar>::finish() {
  if constexpr (sizeof(Scalar) < sizeof(double)) unscale();
}

// Takes the powers of two off again.
template <class Scalar>
void BlockSums<Scalar>::unscale() {
  const PackedLayout layout = shape_.layout();
  const index_t dim = layout.dim;
  std::vector<double> inverse(scale_.size());
  for (index_t j = 0; j < dim; ++j) inverse[j] = 1 / scale_[j];
  std::vector<double> columns;  // of the pairs c <= e, c, or 1
  for (index_t h = 0; h < shape_.n_channels(); ++h) {
    double* entry = out_->channel(h);
    for (index_t b = 0; b < dim; ++b) {
      columns.clear();
      for (index_t c = b; c < dim && layout.order > 2; ++c) {
        if (layout.order == 3) columns.push_back(inverse[c]);
        for (index_t e = c; e < dim && layout.order == 4; ++e) columns.push_back(inverse[c] * inverse[e]);
      }
      if (layout.order == 2) columns.push_back(1);
      for (index_t a = 0; a <= b; ++a) {
        const double factor = inverse[a] * inverse[b] / channel_scale_[h];
        for (const double column : columns) *entry++ *= factor * column;
      }
    }
  }
}

template class BlockSums<double>;
template class BlockSums<float>;

}  // namespace moefast
