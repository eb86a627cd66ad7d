// Golub, Van Loan, Matrix Computations: 4.2 (blocked Cholesky), 8.3 (tridiagonal form, implicit QR steps with
// Wilkinson's shift).
#include "em/polled_factors.hpp"

#include <Eigen/Eigenvalues>
#include <Eigen/Householder>
#include <Eigen/Jacobi>
#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <vector>

namespace moefast {
namespace {

using Eigen::VectorXd;

// Columns of a block of the factor, and rows handled between two polls.
constexpr index_t kColumns = 64;
constexpr index_t kRows = 512;

class TridiagonalForm {
 public:
  TridiagonalForm(Eigen::MatrixXd& S, const Poll& poll)
      : S_(S), factors_(VectorXd::Zero(std::max<index_t>(0, S.rows() - 1))), below_(factors_) {
    for (index_t i = 0; i + 1 < S.rows(); ++i) {
      if (poll) poll();
      const index_t rest = S.rows() - i - 1;
      auto v = S.col(i).tail(rest);
      double& factor = factors_[i];
      v.makeHouseholderInPlace(factor, below_[i]);
      v[0] = 1;
      auto corner = S.bottomRightCorner(rest, rest).selfadjointView<Eigen::Lower>();
      VectorXd p = corner * (factor * v);
      p -= 0.5 * factor * p.dot(v) * v;
      corner.rankUpdate(v, p, -1);
    }
  }

  VectorXd diagonal() const { return S_.diagonal(); }
  const VectorXd& below() const { return below_; }
  void to_tridiagonal(VectorXd& t) const {
    for (index_t i = 0; i < factors_.size(); ++i) reflect(i, t);
  }
  void from_tridiagonal(VectorXd& t) const {
    for (index_t i = factors_.size(); i-- > 0;) reflect(i, t);
  }

 private:
  void reflect(index_t i, VectorXd& t) const {
    const index_t rest = S_.rows() - i - 1;
    const auto v = S_.col(i).tail(rest);
    t.tail(rest) -= factors_[i] * v.dot(t.tail(rest)) * v;
  }

  Eigen::MatrixXd& S_;  // below its diagonal the vectors of the reflections 1 - factor v v'
  VectorXd factors_, below_;
};

// Rotations of neighbours, W, that make a tridiagonal matrix diagonal: W' T W.
class Diagonaliser {
 public:
  Diagonaliser(VectorXd diagonal, VectorXd below, const Poll& poll)
      : diagonal_(std::move(diagonal)), below_(std::move(below)) {
    // What is less is lost in the rounding of the tridiagonal form already.
    const double largest =
        std::max(diagonal_.cwiseAbs().maxCoeff(), below_.size() > 0 ? below_.cwiseAbs().maxCoeff() : 0.0);
    const double zero = std::numeric_limits<double>::epsilon() * largest;
    index_t end = diagonal_.size() - 1;
    // QR steps converge cubically; the bound is for what is not finite.
    for (index_t left = 30 * diagonal_.size(); left > 0; --left) {
      if (poll) poll();
      while (end > 0 && std::abs(below_[end - 1]) <= zero) --end;
      if (end == 0) return;
      index_t start = end - 1;
      while (start > 0 && std::abs(below_[start - 1]) > zero) --start;
      step(start, end);
    }
  }

  const VectorXd& values() const { return diagonal_; }
  void to_diagonal(VectorXd& t) const {
    for (const auto& [k, c, s] : rotations_) {
      const double first = t[k], second = t[k + 1];
      t[k] = c * first - s * second;
      t[k + 1] = s * first + c * second;
    }
  }
  void from_diagonal(VectorXd& t) const {
    for (auto rotation = rotations_.rbegin(); rotation != rotations_.rend(); ++rotation) {
      const auto& [k, c, s] = *rotation;
      const double first = t[k], second = t[k + 1];
      t[k] = c * first + s * second;
      t[k + 1] = c * second - s * first;
    }
  }

 private:
  struct Rotation {
    index_t k;
    double c, s;
  };

