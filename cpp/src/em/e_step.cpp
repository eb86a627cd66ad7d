// The E-step, one pass over the samples: chunk by chunk, transposed so that samples lie along the vectors.
//
//     scores = [g(a_i.u) | W_i.v]  ->  weights of each sum (kernels/expectation.hpp)
//     sums   = weights times u_a u_b and v_a v_b  (kernels/dot_update.hpp)
//
// Panels are rows of kStride numbers; U = (x, 1) is expert_dim x kStride, V likewise. Where experts and gates
// see the same columns V is U, and each kernel makes scores and sums of both in one sweep.
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

index_t n_pairs(index_t dim) { return dim * (dim + 1) / 2; }

// How many columns the products of experts and of gates have.
struct ProductColumns {
  index_t experts, gates;

  ProductColumns(const EmData& data, index_t k, PassSums sums)
      : experts(sums == PassSums::gradient ? 0 : k),
        gates(sums == PassSums::all && !data.constant_gates() ? n_pairs(k - 1) : 0) {}

  // How many numbers `products` and `gate_products` of the statistics have.
  index_t own_size(const EmData& data) const {
    return (experts + (data.one_design() ? gates : 0)) * n_pairs(data.expert_dim());
  }
  index_t gate_size(const EmData& data) const {
    return data.one_design() ? 0 : gates * n_pairs(data.gate_dim());
  }
};

