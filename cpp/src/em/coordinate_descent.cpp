#include "em/coordinate_descent.hpp"

#include <algorithm>
#include <cmath>

namespace moefast {
namespace {

// Sweeps of one step at most: EM comes back with better sums.
constexpr int kMostSweeps = 200;
// Arrived when no coefficient moves by more than this of the largest that has moved, in units of the
// diagonal.
constexpr double kArrived = 1e-10;

}  // namespace

Eigen::VectorXd lasso_step(const Eigen::MatrixXd& G, const Eigen::VectorXd& t, const Eigen::VectorXd& a,
                           index_t d, double lambda, const Poll& poll) {
  const index_t m = t.size();
  Eigen::VectorXd to = a, rest = t;
  double farthest = 0;
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    if (poll) poll();
    double moved = 0;
    for (index_t j = 0; j < m; ++j) {
      const double bend = G(j, j);
      double aim = 0;  // a column without rows: nothing but the lasso says what its coefficient is
      if (bend > 0) {
        aim = to[j] + rest[j] / bend;
        if (j < d) aim = std::copysign(std::max(0.0, std::abs(aim) - lambda / bend), aim);
      } else if (j >= d || lambda == 0) {
        continue;
      }
      const double step = aim - to[j];
      if (step == 0) continue;
      to[j] = aim == 0 ? 0.0 : aim;
      rest -= step * G.col(j);
      moved = std::max(moved, std::abs(step) * std::sqrt(bend));
    }
    farthest = std::max(farthest, moved);
    if (moved <= kArrived * farthest) break;
  }
  return to - a;
}

}  // namespace moefast
