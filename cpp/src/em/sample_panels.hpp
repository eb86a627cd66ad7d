// The samples as the kernels read them: cut into chunks, each transposed so that samples lie along the
// vectors.
//
// Panels are rows of kStride numbers: U = (x, 1) has expert_dim of them, V likewise gate_dim, or is U where
// experts and gates see the same columns; y has one for each response, w has one, and so has what else EmData
// tells of rows.
#pragma once

#include <array>

#include "aligned.hpp"
#include "kernels/kernels.hpp"
#include "moefast/em.hpp"

namespace moefast {

class SamplePanels {
 public:
  // Samples handled together: panels stay in the second-level cache, and a tile's sums are long enough for
  // their adding up not to count. A multiple of every kernel's panel width.
  static constexpr index_t kChunk = 384;
  // One vector more: rows a power of two apart would fall into the same few sets of the cache.
  static constexpr index_t kStride = kChunk + kernels::kSampleStep;
  // Panels of so many numbers are kept for all passes, 8 MiB: making them is a tenth of a pass at n = 1000 to
  // 70 000, d = 8 to 10 and k = 3. They take more memory than the samples, which is why there is a bound.
  static constexpr index_t kMostKept = index_t{1} << 20;

  // Rows first .. first + rows - 1, padded with weight 0 to a multiple of kernels::kSampleStep.
  struct Chunk {
    index_t first, rows, padded;
    const double *U, *V, *y, *w;
    const double *offset, *trials, *row_term, *first_predictor;  // null where EmData has none
  };

  // `data` has to outlive it; checks its columns.
  explicit SamplePanels(const EmData& data, index_t most_kept = kMostKept);

  const EmData& data() const { return data_; }
  // Numbers that `chunk` needs room for: 0 where panels are kept.
  index_t room() const { return kept_.empty() ? numbers_ : 0; }
  // The chunk that begins at row `first`, a multiple of kChunk; made in `room` unless it is kept.
  Chunk chunk(index_t first, double* room) const;

  // `panel` = rows first .. first + n - 1 of a row-major array with so many columns, transposed and padded
  // with 0.
  static void transpose(const double* rows, index_t columns, const Chunk& chunk, double* panel);
  // The other way, without the padding.
  static void transpose_back(const double* panel, index_t columns, const Chunk& chunk, double* rows);

 private:
  Chunk place(index_t first, const double* panels) const;
  // What else there is of rows, in the order of Chunk.
  std::array<const double*, 4> others() const {
    return {data_.offset, data_.trials, data_.row_term, data_.first_predictor};
  }
  void fill(index_t first, double* panels) const;

  const EmData& data_;
  index_t u_dim_, v_dim_;  // v_dim_: of a V of its own, else 0
  index_t numbers_;        // of a chunk
  AlignedVector<double> kept_;
};

}  // namespace moefast