void reset(EmStatistics& s, const EmData& data, index_t k, const ProductColumns& columns) {
  const auto size = [](index_t n) { return static_cast<std::size_t>(n); };
  s.log_likelihood = 0;
  s.totals.assign(size(k), 0);
  s.squares.assign(size(k), 0);
  s.residuals.assign(size(k * data.expert_dim()), 0);
  s.gate_slope.assign(size(k * data.gate_dim()), 0);
  s.products.assign(size(columns.own_size(data)), 0);
  s.gate_products.assign(size(columns.gate_size(data)), 0);
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
       const Assignment& given, const ProductColumns& columns)
      : data_(data),
        p_(parameters),
        link_(data.frozen() ? nullptr : settings.link.get()),
        inverse_temperature_(settings.inverse_temperature),
        given_(given),
        k_(parameters.k),
        one_design_(data.one_design()),
        u_dim_(data.expert_dim()),
        v_dim_(data.gate_dim()),
        columns_(columns),
        panels_(u_dim_ + (one_design_ ? 0 : v_dim_) + 2 * k_ + 2 + (given ? k_ : 0) + k_ + columns.gates +
                2 * k_ + (link_ ? k_ : 0)),
        U_(panels_.take(u_dim_)),
        V_(one_design_ ? U_ : panels_.take(v_dim_)),
        scores_(panels_.take(2 * k_)),
        y_(panels_.take(1)),
        w_(panels_.take(1)),
        responsibilities_(given ? panels_.take(k_) : nullptr),
        weights_(panels_.take(k_ + columns.gates)),
        slopes_(panels_.take(2 * k_)),
        residuals_(slopes_ + k_ * kStride),
        link_slopes_(link_ ? panels_.take(k_) : nullptr),
        coefficients_(static_cast<std::size_t>((u_dim_ + v_dim_) * k_)),
        inverse_sigma_(parameters.variance.size()),
        log_scale_(parameters.variance.size()),
        lane_sums_(static_cast<std::size_t>((2 * k_ + 1) * kernels::kSampleStep)),
        gate_sums_(static_cast<std::size_t>(k_ * (u_dim_ + v_dim_))),
        residual_sums_(gate_sums_.data() + k_ * v_dim_) {
    // Of both beside each other where one product makes all scores, else below each other.
    const index_t ld = one_design_ ? 2 * k_ : k_;
    double* const of_gates = coefficients_.data() + (one_design_ ? k_ : u_dim_ * k_);
    for (index_t i = 0; i < k_; ++i) {
      for (index_t j = 0; j < u_dim_; ++j) coefficients_[j * ld + i] = p_.experts[i * u_dim_ + j];
      for (index_t j = 0; j < v_dim_; ++j) of_gates[j * ld + i] = p_.gates[i * v_dim_ + j];
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
    std::copy_n(gate_sums_.data(), k_ * v_dim_, out.gate_slope.data());
    std::copy_n(residual_sums_, k_ * u_dim_, out.residuals.data());
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

  // The same of (x, 1) with some of the columns of X.
  void design(const std::optional<std::vector<index_t>>& columns, index_t start, index_t n, index_t padded,
              double* panel) const {
    if (!columns) {
      transpose(data_.X, data_.d, start, n, padded, panel);
      panel += data_.d * kStride;
    } else {
      for (const index_t j : *columns) {
        for (index_t s = 0; s < n; ++s) panel[s] = data_.X[(start + s) * data_.d + j];
        std::fill(panel + n, panel + padded, 0.0);
        panel += kStride;
      }
    }
    std::fill_n(panel, padded, 1.0);
  }

  // U, V, y, w and the scores of a chunk.
  void load(index_t start, index_t n, index_t padded) {
    design(data_.expert_columns, start, n, padded, U_);
    if (!one_design_) design(data_.gate_columns, start, n, padded, V_);
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
    if (one_design_) {
      kernels::rank_update(2 * k_ - from, padded, u_dim_, coefficients_.data() + from, 2 * k_, U_, kStride,
                           scores_ + from * kStride, kStride);
      return;
    }
    if (!data_.frozen()) {
      kernels::rank_update(k_, padded, u_dim_, coefficients_.data(), k_, U_, kStride, scores_, kStride);
    }
    kernels::rank_update(k_, padded, v_dim_, coefficients_.data() + u_dim_ * k_, k_, V_, kStride,
                         scores_ + k_ * kStride, kStride);
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
    panel.gate_products = columns_.gates > 0;
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
    const index_t from = data_.frozen() ? k_ : 0;
    const index_t first = data_.frozen() || columns_.experts == 0 ? k_ : 0, last = k_ + columns_.gates;
    if (one_design_) {
      dot_update(2 * k_ - from, u_dim_, padded, slopes_, kStride, nullptr, U_, kStride, gate_sums_.data(),
                 u_dim_);
      pair_products(padded, U_, u_dim_, first, last, out.products, checkpoint);
      return;
    }
    dot_update(k_, v_dim_, padded, slopes_, kStride, nullptr, V_, kStride, gate_sums_.data(), v_dim_);
    pair_products(padded, V_, v_dim_, k_, last, out.gate_products, checkpoint);
    if (data_.frozen()) return;
    dot_update(k_, u_dim_, padded, residuals_, kStride, nullptr, U_, kStride, residual_sums_, u_dim_);
    pair_products(padded, U_, u_dim_, first, k_, out.products, checkpoint);
  }

  // Adds the products of pairs of rows of U with the weights `first` to `last`, which stand in the last
  // columns of `sums`.
  void pair_products(index_t padded, const double* U, index_t dim, index_t first, index_t last,
                     std::vector<double>& sums, Checkpoint& checkpoint) const {
    if (first == last) return;
    const index_t columns = static_cast<index_t>(sums.size()) / n_pairs(dim);
    double* const out = sums.data() + columns - (last - first);
    index_t work = 0;
    for (index_t b = 0; b < dim; ++b) {
      if (work > kCheckedWork) {
        checkpoint.check();
        work = 0;
      }
      work += (b + 1) * columns * padded;
      kernels::of<double>().dot_update(b + 1, last - first, padded, U, kStride, U + b * kStride,
                                       weights_ + first * kStride, kStride, out + n_pairs(b) * columns,
                                       columns);
    }
  }

  const EmData& data_;
  const MixtureParameters& p_;
  const Link* link_;  // null: linear, or frozen experts
  double inverse_temperature_;
  const Assignment& given_;
  index_t k_;
  bool one_design_;
  index_t u_dim_, v_dim_;
  ProductColumns columns_;
  Panels panels_;
  double *U_, *V_, *scores_, *y_, *w_, *responsibilities_, *weights_, *slopes_, *residuals_, *link_slopes_;
  std::vector<double> coefficients_, inverse_sigma_, log_scale_;
  std::vector<double> lane_sums_;  // of the expectation kernel
  std::vector<double> gate_sums_;  // k x gate_dim: gate slopes; then residuals
  double* residual_sums_;          // k x expert_dim
};

}  // namespace

EmStatistics e_step(const EmData& data, const MixtureParameters& parameters, const EmSettings& settings,
                    const Assignment& assignment, const Poll& poll, PassSums sums) {
  data.check_columns();
  // Of all sums, whichever are wanted: they are the same bits then.
  const ProductColumns all(data, parameters.k, PassSums::all), columns(data, parameters.k, sums);
  const index_t fitting = kLaneNumbers / (all.own_size(data) + all.gate_size(data));
  const index_t n_lanes = std::clamp<index_t>(std::min(data.n / kRowsPerLane, fitting), 1, kLanes);
  // Whole chunks a lane.
  const index_t rows = ((data.n + n_lanes - 1) / n_lanes + kChunk - 1) / kChunk * kChunk;
  std::vector<EmStatistics> lanes(static_cast<std::size_t>(n_lanes));
  const int threads = data.n < kRowsForThreads ? 1 : settings.usable_threads();
  parallel_for(n_lanes, threads, poll, [&](index_t i, Checkpoint& checkpoint) {
    reset(lanes[i], data, parameters.k, columns);
    Lane lane(data, parameters, settings, assignment, columns);
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
    add(out.gate_products, lanes[i].gate_products);
  }
  return out;
}

}  // namespace moefast
