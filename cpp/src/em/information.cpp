// The log-density of a row depends on theta through some numbers: the predictors of the experts i (E), the
// logits of the first k - 1 gates (G), and what there is of log s_i (L) and of log shape_i (H). With its
// derivatives c (first) and h (second) by these numbers
//
//     score   = sum_n w c_a u            for the parameters behind number a
//     hessian = sum_n w h_ab u_a u_b'    for those behind a and b, u_a and u_b being the columns they use
//     score products: the same with c_a c_b in place of h_ab
//
// so both are weighted Gram matrices, summed as those of the M-step are (e_step.cpp). h = D - c c', where
// with r, p: responsibilities and gates, and f_A, f_AB the derivatives of log f_i (family.hpp) by E, L, H
//
//     c[A_i] = r_i f_A              D[A_i, B_i] = r_i (f_A f_B + f_AB)
//     c[G_j] = r_j - p_j            D[A_i, G_j] = r_i f_A ([i = j] - p_j)
//     D[G_j, G_l] = (r_j - p_j) [j = l] - r_j p_l - p_j r_l + 2 p_j p_l
//
// and 0 elsewhere. Where experts have several predictors, A and B run over these, too, and over the numbers
// of a covariance (covariance.hpp), which are then L. With shared noise the rows of L are added up, and the
// columns, and so are those of H.
#include "moefast/information.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "aligned.hpp"
#include "em/counts.hpp"
#include "em/design_panel.hpp"
#include "em/information_layout.hpp"
#include "families/normal.hpp"
#include "kernels/kernels.hpp"
#include "moefast/parallel.hpp"

namespace moefast {
namespace {

// Chunks are shorter than those of the E-step, since there are more rows of weights.
constexpr index_t kChunk = 192;
constexpr index_t kStride = kChunk + kernels::kSampleStep;

struct Sums {
  std::vector<double> score;
  // By block, by columns b and a: h of all its pairs, then c c of all its pairs.
  std::vector<double> products;
};

// What the rows of some chunks give.
class Lane {
 public:
  Lane(const EmData& data, const MixtureParameters& p, const EmSettings& settings, const ThetaLayout& layout,
       bool score_products)
      : data_(data),
        parameters_(p),
        settings_(settings),
        layout_(layout),
        score_products_(score_products),
        k_(p.k),
        q_(p.n_predictors),
        scales_(layout.n_scales),
        expert_coefficients_(p.experts.size()),
        gate_coefficients_(size(k_ * p.gate_dim)),
        lane_sums_(size((2 * k_ + 1) * kernels::kSampleStep)) {
    const index_t u_dim = p.expert_dim, v_dim = p.gate_dim;
    numbers_ = AlignedVector<double>(size((u_dim + v_dim + 2 + (6 + q_ + n_derivatives()) * k_ +
                                           2 * layout.n_numbers() + 2 * layout.n_all_pairs()) *
                                          kStride));
    double* next = numbers_.data();
    const auto take = [&next](index_t n) { return std::exchange(next, next + n * kStride); };
    design_ = {take(u_dim), take(v_dim), take(1), nullptr};
    design_[kShape] = design_[kNoise];
    w_ = take(1), scores_ = take(2 * k_), r_ = take(k_), residuals_ = take(k_), slopes_ = take(k_);
    gates_ = take(k_), derivatives_ = take(n_derivatives() * k_);
    forms_ = q_ == 1 ? scores_ : take(q_ * k_);
    c_ = take(layout.n_numbers()), wc_ = take(layout.n_numbers()), weights_ = take(2 * layout.n_all_pairs());
    std::fill_n(design_[kNoise], kStride, 1.0);
    for (index_t i = 0; i < k_ * q_; ++i)
      for (index_t j = 0; j < u_dim; ++j)
        expert_coefficients_[size(j * k_ * q_ + i)] = p.experts[size(i * u_dim + j)];
    for (index_t i = 0; i < k_; ++i)
      for (index_t j = 0; j < v_dim; ++j) gate_coefficients_[size(j * k_ + i)] = p.gates[size(i * v_dim + j)];
  }

