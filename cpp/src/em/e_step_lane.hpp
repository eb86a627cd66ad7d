// What a lane of the E-step does: it sums the rows of its chunks one after another. Part of e_step.cpp.
#pragma once

#include <algorithm>
#include <cmath>
#include <numbers>
#include <utility>
#include <vector>

#include "aligned.hpp"
#include "em/counts.hpp"
#include "em/e_step.hpp"
#include "kernels/kernels.hpp"
#include "moefast/parallel.hpp"

namespace moefast {

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

// What all lanes of a pass read.
struct EStep::Pass {
  const MixtureParameters& parameters;
  const Assignment& given;
  ProductColumns columns;
  // By columns of the design. Of experts and gates beside each other where one product makes all scores, else
  // below each other.
  std::vector<double> coefficients;
  std::vector<double> inverse_sigma, log_scale;
  double* row_weights = nullptr;  // n x k, where w r_i of each row is wanted

  Pass(const MixtureParameters& p, const Assignment& given, const ProductColumns& columns, const EmData& data)
      : parameters(p), given(given), columns(columns) {
    const bool one_design = data.one_design();
    const index_t k = p.k, predictors = data.frozen() ? k : k * p.n_predictors;
    const index_t ld = one_design ? predictors + k : predictors, gate_ld = one_design ? ld : k;
    coefficients.resize(static_cast<std::size_t>(p.expert_dim * predictors + p.gate_dim * k));
    inverse_sigma.resize(p.variance.size());
    log_scale.resize(p.variance.size());
    double* const of_gates = coefficients.data() + (one_design ? predictors : p.expert_dim * predictors);
    for (index_t i = 0; i < predictors; ++i) {
      for (index_t j = 0; j < p.expert_dim; ++j) {
        coefficients[j * ld + i] = p.experts[i * p.expert_dim + j];
      }
    }
    for (index_t i = 0; i < k; ++i) {
      for (index_t j = 0; j < p.gate_dim; ++j) of_gates[j * gate_ld + i] = p.gates[i * p.gate_dim + j];
      inverse_sigma[i] = 1 / std::sqrt(p.variance[i]);
      log_scale[i] = 0.5 * std::log(2 * std::numbers::pi * p.variance[i]);
    }
  }
};

// Sums the rows of one lane after another, in memory of its own.
class EStep::Lane {
  static constexpr index_t kStride = SamplePanels::kStride;
  // Multiply-adds of a chunk's products between two looks for an interrupt: some hundredths of a second.
  static constexpr index_t kCheckedWork = index_t{1} << 26;
  // Rows that a family fills for an expert besides the slopes of its predictors; see family_terms.
  static constexpr index_t kFamilyRows = 4;

 public:
  using Chunk = SamplePanels::Chunk;

  Lane(const SamplePanels& samples, const EmSettings& settings, index_t k)
      : samples_(samples),
        data_(samples.data()),
        link_(data_.frozen() ? nullptr : settings.link.get()),
        family_(data_.frozen() ? nullptr : settings.family.get()),
        inverse_temperature_(settings.inverse_temperature),
        k_(k),
        predictors_(k * (family_ ? family_->n_predictors() : 1)),
        one_design_(data_.one_design()),
        u_dim_(data_.expert_dim()),
        v_dim_(data_.gate_dim()),
        numbers_(
            static_cast<std::size_t>(samples.room() + (3 * k_ + predictors_ + (link_ ? k_ : 0) +
                                                       (family_ ? kFamilyRows * k_ + 2 * predictors_ : 0)) *
                                                          kStride)),
        room_(numbers_.data()),
        scores_(room_ + samples.room()),
        slopes_(scores_ + 2 * k_ * kStride),
        residuals_(slopes_ + k_ * kStride),
        link_slopes_(residuals_ + predictors_ * kStride),
        family_rows_(link_slopes_),
        family_slopes_(family_rows_ + (family_ ? kFamilyRows * k_ * kStride : 0)),
        forms_(predictors_ == k_ ? scores_ : family_slopes_ + predictors_ * kStride),
        lane_sums_(static_cast<std::size_t>((2 * k_ + 1) * kernels::kSampleStep)),
        gate_sums_(static_cast<std::size_t>(predictors_ * u_dim_ + k_ * v_dim_)),
        residual_sums_(gate_sums_.data() + k_ * v_dim_) {}

