// The log-density of a row depends on theta through 3k - 1 numbers: the predictors eta_i of the experts, the
// logits of the first k - 1 gates, and log s_i. With its derivatives c (first) and h (second) by these
// numbers
//
//     score   = sum_n w c_a u            for the parameters behind number a
//     hessian = sum_n w h_ab u_a u_b'    for those behind a and b, u_a and u_b being the columns they use
//     score products: the same with c_a c_b in place of h_ab
//
// so both are weighted Gram matrices, summed as those of the M-step are (e_step.cpp). h = D - c c', where
// with
//
//     r, p: responsibilities and gates, z_i = (y - g(eta_i)) / s_i, e_i = z_i g' / s_i, t_i = z_i^2 - 1
//
//     c[E_i] = r_i e_i              D[E_i, E_i] = r_i (e_i^2 + z_i g'' / s_i - g'^2 / s_i^2)
//     c[G_j] = r_j - p_j            D[E_i, G_j] = r_i e_i ([i = j] - p_j)
//     c[L_i] = r_i t_i              D[E_i, L_i] = r_i (e_i t_i - 2 z_i g' / s_i)
//     D[G_j, G_l] = (r_j - p_j) [j = l] - r_j p_l - p_j r_l + 2 p_j p_l
//     D[G_j, L_i] = r_i t_i ([i = j] - p_j)
//     D[L_i, L_i] = r_i (t_i^2 - 2 z_i^2)
//
// and 0 elsewhere. With shared noise the rows of L are added up, and the columns.
#include "moefast/information.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <string>
#include <utility>

#include "aligned.hpp"
#include "em/design_panel.hpp"
#include "em/information_layout.hpp"
#include "kernels/kernels.hpp"
#include "moefast/parallel.hpp"

namespace moefast {
namespace {

// As in e_step.cpp, for the same reasons. Chunks are shorter, since there are more rows of weights.
constexpr index_t kChunk = 192;
constexpr index_t kStride = kChunk + kernels::kSampleStep;
constexpr index_t kLanes = 16;
constexpr index_t kRowsPerLane = 1024;
constexpr index_t kLaneNumbers = index_t{1} << 23;

struct Sums {
  std::vector<double> score;
  // By block, by columns b and a: h of all its pairs, then c c of all its pairs.
  std::vector<double> products;
};

// What the rows of some chunks give.
class Lane {
 public:
  Lane(const EmData& data, const MixtureParameters& p, const EmSettings& settings, const ThetaLayout& layout,
       const double* curvature, bool score_products)
      : data_(data),
        layout_(layout),
        link_(settings.link.get()),
        shared_noise_(settings.shared_noise),
        curvature_(curvature),
        score_products_(score_products),
        k_(p.k),
        u_dim_(p.expert_dim),
        v_dim_(p.gate_dim),
        expert_coefficients_(size(k_ * u_dim_)),
        gate_coefficients_(size(k_ * v_dim_)),
        inverse_sigma_(size(k_)),
        log_scale_(size(k_)),
        lane_sums_(size((2 * k_ + 1) * kernels::kSampleStep)) {
    const index_t n_numbers = layout.number(kNoise) + layout.count[kNoise];
    numbers_ = AlignedVector<double>(
        size((u_dim_ + v_dim_ + 3 + 12 * k_ + 2 * n_numbers + 2 * layout.n_all_pairs()) * kStride));
    double* next = numbers_.data();
    const auto take = [&next](index_t n) { return std::exchange(next, next + n * kStride); };
    design_ = {take(u_dim_), take(v_dim_), take(1)};
    y_ = take(1), w_ = take(1), scores_ = take(2 * k_), r_ = take(k_), slopes_ = take(2 * k_);
    link_slopes_ = take(k_), bends_ = take(k_), gates_ = take(k_);
    D_expert_ = take(k_), D_mixed_ = take(k_), D_noise_ = take(k_);
    c_ = take(n_numbers), wc_ = take(n_numbers), weights_ = take(2 * layout.n_all_pairs());
    std::fill_n(design_[kNoise], kStride, 1.0);
    std::fill_n(link_slopes_, k_ * kStride, 1.0);
    for (index_t i = 0; i < k_; ++i) {
      for (index_t j = 0; j < u_dim_; ++j)
        expert_coefficients_[size(j * k_ + i)] = p.experts[size(i * u_dim_ + j)];
      for (index_t j = 0; j < v_dim_; ++j)
        gate_coefficients_[size(j * k_ + i)] = p.gates[size(i * v_dim_ + j)];
      inverse_sigma_[size(i)] = 1 / std::sqrt(p.variance[size(i)]);
      log_scale_[size(i)] = 0.5 * std::log(2 * std::numbers::pi * p.variance[size(i)]);
    }
  }

