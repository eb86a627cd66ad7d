#include "em/solve.hpp"

#include <utility>

#include "em/polled_factors.hpp"

namespace moefast {
namespace {

constexpr double kRankTolerance = 1e-11;
// Squared pivots of a unit-diagonal matrix are 1 - R^2 of a column on those before it.
constexpr double kSmallestPivot = 1e3 * kRankTolerance;
// Up to this size a plain loop is faster than Eigen's factorisation.
constexpr index_t kSmall = 24;

// Cholesky column by column, L in the lower triangle; false as soon as a squared pivot is not above
// `smallest`.
bool small_cholesky(Eigen::MatrixXd& S, double smallest) {
  const index_t n = S.rows();
  for (index_t j = 0; j < n; ++j) {
    double* const column = S.data() + j * n;
    for (index_t k = 0; k < j; ++k) {
      const double* const before = S.data() + k * n;
      const double factor = before[j];
      for (index_t i = j; i < n; ++i) column[i] -= factor * before[i];
    }
    if (!(column[j] > smallest)) return false;
    const double pivot = std::sqrt(column[j]), inverse = 1 / pivot;
    column[j] = pivot;
    for (index_t i = j + 1; i < n; ++i) column[i] *= inverse;
  }
  return true;
}

}  // namespace

Eigen::MatrixXd& SemidefiniteSystem::matrix(index_t n) {
  S_.resize(n, n);
  return S_;
}

void SemidefiniteSystem::factor(const Poll& poll, const LongSolve& from) {
  const index_t n = size();
  scale_.resize(n);
  diagonal_.resize(n);
  for (index_t j = 0; j < n; ++j) scale_[j] = S_(j, j) > 0 ? 1 / std::sqrt(S_(j, j)) : 0.0;
  const bool polls = poll && n > kSmall;
  for (index_t j = 0; j < n; ++j) {
    if (polls) poll();
    double *const column = S_.data() + j * n, *const row = S_.data() + j;
    const double scale = scale_[j];
    diagonal_[j] = column[j] = scale * column[j] * scale;
    for (index_t i = j + 1; i < n; ++i) row[i * n] = column[i] = scale_[i] * column[i] * scale;
  }
  if (cholesky(from, poll)) {
    form_ = Form::cholesky;
    inverse_ = S_.diagonal().cwiseInverse();
    return;
  }
  if (n > from.eigen) {
    form_ = Form::polled;
    return;
  }
  restore(poll);
  SymmetricEigen eigen = symmetric_eigen(S_);
  const double smallest = kRankTolerance * eigen.values.cwiseAbs().maxCoeff();
  inverse_ = eigen.values.unaryExpr([smallest](double v) { return v > smallest ? 1 / v : 0.0; });
  eigenvectors_ = std::move(eigen.vectors);
  form_ = Form::eigen;
}

bool SemidefiniteSystem::cholesky(const LongSolve& from, const Poll& poll) {
  if (size() > from.cholesky) return polled_cholesky(S_, kSmallestPivot, poll);
  if (size() <= kSmall) return small_cholesky(S_, kSmallestPivot);
  return cholesky_in_place(S_) && S_.diagonal().array().square().minCoeff() > kSmallestPivot;
}

// S after its factor has failed, in both triangles.
void SemidefiniteSystem::restore(const Poll& poll) const {
  for (index_t j = 0; j < size(); ++j) {
    if (poll) poll();
    S_(j, j) = diagonal_[j];
    for (index_t i = j + 1; i < size(); ++i) S_(i, j) = S_(j, i);
  }
}

void SemidefiniteSystem::solve(Eigen::Ref<Eigen::VectorXd> b, const Poll& poll) const {
  const index_t n = size();
  b.array() *= scale_.array();
  if (form_ == Form::cholesky) {
    for (index_t j = 0; j < n; ++j) {
      const double value = b[j] *= inverse_[j];
      const double* const column = S_.data() + j * n;
      for (index_t i = j + 1; i < n; ++i) b[i] -= value * column[i];
    }
    for (index_t j = n; j-- > 0;) {
      const index_t rest = n - j - 1;
      b[j] = (b[j] - S_.col(j).tail(rest).dot(b.tail(rest))) * inverse_[j];
    }
  } else if (form_ == Form::eigen) {
    const Eigen::VectorXd rotated = eigenvectors_.transpose() * b;
    b = eigenvectors_ * inverse_.cwiseProduct(rotated);
  } else {  // spoils S
    restore(poll);
    b = polled_pseudo_solve(S_, b, kRankTolerance, poll);
  }
  b.array() *= scale_.array();
}

Eigen::VectorXd solve_semidefinite(const Eigen::MatrixXd& A, const Eigen::VectorXd& b, const Poll& poll,
                                   const LongSolve& from) {
  SemidefiniteSystem system;
  system.matrix(A.rows()) = A;
  system.factor(poll, from);
  Eigen::VectorXd x = b;
  system.solve(x, poll);
  return x;
}

}  // namespace moefast
