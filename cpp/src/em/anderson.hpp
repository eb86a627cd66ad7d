// Anderson acceleration of a fixed-point map theta -> M(theta), here one EM iteration.
//
// With steps f_t = M(theta_t) - theta_t, differences dF = (f_j - f_{j-1}), dX = (theta_j - theta_{j-1}) of
// the last few iterations and gamma = argmin |f - dF gamma|, the proposal is
//
//     M(theta) - (dX + dF) gamma,
//
// which for a linear map converges like GMRES. It may overshoot: the caller checks the objective and calls
// `forget` when it does. Source: Walker, Ni, SIAM J. Numer. Anal. 2011; for EM: Henderson, Varadhan, J.
// Comput. Graph. Stat. 2019.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "moefast/types.hpp"

namespace moefast {

class Anderson {
 public:
  // Differences kept. EM's tail has few slow directions; more of them cost time and condition.
  static constexpr index_t kDepth = 6;

  // Takes theta and M(theta); returns the proposal, or nothing as long as there is no history.
  bool propose(const Eigen::VectorXd& theta, const Eigen::VectorXd& image, Eigen::VectorXd& proposal);

  void forget() {
    d_step_.clear();
    d_theta_.clear();
    has_last_ = false;
  }

 private:
  std::vector<Eigen::VectorXd> d_step_, d_theta_;
  Eigen::VectorXd last_step_, last_theta_;
  bool has_last_ = false;
};

}  // namespace moefast
