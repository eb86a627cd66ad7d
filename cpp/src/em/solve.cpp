#include "em/solve.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>

#include "em/polled_factors.hpp"

namespace moefast {

Eigen::VectorXd solve_semidefinite(const Eigen::MatrixXd& A, const Eigen::VectorXd& b, const Poll& poll,
                                   const LongSolve& from) {
  constexpr double kRankTolerance = 1e-11;
  // Squared pivots of a unit-diagonal matrix are 1 - R^2 of a column on those before it.
  constexpr double kSmallestPivot = 1e3 * kRankTolerance;
  if (A.rows() == 0) return b;  // nothing to fit: no columns and no intercept
  const Eigen::VectorXd diagonal = A.diagonal();
  const Eigen::VectorXd scale = diagonal.unaryExpr([](double a) { return a > 0 ? 1 / std::sqrt(a) : 0.0; });
  const auto scaled = [&](Eigen::Index i, Eigen::Index j) { return scale[i] * A(i, j) * scale[j]; };
  // The gates' Hessian can be large, so there is one copy: the factor takes the lower triangle, the upper one
  // keeps the matrix.
  Eigen::MatrixXd S(A.rows(), A.rows());
  for (Eigen::Index j = 0; j < A.rows(); ++j) {
    if (poll) poll();
    for (Eigen::Index i = j; i < A.rows(); ++i) S(i, j) = S(j, i) = scaled(i, j);
  }
  const Eigen::VectorXd t = scale.cwiseProduct(b);
  if (A.rows() > from.cholesky) {
    if (polled_cholesky(S, kSmallestPivot, poll)) {
      const Eigen::VectorXd half = S.triangularView<Eigen::Lower>().solve(t);
      return scale.cwiseProduct(S.adjoint().triangularView<Eigen::Upper>().solve(half));
    }
  } else {
    const Eigen::LLT<Eigen::Ref<Eigen::MatrixXd>> cholesky(S);
    if (cholesky.info() == Eigen::Success && S.diagonal().array().square().minCoeff() > kSmallestPivot) {
      return scale.cwiseProduct(cholesky.solve(t));
    }
  }
  for (Eigen::Index j = 0; j < A.rows(); ++j) {
    if (poll) poll();
    S(j, j) = scaled(j, j);
    for (Eigen::Index i = j + 1; i < A.rows(); ++i) S(i, j) = S(j, i);
  }
  if (A.rows() > from.eigen) return scale.cwiseProduct(polled_pseudo_solve(S, t, kRankTolerance, poll));
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> eigen(S);
  const double smallest = kRankTolerance * eigen.eigenvalues().cwiseAbs().maxCoeff();
  const Eigen::VectorXd inverse =
      eigen.eigenvalues().unaryExpr([smallest](double v) { return v > smallest ? 1 / v : 0.0; });
  const Eigen::VectorXd rotated = eigen.eigenvectors().transpose() * t;
  return scale.cwiseProduct(eigen.eigenvectors() * inverse.cwiseProduct(rotated));
}

}  // namespace moefast
