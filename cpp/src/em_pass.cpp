#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/kernels.hpp"
#include "moefast/em.hpp"
#include "moefast/parallel.hpp"

namespace moefast {
namespace {

// Samples handled together: every panel below stays in the second-level cache.
constexpr index_t kChunk = 64;
// Rows are cut into at most kLanes runs, each summed on its own and added in order: the result is the same
// for any number of threads, and memory is bounded.
constexpr index_t kLanes = 16;
constexpr index_t kRowsPerLane = 1024;
// Below this many rows starting threads costs more than it brings.
constexpr index_t kRowsForThreads = 8192;
// Columns of the pair panel made at a time, in doubles per sample.
constexpr index_t kPairColumns = 256;

index_t n_gate_products(index_t k) { return (k - 1) * k / 2; }

void reset(EmStatistics& s, index_t k, index_t dim) {
  const auto size = [](index_t n) { return static_cast<std::size_t>(n); };
  s.log_likelihood = 0;
  s.totals.assign(size(k), 0);
  s.squares.assign(size(k), 0);
  s.residuals.assign(size(k * dim), 0);
  s.gate_slope.assign(size(k * dim), 0);
  s.products.assign(size((k + n_gate_products(k)) * (dim * (dim + 1) / 2)), 0);
}

void add(std::vector<double>& to, const std::vector<double>& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

// Works through chunks of samples and keeps the panels (row-major, one row a sample).
class Lane {
 public:
  Lane(const EmData& data, const MixtureParameters& parameters, const double* given)
      : data_(data),
        p_(parameters),
        given_(given),
        k_(parameters.k),
        dim_(parameters.dim),
        n_weights_(k_ + n_gate_products(k_)),
        U_(size(dim_)),
        Ut_(size(dim_)),
        scores_(size(2 * k_)),
        exps_(size(k_)),
        gate_(size(k_)),
        weights_(size(n_weights_)),
        residual_(size(k_)),
        slope_(size(k_)),
        pairs_(size(std::max(kPairColumns, dim_))),
        coefficients_(static_cast<std::size_t>(dim_ * 2 * k_)) {
    for (index_t j = 0; j < dim_; ++j) {
      for (index_t i = 0; i < k_; ++i) {
        coefficients_[j * 2 * k_ + i] = p_.experts[i * dim_ + j];
        coefficients_[j * 2 * k_ + k_ + i] = p_.gates[i * dim_ + j];
      }
    }
  }

  void sum(index_t first, index_t last, EmStatistics& out, Checkpoint& checkpoint) {
    for (index_t start = first; start < last; start += kChunk) {
      checkpoint.check();
      const index_t n = std::min(kChunk, last - start);
      load(start, n);
      expectation(start, n, out);
      products(n, out);
    }
  }

 private:
  static std::size_t size(index_t columns) { return static_cast<std::size_t>(kChunk * columns); }

  // U = (x, 1) and its transpose; scores = [a_i.x + b_i | W_i x + c_i], n x 2k.
  void load(index_t start, index_t n) {
    const index_t d = data_.d;
    for (index_t s = 0; s < n; ++s) {
      const double* x = data_.X + (start + s) * d;
      for (index_t j = 0; j < d; ++j) U_[s * dim_ + j] = Ut_[j * kChunk + s] = x[j];
      U_[s * dim_ + d] = Ut_[d * kChunk + s] = 1;
    }
    std::fill(scores_.begin(), scores_.end(), 0);
    kernels::rank_update(n, 2 * k_, dim_, Ut_.data(), kChunk, coefficients_.data(), 2 * k_, scores_.data(),
                         2 * k_);
    if (data_.means) {
      for (index_t s = 0; s < n; ++s) {
        std::copy_n(data_.means + (start + s) * k_, k_, &scores_[s * 2 * k_]);
      }
    }
  }

  void exponentiate(index_t n) {
    Eigen::Map<Eigen::ArrayXd> values(exps_.data(), n * k_);
    values = values.exp();
  }

  // log N_i + log p_i by a log-sum-exp that cannot overflow, responsibilities, and the weight panels
  // residual = w r e, slope = w (r - p), weights = [w r_i | w p_i (delta_ij - p_j)].
  void expectation(index_t start, index_t n, EmStatistics& out) {
    const index_t k = k_;
    double log_scale[kChunk], top[kChunk];
    for (index_t s = 0; s < n; ++s) {  // gates: p = exp(logit - top) / sum
      const double* logit = &scores_[s * 2 * k + k];
      top[s] = *std::max_element(logit, logit + k);
      for (index_t i = 0; i < k; ++i) exps_[s * k + i] = logit[i] - top[s];
    }
    exponentiate(n);
    for (index_t s = 0; s < n; ++s) {
      double total = 0;
      for (index_t i = 0; i < k; ++i) total += exps_[s * k + i];
      for (index_t i = 0; i < k; ++i) gate_[s * k + i] = exps_[s * k + i] / total;
      log_scale[s] = top[s] + std::log(total);
    }
    for (index_t s = 0; s < n; ++s) {  // joint: log p_i + log N_i
      const double* score = &scores_[s * 2 * k];
      double* joint = &exps_[s * k];
      for (index_t i = 0; i < k; ++i) {
        const double e = data_.y[start + s] - score[i];
        residual_[s * k + i] = e;
        joint[i] = score[k + i] - log_scale[s] -
                   0.5 * (e * e / p_.variance[i] + std::log(2 * std::numbers::pi * p_.variance[i]));
      }
      top[s] = *std::max_element(joint, joint + k);
      for (index_t i = 0; i < k; ++i) joint[i] -= top[s];
    }
    exponentiate(n);
    for (index_t s = 0; s < n; ++s) {
      const double w = data_.w[start + s];
      const double* p = &gate_[s * k];
      double total = 0;
      for (index_t i = 0; i < k; ++i) total += exps_[s * k + i];
      out.log_likelihood += w * (top[s] + std::log(total));
      double* weight = &weights_[s * n_weights_];
      for (index_t i = 0; i < k; ++i) {
        const double r = given_ ? given_[(start + s) * k + i] : exps_[s * k + i] / total;
        const double e = residual_[s * k + i];
        weight[i] = w * r;
        out.totals[i] += w * r;
        out.squares[i] += w * r * e * e;
        residual_[s * k + i] = w * r * e;
        slope_[s * k + i] = w * (r - p[i]);
      }
      double* product = weight + k;
      for (index_t i = 0; i + 1 < k; ++i) {
        for (index_t j = i; j + 1 < k; ++j) *product++ = w * p[i] * ((i == j) - p[j]);
      }
    }
  }

  // The sums over samples of weight panels times u and times the pairs u_a u_b.
  void products(index_t n, EmStatistics& out) {
    kernels::rank_update(k_, dim_, n, slope_.data(), k_, U_.data(), dim_, out.gate_slope.data(), dim_);
    // Rows of `products` that nobody reads are not computed: the experts' when frozen, the gates' when fixed.
    const index_t from = data_.means ? k_ : 0, to = n_weights_;
    if (!data_.means) {
      kernels::rank_update(k_, dim_, n, residual_.data(), k_, U_.data(), dim_, out.residuals.data(), dim_);
    }
    if (from >= to) return;
    const index_t n_pairs = dim_ * (dim_ + 1) / 2;
    const index_t capacity = std::max(kPairColumns, dim_);
    index_t column = 0;
    for (index_t b = 0; b < dim_;) {
      // As many middle indices b as fit the panel: pairs (0..b, b), (0..b+1, b+1), ...
      index_t width = 0;
      const index_t first_b = b;
      for (; b < dim_ && width + b + 1 <= capacity; ++b) width += b + 1;
      for (index_t s = 0; s < n; ++s) {
        const double* u = &U_[s * dim_];
        double* pair = &pairs_[s * width];
        for (index_t q = first_b; q < b; ++q) {
          for (index_t a = 0; a <= q; ++a) *pair++ = u[a] * u[q];
        }
      }
      kernels::rank_update(to - from, width, n, weights_.data() + from, n_weights_, pairs_.data(), width,
                           out.products.data() + from * n_pairs + column, n_pairs);
      column += width;
    }
  }

  const EmData& data_;
  const MixtureParameters& p_;
  const double* given_;
  index_t k_, dim_, n_weights_;
  std::vector<double> U_, Ut_, scores_, exps_, gate_, weights_, residual_, slope_, pairs_, coefficients_;
};

}  // namespace

EmStatistics em_pass(const EmData& data, const MixtureParameters& parameters, const EmSettings& settings,
                     const double* responsibilities, const Poll& poll) {
  const index_t n_lanes = std::clamp<index_t>(data.n / kRowsPerLane, 1, kLanes);
  // Whole chunks a lane.
  const index_t rows = ((data.n + n_lanes - 1) / n_lanes + kChunk - 1) / kChunk * kChunk;
  std::vector<EmStatistics> lanes(static_cast<std::size_t>(n_lanes));
  const int threads = data.n < kRowsForThreads ? 1 : settings.n_threads;
  parallel_for(n_lanes, threads, poll, [&](index_t i, Checkpoint& checkpoint) {
    reset(lanes[i], parameters.k, parameters.dim);
    Lane lane(data, parameters, responsibilities);
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
