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
    const SameForAll none(0);
    by_blocks(rows.n, [&](index_t first, index_t length) {
      const double* __restrict y = rows.y + first, * __restrict constant =
                                                       none.or_given(rows.row_term, first);
      double* __restrict log_density = out.log_density + first, * __restrict slope = out.slope + first;
      double t[kBlock], mean[kBlock];
      for (index_t s = 0; s < length; ++s) t[s] = eta[first + s], mean[s] = bounded(t[s]);
      exponentials(length, mean);
      for (index_t s = 0; s < length; ++s) {
        log_density[s] = y[s] * t[s] - mean[s] + constant[s];
        slope[s] = y[s] - mean[s];
      }
      std::copy_n(mean, length, out.weight + first);
    });
  }
};

}  // namespace

std::shared_ptr<const Family> poisson_family() { return std::make_shared<const Poisson>(); }

}  // namespace moefast
