// How the packed tensor of one block of samples is cut into pieces for the kernels. There are two forms.
//
// Dot form (few features; how many, kernels/tuning.hpp): one piece for every rectangle of the packed layout,
// exactly as large; vectors lie along the samples (kernels/dot_update.hpp).
//
// Outer form: all pairs (a <= b), sorted by b, then a, are cut into groups as wide as the register tile; a
// group is multiplied by the columns c or (c, e) that its smallest b needs, so rows have no edges at all
// (kernels/pair_update.hpp). What is computed in vain (columns too small for the later pairs of a group, the
// end of the last group) is 5 % of the unique entries of order 4 at dim = 50, 1 % at dim = 80, 3 and 1 % of
// order 3.
//
// Channels lie next to each other: piece i has (columns x channels) x lanes or pairs x (columns x channels).
#pragma once

#include <vector>

#include "kernels/kernels.hpp"
#include "moefast/moment_sums.hpp"
#include "moefast/packed.hpp"
#include "moefast/types.hpp"

namespace moefast {

struct SumPlan {
  // width, lanes: numbers of a row of the register tile and of one of its vectors, for the outer form.
  SumPlan(const MomentShape& shape, const kernels::Tuning& tuning, index_t width, index_t lanes);

  struct Piece {
    index_t b;  // the (smallest) second index
    index_t n_columns;
    index_t offset;         // of the piece, in numbers of one channel
    index_t first_run = 0;  // outer form: of pair_runs
    kernels::PairGroup group = {};
  };

  // Some pieces, and one channel out of several.
  struct Range {
    index_t first, last;
  };
  struct Channel {
    index_t number, count;
  };
  // Copies the pieces of one channel to that channel's packed entries; sums: of these pieces, with all
  // channels.
  void unpack(const double* sums, Range range, Channel channel, double* entries, const Poll& poll) const;

  // Pieces with share `part` of `n_parts` of the work: from starts[part] to starts[part + 1].
  std::vector<index_t> split(index_t n_parts) const;

  index_t n_pieces() const { return static_cast<index_t>(pieces.size()); }
  // Where a piece begins, or after the last one all of them end, in numbers of one channel.
  index_t offset(index_t piece) const { return piece < n_pieces() ? pieces[piece].offset : size; }

  PackedLayout layout;
  bool dot_form;
  index_t width;
  index_t size = 0;  // numbers of all pieces of one channel
  std::vector<Piece> pieces;
  std::vector<kernels::PairRun> pair_runs;
};

}  // namespace moefast
