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
  const auto scaled = [&](Eigen::Index i, Eigen::Index j) { return scale[i] * A(i, j) * scale[j]; };
  // The gates' Hessian can be large, so there is one copy: the factor takes the lower triangle, the upper one
  // keeps the matrix.
  Eigen::MatrixXd S(A.rows(), A.rows());
  for (Eigen::Index j = 0; j < A.rows(); ++j) {
    for (Eigen::Index i = j; i < A.rows(); ++i) S(i, j) = S(j, i) = scaled(i, j);
  }
  const Eigen::VectorXd t = scale.cwiseProduct(b);
  const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> cholesky(S);
  // Squared pivots of a unit-diagonal matrix are 1 - R^2 of a column on those before it.
  if (cholesky.info() == Eigen::Success && S.diagonal().array().square().minCoeff() > 1e3 * kRankTolerance) {
    return scale.cwiseProduct(cholesky.solve(t));
  }
  for (Eigen::Index j = 0; j < A.rows(); ++j) {
    S(j, j) = scaled(j, j);
    for (Eigen::Index i = j + 1; i < A.rows(); ++i) S(i, j) = S(j, i);
  }
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(S);
  const double smallest = kRankTolerance * eigen.eigenvalues().cwiseAbs().maxCoeff();
  const Eigen::VectorXd inverse =
      eigen.eigenvalues().unaryExpr([smallest](double v) { return v > smallest ? 1 / v : 0.0; });
  const Eigen::VectorXd rotated = eigen.eigenvectors().transpose() * t;
  return scale.cwiseProduct(eigen.eigenvectors() * inverse.cwiseProduct(rotated));
}

}  // namespace moefast
