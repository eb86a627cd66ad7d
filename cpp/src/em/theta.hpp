// The parameters of a mixture as theta of information.hpp, for methods that move all of them at once.
//
// Coefficients that all experts have in common are one parameter: the first expert's stands for the others. A
// log s_i or log shape_i at its bound that would go beyond is not free and stays where it is.
#pragma once

#include <Eigen/Core>
#include <utility>
#include <vector>

#include "em/covariance.hpp"
#include "em/information_layout.hpp"
#include "moefast/em.hpp"

namespace moefast {

class Theta {
 public:
  // Settings and covariance have to outlive it.
  Theta(const ThetaLayout& layout, const EmSettings& settings, const ResponseCovariance& covariance);

  const ThetaLayout& layout() const { return layout_; }

  // Variances that were at the floor before they were made standard deviations and back are there again, and
  // so are shapes.
  MixtureParameters put_on_bounds(MixtureParameters p) const;
  // Of the objective.
  Eigen::VectorXd gradient(const MixtureParameters& p, const EmStatistics& stats) const;
  // From minus the second derivatives of the log-likelihood to those of the objective, with what stands for
  // others having theirs.
  void add_ridges(const MixtureParameters& p, Eigen::MatrixXd& bends) const;
  // The parameters that are free, given the gradient.
  std::vector<index_t> free(const MixtureParameters& p, const Eigen::VectorXd& gradient) const;
  // theta + change, within the bounds.
  MixtureParameters moved(MixtureParameters p, Eigen::VectorXd change) const;

 private:
  std::pair<double, double> bounds(Kind kind) const;
  std::vector<index_t> representatives() const;
  bool is_free(index_t parameter, const MixtureParameters& p, const Eigen::VectorXd& gradient) const;
  template <class See>
  void for_coefficients(const See& see) const;
  template <class See>
  void for_dispersion(const MixtureParameters& p, const See& see) const;
  template <class See>
  void for_covariances(const MixtureParameters& p, const See& see) const;
  template <class See>
  void for_tied(const See& see) const;

  const ThetaLayout layout_;
  const EmSettings& settings_;
  const ResponseCovariance& covariance_;
  const std::vector<index_t> stands_for_;
};

}  // namespace moefast