  void sum(index_t first, index_t last, Sums& out, Checkpoint& checkpoint) {
    for (index_t start = first; start < last; start += kChunk) {
      const index_t padded = visit(start, last, checkpoint);
      second_derivatives(padded);
      index_t parameter = 0;
      for (const Kind kind : kKinds) {
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
        for (const Kind kind : kKinds) {
          for (index_t i = 0; i < layout_.count[kind]; ++i) {
            const double slope = number(c_, kind, i)[s];
            for (index_t a = 0; a < layout_.width(kind); ++a) *row++ = slope * design_[kind][a * kStride + s];
          }
        }
      }
    }
  }

 private:
  // Derivatives of log f of one expert: by H and HH; by each L, LH, and pair of L; by each E, EH, EL, and
  // pair of E.
  static index_t pairs(index_t n) { return n * (n + 1) / 2; }
  index_t of_experts() const { return 2 + 2 * scales_ + pairs(scales_); }
  index_t n_derivatives() const { return of_experts() + (2 + scales_) * q_ + pairs(q_); }

  double* number(double* panel, Kind kind, index_t i) const {
    return panel + (layout_.number(kind) + i) * kStride;
  }

  // Rows of expert i and its predictors a <= b, r_i f_A and r_i (f_A f_B + f_AB) once `weigh` has been; not
  // for gates.
  double* derivative(index_t i, index_t which) const {
    return derivatives_ + (i * n_derivatives() + which) * kStride;
  }
  double* first(Kind kind, index_t i, index_t a = 0) const {
    return derivative(i, kind == kExpert ? of_experts() + a : kind == kNoise ? 2 + a : 0);
  }
  double* second(Kind left, Kind right, index_t i, index_t a = 0, index_t b = 0) const {
    const index_t first_pair = pairs(b) + a, experts = of_experts();
    if (right == kExpert) return derivative(i, experts + (2 + scales_) * q_ + first_pair);
    if (left == kExpert && right == kShape) return derivative(i, experts + q_ + a);
    if (left == kExpert) return derivative(i, experts + 2 * q_ + a * scales_ + b);
    if (right == kNoise) return derivative(i, 2 + 2 * scales_ + first_pair);
    return derivative(i, left == kShape ? 1 : 2 + scales_ + a);
  }

  // Loads a chunk and finds c; returns its length with padding, where the weights are 0.
  index_t visit(index_t start, index_t last, Checkpoint& checkpoint) {
    checkpoint.check();
    const index_t n = std::min(kChunk, last - start);
    const index_t padded = (n + kernels::kSampleStep - 1) / kernels::kSampleStep * kernels::kSampleStep;
    load_design(data_, data_.expert_columns, start, n, padded, kStride, design_[kExpert]);
    load_design(data_, data_.gate_columns, start, n, padded, kStride, design_[kGate]);
    std::copy_n(data_.w + start, n, w_);
    std::fill(w_ + n, w_ + padded, 0.0);
    std::fill_n(scores_, 2 * k_ * kStride, 0.0);
    if (q_ > 1) std::fill_n(forms_, q_ * k_ * kStride, 0.0);
    kernels::rank_update(k_ * q_, padded, parameters_.expert_dim, expert_coefficients_.data(), k_ * q_,
                         design_[kExpert], kStride, forms_, kStride);
    kernels::rank_update(k_, padded, parameters_.gate_dim, gate_coefficients_.data(), k_, design_[kGate],
                         kStride, scores_ + k_ * kStride, kStride);
    differentiate(start, n);
    kernels::Expectation panel;
    panel.samples = padded;
    panel.k = k_;
    panel.stride = kStride;
    panel.scores = scores_;
    panel.log_densities = true;
    panel.w = design_[kNoise];  // 1: weights come later
    panel.gate_products = false;
    panel.weights = r_;
    panel.residuals = residuals_;
    panel.slopes = slopes_;
    panel.lane_sums = lane_sums_.data();
    kernels::active().expectation(panel);
    weigh(padded);
    return padded;
  }