  void sum(index_t first, index_t last, Sums& out, Checkpoint& checkpoint) {
    for (index_t start = first; start < last; start += kChunk) {
      const index_t padded = visit(start, last, checkpoint);
      second_derivatives(padded);
      index_t parameter = 0;
      for (const Kind kind : {kExpert, kGate, kNoise}) {
        const index_t rows = layout_.count[kind], width = layout_.width(kind);
        if (rows > 0 && width > 0) {
          kernels::of<double>().dot_update(rows, width, padded, number(wc_, kind, 0), kStride, nullptr,
                                           design_[kind], kStride, out.score.data() + parameter, width);
        }
        parameter += rows * width;
      }
      products(padded, out, checkpoint);
    }
  }

  // The scores of rows `first` and on, n x P.
  void write_scores(index_t first, index_t last, double* out, Checkpoint& checkpoint) {
    const index_t P = layout_.n_parameters();
    for (index_t start = first; start < last; start += kChunk) {
      visit(start, last, checkpoint);
      for (index_t s = 0; s < std::min(kChunk, last - start); ++s) {
        double* row = out + (start + s) * P;
        for (const Kind kind : {kExpert, kGate, kNoise}) {
          for (index_t i = 0; i < layout_.count[kind]; ++i) {
            const double slope = number(c_, kind, i)[s];
            for (index_t a = 0; a < layout_.width(kind); ++a) *row++ = slope * design_[kind][a * kStride + s];
          }
        }
      }
    }
  }

 private:
  double* number(double* panel, Kind kind, index_t i) const {
    return panel + (layout_.number(kind) + i) * kStride;
  }

  static void transpose(const double* rows, index_t columns, index_t start, index_t n, index_t padded,
                        double* panel) {
    for (index_t j = 0; j < columns; ++j) {
      for (index_t s = 0; s < n; ++s) panel[j * kStride + s] = rows[(start + s) * columns + j];
      std::fill(panel + j * kStride + n, panel + j * kStride + padded, 0.0);
    }
  }

  // Loads a chunk and finds c; returns its length with padding, where the weights are 0.
  index_t visit(index_t start, index_t last, Checkpoint& checkpoint) {
    checkpoint.check();
    const index_t n = std::min(kChunk, last - start);
    const index_t padded = (n + kernels::kSampleStep - 1) / kernels::kSampleStep * kernels::kSampleStep;
    load_design(data_, data_.expert_columns, start, n, padded, kStride, design_[kExpert]);
    load_design(data_, data_.gate_columns, start, n, padded, kStride, design_[kGate]);
    transpose(data_.y, 1, start, n, padded, y_);
    transpose(data_.w, 1, start, n, padded, w_);
    if (curvature_) transpose(curvature_, k_, start, n, padded, bends_);
    std::fill_n(scores_, 2 * k_ * kStride, 0.0);
    kernels::rank_update(k_, padded, u_dim_, expert_coefficients_.data(), k_, design_[kExpert], kStride,
                         scores_, kStride);
    kernels::rank_update(k_, padded, v_dim_, gate_coefficients_.data(), k_, design_[kGate], kStride,
                         scores_ + k_ * kStride, kStride);
    for (index_t i = 0; link_ && i < k_; ++i)
      link_->apply(padded, scores_ + i * kStride, link_slopes_ + i * kStride);
    kernels::Expectation panel;
    panel.samples = padded;
    panel.k = k_;
    panel.stride = kStride;
    panel.scores = scores_;
    panel.y = y_;
    panel.w = design_[kNoise];  // 1: weights come later
    panel.inverse_sigma = inverse_sigma_.data();
    panel.log_scale = log_scale_.data();
    panel.gate_products = false;
    panel.weights = r_;
    panel.residuals = slopes_ + k_ * kStride;
    panel.slopes = slopes_;
    panel.lane_sums = lane_sums_.data();
    kernels::active().expectation(panel);
    derivatives(padded);
    return padded;
  }

