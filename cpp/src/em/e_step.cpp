// The E-step, one pass over the samples: chunk by chunk, transposed so that samples lie along the vectors.
//
//     scores = [g(a_i.x + b_i) | W_i.x + c_i]  ->  weights of each sum (kernels/expectation.hpp)
//     sums   = weights times u_a u_b        (kernels/dot_update.hpp)
//
// Panels are rows of kStride numbers; U = (x, 1) is dim x kStride.
#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>
#include <utility>

#include "aligned.hpp"
#include "kernels/kernels.hpp"
#include "moefast/em.hpp"
#include "moefast/parallel.hpp"

namespace moefast {
namespace {

// Samples handled together: panels stay in the second-level cache, and a tile's sums are long enough for
// their adding up not to count. A multiple of every kernel's panel width.
constexpr index_t kChunk = 384;
// One vector more: rows a power of two apart would fall into the same few sets of the cache.
constexpr index_t kStride = kChunk + kernels::kSampleStep;
// Rows are cut into at most kLanes runs, each summed on its own and added in order: the result is the same
// for any number of threads.
constexpr index_t kLanes = 16;
constexpr index_t kRowsPerLane = 1024;
// Multiply-adds of a chunk's products between two looks for an interrupt: some hundredths of a second.
constexpr index_t kCheckedWork = index_t{1} << 26;
// Statistics have about k^2 d^2 / 4 numbers. Lanes hold no more than this many together, unless one lane
// does: 64 MiB beside one set of statistics.
constexpr index_t kLaneNumbers = index_t{1} << 23;

index_t n_gate_products(index_t k) { return (k - 1) * k / 2; }
index_t n_products(index_t k, index_t dim) { return (k + n_gate_products(k)) * (dim * (dim + 1) / 2); }

void reset(EmStatistics& s, index_t k, index_t dim) {
  const auto size = [](index_t n) { return static_cast<std::size_t>(n); };
  s.log_likelihood = 0;
  s.totals.assign(size(k), 0);
  s.squares.assign(size(k), 0);
  s.residuals.assign(size(k * dim), 0);
  s.gate_slope.assign(size(k * dim), 0);
  s.products.assign(size(n_products(k, dim)), 0);
}

void add(std::vector<double>& to, const std::vector<double>& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

// Rows of kStride numbers, each beginning on a cache line.
class Panels {
 public:
  explicit Panels(index_t rows)
      : numbers_(static_cast<std::size_t>(rows * kStride)), next_(numbers_.data()) {}
  double* take(index_t rows) { return std::exchange(next_, next_ + rows * kStride); }

 private:
  AlignedVector<double> numbers_;
  double* next_;
};

class Lane {
 public:
  Lane(const EmData& data, const MixtureParameters& parameters, const EmSettings& settings,
       const Assignment& given)
      : data_(data),
        p_(parameters),
        link_(data.frozen() ? nullptr : settings.link.get()),
        inverse_temperature_(settings.inverse_temperature),
        given_(given),
        k_(parameters.k),
        dim_(parameters.dim),
        n_weights_(k_ + n_gate_products(k_)),
        panels_(dim_ + 2 * k_ + 2 + (given ? k_ : 0) + n_weights_ + 2 * k_ + (link_ ? k_ : 0)),
        U_(panels_.take(dim_)),
        scores_(panels_.take(2 * k_)),
        y_(panels_.take(1)),
        w_(panels_.take(1)),
        responsibilities_(given ? panels_.take(k_) : nullptr),
        weights_(panels_.take(n_weights_)),
        slopes_(panels_.take(2 * k_)),
        residuals_(slopes_ + k_ * kStride),
        link_slopes_(link_ ? panels_.take(k_) : nullptr),
        coefficients_(static_cast<std::size_t>(dim_ * 2 * k_)),
        inverse_sigma_(parameters.variance.size()),
        log_scale_(parameters.variance.size()),
        lane_sums_(static_cast<std::size_t>((2 * k_ + 1) * kernels::kSampleStep)),
        linear_sums_(static_cast<std::size_t>(2 * k_ * dim_)) {
    for (index_t i = 0; i < k_; ++i) {
      for (index_t j = 0; j < dim_; ++j) {
        coefficients_[j * 2 * k_ + i] = p_.experts[i * dim_ + j];
        coefficients_[j * 2 * k_ + k_ + i] = p_.gates[i * dim_ + j];
      }
      inverse_sigma_[i] = 1 / std::sqrt(p_.variance[i]);
      log_scale_[i] = 0.5 * std::log(2 * std::numbers::pi * p_.variance[i]);
    }
  }

  void sum(index_t first, index_t last, EmStatistics& out, Checkpoint& checkpoint) {
    for (index_t start = first; start < last; start += kChunk) {
      checkpoint.check();
      const index_t n = std::min(kChunk, last - start);
      const index_t padded = (n + kernels::kSampleStep - 1) / kernels::kSampleStep * kernels::kSampleStep;
      load(start, n, padded);
      for (index_t i = 0; link_ && i < k_; ++i)
        link_->apply(padded, scores_ + i * kStride, link_slopes_ + i * kStride);
      expectation(padded);
      if (link_) linearise(padded);
      products(padded, out, checkpoint);
    }
    const auto total = [this](index_t row) {
      double sum = 0;
      for (index_t l = 0; l < kernels::kSampleStep; ++l) sum += lane_sums_[row * kernels::kSampleStep + l];
      return sum;
    };
    for (index_t i = 0; i < k_; ++i) {
      out.totals[i] = total(i);
      out.squares[i] = total(k_ + i);
    }
    out.log_likelihood = total(2 * k_);
    const auto residual_sums = linear_sums_.begin() + k_ * dim_;
    std::copy(linear_sums_.begin(), residual_sums, out.gate_slope.begin());
    std::copy(residual_sums, linear_sums_.end(), out.residuals.begin());
  }

 private:
  // `panel` = the rows start .. start + n of a row-major n x columns array, transposed and padded with 0.
  static void transpose(const double* rows, index_t columns, index_t start, index_t n, index_t padded,
                        double* panel) {
    for (index_t s = 0; s < n; ++s) {
      const double* row = rows + (start + s) * columns;
      for (index_t j = 0; j < columns; ++j) panel[j * kStride + s] = row[j];
    }
    for (index_t j = 0; j < columns; ++j)
      std::fill(panel + j * kStride + n, panel + j * kStride + padded, 0.0);
  }

  // U, y, w and the scores of a chunk.
  void load(index_t start, index_t n, index_t padded) {
    transpose(data_.X, data_.d, start, n, padded, U_);
    std::fill_n(U_ + data_.d * kStride, padded, 1.0);
    transpose(data_.y, 1, start, n, padded, y_);
    transpose(data_.w, 1, start, n, padded, w_);
    if (given_.responsibilities) transpose(given_.responsibilities, k_, start, n, padded, responsibilities_);
    if (given_.labels) {
      for (index_t i = 0; i < k_; ++i) std::fill_n(responsibilities_ + i * kStride, padded, 0.0);
      for (index_t s = 0; s < n; ++s) responsibilities_[label(start + s) * kStride + s] = 1;
    }
    // What frozen experts say is given, only their logits are computed.
    const index_t from = data_.frozen() ? k_ : 0;
    if (data_.frozen()) {
      transpose(data_.means ? data_.means : data_.log_densities, k_, start, n, padded, scores_);
    }
    for (index_t i = from; i < 2 * k_; ++i) std::fill_n(scores_ + i * kStride, padded, 0.0);
    kernels::rank_update(2 * k_ - from, padded, dim_, coefficients_.data() + from, 2 * k_, U_, kStride,
                         scores_ + from * kStride, kStride);
  }

  // The expert of a row. The array is the caller's and may change under our hands: it is read once, and what
  // was read is what is checked.
  index_t label(index_t row) const {
    const std::int32_t value = static_cast<const volatile std::int32_t*>(given_.labels)[row];
    if (value >= 0 && value < k_) return value;
    throw std::invalid_argument("labels must be from 0 to " + std::to_string(k_ - 1) + ", got " +
                                std::to_string(value));
  }

  void expectation(index_t padded) {
    kernels::Expectation panel;
    panel.samples = padded;
    panel.k = k_;
    panel.stride = kStride;
    panel.scores = scores_;
    panel.log_densities = data_.log_densities != nullptr;
    panel.y = y_;
    panel.w = w_;
    panel.given = given_ ? responsibilities_ : nullptr;
    panel.inverse_sigma = inverse_sigma_.data();
    panel.log_scale = log_scale_.data();
    panel.inverse_temperature = inverse_temperature_;
    panel.weights = weights_;
    panel.residuals = residuals_;
    panel.slopes = slopes_;
    panel.lane_sums = lane_sums_.data();
    kernels::active().expectation(panel);
  }

  // Gauss-Newton: around its present parameters an expert is g + g' u.delta, so g'u takes the place of u.
  void linearise(index_t padded) {
    for (index_t i = 0; i < k_; ++i) {
      const double* g = link_slopes_ + i * kStride;
      double *weight = weights_ + i * kStride, *residual = residuals_ + i * kStride;
      for (index_t s = 0; s < padded; ++s) {
        weight[s] *= g[s] * g[s];
        residual[s] *= g[s];
      }
    }
  }

  void products(index_t padded, EmStatistics& out, Checkpoint& checkpoint) {
    const auto dot_update = kernels::of<double>().dot_update;
    // What belongs to frozen experts nobody reads; it stays 0.
    const index_t from = data_.frozen() ? k_ : 0, n = n_weights_;
    dot_update(2 * k_ - from, dim_, padded, slopes_, kStride, nullptr, U_, kStride, linear_sums_.data(),
               dim_);
    index_t work = 0;
    for (index_t b = 0; b < dim_; ++b) {
      if (work > kCheckedWork) {
        checkpoint.check();
        work = 0;
      }
      work += (b + 1) * n * padded;
      dot_update(b + 1, n - from, padded, U_, kStride, U_ + b * kStride, weights_ + from * kStride, kStride,
                 out.products.data() + b * (b + 1) / 2 * n + from, n);
    }
  }

  const EmData& data_;
  const MixtureParameters& p_;
  const Link* link_;  // null: linear, or frozen experts
  double inverse_temperature_;
  const Assignment& given_;
  index_t k_, dim_, n_weights_;
  Panels panels_;
  double *U_, *scores_, *y_, *w_, *responsibilities_, *weights_, *slopes_, *residuals_, *link_slopes_;
  std::vector<double> coefficients_, inverse_sigma_, log_scale_;
  std::vector<double> lane_sums_;    // of the expectation kernel
  std::vector<double> linear_sums_;  // 2k x dim: gate slopes, then residuals
};

}  // namespace

EmStatistics e_step(const EmData& data, const MixtureParameters& parameters, const EmSettings& settings,
                    const Assignment& assignment, const Poll& poll) {
  const index_t fitting = kLaneNumbers / n_products(parameters.k, parameters.dim);
  const index_t n_lanes = std::clamp<index_t>(std::min(data.n / kRowsPerLane, fitting), 1, kLanes);
  // Whole chunks a lane.
  const index_t rows = ((data.n + n_lanes - 1) / n_lanes + kChunk - 1) / kChunk * kChunk;
  std::vector<EmStatistics> lanes(static_cast<std::size_t>(n_lanes));
  const int threads = data.n < kRowsForThreads ? 1 : settings.usable_threads();
  parallel_for(n_lanes, threads, poll, [&](index_t i, Checkpoint& checkpoint) {
    reset(lanes[i], parameters.k, parameters.dim);
    Lane lane(data, parameters, settings, assignment);
    lane.sum(std::min(data.n, i * rows), std::min(data.n, (i + 1) * rows), lanes[i], checkpoint);
  });
  EmStatistics out = std::move(lanes[0]);
  for (index_t i = 1; i < n_lanes; ++i) {
    out.log_likelihood += lanes[i].log_likelihood;
    add(out.totals, lanes[i].totals);
    add(out.squares, lanes[i].squares);
    add(out.residuals, lanes[i].residuals);
    add(out.gate_slope, lanes[i].gate_slope);
    add(out.products, lanes[i].products);
  }
  return out;
}

}  // namespace moefast
