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
    by_blocks(rows.n, [&](index_t first, index_t length) {
      double e[kBlock], logarithm[kBlock];  // exp(-|eta|), log(1 + exp(-|eta|))
      for (index_t s = 0; s < length; ++s) e[s] = -std::min(std::abs(eta[first + s]), kLargestPredictor);
      exponentials(length, e);
      for (index_t s = 0; s < length; ++s) logarithm[s] = 1 + e[s];
      logarithms(length, logarithm);
      for (index_t s = 0; s < length; ++s) {
        const index_t row = first + s;
        const double t = bounded(eta[row]), m = rows.trials ? rows.trials[row] : 1;
        const double share = 1 / (1 + e[s]), other = e[s] * share;  // of the likelier outcome
        out.log_density[row] = rows.y[row] * t - m * (std::max(t, 0.0) + logarithm[s]) +
                               (rows.row_term ? rows.row_term[row] : 0);
        out.slope[row] = rows.y[row] - m * (t < 0 ? other : share);
        out.weight[row] = m * share * other;
      }
    });
  }
};

}  // namespace

std::shared_ptr<const Family> binomial_family() { return std::make_shared<const Binomial>(); }

}  // namespace moefast
