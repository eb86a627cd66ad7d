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
    const SameForAll none(0), one(1);
    by_blocks(rows.n, [&](index_t first, index_t length) {
      const double* __restrict y = rows.y + first, * __restrict constant = none.or_given(rows.row_term, first), * __restrict trials = one.or_given(rows.trials, first);
      double* __restrict log_density = out.log_density + first, * __restrict slope = out.slope + first, * __restrict weight = out.weight + first;
      double t[kBlock], e[kBlock], logarithm[kBlock];  // exp(-|eta|), log(1 + exp(-|eta|))
      for (index_t s = 0; s < length; ++s) {
        t[s] = eta[first + s];
        e[s] = -std::abs(bounded(t[s]));
      }
      exponentials(length, e);
      for (index_t s = 0; s < length; ++s) logarithm[s] = 1 + e[s];
      logarithms(length, logarithm);
      for (index_t s = 0; s < length; ++s) {
        const double m = trials[s], share = 1 / (1 + e[s]),
                     other = e[s] * share;  // share: the likelier outcome's
        log_density[s] = y[s] * t[s] - m * (std::max(t[s], 0.0) + logarithm[s]) + constant[s];
        slope[s] = y[s] - m * (t[s] < 0 ? other : share);
        weight[s] = m * share * other;
      }
    });
  }
};

}  // namespace

std::shared_ptr<const Family> binomial_family() { return std::make_shared<const Binomial>(); }

}  // namespace moefast
