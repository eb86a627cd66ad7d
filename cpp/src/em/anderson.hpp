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

#include <Eigen/Cholesky>
#include <Eigen/Core>
#include <vector>

#include "moefast/types.hpp"

namespace moefast {

class Anderson {
 public:
  // Differences kept. EM's tail has few slow directions; more of them cost time and condition.
  static constexpr index_t kDepth = 6;

  // Takes theta and M(theta); returns the proposal, or nothing as long as there is no history.
  bool propose(const Eigen::VectorXd& theta, const Eigen::VectorXd& image, Eigen::VectorXd& proposal) {
    const Eigen::VectorXd step = image - theta;
    if (has_last_) {
      if (static_cast<index_t>(d_step_.size()) == kDepth) {
        d_step_.erase(d_step_.begin());
        d_theta_.erase(d_theta_.begin());
      }
      d_step_.push_back(step - last_step_);
      d_theta_.push_back(theta - last_theta_);
    }
    last_step_ = step;
    last_theta_ = theta;
    has_last_ = true;
    const index_t m = static_cast<index_t>(d_step_.size());
    if (m == 0) return false;
    Eigen::MatrixXd gram(m, m);
    Eigen::VectorXd right(m);
    for (index_t i = 0; i < m; ++i) {
      for (index_t j = 0; j <= i; ++j) gram(i, j) = gram(j, i) = d_step_[at(i)].dot(d_step_[at(j)]);
      right[i] = d_step_[at(i)].dot(step);
    }
    // Differences become parallel as the run arrives; the ridge keeps rounding out of gamma.
    gram.diagonal().array() += kRidge * gram.trace();
    const Eigen::LDLT<Eigen::MatrixXd> solver(gram);
    if (solver.info() != Eigen::Success) return false;
    const Eigen::VectorXd gamma = solver.solve(right);
    proposal = image;
    for (index_t i = 0; i < m; ++i) proposal -= gamma[i] * (d_theta_[at(i)] + d_step_[at(i)]);
    // Backwards: near a saddle, where steps grow, the fixed point that this leads to lies behind.
    return proposal.allFinite() && (proposal - theta).dot(step) > 0;
  }

  void forget() {
    d_step_.clear();
    d_theta_.clear();
    has_last_ = false;
  }

 private:
  static constexpr double kRidge = 1e-8;
  static std::size_t at(index_t i) { return static_cast<std::size_t>(i); }

  std::vector<Eigen::VectorXd> d_step_, d_theta_;
  Eigen::VectorXd last_step_, last_theta_;
  bool has_last_ = false;
};

}  // namespace moefast
