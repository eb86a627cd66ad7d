// Student's t with v degrees of freedom: outliers count for little, by u = (v + 1) / (v + z^2), z = (y - eta)
// / s, which is also the weight of EM (Lange, Little, Taylor, J. Amer. Statist. Assoc. 1989).
//
//     log f = log Gamma((v + 1) / 2) - log Gamma(v / 2) - 1/2 log(v pi s^2) - (v + 1) / 2 log(1 + z^2 / v)
#include <numbers>

#include "families/functions.hpp"
#include "moefast/family.hpp"

namespace moefast {
namespace {

using namespace families;

class StudentT final : public Family {
 public:
  explicit StudentT(std::optional<double> given) : given_(given) {}

  bool has_scale() const override { return true; }
  bool has_shape() const override { return !given_; }
  // Below 1 the likelihood is unbounded, as experts may meet single rows; far above, the law is normal.
  double least_shape() const override { return 1; }
  double largest_shape() const override { return 200; }

  void terms(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
             const FamilyTerms& out) const override {
    const double v = given_.value_or(dispersion.shape), variance = dispersion.variance;
    const double constant = log_gamma_step(v / 2) - 0.5 * std::log(v * std::numbers::pi * variance);
    const double score = 0.5 * (digamma((v + 1) / 2) - digamma(v / 2) - 1 / v);
    const double bend = 0.25 * (trigamma((v + 1) / 2) - trigamma(v / 2)) + 0.5 / (v * v);
    const double scale = 1 / (v * variance), inverse_v = 1 / v, inverse_variance = 1 / variance;
    by_blocks(rows.n, [&](index_t first, index_t length) {
      const double* __restrict y = rows.y + first;
      double* __restrict log_density = out.log_density + first, * __restrict slope = out.slope + first, * __restrict weight = out.weight + first, * __restrict square = out.square + first;
      double e[kBlock], logarithm[kBlock], inverse[kBlock];  // inverse: 1 / (v + z^2)
      for (index_t s = 0; s < length; ++s) {
        e[s] = y[s] - eta[first + s];
        logarithm[s] = e[s] * e[s] * scale;
      }
      logarithms_of_one_plus(length, logarithm);
      for (index_t s = 0; s < length; ++s) {
        inverse[s] = 1 / (v + e[s] * e[s] * inverse_variance);
        const double u = (v + 1) * inverse[s];
        log_density[s] = constant - 0.5 * (v + 1) * logarithm[s];
        slope[s] = u * e[s];
        weight[s] = u;
        square[s] = u * e[s] * e[s];
      }
      if (given_) return;
      double* __restrict shape_slope = out.shape_slope + first, * __restrict shape_curvature =
                                                                    out.shape_curvature + first;
      for (index_t s = 0; s < length; ++s) {
        const double z2 = e[s] * e[s] * inverse_variance, half = 0.5 * z2 * inverse[s] * inverse_v;
        const double by_shape = score - 0.5 * logarithm[s] + (v + 1) * half;
        const double curvature = bend + half + half * (1 - (v + 1) * (2 * v + z2) * inverse[s] * inverse_v);
        shape_slope[s] = v * by_shape;
        shape_curvature[s] = v * by_shape + v * v * curvature;
      }
    });
  }

  // With z = e / s, s d log f / d eta = (v + 1) z / (v + z^2).
  void derivatives(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
                   const FamilyDerivatives& out) const override {
    const double v = given_.value_or(dispersion.shape), s = std::sqrt(dispersion.variance);
    double* const e = out.eta_l;
    for (index_t row = 0; row < rows.n; ++row) e[row] = rows.y[row] - eta[row];
    derivatives_of_terms(*this, rows, dispersion, eta, out);
    for (index_t row = 0; row < rows.n; ++row) {
      const double z = e[row] / s, square = z * z, share = 1 / (v + square);
      out.eta_eta[row] *= (square - v) * share;
      if (!given_) out.eta_h[row] = v / s * (z * share) * ((square - 1) * share);
    }
    derivatives_of_scale(rows.n, !given_, out);
  }

 private:
  std::optional<double> given_;
};

}  // namespace

std::shared_ptr<const Family> student_t_family(std::optional<double> degrees_of_freedom) {
  return std::make_shared<const StudentT>(degrees_of_freedom);
}

}  // namespace moefast
