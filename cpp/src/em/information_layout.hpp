// Where the parameters of a mixture stand in theta, and the products of information.cpp in memory.
#pragma once

#include <array>
#include <numeric>
#include <utility>
#include <vector>

#include "em/counts.hpp"
#include "moefast/information.hpp"

namespace moefast {

// The numbers a row's log-density depends on, and the columns their parameters belong to.
enum Kind { kExpert, kGate, kNoise, kShape };
inline constexpr std::array<Kind, 4> kKinds = {kExpert, kGate, kNoise, kShape};
inline constexpr std::array<std::pair<Kind, Kind>, 10> kBlocks = {{{kExpert, kExpert},
                                                                   {kExpert, kGate},
                                                                   {kGate, kGate},
                                                                   {kExpert, kNoise},
                                                                   {kGate, kNoise},
                                                                   {kNoise, kNoise},
                                                                   {kExpert, kShape},
                                                                   {kGate, kShape},
                                                                   {kNoise, kShape},
                                                                   {kShape, kShape}}};

// Where everything is: the numbers of each kind, their parameters, and the blocks of products.
struct ThetaLayout {
  bool one_design;                  // of experts and gates
  index_t n_experts, n_predictors;  // k, and q of each
  bool shared;                      // of all experts, what there is of noise and shapes
  index_t n_scales;                 // log s of an expert, or the numbers of its covariance
  std::array<index_t, 4> count;     // numbers of each kind
  std::array<index_t, 4> widths;    // columns of each kind

  ThetaLayout(const MixtureParameters& p, const EmSettings& settings, bool one_design)
      : one_design(one_design),
        n_experts(p.k),
        n_predictors(p.n_predictors),
        shared(settings.shared_noise),
        n_scales(settings.several_responses() ? settings.family->n_scales() : 1),
        count{p.k * p.n_predictors, p.k - 1, settings.fits_scale() ? (shared ? 1 : p.k) * n_scales : 0,
              settings.fits_shape() ? (shared ? 1 : p.k) : 0},
        widths{p.expert_dim - (settings.fit_intercept ? 0 : 1),
               p.gate_dim - (settings.fit_gate_intercept ? 0 : 1), 1, 1} {}

  index_t width(Kind kind) const { return widths[kind]; }
  // The first number of a kind, among all.
  index_t number(Kind kind) const { return std::accumulate(count.begin(), count.begin() + kind, index_t{0}); }
  // The first parameter of a kind.
  index_t parameter(Kind kind) const {
    index_t first = 0;
    for (int before = 0; before < kind; ++before) first += count[before] * width(static_cast<Kind>(before));
    return first;
  }
  index_t n_parameters() const { return parameter(kShape) + count[kShape]; }
  index_t n_numbers() const { return number(kShape) + count[kShape]; }
  // Where log s, or log shape, of expert i stands, or the first number of its covariance.
  index_t of_expert(Kind kind, index_t i) const {
    return parameter(kind) + (shared ? 0 : i) * (kind == kNoise ? n_scales : 1);
  }
  // The weights of a block are those of all pairs of its numbers, of one kind only those (i, j) with i <= j.
  static index_t first_partner(Kind left, Kind right, index_t i) { return left == right ? i : 0; }
  index_t n_pairs(Kind left, Kind right) const {
    return left == right ? count[left] * (count[left] + 1) / 2 : count[left] * count[right];
  }
  index_t n_all_pairs() const {
    index_t total = 0;
    for (const auto& [left, right] : kBlocks) total += n_pairs(left, right);
    return total;
  }
  // Matrices u_a u_b' of the same columns are symmetric: only a <= b is summed.
  bool symmetric(Kind left, Kind right) const {
    return left == right || (right == kGate && one_design && width(left) == width(right));
  }
  index_t n_rows(Kind left, Kind right, index_t b) const {
    return symmetric(left, right) ? b + 1 : width(left);
  }
  index_t n_products() const {
    index_t total = 0;
    for (const auto& [left, right] : kBlocks)
      for (index_t b = 0; b < width(right); ++b) total += n_rows(left, right, b) * 2 * n_pairs(left, right);
    return total;
  }
};

// The products of all blocks, each by columns b and a, then by pairs of numbers, as full matrices.
void unpack_products(const ThetaLayout& layout, const std::vector<double>& products, bool score_products,
                     Information& out);

}  // namespace moefast
