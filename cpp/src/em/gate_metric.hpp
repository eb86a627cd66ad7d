// The metric of the gates' steps: the Hessian H of the weighted multinomial logistic regression that the
// M-step of the gates is, with its ridge, seldom made and corrected in between.
//
// The k (k - 1) / 2 products of gates that H is made of are most of a pass from five experts on. A step that
// lowers the objective is halved, so H may be an old one; but with an old H alone steps are so much worse
// that the passes saved are lost again. What repairs it costs next to nothing: from one pass to the next the
// gates move by s and sum_n w p_i v by y = H s, with an H in between, and p_i being what the gates alone say,
// no change of responsibilities comes in. The factor and the pairs (s, y) since it was made give steps by the
// two-loop recursion of limited-memory BFGS (Nocedal, Math. Comp. 1980).
//
// sum w p_i v is a difference of sums that a pass makes anyway, sum w r_i v being a row of the experts'
// products, where experts are linear in what gates see. Elsewhere every pass makes H.
//
// Short runs of searches took 0.5 (k = 10) to 0.9 (k = 3) of the time of those with H in every pass and ended
// as high as with 2 to 4 % fewer iterations; an uncorrected H of every other pass lost twice that. Boehning's
// bound, 1/2 (1 - 11' / k) (x) X'WX, lost 30 units of the objective in 25 iterations, 5 to 13 with
// corrections, and with these four times as many iterations led to the end. Blocks of single gates, doubled
// so that they bound H, need k products in every pass and lost 4 to 8 units. The figures are in
// docs/kernels.md.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "em/solve.hpp"
#include "moefast/em.hpp"

namespace moefast {

class GateMetric {
 public:
  // Both have to outlive it. For gates that are not constant.
  GateMetric(const EmData& data, const EmSettings& settings);

  // Whether the next pass should make the products of gates: always after a step that was halved.
  bool due() const { return halved_ || misjudged_ || age_ >= most_steps_; }
  void step_was_halved() { halved_ = true; }

  // Takes H from the sums of a pass at p if it has made the products, and else learns from them.
  void update(const MixtureParameters& p, const EmStatistics& stats, const Poll& poll);

  // The step from a gradient, in its place; coefficients of free gates one after another.
  void solve(Eigen::VectorXd& gradient, const Poll& poll);

 private:
  // A step and what the gates' gradient changed by, of opposite sign; `inverse` is 1 / (s . y).
  struct Pair {
    Eigen::VectorXd s, y;
    double inverse;
  };

  void factor(const EmStatistics& stats, const Poll& poll);
  void learn(const MixtureParameters& p, const EmStatistics& stats);

  const EmData& data_;
  const EmSettings& settings_;
  const index_t dim_, width_;  // columns that gates see, and of those the columns with coefficients
  index_t most_steps_ = 1;     // with one factor
  SemidefiniteSystem system_;
  index_t age_ = 0;  // steps that were taken with the factor
  bool halved_ = false, misjudged_ = false;
  std::vector<Pair> pairs_;  // the first n_pairs_ are in use
  index_t n_pairs_ = 0;
  // Of the last pass: gates and sum w p_i v with the ridge's part, the gradient there and the step from it.
  Eigen::VectorXd gates_, sums_, gradient_, step_;
};

}  // namespace moefast
