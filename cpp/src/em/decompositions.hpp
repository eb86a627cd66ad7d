// Eigen's decompositions of symmetric matrices, compiled once: in each file that names them their templates
// take the compiler two to four seconds.
#pragma once

#include <Eigen/Core>

namespace moefast {

// S = V diag(values) V', values in increasing order, V in columns.
struct SymmetricEigen {
  Eigen::VectorXd values;
  Eigen::MatrixXd vectors;
};

// The lower triangle of S is read.
SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& S);

// Cholesky, L in the lower triangle of S; what lies above the diagonal stays. False where S is not positive
// definite.
bool cholesky_in_place(Eigen::Ref<Eigen::MatrixXd, 0, Eigen::OuterStride<>> S);

// (L L')^-1; the lower triangle of L is read.
Eigen::MatrixXd inverse_of_cholesky(const Eigen::MatrixXd& L);

}  // namespace moefast