  // One implicit QR step on the rows start .. end, whose entries beside the diagonal are not zero.
  void step(index_t start, index_t end) {
    const double half = (diagonal_[end - 1] - diagonal_[end]) / 2, last = below_[end - 1];
    const double shift = diagonal_[end] - last / (half + std::copysign(std::hypot(half, last), half)) * last;
    double x = diagonal_[start] - shift, bulge = below_[start];
    for (index_t k = start; k < end; ++k) {
      Eigen::JacobiRotation<double> rotation;
      rotation.makeGivens(x, bulge);
      const double c = rotation.c(), s = rotation.s();
      const double a = diagonal_[k], b = below_[k], d = diagonal_[k + 1];
      diagonal_[k] = c * (c * a - s * b) - s * (c * b - s * d);
      diagonal_[k + 1] = s * (s * a + c * b) + c * (s * b + c * d);
      below_[k] = c * (s * a + c * b) - s * (s * b + c * d);
      if (k > start) below_[k - 1] = c * below_[k - 1] - s * bulge;
      x = below_[k];
      if (k + 1 < end) {
        bulge = -s * below_[k + 1];
        below_[k + 1] *= c;
      }
      rotations_.push_back({k, c, s});
    }
  }

  VectorXd diagonal_, below_;
  std::deque<Rotation> rotations_;  // some n^2: in chunks, so that growing copies nothing
};

}  // namespace

bool polled_cholesky(MatrixInPlace S, double smallest, const Poll& poll) {
  const index_t n = S.rows();
  for (index_t j = 0; j < n; j += kColumns) {
    if (poll) poll();
    const index_t width = std::min(kColumns, n - j);
    const auto left = S.block(j, 0, width, j);
    auto corner = S.block(j, j, width, width);
    // Eigen divides by the width of what it multiplies.
    if (j > 0) corner.selfadjointView<Eigen::Lower>().rankUpdate(left, -1);
    if (!cholesky_in_place(corner) || !(corner.diagonal().array().square().minCoeff() > smallest)) {
      return false;
    }
    for (index_t i = j + width; i < n; i += kRows) {
      if (poll) poll();
      const index_t rows = std::min(kRows, n - i);
      auto panel = S.block(i, j, rows, width);
      panel.noalias() -= S.block(i, 0, rows, j) * left.transpose();
      corner.adjoint().triangularView<Eigen::Upper>().solveInPlace<Eigen::OnTheRight>(panel);
    }
  }
  return true;
}

SymmetricEigen symmetric_eigen(const Eigen::MatrixXd& S) {
  const double largest = S.cwiseAbs().maxCoeff(), scale = largest > 0 ? largest : 1;
  Eigen::MatrixXd reflections = S / scale;
  const TridiagonalForm form(reflections, {});
  Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd> solver;
  solver.computeFromTridiagonal(form.diagonal(), form.below());
  SymmetricEigen eigen{scale * solver.eigenvalues(), Eigen::MatrixXd(S.rows(), S.rows())};
  for (index_t j = 0; j < S.rows(); ++j) {
    VectorXd vector = solver.eigenvectors().col(j);
    form.from_tridiagonal(vector);
    eigen.vectors.col(j) = vector;
  }
  return eigen;
}

Eigen::VectorXd polled_pseudo_solve(Eigen::MatrixXd& S, const Eigen::VectorXd& t, double tolerance,
                                    const Poll& poll) {
  const TridiagonalForm form(S, poll);
  const Diagonaliser rotations(form.diagonal(), form.below(), poll);
  const double smallest = tolerance * rotations.values().cwiseAbs().maxCoeff();
  VectorXd x = t;
  form.to_tridiagonal(x);
  rotations.to_diagonal(x);
  for (index_t i = 0; i < x.size(); ++i) {
    const double value = rotations.values()[i];
    x[i] = value > smallest ? x[i] / value : 0.0;
  }
  rotations.from_diagonal(x);
  form.from_tridiagonal(x);
  return x;
}

}  // namespace moefast
