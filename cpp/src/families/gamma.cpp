// Positive responses of mean exp(eta) and shape a, with q = y / mean:
//
//     log f = a log a - log Gamma(a) - log y + a (log q - q)
#include "families/functions.hpp"
#include "moefast/family.hpp"

namespace moefast {
namespace {

using namespace families;

class Gamma final : public Family {
 public:
  bool has_shape() const override { return true; }
  // Below and above, a response is as good as 0 and infinity, or constant.
  double least_shape() const override { return 1e-4; }
  double largest_shape() const override { return 1e8; }

  void terms(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
             const FamilyTerms& out) const override {
    const double a = dispersion.shape, log_a = std::log(a);
    const double constant = a * log_a - log_gamma(a), score = log_a + 1 - digamma(a);
    const double bend = a * (1 - a * trigamma(a));
    by_blocks(rows.n, [&](index_t first, index_t length) {
      double* __restrict log_density = out.log_density + first, * __restrict slope = out.slope + first, * __restrict shape_slope = out.shape_slope + first, * __restrict shape_curvature = out.shape_curvature + first;
      double log_y[kBlock], log_q[kBlock], q[kBlock];
      std::copy_n((rows.row_term ? rows.row_term : rows.y) + first, length, log_y);
      if (!rows.row_term) logarithms(length, log_y);
      for (index_t s = 0; s < length; ++s) {
        log_q[s] = log_y[s] - eta[first + s];
        q[s] = bounded(log_q[s]);
      }
      exponentials(length, q);
      for (index_t s = 0; s < length; ++s) {
        const double ratio = q[s];
        log_density[s] = constant - log_y[s] + a * (log_q[s] - ratio);
        slope[s] = a * (ratio - 1);
        const double by_log_shape = a * (score + log_q[s] - ratio);
        shape_slope[s] = by_log_shape;
        shape_curvature[s] = by_log_shape + bend;
      }
      std::fill_n(out.weight + first, length, a);
    });
  }

  void derivatives(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
                   const FamilyDerivatives& out) const override {
    derivatives_of_terms(*this, rows, dispersion, eta, out);
    for (index_t s = 0; s < rows.n; ++s) {
      out.eta_eta[s] = -out.eta[s] - dispersion.shape;  // -a q
      out.eta_h[s] = out.eta[s];
    }
  }
};

}  // namespace

std::shared_ptr<const Family> gamma_family() { return std::make_shared<const Gamma>(); }

}  // namespace moefast
