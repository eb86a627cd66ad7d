// The moments of one block of samples about the block's own means.
//
//     sums[h][a, b, ...] = sum_n w_n f_h(y_n) u_a u_b ...,   u = (x - mean x, 1)
//
// Chunk by chunk of samples, every piece of the plan (sum_plan.hpp) is the product of pairs u_a u_b and
// columns f_h(y) u_c (u_e).
#pragma once

#include <vector>

#include "aligned.hpp"
#include "moefast/moments.hpp"
#include "moefast/parallel.hpp"
#include "moments/panel.hpp"
#include "moments/row_block.hpp"
#include "moments/sum_plan.hpp"

namespace moefast {

// One block after another: the buffers stay.
template <class Scalar>
class BlockSums {
 public:
  BlockSums(const MomentShape& shape, const SumPlan& plan);

  // Takes up a block whose sums are to be `out`: finds means, bounds and scales. Throws ColumnError where a
  // value is not finite or a weight not positive. The rows must stay until they are summed.
  void start(const RowBlock<Scalar>& block, MomentSums& out, const Poll& poll);
  // Sums the pieces first .. last - 1. Different ranges may run at the same time on different threads.
  void sum(index_t first_piece, index_t last_piece, Workspace<Scalar>& workspace, Checkpoint& checkpoint);
  // Of one thread, whose sums of a channel are so many bytes at a time.
  double workspace_bytes(double part_bytes) const;
  // Once all pieces are summed; an overflow is left in the result.
  void finish();

 private:
  void find_centre();
  void find_scales();
  void channel(index_t h, const RowChunk<Scalar>& rows, double* out) const;
  // Some channels and some pieces, with their sums.
  struct Turn {
    index_t channel, n_channels, first_piece, last_piece;
    double* sums;
    index_t offset;  // of the first of these pieces
    double* of(const SumPlan::Piece& piece) const { return sums + (piece.offset - offset) * n_channels; }
  };
  void fill_channels(const RowChunk<Scalar>& rows, const Turn& turn, Scalar* F, index_t channel_stride,
                     index_t sample_stride) const;
  void sum_dot(const Turn& turn, Workspace<Scalar>& workspace, Checkpoint& checkpoint);
  void sum_outer(const Turn& turn, Workspace<Scalar>& workspace, Checkpoint& checkpoint);
  void unscale();

  const MomentShape& shape_;
  const SumPlan& plan_;
  index_t chunk_ = 0;
  index_t channels_at_once_ = 1;
  RowBlock<Scalar> block_;
  MomentSums* out_ = nullptr;
  double weight_ = 0;
  std::vector<double> centre_, magnitude_;  // of (x, y)
  // Powers of two by which u_a and the channels are multiplied, so that float32 products stay in range; 1 for
  // float64.
  std::vector<double> scale_, channel_scale_;
};

}  // namespace moefast
