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

struct Tails {
  double z[kBlock], log_probability[kBlock], ratio[kBlock];  // ratio: phi(z) / Phi(z)
};

// log Phi(z) and the ratio of n rows.
void fill(index_t n, Tails& tails) {
  double density[kBlock], probability[kBlock], logarithm[kBlock];
  const double constant = 0.5 * std::log(2 * std::numbers::pi);
  for (index_t s = 0; s < n; ++s) {
    const double z = std::max(tails.z[s], kFarTail);
    density[s] = -0.5 * z * z - constant;
    probability[s] = logarithm[s] = 0.5 * std::erfc(-z / std::numbers::sqrt2);
  }
  exponentials(n, density);
  logarithms(n, logarithm);
  for (index_t s = 0; s < n; ++s) {
    tails.log_probability[s] = logarithm[s];
    tails.ratio[s] = density[s] / probability[s];
    const double z = tails.z[s];
    if (z >= kFarTail) continue;
    // Phi(z) = phi(z) / -z (1 - 1 / z^2 + 3 / z^4 - 15 / z^6 ..)
    const double q = 1 / (z * z), series = 1 - q * (1 - q * (3 - q * (15 - 105 * q)));
    tails.log_probability[s] = -0.5 * z * z - constant - std::log(-z) + std::log(series);
    tails.ratio[s] = -z / series;
  }
}

class Tobit final : public Family {
 public:
  Tobit(double lower, double upper) : lower_(lower), upper_(upper) {}

  bool has_scale() const override { return true; }

  void terms(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
             const FamilyTerms& out) const override {
    const double variance = dispersion.variance, sigma = std::sqrt(variance), inverse = 1 / variance;
    const double constant = -0.5 * std::log(2 * std::numbers::pi * variance);
    by_blocks(rows.n, [&](index_t first, index_t length) {
      const double* __restrict y = rows.y + first;
      double* __restrict log_density = out.log_density + first, * __restrict slope = out.slope + first, * __restrict square = out.square + first;
      double* const weight = out.weight + first;
      Tails tails;
      index_t row[kBlock], n = 0;  // of those that are censored
      for (index_t s = 0; s < length; ++s) {
        const bool below = y[s] <= lower_;
        if (!below && y[s] < upper_) continue;
        tails.z[n] = (below ? lower_ - eta[first + s] : eta[first + s] - upper_) / sigma;
        row[n++] = s;
      }
      for (index_t s = 0; s < length; ++s) slope[s] = y[s] - eta[first + s];
      for (index_t s = 0; s < length; ++s) {
        square[s] = slope[s] * slope[s];
        log_density[s] = constant - 0.5 * square[s] * inverse;
      }
      std::fill_n(weight, length, 1.0);
      fill(n, tails);
      for (index_t c = 0; c < n; ++c) {
        const double z = tails.z[c], ratio = tails.ratio[c];
        log_density[row[c]] = tails.log_probability[c];
        slope[row[c]] = y[row[c]] <= lower_ ? -ratio * sigma : ratio * sigma;
        weight[row[c]] = std::max(0.0, ratio * (ratio + z));
        square[row[c]] = std::max(0.0, variance * (1 - z * ratio));
      }
    });
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