  // The predictors in `forms_` lead to log f in `scores_`, with its derivatives.
  void differentiate(index_t start, index_t n) {
    const auto of_rows = [start](const double* all) { return all ? all + start : nullptr; };
    const ResponseRows rows = {n, data_.y + start, of_rows(data_.trials), of_rows(data_.row_term), data_.n};
    for (index_t i = 0; i < k_; ++i) {
      double* const eta = forms_ + i * q_ * kStride;
      for (index_t s = 0; data_.offset && s < n; ++s) eta[s] += data_.offset[start + s];
      FamilyDerivatives out;
      out.stride = kStride;
      out.log_density = scores_ + i * kStride;
      out.eta = first(kExpert, i), out.l = first(kNoise, i), out.h = first(kShape, i);
      out.eta_eta = second(kExpert, kExpert, i), out.eta_l = second(kExpert, kNoise, i);
      out.l_l = second(kNoise, kNoise, i), out.eta_h = second(kExpert, kShape, i);
      out.l_h = second(kNoise, kShape, i), out.h_h = second(kShape, kShape, i);
      const double variance = parameters_.variance[size(i)];
      if (settings_.family) {
        const Dispersion dispersion = {variance, parameters_.shape[size(i)], parameters_.cholesky_of(i)};
        settings_.family->derivatives(rows, dispersion, eta, out);
      } else {
        normal_derivatives(settings_.link.get(), rows, variance, eta, out);
      }
    }
  }

  // c, and the parts of D that belong to one expert alone.
  void weigh(index_t padded) {
    for (const Kind kind : {kNoise, kShape})
      for (index_t i = 0; i < layout_.count[kind]; ++i) std::fill_n(number(c_, kind, i), padded, 0.0);
    for (index_t i = 0; i < k_; ++i) {
      const double *r = r_ + i * kStride, *slope = slopes_ + i * kStride;
      for (const auto& [left, right] : kBlocks) {
        if (left == kGate || right == kGate || layout_.count[right] == 0) continue;
        for (index_t b = 0; b < n_own(right); ++b) {
          for (index_t a = 0; a < (left == right ? b + 1 : n_own(left)); ++a) {
            const double *f_a = first(left, i, a), *f_b = first(right, i, b);
            double* const ab = second(left, right, i, a, b);
            for (index_t s = 0; s < padded; ++s) ab[s] = r[s] * (f_a[s] * f_b[s] + ab[s]);
          }
        }
      }
      for (const Kind kind : {kExpert, kNoise, kShape}) {
        for (index_t a = 0; layout_.count[kind] > 0 && a < n_own(kind); ++a) {
          const index_t at = (is_shared(kind) ? 0 : i * n_own(kind)) + a;
          double *const f = first(kind, i, a), *const c = number(c_, kind, at);
          for (index_t s = 0; s < padded; ++s) {
            f[s] *= r[s];
            c[s] = (kind == kExpert ? 0.0 : c[s]) + f[s];
          }
        }
      }
      for (index_t s = 0; s < padded; ++s) gates_[i * kStride + s] = r[s] - slope[s];
    }
    for (index_t j = 0; j + 1 < k_; ++j) std::copy_n(slopes_ + j * kStride, padded, number(c_, kGate, j));
  }

  // Numbers of a kind that an expert has.
  index_t n_own(Kind kind) const { return kind == kExpert ? q_ : kind == kNoise ? scales_ : 1; }
  bool is_shared(Kind kind) const { return layout_.shared && (kind == kNoise || kind == kShape); }

