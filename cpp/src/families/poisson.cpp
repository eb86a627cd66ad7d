// Counts: log f = y eta - exp(eta) - log y!
#include "families/functions.hpp"
#include "moefast/family.hpp"

namespace moefast {
namespace {

using namespace families;

// A mean beyond this is one of a step that went too far, and is halved; but it must stay finite.
constexpr double kLargestMean = 1e130;

class Poisson final : public CanonicalFamily {
 public:
  void terms(const ResponseRows& rows, const Dispersion&, const double* eta,
             const FamilyTerms& out) const override {
    const SameForAll none(0);
    by_blocks(rows.n, [&](index_t first, index_t length) {
      const double* __restrict y = rows.y + first, * __restrict constant =
                                                       none.or_given(rows.row_term, first);
      double* __restrict log_density = out.log_density + first, * __restrict slope = out.slope + first;
      double* __restrict mean = out.weight + first;
      double t[kBlock];
      std::copy_n(eta + first, length, t);
      kernels::active().exponentials(length, t, mean);
      for (index_t s = 0; s < length; ++s) {
        const double m = std::min(mean[s], kLargestMean);
        log_density[s] = y[s] * t[s] - m + constant[s];
        slope[s] = y[s] - m;
        mean[s] = m;
      }
    });
  }
};

}  // namespace

std::shared_ptr<const Family> poisson_family() { return std::make_shared<const Poisson>(); }

}  // namespace moefast
