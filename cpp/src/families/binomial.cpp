// y successes of m trials: log f = y eta - m log(1 + exp(eta)) + log C(m, y). Bernoulli is m = 1.
#include "families/functions.hpp"
#include "moefast/family.hpp"

namespace moefast {
namespace {

using namespace families;

class Binomial final : public CanonicalFamily {
 public:
  void terms(const ResponseRows& rows, const Dispersion&, const double* eta,
             const FamilyTerms& out) const override {
    kernels::active().binomial_terms(canonical_terms(rows, eta, out));
  }
};

}  // namespace

std::shared_ptr<const Family> binomial_family() { return std::make_shared<const Binomial>(); }

}  // namespace moefast
