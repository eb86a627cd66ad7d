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
    by_blocks(rows.n, [&](index_t first, index_t length) {
      double logarithm[kBlock];
      for (index_t s = 0; s < length; ++s) {
        const double e = rows.y[first + s] - eta[first + s];
        logarithm[s] = e * e / (v * variance);
      }
      logarithms_of_one_plus(length, logarithm);
      for (index_t s = 0; s < length; ++s) {
        const index_t row = first + s;
        const double e = rows.y[row] - eta[row], square = e * e / variance, sum = v + square;
        const double u = (v + 1) / sum;
        out.log_density[row] = constant - 0.5 * (v + 1) * logarithm[s];
        out.slope[row] = u * e;
        out.weight[row] = u;
        out.square[row] = u * e * e;
        if (given_) continue;
        const double slope = score - 0.5 * logarithm[s] + 0.5 * u * square / v;
        const double change = 1 / (v * sum) - (v + 1) * (2 * v + square) / (v * v * sum * sum);
        const double curvature = bend + 0.5 * square / (v * sum) + 0.5 * square * change;
        out.shape_slope[row] = v * slope;
        out.shape_curvature[row] = v * slope + v * v * curvature;
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
