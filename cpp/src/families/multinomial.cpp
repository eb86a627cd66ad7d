// One of C classes: log f = eta_y - log sum_c exp(eta_c), eta_0 = 0.
//
// The second derivatives are -(diag(q) - q q') with the probabilities q. All of them have the same direction
// in which they vanish, and the largest of their eigenvalues is at most max_c 2 q_c (1 - q_c) (Gershgorin),
// so
//
//     diag(q) - q q' <= max_c 2 q_c (1 - q_c) (I - 1 1' / C),
//
// which is equal for two classes. With it an expert needs one Gram matrix whatever C is, as with the bound of
// Boehning (Ann. Inst. Statist. Math. 1992), 1 / 2 (I - 1 1' / C); this one is closer where classes are
// clear. It holds at the present point only: steps are halved where the likelihood falls.
#include <stdexcept>
#include <string>

#include "families/functions.hpp"
#include "moefast/family.hpp"

namespace moefast {
namespace {

using namespace families;

class Multinomial final : public Family {
 public:
  explicit Multinomial(index_t n_classes) : q_(n_classes - 1), factor_(n_classes == 2 ? 1 : 2) {}

  index_t n_predictors() const override { return q_; }

  // (I - 1 1' / C)^-1 = I + 1 1' without class 0; with one predictor it is in the weight.
  void precondition(double* v) const override {
    if (q_ == 1) return;
    double sum = 0;
    for (index_t a = 0; a < q_; ++a) sum += v[a];
    for (index_t a = 0; a < q_; ++a) v[a] += sum;
  }

  void terms(const ResponseRows& rows, const Dispersion&, const double* eta,
             const FamilyTerms& out) const override {
    by_blocks(rows.n, [&](index_t first, index_t length) {
      double top[kBlock] = {}, sum[kBlock], chosen[kBlock];
      const auto row = [&](auto* panel, index_t a) { return panel + a * out.stride + first; };
      for (index_t a = 0; a < q_; ++a) {
        const double* const t = row(eta, a);
        for (index_t s = 0; s < length; ++s) top[s] = std::max(top[s], t[s]);
      }
      for (index_t s = 0; s < length; ++s) sum[s] = chosen[s] = -top[s];  // of class 0
      exponentials(length, sum);
      double share[kBlock];
      for (index_t s = 0; s < length; ++s) share[s] = sum[s];
      for (index_t a = 0; a < q_; ++a) {
        const double* const t = row(eta, a);
        double* const q = row(out.slope, a);
        for (index_t s = 0; s < length; ++s) q[s] = t[s] - top[s];
        for (index_t s = 0; s < length; ++s)
          if (static_cast<index_t>(rows.y[first + s]) == a + 1) chosen[s] = q[s];
        exponentials(length, q);
        for (index_t s = 0; s < length; ++s) sum[s] += q[s];
      }
      for (index_t s = 0; s < length; ++s) {
        const double q = share[s] / sum[s];
        out.weight[first + s] = factor_ * q * (1 - q);
      }
      for (index_t a = 0; a < q_; ++a) {
        double* const q = row(out.slope, a);
        for (index_t s = 0; s < length; ++s) {
          const double of_class = q[s] / sum[s];
          out.weight[first + s] = std::max(out.weight[first + s], factor_ * of_class * (1 - of_class));
          q[s] = (static_cast<index_t>(rows.y[first + s]) == a + 1 ? 1 : 0) - of_class;
        }
      }
      logarithms(length, sum);
      for (index_t s = 0; s < length; ++s) out.log_density[first + s] = chosen[s] - sum[s];
    });
  }

  // By eta_a: [y = a] - q_a; by eta_a and eta_b: q_a q_b - [a = b] q_a.
  void derivatives(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
                   const FamilyDerivatives& out) const override {
    FamilyTerms terms;
    terms.stride = out.stride;
    terms.log_density = out.log_density, terms.slope = out.eta, terms.weight = out.eta_eta;
    this->terms(rows, dispersion, eta, terms);
    const auto share = [&](index_t a, index_t s) {
      return (static_cast<index_t>(rows.y[s]) == a + 1 ? 1 : 0) - out.eta[a * out.stride + s];
    };
    double* second = out.eta_eta;
    for (index_t b = 0; b < q_; ++b) {
      for (index_t a = 0; a <= b; ++a, second += out.stride)
        for (index_t s = 0; s < rows.n; ++s) second[s] = share(a, s) * (share(b, s) - (a == b ? 1 : 0));
    }
  }

 private:
  index_t q_;
  double factor_;
};

}  // namespace

std::shared_ptr<const Family> multinomial_family(index_t n_classes) {
  if (n_classes < 2)
    throw std::invalid_argument("n_classes must be at least 2, got " + std::to_string(n_classes));
  return std::make_shared<const Multinomial>(n_classes);
}

}  // namespace moefast