  // c, and the parts of D that belong to one expert alone.
  void derivatives(index_t padded) {
    if (shared_noise_) std::fill_n(number(c_, kNoise, 0), padded, 0.0);
    for (index_t i = 0; i < k_; ++i) {
      const double inverse = inverse_sigma_[size(i)];
      const double *r = r_ + i * kStride, *mean = scores_ + i * kStride, *slope = link_slopes_ + i * kStride,
                   *bend = bends_ + i * kStride, *of_gate = slopes_ + i * kStride;
      double *c = number(c_, kExpert, i), *noise = number(c_, kNoise, shared_noise_ ? 0 : i),
             *gate = gates_ + i * kStride, *expert = D_expert_ + i * kStride, *mixed = D_mixed_ + i * kStride,
             *own = D_noise_ + i * kStride;
      for (index_t s = 0; s < padded; ++s) {
        const double z = (y_[s] - mean[s]) * inverse, g = slope[s] * inverse, e = z * g, t = z * z - 1;
        c[s] = r[s] * e;
        noise[s] = (shared_noise_ ? noise[s] : 0.0) + r[s] * t;
        gate[s] = r[s] - of_gate[s];
        expert[s] = r[s] * (e * e + z * bend[s] * inverse - g * g);
        mixed[s] = r[s] * (e * t - 2 * z * g);
        own[s] = r[s] * (t * t - 2 * z * z);
      }
    }
    for (index_t j = 0; j + 1 < k_; ++j) std::copy_n(slopes_ + j * kStride, padded, number(c_, kGate, j));
  }

  // w h and w c c' for every pair of numbers.
  void second_derivatives(index_t padded) {
    const index_t n_numbers = layout_.number(kNoise) + layout_.count[kNoise];
    for (index_t a = 0; a < n_numbers; ++a) {
      for (index_t s = 0; s < padded; ++s) wc_[a * kStride + s] = w_[s] * c_[a * kStride + s];
    }
    double* h = weights_;
    for (const auto& [left, right] : kBlocks) {
      const index_t n_pairs = layout_.n_pairs(left, right);
      for (index_t i = 0; i < layout_.count[left]; ++i) {
        for (index_t j = ThetaLayout::first_partner(left, right, i); j < layout_.count[right];
             ++j, h += kStride) {
          const double *wc = number(wc_, left, i), *c = number(c_, right, j);
          double* products = h + n_pairs * kStride;
          D(left, right, i, j, padded, h);
          for (index_t s = 0; s < padded; ++s) {
            products[s] = wc[s] * c[s];
            h[s] = w_[s] * h[s] - products[s];
          }
        }
      }
      h += n_pairs * kStride;
    }
  }

  // D[left_i, right_j] of the head of this file.
  void D(Kind left, Kind right, index_t i, index_t j, index_t padded, double* out) const {
    const double same = i == j ? 1 : 0;
    if (left == kGate && right == kGate) {
      const double *ri = r_ + i * kStride, *rj = r_ + j * kStride, *pi = gates_ + i * kStride,
                   *pj = gates_ + j * kStride;
      for (index_t s = 0; s < padded; ++s)
        out[s] = same * (ri[s] - pi[s]) - ri[s] * pj[s] - pi[s] * rj[s] + 2 * pi[s] * pj[s];
    } else if (left == kExpert && right == kGate) {
      const double *c = number(c_, kExpert, i), *p = gates_ + j * kStride;
      for (index_t s = 0; s < padded; ++s) out[s] = c[s] * (same - p[s]);
    } else if (left == kGate && right == kNoise) {
      const double *p = gates_ + i * kStride, *noise = number(c_, kNoise, j);
      // r_i t_i alone is a number of the row only without shared noise.
      const double *r = r_ + i * kStride, *mean = scores_ + i * kStride;
      const double inverse = inverse_sigma_[size(i)], own = shared_noise_ ? 1 : same;
      for (index_t s = 0; s < padded; ++s) {
        const double z = (y_[s] - mean[s]) * inverse;
        out[s] = own * r[s] * (z * z - 1) - p[s] * noise[s];
      }
    } else if (left == kNoise && shared_noise_) {
      std::fill_n(out, padded, 0.0);
      for (index_t l = 0; l < k_; ++l)
        for (index_t s = 0; s < padded; ++s) out[s] += D_noise_[l * kStride + s];
    } else if (i == j || (right == kNoise && shared_noise_)) {
      const double* from = left == kNoise ? D_noise_ : right == kNoise ? D_mixed_ : D_expert_;
      std::copy_n(from + i * kStride, padded, out);
    } else {
      std::fill_n(out, padded, 0.0);
    }
  }

  void products(index_t padded, Sums& out, Checkpoint& checkpoint) {
    const auto dot_update = kernels::of<double>().dot_update;
    const double* weights = weights_;
    double* to = out.products.data();
    for (const auto& [left, right] : kBlocks) {
      const index_t n_pairs = layout_.n_pairs(left, right), n = score_products_ ? 2 * n_pairs : n_pairs;
      for (index_t b = 0; n > 0 && b < layout_.width(right); ++b) {
        checkpoint.check();
        const index_t rows = layout_.n_rows(left, right, b);
        if (rows == 0) continue;
        dot_update(rows, n, padded, design_[left], kStride, design_[right] + b * kStride, weights, kStride,
                   to, n);
        to += rows * n;
      }
      weights += 2 * n_pairs * kStride;
    }
  }

