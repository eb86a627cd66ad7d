// The covariances of several responses: Sigma_i = L_i L_i' of an expert, or one of all.
//
// With S = sum w r e e' of the residuals e the M-step is Sigma = S / N, its eigenvalues in the units of the
// floor F (EmSettings::least_covariance) raised to 1: the maximum of -N log det Sigma - tr(Sigma^-1 S) over
// all Sigma >= F. A diagonal one is as many variances.
//
// Where derivatives are taken its numbers are, with M = L^-1 and z = M e,
//
//     l_r = -log M_rr (log s for one response),   M_rc for c < r,
//
// row by row (a diagonal one has the first alone): log f = sum_r (-l_r - z_r^2 / 2) is concave in M.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "em/information_layout.hpp"
#include "matrices.hpp"
#include "moefast/em.hpp"

namespace moefast {

class ResponseCovariance {
 public:
  // For settings whose family has covariances; else nothing may be asked of it. The settings have to outlive
  // it.
  explicit ResponseCovariance(const EmSettings& settings);

  // S of expert i among packed sums, with the ridge: alpha sum_j a_j a_j' over the columns j of its slopes.
  RowMatrix squares(const std::vector<double>& packed, const MixtureParameters& p, index_t i) const;
  // M of expert i, lower triangular.
  RowMatrix whitening(const MixtureParameters& p, index_t i) const;

  // alpha sum_i tr(A_i' Sigma_i^-1 A_i) of the slopes: twice what the ridge takes off.
  double penalty(const MixtureParameters& p) const;

  // Sets the covariance of expert i, or of all where it is shared, to the nearest one that is allowed.
  void set(MixtureParameters& p, index_t i, const Eigen::MatrixXd& covariance) const;
  // The M-step.
  void update(MixtureParameters& p, const std::vector<double>& packed, const std::vector<double>& totals,
              double least_total) const;
  // Whether an eigenvalue in the units of the floor is 1, or a variance at the floor.
  bool at_floor(const MixtureParameters& p, index_t i) const;

  // The numbers of expert i.
  void read(const MixtureParameters& p, index_t i, double* numbers) const;
  void write(const double* numbers, index_t i, MixtureParameters& p) const;
  // The gradient of the objective by experts and covariances, in theta of information.hpp.
  void add_gradient(const MixtureParameters& p, const EmStatistics& stats, const ThetaLayout& layout,
                    Eigen::VectorXd& out) const;
  // The second derivative of the ridge alpha / 2 sum_j |M a_j|^2 over the columns of the slopes: as of a row
  // with the residuals a_j, without the logarithms.
  void add_ridge(const MixtureParameters& p, const ThetaLayout& layout, Eigen::MatrixXd& hessian) const;
  template <class See>
  void for_numbers(const See& see) const {
    for_covariance(q_, diagonal_, see);
  }

  // The largest slope of the mean objective by relative changes of M, of one covariance: S and total are
  // those of all its experts.
  double steepest(const MixtureParameters& p, index_t i, const RowMatrix& S, double total) const;

  index_t n_numbers() const { return n_numbers_; }

 private:
  Eigen::MatrixXd in_floor_units(const Eigen::MatrixXd& covariance) const;

  const EmSettings& settings_;
  index_t q_ = 0, n_numbers_ = 0;
  bool diagonal_ = false;
  RowMatrix floor_;  // its Cholesky factor
};

}  // namespace moefast
