// Counts of mean m = exp(eta) and variance m + m^2 / size:
//
//     log f = log Gamma(y + size) - log Gamma(size) - log y! + y log(m / (size + m)) - size log(1 + m / size)
#include <vector>

#include "families/functions.hpp"
#include "moefast/family.hpp"

namespace moefast {
namespace {

using namespace families;

// F(y + size) - F(size) for F = log Gamma, digamma and trigamma. Since y is a whole number these are sums of
// logarithms and reciprocals, which a table of small y has.
class Differences {
 public:
  Differences(const ResponseRows& rows, double size) : size_(size) {
    double largest = 0;
    for (index_t s = 0; s < rows.n; ++s) largest = std::max(largest, rows.y[s]);
    // A table longer than the rows would cost more than it saves.
    const index_t length = 1 + static_cast<index_t>(std::min(largest, static_cast<double>(rows.n)));
    table_.reserve(static_cast<std::size_t>(length));
    Values sum = {0, 0, 0};
    for (index_t y = 0; y < length; ++y) {
      table_.push_back(sum);
      const double reciprocal = 1 / (size + static_cast<double>(y));
      sum = {sum.log_gamma - std::log(reciprocal), sum.digamma + reciprocal,
             sum.trigamma - reciprocal * reciprocal};
    }
    if (largest >= static_cast<double>(length)) beyond_ = {log_gamma(size), digamma(size), trigamma(size)};
  }

  struct Values {
    double log_gamma, digamma, trigamma;
  };

  Values at(double y) const {
    if (y < static_cast<double>(table_.size())) return table_[static_cast<std::size_t>(y)];
    return {log_gamma(y + size_) - beyond_.log_gamma, digamma(y + size_) - beyond_.digamma,
            trigamma(y + size_) - beyond_.trigamma};
  }

 private:
  double size_;
  std::vector<Values> table_;
  Values beyond_ = {0, 0, 0};
};

class NegativeBinomial final : public Family {
 public:
  bool has_shape() const override { return true; }
  // Beyond, it is the Poisson law.
  double least_shape() const override { return std::exp(-4.0); }
  double largest_shape() const override { return std::exp(8.0); }

  void terms(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
             const FamilyTerms& out) const override {
    const double size = dispersion.shape;
    const Differences differences(rows, size);
    const SameForAll none(0);
    const double log_size = std::log(size), inverse_size = 1 / size;
    by_blocks(rows.n, [&](index_t first, index_t length) {
      const double* __restrict y = rows.y + first, * __restrict constant =
                                                       none.or_given(rows.row_term, first);
      double* __restrict log_density = out.log_density + first, * __restrict slope = out.slope + first, * __restrict weight = out.weight + first, * __restrict shape_slope = out.shape_slope + first, * __restrict shape_curvature = out.shape_curvature + first;
      double t[kBlock], mean[kBlock], logarithm[kBlock];  // logarithm: of 1 + mean / size
      double gamma[kBlock], first_order[kBlock], second_order[kBlock];
      for (index_t s = 0; s < length; ++s) {
        t[s] = eta[first + s], mean[s] = bounded(t[s]);
        const auto at = differences.at(y[s]);
        gamma[s] = at.log_gamma, first_order[s] = at.digamma, second_order[s] = at.trigamma;
      }
      exponentials(length, mean);
      for (index_t s = 0; s < length; ++s) logarithm[s] = 1 + mean[s] * inverse_size;
      logarithms(length, logarithm);
      for (index_t s = 0; s < length; ++s) {
        const double m = mean[s], inverse = 1 / (size + m), share = size * inverse;
        const double log_sum = logarithm[s] + std::max(0.0, t[s] - kLargestPredictor);
        log_density[s] = gamma[s] + constant[s] + y[s] * (t[s] - log_size) - (y[s] + size) * log_sum;
        slope[s] = (y[s] - m) * share;
        weight[s] = m * share;
        const double by_log_size = size * (first_order[s] - log_sum + (m - y[s]) * inverse);
        shape_slope[s] = by_log_size;
        shape_curvature[s] =
            by_log_size + size * (size * second_order[s] + m * inverse) - (m - y[s]) * share * share;
      }
    });
  }

  void derivatives(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
                   const FamilyDerivatives& out) const override {
    const double size = dispersion.shape;
    double* const mean = out.eta_h;
    for (index_t s = 0; s < rows.n; ++s) mean[s] = bounded(eta[s]);
    exponentials(rows.n, mean);
    derivatives_of_terms(*this, rows, dispersion, eta, out);
    for (index_t s = 0; s < rows.n; ++s) {
      const double y = rows.y[s], m = mean[s], sum = size + m, part = size / sum * (m / sum);
      out.eta_eta[s] = -part * (size + y);
      out.eta_h[s] = part * (y - m);
    }
  }
};

}  // namespace

std::shared_ptr<const Family> negative_binomial_family() {
  return std::make_shared<const NegativeBinomial>();
}

}  // namespace moefast
