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
    for (index_t s = 0; s < rows.n; ++s) out.weight[s] = bounded(eta[s]);
    exponentials(rows.n, out.weight);
    for (index_t s = 0; s < rows.n; ++s) {
      const double mean = out.weight[s], constant = rows.row_term ? rows.row_term[s] : 0;
      out.log_density[s] = rows.y[s] * bounded(eta[s]) - mean + constant;
      out.slope[s] = rows.y[s] - mean;
    }
  }
};

}  // namespace

std::shared_ptr<const Family> poisson_family() { return std::make_shared<const Poisson>(); }

}  // namespace moefast
