#include "em/sample_panels.hpp"

#include <algorithm>
#include <utility>

#include "em/design_panel.hpp"

namespace moefast {

SamplePanels::SamplePanels(const EmData& data, index_t most_kept)
    : data_(data),
      u_dim_(data.expert_dim()),
      v_dim_(data.one_design() ? 0 : data.gate_dim()),
      numbers_((u_dim_ + v_dim_ + data.n_responses + 1) * kStride) {
  for (const double* other : others()) numbers_ += other ? kStride : 0;
  data.check_columns();
  const index_t chunks = (data.n + kChunk - 1) / kChunk;
  if (chunks > most_kept / numbers_) return;
  kept_.resize(static_cast<std::size_t>(chunks * numbers_));
  for (index_t i = 0; i < chunks; ++i) fill(i * kChunk, kept_.data() + i * numbers_);
}

SamplePanels::Chunk SamplePanels::chunk(index_t first, double* room) const {
  if (!kept_.empty()) return place(first, kept_.data() + first / kChunk * numbers_);
  fill(first, room);
  return place(first, room);
}

SamplePanels::Chunk SamplePanels::place(index_t first, const double* panels) const {
  const index_t rows = std::min(kChunk, data_.n - first), step = kernels::kSampleStep;
  const double *const V = panels + u_dim_ * kStride, *const y = V + v_dim_ * kStride,
                      *const w = y + data_.n_responses * kStride;
  const double* next = w + kStride;
  const auto place_other = [&](const double* other) {
    return other ? std::exchange(next, next + kStride) : nullptr;
  };
  Chunk chunk = {first,
                 rows,
                 (rows + step - 1) / step * step,
                 panels,
                 v_dim_ > 0 ? V : panels,
                 y,
                 w,
                 nullptr,
                 nullptr,
                 nullptr,
                 nullptr};
  const auto given = others();
  chunk.offset = place_other(given[0]);
  chunk.trials = place_other(given[1]);
  chunk.row_term = place_other(given[2]);
  chunk.first_predictor = place_other(given[3]);
  return chunk;
}

void SamplePanels::fill(index_t first, double* panels) const {
  const Chunk chunk = place(first, panels);
  load_design(data_, data_.expert_columns, first, chunk.rows, chunk.padded, kStride, panels);
  panels += u_dim_ * kStride;
  if (v_dim_ > 0) load_design(data_, data_.gate_columns, first, chunk.rows, chunk.padded, kStride, panels);
  panels += v_dim_ * kStride;
  for (index_t a = 0; a < data_.n_responses; ++a, panels += kStride)
    transpose(data_.y + a * data_.n, 1, chunk, panels);
  transpose(data_.w, 1, chunk, panels);
  panels += kStride;
  for (const double* other : others()) {
    if (!other) continue;
    transpose(other, 1, chunk, panels);
    panels += kStride;
  }
}

void SamplePanels::transpose(const double* rows, index_t columns, const Chunk& chunk, double* panel) {
  if (columns == 1) std::copy_n(rows + chunk.first, chunk.rows, panel);
  for (index_t s = 0; columns > 1 && s < chunk.rows; ++s) {
    const double* row = rows + (chunk.first + s) * columns;
    for (index_t j = 0; j < columns; ++j) panel[j * kStride + s] = row[j];
  }
  for (index_t j = 0; j < columns; ++j) {
    std::fill(panel + j * kStride + chunk.rows, panel + j * kStride + chunk.padded, 0.0);
  }
}

void SamplePanels::transpose_back(const double* panel, index_t columns, const Chunk& chunk, double* rows) {
  for (index_t s = 0; s < chunk.rows; ++s) {
    double* row = rows + (chunk.first + s) * columns;
    for (index_t j = 0; j < columns; ++j) row[j] = panel[j * kStride + s];
  }
}

}  // namespace moefast
