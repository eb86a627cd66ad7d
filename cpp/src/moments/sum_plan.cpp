// Pieces of the packed tensor: rectangles (b + 1) x cols(b) in the dot form, groups of `width` pairs x
// columns in the outer form.
#include "moments/sum_plan.hpp"

#include <algorithm>
#include <utility>

#include "in_parts.hpp"

namespace moefast {
namespace {

bool takes_dot_form(const MomentShape& shape, const kernels::Tuning& tuning) {
  if (shape.order == 2) return true;
  const int which = shape.order == 4 ? 2 : shape.n_channels() > 1 ? 1 : 0;
  return shape.n_features < tuning.outer_features[which];
}

// What the vectors of a register tile are that the runs fill. One of two runs changes places with the first
// vector.
kernels::PairGroup pair_group(kernels::PairRun* runs, index_t n_runs, index_t lanes) {
  kernels::PairGroup group;
  group.n_runs = n_runs, group.second = lanes, group.in_tile = true;
  index_t mixed = 0;  // the vector
  for (index_t r = 0; r < n_runs; ++r) {
    const index_t v = runs[r].lane / lanes, lane = runs[r].lane % lanes;
    if (lane == 0) {
      group.a[v] = runs[r].a, group.b[v] = runs[r].b;
      continue;
    }
    group.in_tile = group.in_tile && !group.mixed;
    group.mixed = true, group.second = lane, mixed = v;
  }
  if (!group.in_tile || mixed == 0) return group;
  std::swap(group.a[0], group.a[mixed]), std::swap(group.b[0], group.b[mixed]);
  for (index_t r = 0; r < n_runs; ++r) {
    const index_t v = runs[r].lane / lanes, to = v == 0 ? mixed : v == mixed ? 0 : v;
    runs[r].lane += (to - v) * lanes;
  }
  std::sort(runs, runs + n_runs, [](const auto& left, const auto& right) { return left.lane < right.lane; });
  return group;
}

}  // namespace

SumPlan::SumPlan(const MomentShape& shape, const kernels::Tuning& tuning, index_t width, index_t lanes)
    : layout(shape.layout()), dot_form(takes_dot_form(shape, tuning)), width(width) {
  if (dot_form) {
    for (index_t b = 0; b < layout.dim; ++b) pieces.push_back({b, layout.cols(b), layout.offset(b)});
    size = layout.size();
    return;
  }
  index_t a = 0, b = 0;
  while (b < layout.dim) {
    Piece piece{b, layout.cols(b), size, static_cast<index_t>(pair_runs.size())};
    for (index_t lane = 0; lane < width && b < layout.dim;) {
      const index_t length = std::min(b + 1 - a, lanes - lane % lanes);
      pair_runs.push_back({a, b, length, lane});
      lane += length, a += length;
      if (a > b) a = 0, ++b;
    }
    const index_t n_runs = static_cast<index_t>(pair_runs.size()) - piece.first_run;
    piece.group = pair_group(&pair_runs[piece.first_run], n_runs, lanes);
    size += piece.n_columns * width;
    pieces.push_back(piece);
  }
}

void SumPlan::unpack(const double* sums, Range range, Channel channel, double* entries,
                     const Poll& poll) const {
  const index_t start = offset(range.first);
  if (dot_form) {
    entries += start, sums += channel.number;
    in_parts(static_cast<std::size_t>(offset(range.last) - start), poll,
             [&](std::size_t first, std::size_t last) {
               const std::size_t count = static_cast<std::size_t>(channel.count);
               for (std::size_t i = first; i < last; ++i) entries[i] = sums[i * count];
             });
    return;
  }
  for (index_t p = range.first; p < range.last; ++p) {
    const Piece& piece = pieces[p];
    if (poll) poll();
    for (index_t r = piece.first_run; r < piece.first_run + piece.group.n_runs; ++r) {
      const kernels::PairRun& run = pair_runs[r];
      const index_t cols = layout.cols(run.b), skipped = piece.n_columns - cols;
      double* to = entries + layout.offset(run.b) + run.a * cols;
      const double* column = sums + (piece.offset - start) * channel.count +
                             (skipped * channel.count + channel.number) * width + run.lane;
      for (index_t c = 0; c < cols; ++c, column += channel.count * width) {
        for (index_t i = 0; i < run.length; ++i) to[i * cols + c] = column[i];
      }
    }
  }
}

std::vector<index_t> SumPlan::split(index_t n_parts) const {
  std::vector<index_t> starts{0};
  for (index_t i = 0; i < n_pieces(); ++i) {
    const index_t part = static_cast<index_t>(starts.size());
    if (part < n_parts && pieces[i].offset >= size / n_parts * part) starts.push_back(i);
  }
  starts.push_back(n_pieces());
  return starts;
}

}  // namespace moefast