  // Rows first .. last - 1; `first` is a multiple of the chunk, and so is `last` unless it is the last of
  // all.
  void sum(const Pass& pass, index_t first, index_t last, EmStatistics& out, Checkpoint& checkpoint) {
    weights_.resize(std::max(weights_.size(), static_cast<std::size_t>((k_ + pass.columns.gates) * kStride)));
    if (pass.given) responsibilities_.resize(static_cast<std::size_t>(k_ * kStride));
    std::fill(lane_sums_.begin(), lane_sums_.end(), 0.0);
    std::fill(gate_sums_.begin(), gate_sums_.end(), 0.0);
    for (index_t start = first; start < last; start += SamplePanels::kChunk) {
      checkpoint.check();
      const Chunk chunk = samples_.chunk(start, room_);
      if (pass.given) assign(pass, chunk);
      predict(pass, chunk);
      expectation(pass, chunk);
      if (pass.row_weights) {
        SamplePanels::transpose_back(weights_.data(), k_, chunk, pass.row_weights);
      }
      if (link_) linearise(chunk.padded);
      if (family_) weigh(pass, chunk, out);
      products(pass, chunk, out, checkpoint);
    }
    const auto total = [this](index_t row) {
      double sum = 0;
      for (index_t l = 0; l < kernels::kSampleStep; ++l) sum += lane_sums_[row * kernels::kSampleStep + l];
      return sum;
    };
    for (index_t i = 0; i < k_; ++i) {
      out.totals[i] = total(i);
      if (!family_) out.squares[i] = total(k_ + i);
    }
    out.log_likelihood = total(2 * k_);
    std::copy_n(gate_sums_.data(), k_ * v_dim_, out.gate_slope.data());
    std::copy_n(residual_sums_, predictors_ * u_dim_, out.residuals.data());
  }

  // out, n x k: log f_i(y | x) of rows first .. last - 1.
  void log_densities(const Pass& pass, index_t first, index_t last, double* out, Checkpoint& checkpoint) {
    for (index_t start = first; start < last; start += SamplePanels::kChunk) {
      checkpoint.check();
      const Chunk chunk = samples_.chunk(start, room_);
      predict(pass, chunk);
      for (index_t i = 0; i < k_ && !data_.log_densities && !family_; ++i) {
        double* const score = scores_ + i * kStride;
        for (index_t s = 0; s < chunk.rows; ++s) {
          const double z = (chunk.y[s] - score[s]) * pass.inverse_sigma[i];
          score[s] = -(0.5 * z * z + pass.log_scale[i]);
        }
      }
      SamplePanels::transpose_back(scores_, k_, chunk, out);
    }
  }

 private:
  // scores_: what the experts say of a chunk, log f where there is a family, and the logits.
  void predict(const Pass& pass, const Chunk& chunk) {
    score(pass, chunk);
    for (index_t i = 0; link_ && i < k_; ++i)
      link_->apply(chunk.padded, scores_ + i * kStride, link_slopes_ + i * kStride);
    if (family_) densities(pass, chunk);
  }

  // The responsibilities of a chunk, where they are given.
  void assign(const Pass& pass, const Chunk& chunk) {
    double* const r = responsibilities_.data();
    if (pass.given.responsibilities) {
      SamplePanels::transpose(pass.given.responsibilities, k_, chunk, r);
      return;
    }
    for (index_t i = 0; i < k_; ++i) std::fill_n(r + i * kStride, chunk.padded, 0.0);
    for (index_t s = 0; s < chunk.rows; ++s)
      r[expert_of(pass.given.labels, chunk.first + s, k_) * kStride + s] = 1;
  }

  void score(const Pass& pass, const Chunk& chunk) {
    // What frozen experts say is given, only their logits are computed.
    const index_t from = data_.frozen() ? k_ : 0, padded = chunk.padded;
    if (data_.frozen()) {
      SamplePanels::transpose(data_.means ? data_.means : data_.log_densities, k_, chunk, scores_);
    }
    for (index_t i = from; i < 2 * k_; ++i) std::fill_n(scores_ + i * kStride, padded, 0.0);
    const double* const coefficients = pass.coefficients.data();
    if (predictors_ != k_) {
      for (index_t i = 0; i < predictors_; ++i) std::fill_n(forms_ + i * kStride, padded, 0.0);
      const index_t ld = one_design_ ? predictors_ + k_ : predictors_, gate_ld = one_design_ ? ld : k_;
      const double* const of_gates = coefficients + predictors_ * (one_design_ ? 1 : u_dim_);
      kernels::rank_update(predictors_, padded, u_dim_, coefficients, ld, chunk.U, kStride, forms_, kStride);
      kernels::rank_update(k_, padded, v_dim_, of_gates, gate_ld, chunk.V, kStride, scores_ + k_ * kStride,
                           kStride);
      return;
    }
    if (one_design_) {
      kernels::rank_update(2 * k_ - from, padded, u_dim_, coefficients + from, 2 * k_, chunk.U, kStride,
                           scores_ + from * kStride, kStride);
      return;
    }
    if (!data_.frozen()) {
      kernels::rank_update(k_, padded, u_dim_, coefficients, k_, chunk.U, kStride, scores_, kStride);
    }
    kernels::rank_update(k_, padded, v_dim_, coefficients + u_dim_ * k_, k_, chunk.V, kStride,
                         scores_ + k_ * kStride, kStride);
  }

