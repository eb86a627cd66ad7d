// The metric of the gates' steps.
#pragma once

#include <Eigen/Core>

#include "em/solve.hpp"
#include "moefast/em.hpp"

namespace moefast {

class GateMetric {
 public:
  // Both have to outlive it.
  GateMetric(const EmData& data, const EmSettings& settings) : data_(data), settings_(settings) {}

  // Whether the next pass should make the products of gates.
  bool due() const;
  void step_was_halved() { halved_ = true; }

  // Takes the Hessian from the sums of a pass, if it has made the products.
  void update(const EmStatistics& stats, const Poll& poll);

  // direction = (H + ridge)^-1 gradient; both have the free gates' coefficients one after another.
  void solve(Eigen::VectorXd& gradient, const Poll& poll);

 private:
  const EmData& data_;
  const EmSettings& settings_;
  SemidefiniteSystem system_;
  index_t age_ = 0;  // steps that were taken with it
  bool halved_ = false;
};

}  // namespace moefast
