// Z = (X - offset) W, n x k, a super-block at a time, then the moments of (Z, y) as moments.hpp has them.
#include "moefast/projected_moments.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>

#include "aligned.hpp"
#include "kernels/kernels.hpp"
#include "moefast/parallel.hpp"
#include "moments/row_block.hpp"

namespace moefast {
namespace {

// Z (n x k) = (X - offset) W, a chunk of rows at a time by the dot form: both factors have the features along
// their rows, padded with zeros to whole vectors.
template <class Scalar>
class Projector {
 public:
  explicit Projector(const Projection& p)
      : p_(p),
        k_(static_cast<index_t>(p.W.size()) / p.n_features),
        length_((p.n_features + kernels::kPanelPadding - 1) / kernels::kPanelPadding *
                kernels::kPanelPadding),
        directions_(static_cast<std::size_t>(k_ * length_)),
        ones_(static_cast<std::size_t>(p.n_features), 1.0) {
    for (index_t j = 0; j < p.n_features; ++j) {
      for (index_t i = 0; i < k_; ++i) directions_[i * length_ + j] = p.W[j * k_ + i];
    }
  }

  void project(const RowBlock<Scalar>& block, double* Z) const {
    RowChunk<Scalar> rows(block, p_.n_features);
    AlignedVector<double> wide(static_cast<std::size_t>(kChunk * p_.n_features)),
        centred(static_cast<std::size_t>(kChunk * length_));
    const kernels::Kernels<double>& kernel = kernels::of<double>();
    for (index_t first = 0; first < block.n(); first += kChunk) {
      rows.load(first, block.n());
      const double* x = widened(rows, wide);
      const index_t stride = sizeof(Scalar) == sizeof(double) ? rows.stride : p_.n_features;
      kernel.centre_rows(rows.n, p_.n_features, x, stride, p_.offset.data(), ones_.data(), centred.data(),
                         length_);
      std::fill(Z + first * k_, Z + (first + rows.n) * k_, 0.0);
      kernel.dot_update(rows.n, k_, length_, centred.data(), length_, nullptr, directions_.data(), length_,
                        Z + first * k_, k_);
    }
  }

 private:
  const double* widened(const RowChunk<Scalar>& rows, AlignedVector<double>& wide) const {
    if constexpr (sizeof(Scalar) == sizeof(double)) {
      return rows.x;
    } else {
      for (index_t s = 0; s < rows.n; ++s) {
        std::copy_n(rows.x + s * rows.stride, p_.n_features, wide.data() + s * p_.n_features);
      }
      return wide.data();
    }
  }

  const Projection& p_;
  index_t k_, length_;
  AlignedVector<double> directions_;  // k x length
  std::vector<double> ones_;
};

}  // namespace

template <class Scalar>
MomentSums projected_moments(const SampleView<Scalar>& samples, const Projection& projection,
                             const MomentShape& shape, int n_threads, const Poll& poll) {
  constexpr index_t super_block = MomentAccumulator<double>::kSuperBlock;
  const index_t k = shape.n_features;
  const Projector<Scalar> projector(projection);
  MomentAccumulator<double> accumulator(shape);
  const index_t wave = usable_threads(n_threads, (samples.n + super_block - 1) / super_block) * super_block;
  std::vector<double> Z(static_cast<std::size_t>(std::min(wave, samples.n) * k)), y(Z.size() / k),
      w(y.size());
  try {
    for (index_t first = 0; first < samples.n; first += wave) {
      const index_t n = std::min(wave, samples.n - first);
      parallel_for((n + super_block - 1) / super_block, n_threads, poll, [&](index_t i, Checkpoint&) {
        const index_t row = i * super_block;
        RowBlock<Scalar> block;
        block.tail = slice(samples, first + row, std::min(super_block, n - row));
        projector.project(block, Z.data() + row * k);
        for (index_t s = 0; s < block.n(); ++s) {
          y[row + s] = block.tail.response(s);
          w[row + s] = block.tail.weight(s);
        }
      });
      const SampleView<double> view = slice(contiguous_view(Z, y, w, k), 0, n);
      accumulator.update(view, n_threads, poll);
    }
    return accumulator.snapshot();
  } catch (const ColumnError&) {
    check_values(samples, projection.n_features);  // names the column of X
    throw std::overflow_error(
        "the moments along these directions go beyond the range of float64; rescale X, y or the directions");
  }
}

template MomentSums projected_moments(const SampleView<double>&, const Projection&, const MomentShape&, int,
                                      const Poll&);
template MomentSums projected_moments(const SampleView<float>&, const Projection&, const MomentShape&, int,
                                      const Poll&);

}  // namespace moefast
