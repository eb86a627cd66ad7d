#include "matrices.hpp"

#include <Eigen/Cholesky>

namespace moefast {

Eigen::MatrixXd product(const MatrixView& A, const MatrixView& B) { return A * B; }

Eigen::VectorXd times_vector(const MatrixView& A, const Eigen::VectorXd& v) { return A * v; }

bool cholesky_in_place(MatrixInPlace S) { return Eigen::LLT<MatrixInPlace>(S).info() == Eigen::Success; }

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
