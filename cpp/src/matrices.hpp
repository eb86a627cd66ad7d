// Eigen's products and decompositions of dense matrices, compiled once: in each file that names them their
// templates take the compiler two to four seconds.
#pragma once

#include <Eigen/Core>

namespace moefast {

using RowMatrix = Eigen::Matrix<double, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

// A matrix, a block of one, or what an expression comes to.
using MatrixView = Eigen::Ref<const Eigen::MatrixXd, 0, Eigen::OuterStride<>>;
using MatrixInPlace = Eigen::Ref<Eigen::MatrixXd, 0, Eigen::OuterStride<>>;

Eigen::MatrixXd product(const MatrixView& A, const MatrixView& B);
Eigen::VectorXd times_vector(const MatrixView& A, const Eigen::VectorXd& v);

// Cholesky, L in the lower triangle of S; what lies above the diagonal stays. False where S is not positive
// definite.
bool cholesky_in_place(MatrixInPlace S);

// (L L')^-1; the lower triangle of L is read.
Eigen::MatrixXd inverse_of_cholesky(const Eigen::MatrixXd& L);

// x = S^-1 b by L D L' with pivots; false where that fails.
bool solve_ldlt(const Eigen::MatrixXd& S, const Eigen::VectorXd& b, Eigen::VectorXd& x);

}  // namespace moefast