  void expectation(const Pass& pass, const Chunk& chunk) {
    kernels::Expectation panel;
    panel.samples = chunk.padded;
    panel.k = k_;
    panel.stride = kStride;
    panel.scores = scores_;
    panel.log_densities = data_.log_densities != nullptr || family_ != nullptr;
    panel.y = chunk.y;
    panel.w = chunk.w;
    panel.given = pass.given ? responsibilities_.data() : nullptr;
    panel.inverse_sigma = pass.inverse_sigma.data();
    panel.log_scale = pass.log_scale.data();
    panel.inverse_temperature = inverse_temperature_;
    panel.gate_products = pass.columns.gates > 0;
    panel.weights = weights_.data();
    panel.residuals = residuals_;
    panel.slopes = slopes_;
    panel.lane_sums = lane_sums_.data();
    kernels::active().expectation(panel);
  }

  // Gauss-Newton: around its present parameters an expert is g + g' u.delta, so g'u takes the place of u.
  void linearise(index_t padded) {
    for (index_t i = 0; i < k_; ++i) {
      const double* g = link_slopes_ + i * kStride;
      double *weight = weights_.data() + i * kStride, *residual = residuals_ + i * kStride;
      for (index_t s = 0; s < padded; ++s) {
        weight[s] *= g[s] * g[s];
        residual[s] *= g[s];
      }
    }
  }

  // What the family says of expert i, each a row.
  FamilyTerms family_terms(index_t i) const {
    double* rows = family_rows_ + i * kFamilyRows * kStride;
    const auto take = [&rows] { return std::exchange(rows, rows + kStride); };
    FamilyTerms terms;
    terms.stride = kStride;
    terms.log_density = scores_ + i * kStride;
    terms.slope = family_slopes_ + i * (predictors_ / k_) * kStride;
    terms.weight = take(), terms.square = take();
    terms.shape_slope = take(), terms.shape_curvature = take();
    return terms;
  }

  // The predictors in `forms_` become log f in `scores_`; around experts that are still unknown, those that
  // fit y alone.
  void densities(const Pass& pass, const Chunk& chunk) {
    // Rows that fill up the chunk have no response that the family could take.
    const ResponseRows rows = {chunk.rows, chunk.y, chunk.trials, chunk.row_term, kStride};
    const double* const first = pass.given.experts_unknown ? chunk.first_predictor : nullptr;
    const index_t q = predictors_ / k_;
    for (index_t i = 0; i < k_; ++i) {
      double* const eta = forms_ + i * q * kStride;
      if (first) std::copy_n(first, chunk.padded, eta);
      for (index_t s = 0; chunk.offset && s < chunk.padded; ++s) eta[s] += chunk.offset[s];
      const FamilyTerms terms = family_terms(i);
      const MixtureParameters& p = pass.parameters;
      family_->terms(rows, {p.variance[i], p.shape[i], p.cholesky_of(i)}, eta, terms);
      for (double* row :
           {terms.log_density, terms.weight, terms.square, terms.shape_slope, terms.shape_curvature})
        std::fill(row + chunk.rows, row + chunk.padded, 0.0);
      for (index_t a = 0; a < q; ++a)
        std::fill(terms.slope + a * kStride + chunk.rows, terms.slope + a * kStride + chunk.padded, 0.0);
    }
  }

  // Newton's step of an expert: slopes in place of residuals, and the weights of its products. From experts
  // that are unknown, and 0, to the regression of what `densities` has put in their place.
  void weigh(const Pass& pass, const Chunk& chunk, EmStatistics& out) {
    const double* const first = pass.given.experts_unknown ? chunk.first_predictor : nullptr;
    const auto& vectors = kernels::of<double>();
    for (index_t i = 0; i < k_; ++i) {
      const FamilyTerms terms = family_terms(i);
      const index_t q = predictors_ / k_;
      double *const weight = weights_.data() + i * kStride, *const residual = residuals_ + i * q * kStride;
      const auto add_sum = [&](const double* values, double& sum) {
        vectors.dot_update(1, 1, chunk.padded, weight, kStride, nullptr, values, kStride, &sum, 1);
      };
      if (pass.parameters.several_responses()) {
        add_squares(terms.slope, weight, q, chunk.padded, out.squares.data() + i * n_pairs(q));
        vectors.scale_rows(q, chunk.padded, terms.slope, kStride, weight, residual, kStride);
        continue;  // with weight 1
      }
      if (family_->has_scale() && !first) add_sum(terms.square, out.squares[i]);
      if (family_->has_shape() && !first) {
        add_sum(terms.shape_slope, out.shape_slopes[i]);
        add_sum(terms.shape_curvature, out.shape_curvatures[i]);
      }
      vectors.scale_rows(q, chunk.padded, terms.slope, kStride, weight, residual, kStride);
      vectors.scale_rows(1, chunk.padded, terms.weight, kStride, weight, weight, kStride);
      if (!first) continue;
      double square = 0;
      for (index_t s = 0; s < chunk.padded; ++s) {
        residual[s] += weight[s] * first[s];
        square += weight[s] * first[s] * first[s];
      }
      if (family_->has_scale()) out.squares[i] += square;
    }
  }

