// Families: their derivatives against central differences of the log-density, and against the terms that EM
// takes; nothing infinite far out.
#include "moefast/family.hpp"

#include <numeric>

#include "check.hpp"

namespace moefast::tests {
namespace {

struct Case {
  const char* name;
  std::shared_ptr<const Family> family;
  std::vector<double> responses;
};

std::vector<Case> cases() {
  const std::vector<double> counts = {0, 1, 3, 40}, reals = {-2, -0.4, 0, 0.7, 3}, positive = {0.1, 1, 7.5};
  return {{"poisson", poisson_family(), counts},
          {"binomial", binomial_family(), {0, 1, 3, 8}},
          {"gamma", gamma_family(), positive},
          {"negative_binomial", negative_binomial_family(), counts},
          {"student_t", student_t_family({}), reals},
          {"student_t of 3", student_t_family(3.0), reals},
          {"tobit", tobit_family(-1, 2), {-1, -0.4, 0, 0.7, 2}}};
}

// All that a family says of rows, each an array.
struct Found {
  std::vector<double> log_density, eta, eta_eta, l, l_l, eta_l, h, h_h, eta_h, l_h;
  std::vector<double> term_density, slope, weight, square, shape_slope, shape_curvature;

  // With the predictors at the place of the log-densities, as the passes have them.
  Found(const Family& family, const ResponseRows& rows, const Dispersion& at, const std::vector<double>& eta)
      : log_density(eta), term_density(eta) {
    for (auto* other : {&this->eta, &eta_eta, &l, &l_l, &eta_l, &h, &h_h, &eta_h, &l_h, &slope, &weight,
                        &square, &shape_slope, &shape_curvature})
      other->assign(eta.size(), 0);
    family.derivatives(rows, at, log_density.data(),
                       {0, log_density.data(), this->eta.data(), eta_eta.data(), l.data(), l_l.data(),
                        eta_l.data(), h.data(), h_h.data(), eta_h.data(), l_h.data()});
    family.terms(rows, at, term_density.data(),
                 {0, term_density.data(), slope.data(), weight.data(), square.data(), shape_slope.data(),
                  shape_curvature.data()});
  }
};

constexpr double kStep = 1e-4;

void differences(const Case& c, const Dispersion& at) {
  // Every response with every predictor.
  std::vector<double> y, eta, trials;
  for (const double response : c.responses) {
    for (const double predictor : {-3.0, -0.6, 0.2, 1.5, 4.0}) {
      y.push_back(response), eta.push_back(predictor), trials.push_back(8);
    }
  }
  const ResponseRows rows = {static_cast<index_t>(y.size()), y.data(), trials.data(), nullptr};
  const Family& family = *c.family;
  const Found found(family, rows, at, eta);
  const auto moved = [&](double by_eta, double by_l, double by_h) {
    std::vector<double> predictors = eta;
    for (double& value : predictors) value += by_eta;
    return Found(family, rows, {at.variance * std::exp(2 * by_l), at.shape * std::exp(by_h)}, predictors);
  };
  const auto check = [&](const char* what, const std::vector<double>& value, const std::vector<double>& above,
                         const std::vector<double>& below) {
    double largest = 1;
    for (const double one : above) largest = std::max(largest, std::abs(one));
    for (std::size_t s = 0; s < value.size(); ++s) {
      const double slope = (above[s] - below[s]) / (2 * kStep);
      CHECK_AT(close(value[s], slope, 2e-6, std::max(largest, std::abs(slope))),
               std::string(c.name) + " " + what + text({{"row", static_cast<index_t>(s)}}));
    }
  };
  const Found right = moved(kStep, 0, 0), left = moved(-kStep, 0, 0);
  check("eta", found.eta, right.log_density, left.log_density);
  check("eta_eta", found.eta_eta, right.eta, left.eta);
  for (std::size_t s = 0; s < y.size(); ++s) {
    CHECK_AT(close(found.log_density[s], found.term_density[s], 1e-14), std::string(c.name));
    CHECK_AT(close(found.eta[s] * at.variance, found.slope[s], 1e-12), std::string(c.name));
  }
  if (family.has_scale()) {
    const Found above = moved(0, kStep, 0), below = moved(0, -kStep, 0);
    check("l", found.l, above.log_density, below.log_density);
    check("l_l", found.l_l, above.l, below.l);
    check("eta_l", found.eta_l, above.eta, below.eta);
  }
  if (family.has_shape()) {
    const Found above = moved(0, 0, kStep), below = moved(0, 0, -kStep);
    check("h", found.h, above.log_density, below.log_density);
    check("h_h", found.h_h, above.h, below.h);
    check("eta_h", found.eta_h, above.eta, below.eta);
    if (family.has_scale()) check("l_h", found.l_h, above.l, below.l);
  }
}

// Where a step overshot, or an outlier is.
void far_out(const Case& c) {
  std::vector<double> y, eta;
  for (const double response : c.responses)
    for (const double predictor : {-1e4, -150.0, 150.0, 1e4}) y.push_back(response), eta.push_back(predictor);
  const std::vector<double> trials(y.size(), 8);
  const ResponseRows rows = {static_cast<index_t>(y.size()), y.data(), trials.data(), nullptr};
  const Family& family = *c.family;
  for (const double variance :
       family.has_scale() ? std::vector<double>{1e-8, 1.0} : std::vector<double>{1.0}) {
    for (const double shape : {family.least_shape(), family.largest_shape()}) {
      const Found found(family, rows, {variance, std::max(shape, 1e-300)}, eta);
      for (const auto* values : {&found.log_density, &found.eta, &found.eta_eta, &found.l, &found.l_l,
                                 &found.eta_l, &found.h, &found.h_h, &found.eta_h, &found.l_h}) {
        for (const double value : *values) CHECK_AT(std::isfinite(value), std::string(c.name));
      }
      for (const double weight : found.weight) CHECK_AT(weight >= 0, std::string(c.name));
    }
  }
}

}  // namespace

void test_families() {
  for (const Case& c : cases()) {
    for (const double shape : {1.2, 6.0, 90.0}) differences(c, {c.family->has_scale() ? 0.6 : 1.0, shape});
    far_out(c);
  }
}

}  // namespace moefast::tests
