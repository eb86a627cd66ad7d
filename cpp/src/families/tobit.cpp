// A normal response that is seen between limits only. With z = (y - eta) / s, or at a limit the distance z
// from eta to it in the direction away from what is seen, and lambda = phi(z) / Phi(z):
//
//     seen      log f = -z^2 / 2 - log(s sqrt(2 pi))
//     censored  log f = log Phi(z), slope -+lambda / s, and E[(y* - eta)^2] = s^2 (1 - z lambda) for EM
#include <limits>
#include <numbers>

#include "families/functions.hpp"
#include "moefast/family.hpp"

namespace moefast {
namespace {

using namespace families;

// Where Phi(z) nears the smallest numbers the expansion has 12 digits.
constexpr double kFarTail = -30;

struct Tail {
  double log_probability, ratio;  // log Phi(z), phi(z) / Phi(z)
};

Tail tail(double z) {
  const double log_density = -0.5 * z * z - 0.5 * std::log(2 * std::numbers::pi);
  if (z < kFarTail) {  // Phi(z) = phi(z) / -z (1 - 1 / z^2 + 3 / z^4 - 15 / z^6 ..)
    const double q = 1 / (z * z), series = 1 - q * (1 - q * (3 - q * (15 - 105 * q)));
    return {log_density - std::log(-z) + std::log(series), -z / series};
  }
  const double probability = 0.5 * std::erfc(-z / std::numbers::sqrt2);
  return {std::log(probability), std::exp(log_density) / probability};
}

class Tobit final : public Family {
 public:
  Tobit(double lower, double upper) : lower_(lower), upper_(upper) {}

  bool has_scale() const override { return true; }

  void terms(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
             const FamilyTerms& out) const override {
    const double s = std::sqrt(dispersion.variance);
    const double constant = -0.5 * std::log(2 * std::numbers::pi * dispersion.variance);
    for (index_t row = 0; row < rows.n; ++row) {
      const double y = rows.y[row], e = y - eta[row];
      const bool below = y <= lower_;
      if (!below && y < upper_) {
        out.log_density[row] = constant - 0.5 * e * e / dispersion.variance;
        out.slope[row] = e;
        out.weight[row] = 1;
        out.square[row] = e * e;
        continue;
      }
      const double z = (below ? lower_ - eta[row] : eta[row] - upper_) / s;
      const auto [log_probability, ratio] = tail(z);
      out.log_density[row] = log_probability;
      out.slope[row] = below ? -ratio * s : ratio * s;
      out.weight[row] = std::max(0.0, ratio * (ratio + z));
      out.square[row] = std::max(0.0, dispersion.variance * (1 - z * ratio));
    }
  }

  void derivatives(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
                   const FamilyDerivatives& out) const override {
    for (index_t s = 0; s < rows.n; ++s) out.eta_l[s] = std::clamp(rows.y[s], lower_, upper_) - eta[s];
    derivatives_of_terms(*this, rows, dispersion, eta, out);
    for (index_t s = 0; s < rows.n; ++s) out.eta_eta[s] = -out.eta_eta[s];
    derivatives_of_scale(rows.n, false, out);
  }

 private:
  double lower_, upper_;
};

}  // namespace

std::shared_ptr<const Family> tobit_family(double lower, double upper) {
  return std::make_shared<const Tobit>(lower, upper);
}

}  // namespace moefast
