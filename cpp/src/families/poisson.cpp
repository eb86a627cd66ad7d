// Counts: log f = y eta - exp(eta) - log y!
#include "families/functions.hpp"
#include "moefast/family.hpp"

namespace moefast {
namespace {

using namespace families;

class Poisson final : public CanonicalFamily {
 public:
  void terms(const ResponseRows& rows, const Dispersion&, const double* eta,
             const FamilyTerms& out) const override {
    kernels::active().poisson_terms(canonical_terms(rows, eta, out));
  }
};

}  // namespace

std::shared_ptr<const Family> poisson_family() { return std::make_shared<const Poisson>(); }

}  // namespace moefast
