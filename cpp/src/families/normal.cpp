#include "families/normal.hpp"

#include <numbers>

#include "families/functions.hpp"

namespace moefast {

void normal_derivatives(const Link* link, const ResponseRows& rows, double variance, const double* eta,
                        const FamilyDerivatives& out) {
  double *const mean = out.log_density, *const slope = out.h, *const bend = out.h_h;
  if (link) {
    link->curvature(rows.n, eta, bend);
    if (mean != eta) std::copy_n(eta, rows.n, mean);
    link->apply(rows.n, mean, slope);
    eta = mean;
  }
  const double inverse = 1 / variance, constant = -0.5 * std::log(2 * std::numbers::pi * variance);
  for (index_t s = 0; s < rows.n; ++s) {
    const double e = rows.y[s] - eta[s];
    out.log_density[s] = constant - 0.5 * inverse * e * e;
    out.eta[s] = inverse * e;
    out.eta_eta[s] = -inverse;
    out.l[s] = inverse * e * e - 1;
    out.eta_l[s] = e;
  }
  families::derivatives_of_scale(rows.n, false, out);
  for (index_t s = 0; link && s < rows.n; ++s) {
    out.eta_eta[s] = out.eta_eta[s] * slope[s] * slope[s] + out.eta[s] * bend[s];
    out.eta[s] *= slope[s];
    out.eta_l[s] *= slope[s];
  }
}

}  // namespace moefast
