#include "em/anderson.hpp"

#include "em/counts.hpp"
#include "matrices.hpp"

namespace moefast {
namespace {

constexpr double kRidge = 1e-8;

}  // namespace

bool Anderson::propose(const Eigen::VectorXd& theta, const Eigen::VectorXd& image,
                       Eigen::VectorXd& proposal) {
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
    for (index_t j = 0; j <= i; ++j) gram(i, j) = gram(j, i) = d_step_[size(i)].dot(d_step_[size(j)]);
    right[i] = d_step_[size(i)].dot(step);
  }
  // Differences become parallel as the run arrives; the ridge keeps rounding out of gamma.
  gram.diagonal().array() += kRidge * gram.trace();
  Eigen::VectorXd gamma;
  if (!solve_ldlt(gram, right, gamma)) return false;
  proposal = image;
  for (index_t i = 0; i < m; ++i) proposal -= gamma[i] * (d_theta_[size(i)] + d_step_[size(i)]);
  // Backwards: near a saddle, where steps grow, the fixed point that this leads to lies behind.
  return proposal.allFinite() && (proposal - theta).dot(step) > 0;
}

}  // namespace moefast