  const EmData& data_;
  const ThetaLayout& layout_;
  const Link* link_;  // null: linear
  bool shared_noise_;
  const double* curvature_;
  bool score_products_;
  index_t k_, u_dim_, v_dim_;
  std::vector<double> expert_coefficients_, gate_coefficients_, inverse_sigma_, log_scale_, lane_sums_;
  AlignedVector<double> numbers_;
  std::array<double*, 3> design_;  // the columns of each kind
  double *y_, *w_, *scores_, *r_, *slopes_, *link_slopes_, *bends_, *gates_, *D_expert_, *D_mixed_, *D_noise_,
      *c_, *wc_, *weights_;
};

// The products as two full matrices.
void unpack(const ThetaLayout& layout, const std::vector<double>& products, bool score_products,
            Information& out) {
  const index_t P = layout.n_parameters();
  out.hessian.assign(size(P * P), 0);
  if (score_products) out.score_products.assign(size(P * P), 0);
  const double* from = products.data();
  for (const auto& [left, right] : kBlocks) {
    const index_t n = layout.n_pairs(left, right), rows = layout.width(left), columns = layout.width(right);
    const bool symmetric = layout.symmetric(left, right);
    for (index_t b = 0; b < columns; ++b) {
      for (index_t a = 0; a < layout.n_rows(left, right, b); ++a, from += score_products ? 2 * n : n) {
        index_t pair = 0;
        for (index_t i = 0; i < layout.count[left]; ++i) {
          for (index_t j = ThetaLayout::first_partner(left, right, i); j < layout.count[right]; ++j, ++pair) {
            const auto set = [&](index_t x, index_t y) {
              const index_t row = layout.parameter(left) + i * rows + x,
                            column = layout.parameter(right) + j * columns + y;
              for (const index_t at : {row * P + column, column * P + row}) {
                out.hessian[size(at)] = from[pair];
                if (score_products) out.score_products[size(at)] = from[n + pair];
              }
            };
            set(a, b);
            if (symmetric) set(b, a);
          }
        }
      }
    }
  }
}

// Runs of whole chunks, as in e_step.cpp.
struct Runs {
  index_t count, rows;
  Runs(index_t n, index_t most) : count(std::clamp<index_t>(std::min(n / kRowsPerLane, most), 1, kLanes)) {
    rows = ((n + count - 1) / count + kChunk - 1) / kChunk * kChunk;
  }
};

int threads_for(const EmData& data, const EmSettings& settings) {
  return data.n < kRowsForThreads ? 1 : settings.usable_threads();
}

}  // namespace

index_t n_parameters(const MixtureParameters& parameters, const EmSettings& settings) {
  return ThetaLayout(parameters, settings, false).n_parameters();
}

Information information(const EmData& data, const MixtureParameters& parameters, const EmSettings& settings,
                        const double* curvature, const Poll& poll, bool score_products) {
  const ThetaLayout layout(parameters, settings, data.one_design());
  const index_t n_products = layout.n_products() / (score_products ? 1 : 2);
  const Runs runs(data.n, kLaneNumbers / std::max<index_t>(1, n_products));
  std::vector<Sums> sums(size(runs.count));
  parallel_for(runs.count, threads_for(data, settings), poll, [&](index_t i, Checkpoint& checkpoint) {
    sums[size(i)].score.assign(size(layout.n_parameters()), 0);
    sums[size(i)].products.assign(size(n_products), 0);
    Lane lane(data, parameters, settings, layout, curvature, score_products);
    lane.sum(std::min(data.n, i * runs.rows), std::min(data.n, (i + 1) * runs.rows), sums[size(i)],
             checkpoint);
  });
  Sums& total = sums[0];
  for (std::size_t i = 1; i < sums.size(); ++i) {
    for (std::size_t j = 0; j < total.score.size(); ++j) total.score[j] += sums[i].score[j];
    for (std::size_t j = 0; j < total.products.size(); ++j) total.products[j] += sums[i].products[j];
  }
  Information out;
  out.score = std::move(total.score);
  unpack(layout, total.products, score_products, out);
  return out;
}

std::vector<double> row_scores(const EmData& data, const MixtureParameters& parameters,
                               const EmSettings& settings, const Poll& poll) {
  const ThetaLayout layout(parameters, settings, data.one_design());
  const Runs runs(data.n, kLanes);
  std::vector<double> out(size(data.n * layout.n_parameters()));
  parallel_for(runs.count, threads_for(data, settings), poll, [&](index_t i, Checkpoint& checkpoint) {
    Lane lane(data, parameters, settings, layout, nullptr, false);
    lane.write_scores(std::min(data.n, i * runs.rows), std::min(data.n, (i + 1) * runs.rows), out.data(),
                      checkpoint);
  });
  return out;
}

}  // namespace moefast
