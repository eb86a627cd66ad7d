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
    for (index_t s = 0; s < rows.n; ++s) out.weight[s] = -bounded(eta[s]);
    exponentials(rows.n, out.weight);
    for (index_t s = 0; s < rows.n; ++s) {
      const double log_y = rows.row_term ? rows.row_term[s] : std::log(rows.y[s]);
      const double q = rows.y[s] * out.weight[s], log_q = log_y - bounded(eta[s]);
      out.log_density[s] = constant - log_y + a * (log_q - q);
      out.slope[s] = a * (q - 1);
      out.weight[s] = a;
      const double by_log_shape = a * (score + log_q - q);
      out.shape_slope[s] = by_log_shape;
      out.shape_curvature[s] = by_log_shape + bend;
    }
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
