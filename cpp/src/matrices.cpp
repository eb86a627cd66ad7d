#include "matrices.hpp"

#include <Eigen/Cholesky>
#include <Eigen/Eigenvalues>

namespace moefast {

Eigen::MatrixXd product(const MatrixView& A, const MatrixView& B) { return A * B; }

Eigen::VectorXd times_vector(const MatrixView& A, const Eigen::VectorXd& v) { return A * v; }

SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& S) {
  const Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver(S);
  return {solver.eigenvalues(), solver.eigenvectors()};
}

bool cholesky_in_place(Eigen::Ref<Eigen::MatrixXd, 0, Eigen::OuterStride<>> S) {
  return Eigen::LLT<Eigen::Ref<Eigen::MatrixXd, 0, Eigen::OuterStride<>>>(S).info() == Eigen::Success;
}

Eigen::MatrixXd inverse_of_cholesky(const Eigen::MatrixXd& L) {
  const auto factor = L.triangularView<Eigen::Lower>();
  Eigen::MatrixXd inverse = Eigen::MatrixXd::Identity(L.rows(), L.rows());
  factor.solveInPlace(inverse);
  factor.transpose().solveInPlace(inverse);
  return inverse;
}

bool solve_ldlt(const Eigen::MatrixXd& S, const Eigen::VectorXd& b, Eigen::VectorXd& x) {
  const Eigen::LDLT<Eigen::MatrixXd> factor(S);
  if (factor.info() != Eigen::Success) return false;
  x = factor.solve(b);
  return true;
}

}  // namespace moefast