  // Weighted products of the residuals of q responses.
  static void add_squares(const double* residuals, const double* weight, index_t q, index_t padded,
                          double* squares) {
    for (index_t b = 0; b < q; ++b, squares += b)
      kernels::of<double>().dot_update(b + 1, 1, padded, residuals, kStride, residuals + b * kStride, weight,
                                       kStride, squares, 1);
  }

  void products(const Pass& pass, const Chunk& chunk, EmStatistics& out, Checkpoint& checkpoint) const {
    const auto dot_update = kernels::of<double>().dot_update;
    const index_t padded = chunk.padded;
    double *const gate_sums = residual_sums_ - k_ * v_dim_, *const residual_sums = residual_sums_;
    // What belongs to frozen experts nobody reads; it stays 0.
    const index_t from = data_.frozen() ? k_ : 0;
    const index_t first = data_.frozen() || pass.columns.experts == 0 ? k_ : 0;
    const index_t last = k_ + pass.columns.gates;
    if (one_design_) {
      dot_update(k_ + predictors_ - from, u_dim_, padded, slopes_, kStride, nullptr, chunk.U, kStride,
                 gate_sums, u_dim_);
      pair_products(chunk.U, padded, u_dim_, {first, last}, out.products, checkpoint);
      return;
    }
    dot_update(k_, v_dim_, padded, slopes_, kStride, nullptr, chunk.V, kStride, gate_sums, v_dim_);
    pair_products(chunk.V, padded, v_dim_, {k_, last}, out.gate_products, checkpoint);
    if (data_.frozen()) return;
    dot_update(predictors_, u_dim_, padded, residuals_, kStride, nullptr, chunk.U, kStride, residual_sums,
               u_dim_);
    pair_products(chunk.U, padded, u_dim_, {first, k_}, out.products, checkpoint);
  }

  // Adds the products of pairs of rows of U with the weights `of.first` to `of.second`, which stand in the
  // last columns of `sums`.
  void pair_products(const double* U, index_t padded, index_t dim, std::pair<index_t, index_t> of,
                     std::vector<double>& sums, Checkpoint& checkpoint) const {
    const index_t wide = of.second - of.first;
    if (wide == 0) return;
    const index_t columns = static_cast<index_t>(sums.size()) / n_pairs(dim);
    double* const out = sums.data() + columns - wide;
    index_t work = 0;
    for (index_t b = 0; b < dim; ++b) {
      if (work > kCheckedWork) {
        checkpoint.check();
        work = 0;
      }
      work += (b + 1) * columns * padded;
      kernels::of<double>().dot_update(b + 1, wide, padded, U, kStride, U + b * kStride,
                                       weights_.data() + of.first * kStride, kStride,
                                       out + n_pairs(b) * columns, columns);
    }
  }

  const SamplePanels& samples_;
  const EmData& data_;
  const Link* link_;      // null: linear, or frozen experts
  const Family* family_;  // null: normal, or frozen experts
  double inverse_temperature_;
  index_t k_, predictors_;  // of one expert, and of all: as many where each has one
  bool one_design_;
  index_t u_dim_, v_dim_;
  AlignedVector<double> numbers_;
  double *room_, *scores_, *slopes_, *residuals_, *link_slopes_;
  double *family_rows_, *family_slopes_;  // kFamilyRows rows an expert, and one a predictor
  double* forms_;                         // a_i.u of all predictors; where these are k, in scores_
  AlignedVector<double> weights_, responsibilities_;  // as large as passes have asked for
  AlignedVector<double> lane_sums_;                   // of the expectation kernel
  std::vector<double> gate_sums_;                     // k x gate_dim: gate slopes; then residuals
  double* residual_sums_;                             // k q x expert_dim
};

}  // namespace moefast