  // w h and w c c' for every pair of numbers.
  void second_derivatives(index_t padded) {
    for (index_t a = 0; a < layout_.n_numbers(); ++a) {
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

  // D of the head of this file, of the numbers m and n of their kinds.
  void D(Kind left, Kind right, index_t m, index_t n, index_t padded, double* out) const {
    const index_t i = m / n_own(left), j = n / n_own(right);  // experts
    const double same = i == j ? 1 : 0;
    if (left == kGate && right == kGate) {
      const double *ri = r_ + i * kStride, *rj = r_ + j * kStride, *pi = gates_ + i * kStride,
                   *pj = gates_ + j * kStride;
      for (index_t s = 0; s < padded; ++s)
        out[s] = same * (ri[s] - pi[s]) - ri[s] * pj[s] - pi[s] * rj[s] + 2 * pi[s] * pj[s];
    } else if (left == kGate || right == kGate) {
      const Kind kind = left == kGate ? right : left;
      const index_t gate = left == kGate ? i : j, of = left == kGate ? n : m;
      const double *c = number(c_, kind, of), *p = gates_ + gate * kStride,
                   *own = first(kind, gate, of % n_own(kind));
      const double with = is_shared(kind) ? 1 : same;
      for (index_t s = 0; s < padded; ++s) out[s] = with * own[s] - p[s] * c[s];
    } else if (is_shared(left)) {
      const index_t a = m % n_own(left), b = n % n_own(right);
      std::copy_n(second(left, right, 0, a, b), padded, out);
      for (index_t l = 1; l < k_; ++l) {
        const double* next = second(left, right, l, a, b);
        for (index_t s = 0; s < padded; ++s) out[s] += next[s];
      }
    } else if (i == j || is_shared(right)) {
      std::copy_n(second(left, right, i, m % n_own(left), n % n_own(right)), padded, out);
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
  const MixtureParameters& parameters_;
  const EmSettings& settings_;
  const ThetaLayout& layout_;
  bool score_products_;
  index_t k_, q_, scales_;  // experts, and predictors of each, and numbers of its noise
  std::vector<double> expert_coefficients_, gate_coefficients_, lane_sums_;
  AlignedVector<double> numbers_;
  std::array<double*, 4> design_;  // the columns of each kind
  double *w_, *scores_, *r_, *residuals_, *slopes_, *gates_, *derivatives_, *forms_, *c_, *wc_, *weights_;
};

// Runs of whole chunks, for sums of that many numbers.
struct Runs {
  index_t count, rows;
  Runs(index_t n, index_t numbers) : count(n_lanes(n, numbers)) {
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
                        const Poll& poll, bool score_products) {
  settings.check_predictors(data, parameters);
  const ThetaLayout layout(parameters, settings, data.one_design());
  const index_t n_products = layout.n_products() / (score_products ? 1 : 2);
  const Runs runs(data.n, n_products);
  std::vector<Sums> sums(size(runs.count));
  parallel_for(runs.count, threads_for(data, settings), poll, [&](index_t i, Checkpoint& checkpoint) {
    sums[size(i)].score.assign(size(layout.n_parameters()), 0);
    sums[size(i)].products.assign(size(n_products), 0);
    Lane lane(data, parameters, settings, layout, score_products);
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
  unpack_products(layout, total.products, score_products, out);
  return out;
}

std::vector<double> row_scores(const EmData& data, const MixtureParameters& parameters,
                               const EmSettings& settings, const Poll& poll) {
  settings.check_predictors(data, parameters);
  const ThetaLayout layout(parameters, settings, data.one_design());
  const Runs runs(data.n, 0);
  std::vector<double> out(size(data.n * layout.n_parameters()));
  parallel_for(runs.count, threads_for(data, settings), poll, [&](index_t i, Checkpoint& checkpoint) {
    Lane lane(data, parameters, settings, layout, false);
    lane.write_scores(std::min(data.n, i * runs.rows), std::min(data.n, (i + 1) * runs.rows), out.data(),
                      checkpoint);
  });
  return out;
}

}  // namespace moefast
