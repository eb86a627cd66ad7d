// Small symmetric systems of the M-steps.
#pragma once

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>

namespace moefast {

// Solves A x = b for a symmetric positive semi-definite A (its lower triangle is read). Scaled to unit
// diagonal first, so units do not matter; directions in which A is zero to rounding (collinear or
// constant columns, fewer rows than columns) get no part of x, so x is always finite.
inline Eigen::VectorXd solve_semidefinite(const Eigen::MatrixXd& A, const Eigen::VectorXd& b) {
  constexpr double kRankTolerance = 1e-11;
  const Eigen::VectorXd diagonal = A.diagonal();
  const Eigen::VectorXd scale = diagonal.unaryExpr([](double a) { return a > 0 ? 1 / std::sqrt(a) : 0.0; });
  const Eigen::MatrixXd S =
      scale.asDiagonal() * A.selfadjointView<Eigen::Lower>().toDenseMatrix() * scale.asDiagonal();
  const Eigen::VectorXd t = scale.cwiseProduct(b);
  const Eigen::LLT<Eigen::MatrixXd> cholesky(S);
  // Squared pivots of a unit-diagonal matrix are 1 - R^2 of a column on those before it.
  if (cholesky.info() == Eigen::Success &&
      cholesky.matrixLLT().diagonal().array().square().minCoeff() > 1e3 * kRankTolerance) {
    return scale.cwiseProduct(cholesky.solve(t));
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(S);
  const double smallest = kRankTolerance * eigen.eigenvalues().cwiseAbs().maxCoeff();
  const Eigen::VectorXd inverse =
      eigen.eigenvalues().unaryExpr([smallest](double v) { return v > smallest ? 1 / v : 0.0; });
  const Eigen::VectorXd rotated = eigen.eigenvectors().transpose() * t;
  return scale.cwiseProduct(eigen.eigenvectors() * inverse.cwiseProduct(rotated));
}

}  // namespace moefast
