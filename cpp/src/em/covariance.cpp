#include "em/covariance.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "em/polled_factors.hpp"

namespace moefast {
namespace {

// Eigenvalues this near to the floor's are at it, relatively: of responses that depend on each other they are
// known no better.
constexpr double kAtFloor = 1e-5;

// L^-1 B of a lower triangular L: responses are few, so plain loops.
RowMatrix lower_solve(const Eigen::Ref<const RowMatrix>& L, RowMatrix B) {
  for (index_t r = 0; r < L.rows(); ++r) {
    for (index_t b = 0; b < r; ++b) B.row(r) -= L(r, b) * B.row(b);
    B.row(r) /= L(r, r);
  }
  return B;
}

// L with L L' = S, zero above the diagonal; NaN where S is not positive definite.
RowMatrix cholesky(const Eigen::MatrixXd& S) {
  Eigen::MatrixXd factor = S;
  if (!cholesky_in_place(factor)) factor.setConstant(std::numeric_limits<double>::quiet_NaN());
  return factor.triangularView<Eigen::Lower>();
}

// A B without the blocks of large products, whose templates take long to compile and gain nothing here.
template <class A, class B>
RowMatrix times(const A& a, const B& b) {
  return a.lazyProduct(b);
}

}  // namespace

ResponseCovariance::ResponseCovariance(const EmSettings& settings) : settings_(settings) {
  if (!settings.several_responses()) return;
  q_ = settings.family->n_responses();
  n_numbers_ = settings.family->n_scales();
  diagonal_ = settings.family->diagonal_covariance();
  floor_ = cholesky(Eigen::Map<const RowMatrix>(settings.least_covariance.data(), q_, q_));
}

RowMatrix ResponseCovariance::squares(const std::vector<double>& packed, const MixtureParameters& p,
                                      index_t i) const {
  RowMatrix S(q_, q_);
  const double* next = packed.data() + i * p.n_squares();
  for (index_t b = 0; b < q_; ++b)
    for (index_t a = 0; a <= b; ++a) S(a, b) = S(b, a) = *next++;
  if (settings_.alpha > 0) {
    const Eigen::Map<const RowMatrix> experts(p.experts.data() + i * q_ * p.expert_dim, q_, p.expert_dim);
    const auto slopes = experts.leftCols(p.expert_dim - 1);
    S += settings_.alpha * slopes.lazyProduct(slopes.transpose());
  }
  return S;
}

RowMatrix ResponseCovariance::whitening(const MixtureParameters& p, index_t i) const {
  return lower_solve(Eigen::Map<const RowMatrix>(p.cholesky_of(i), q_, q_), RowMatrix::Identity(q_, q_));
}

double ResponseCovariance::penalty(const MixtureParameters& p) const {
  double sum = 0;
  for (index_t i = 0; i < p.k; ++i) {
    const Eigen::Map<const RowMatrix> experts(p.experts.data() + i * q_ * p.expert_dim, q_, p.expert_dim);
    sum += times(whitening(p, i), experts.leftCols(p.expert_dim - 1)).squaredNorm();
  }
  return settings_.alpha * sum;
}

Eigen::MatrixXd ResponseCovariance::in_floor_units(const Eigen::MatrixXd& covariance) const {
  const RowMatrix half = lower_solve(floor_, covariance);
  return lower_solve(floor_, half.transpose());
}

void ResponseCovariance::set(MixtureParameters& p, index_t i, const Eigen::MatrixXd& covariance) const {
  RowMatrix L = RowMatrix::Constant(q_, q_, std::numeric_limits<double>::quiet_NaN());
  if (diagonal_) {
    L.setZero();
    for (index_t r = 0; r < q_; ++r)
      L(r, r) = std::max(std::sqrt(std::max(0.0, covariance(r, r))), floor_.row(r).norm());
  } else if (covariance.allFinite()) {
    const SymmetricEigen eigen = symmetric_eigen(in_floor_units(covariance));
    if (eigen.values[0] >= 1) {
      L = cholesky(covariance);
    } else {
      const RowMatrix half = times(floor_, eigen.vectors) * eigen.values.cwiseMax(1).cwiseSqrt().asDiagonal();
      L = cholesky(times(half, half.transpose()));
    }
  }
  const bool shared = settings_.shared_noise;
  for (index_t j = shared ? 0 : i; j < (shared ? p.k : i + 1); ++j)
    std::copy_n(L.data(), q_ * q_, p.cholesky.data() + j * q_ * q_);
}

void ResponseCovariance::update(MixtureParameters& p, const std::vector<double>& packed,
                                const std::vector<double>& totals, double least_total) const {
  RowMatrix sum = RowMatrix::Zero(q_, q_);
  double total = 0;
  for (index_t i = 0; i < p.k; ++i) {
    const RowMatrix S = squares(packed, p, i);
    sum += S, total += totals[static_cast<std::size_t>(i)];
    if (settings_.shared_noise || !(totals[static_cast<std::size_t>(i)] > least_total)) continue;
    set(p, i, S / totals[static_cast<std::size_t>(i)]);
  }
  if (settings_.shared_noise) set(p, 0, sum / total);
}

bool ResponseCovariance::at_floor(const MixtureParameters& p, index_t i) const {
  const Eigen::Map<const RowMatrix> L(p.cholesky_of(i), q_, q_);
  if (diagonal_) {
    for (index_t r = 0; r < q_; ++r)
      if (L(r, r) <= floor_.row(r).norm() * (1 + kAtFloor)) return true;
    return false;
  }
  return symmetric_eigen(in_floor_units(times(L, L.transpose()))).values[0] <= 1 + kAtFloor;
}

void ResponseCovariance::read(const MixtureParameters& p, index_t i, double* numbers) const {
  const RowMatrix M = whitening(p, i);
  for_numbers([&](index_t at, index_t r, index_t c) { numbers[at] = r == c ? -std::log(M(r, r)) : M(r, c); });
}

void ResponseCovariance::write(const double* numbers, index_t i, MixtureParameters& p) const {
  RowMatrix M = RowMatrix::Zero(q_, q_);
  for_numbers(
      [&](index_t at, index_t r, index_t c) { M(r, c) = r == c ? std::exp(-numbers[at]) : numbers[at]; });
  const RowMatrix L = lower_solve(M, RowMatrix::Identity(q_, q_));
  set(p, i, times(L, L.transpose()));
}

void ResponseCovariance::add_gradient(const MixtureParameters& p, const EmStatistics& stats,
                                      const ThetaLayout& layout, Eigen::VectorXd& out) const {
  const index_t width = layout.width(kExpert);
  for (index_t i = 0; i < p.k; ++i) {
    const RowMatrix M = whitening(p, i);
    const index_t from = i * q_ * p.expert_dim;
    RowMatrix slopes = Eigen::Map<const RowMatrix>(stats.residuals.data() + from, q_, p.expert_dim);
    const Eigen::Map<const RowMatrix> experts(p.experts.data() + from, q_, p.expert_dim);
    slopes.leftCols(p.expert_dim - 1) -= settings_.alpha * experts.leftCols(p.expert_dim - 1);
    slopes = times(M.transpose(), times(M, slopes));
    for (index_t a = 0; a < q_; ++a)
      for (index_t j = 0; j < width; ++j) out[(i * q_ + a) * width + j] += slopes(a, j);
    if (layout.count[kNoise] == 0) continue;
    const RowMatrix MS = times(M, squares(stats.squares, p, i));
    const index_t noise = layout.of_expert(kNoise, i);
    for_numbers([&](index_t at, index_t r, index_t c) {
      out[noise + at] += r == c ? M(r, r) * MS(r, r) - stats.totals[static_cast<std::size_t>(i)] : -MS(r, c);
    });
  }
}

void ResponseCovariance::add_ridge(const MixtureParameters& p, const ThetaLayout& layout,
                                   Eigen::MatrixXd& hessian) const {
  const double alpha = settings_.alpha;
  if (alpha == 0) return;
  const index_t width = layout.width(kExpert);
  for (index_t i = 0; i < p.k; ++i) {
    const RowMatrix M = whitening(p, i), inverse = alpha * times(M.transpose(), M);
    const Eigen::Map<const RowMatrix> experts(p.experts.data() + i * q_ * p.expert_dim, q_, p.expert_dim);
    const auto unit = [&](index_t r, index_t c) { return r == c ? -M(r, r) : 1.0; };
    for (index_t j = 0; j + 1 < p.expert_dim; ++j) {
      const auto at = [&](index_t a) { return (i * q_ + a) * width + j; };
      for (index_t a = 0; a < q_; ++a)
        for (index_t b = 0; b < q_; ++b) hessian(at(a), at(b)) += inverse(a, b);
      if (layout.count[kNoise] == 0) continue;
      const Eigen::VectorXd e = experts.col(j), z = M.lazyProduct(e);
      const index_t noise = layout.of_expert(kNoise, i);
      for_numbers([&](index_t m, index_t r, index_t c) {
        for (index_t a = 0; a < q_; ++a) {
          const double mixed = alpha * unit(r, c) * ((a == c ? z[r] : 0) + e[c] * M(r, a));
          hessian(at(a), noise + m) += mixed;
          hessian(noise + m, at(a)) += mixed;
        }
        for_numbers([&](index_t n, index_t s, index_t d) {
          double both = s == r ? unit(r, c) * unit(r, d) * e[c] * e[d] : 0;
          if (m == n && r == c) both -= unit(r, r) * z[r] * e[r];
          hessian(noise + m, noise + n) += alpha * both;
        });
      });
    }
  }
}

double ResponseCovariance::steepest(const MixtureParameters& p, index_t i, const RowMatrix& S,
                                    double total) const {
  const RowMatrix M = whitening(p, i), slopes = times(times(M, S), M.transpose());
  double largest = 0;
  for_numbers([&](index_t, index_t r, index_t c) {
    const double slope = std::abs(slopes(r, c) - (r == c ? total : 0));
    if (!std::isnan(largest) && !(slope <= largest)) largest = slope;  // NaN stays
  });
  return largest;
}

}  // namespace moefast
