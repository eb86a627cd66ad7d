#include "em/gate_metric.hpp"

namespace moefast {
namespace {

// Steps that are taken with one Hessian.
constexpr index_t kMostSteps = 1;
// Systems of this size poll while they are filled.
constexpr index_t kPolled = 128;

}  // namespace

bool GateMetric::due() const { return halved_ || age_ >= kMostSteps; }

void GateMetric::update(const EmStatistics& stats, const Poll& poll) {
  const index_t k = static_cast<index_t>(stats.totals.size()), free = k - 1, dim = data_.gate_dim();
  const index_t m = dim - 1 + (settings_.fit_gate_intercept ? 1 : 0);
  if (stats.sums != PassSums::all) return;
  age_ = 0;
  halved_ = false;
  const bool one_design = data_.one_design();
  const std::vector<double>& products = one_design ? stats.products : stats.gate_products;
  const index_t columns = static_cast<index_t>(products.size()) / (dim * (dim + 1) / 2);
  Eigen::MatrixXd& hessian = system_.matrix(free * m);
  const double* packed = products.data() + (one_design ? k : 0);
  for (index_t b = 0; b < m; ++b) {
    if (poll && free * m > kPolled) poll();
    for (index_t a = 0; a <= b; ++a, packed += columns) {
      const double* value = packed;
      const double ridge = a == b && b + 1 < dim ? settings_.gate_alpha : 0;
      for (index_t i = 0; i < free; ++i) {
        for (index_t j = i; j < free; ++j, ++value) {
          const double entry = *value + ridge * ((i == j) - 1.0 / static_cast<double>(k));
          hessian(j * m + b, i * m + a) = entry;
          hessian(j * m + a, i * m + b) = entry;
        }
      }
    }
  }
  system_.factor(poll);
}

void GateMetric::solve(Eigen::VectorXd& gradient, const Poll& poll) {
  system_.solve(gradient, poll);
  ++age_;
}

}  // namespace moefast
