// Pieces of the packed tensor: rectangles (b + 1) x cols(b) in the dot form, groups of `width` pairs x
// columns in the outer form.
#include "moments/sum_plan.hpp"

#include <algorithm>

#include "in_parts.hpp"

namespace moefast {
namespace {

bool takes_dot_form(const PackedLayout& layout, const kernels::Tuning& tuning) {
  return layout.order == 2 || layout.dim - 1 < tuning.outer_features[layout.order - 3];
}

}  // namespace

SumPlan::SumPlan(PackedLayout layout, const kernels::Tuning& tuning, index_t width)
    : layout(layout), dot_form(takes_dot_form(layout, tuning)), width(width) {
  if (dot_form) {
    for (index_t b = 0; b < layout.dim; ++b) pieces.push_back({b, 0, 0, layout.cols(b), layout.offset(b)});
    size = layout.size();
    return;
  }
  index_t a = 0, b = 0;
  while (b < layout.dim) {
    Piece piece{b, static_cast<index_t>(pair_runs.size()), 0, layout.cols(b), size};
    for (index_t lane = 0; lane < width && b < layout.dim;) {
      const index_t length = std::min(b + 1 - a, width - lane);
      pair_runs.push_back({a, b, length, lane});
      ++piece.n_runs;
      lane += length, a += length;
      if (a > b) a = 0, ++b;
    }
    size += piece.n_columns * width;
    pieces.push_back(piece);
  }
}

void SumPlan::unpack(const double* from, index_t n_channels, index_t channel, double* entries,
                     const Poll& poll) const {
  if (dot_form) {
    in_parts(static_cast<std::size_t>(size), poll, [&](std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) {
        entries[i] = from[i * static_cast<std::size_t>(n_channels) + static_cast<std::size_t>(channel)];
      }
    });
    return;
  }
  for (const Piece& piece : pieces) {
    if (poll) poll();
    for (index_t r = piece.first_run; r < piece.first_run + piece.n_runs; ++r) {
      const kernels::PairRun& run = pair_runs[r];
      const index_t cols = layout.cols(run.b), skipped = piece.n_columns - cols;
      double* to = entries + layout.offset(run.b) + run.a * cols;
      const double* column =
          from + piece.offset * n_channels + (skipped * n_channels + channel) * width + run.lane;
      for (index_t c = 0; c < cols; ++c, column += n_channels * width) {
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
