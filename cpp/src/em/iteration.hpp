// An EM run under way: where it stands, what it proposes next, what it accepts, and whether it has arrived.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "em/anderson.hpp"
#include "em/e_step.hpp"
#include "em/m_step.hpp"
#include "moefast/em.hpp"

namespace moefast {

class Iteration {
 public:
  // References have to outlive it. When `assignment` is given, an M-step with it comes before the start.
  Iteration(AnyEStep& e_step, MixtureParameters start, const EmSettings& settings,
            const Assignment& assignment, const Poll& poll);

  // Whether the iteration limit leaves another one and the objective can be climbed.
  bool may_continue();

  // The M-step: experts, noise and a full step of the gates.
  void propose();

  // The E-step at what was proposed, and the step there if the objective does not fall. Before that a leap by
  // Anderson acceleration is tried, after it the gates' step is halved and the experts' damped. False when
  // nothing is left to gain.
  bool accept();

  // Whether the objective has settled: twice in a row, and falling gains.
  bool settled();

  // Whether the run will stay below EmSettings::to_beat.
  bool beaten();

  EmResult result() &&;

 private:
  // Parameters and what the E-step says of them.
  struct Point {
    MixtureParameters parameters;
    EmStatistics stats;
    double objective = 0;
  };

  void evaluate(Point& point);
  PassSums wanted() const;
  bool tries_to_leap() const;
  bool leap();
  void halve(double rounding);
  double mean_size() const;  // |mean objective|

  const EmSettings& settings_;
  const Poll& poll_;
  AnyEStep& e_step_;
  MStep m_step_;
  Point current_, next_;                // next_: where a step is tried
  MixtureParameters proposal_;          // by the M-step at current_
  std::vector<double> gate_direction_;  // k x gate_dim, from current_
  Anderson tail_;
  Eigen::VectorXd far_;  // where it leads to
  double damping_ = 0;   // of the next Gauss-Newton step
  // Of the mean objective, by the last step and the one before.
  double gain_ = 0, previous_gain_ = 0;
  bool settled_ = false, was_settled_ = false;
  int times_beaten_ = 0;
  std::vector<double> trace_;
  Status status_ = Status::iteration_limit;
};

// em_run on samples that runs share.
EmResult em_run(const SamplePanels& samples, MixtureParameters start, const EmSettings& settings,
                const Assignment& assignment, const Poll& poll);

}  // namespace moefast
