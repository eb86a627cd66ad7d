// Several responses, normal with a covariance Sigma = L L': with M = L^-1, e = y - eta and z = M e
//
//     log f = sum_r (log M_rr - z_r^2 / 2) - q / 2 log 2 pi.
//
// The slope is Sigma d log f / d eta = e and the weight 1, so that an expert has one Gram matrix for all its
// responses whatever its covariance: the M-step is that of least squares. The numbers of a covariance are
// those of em/covariance.hpp, l_r = -log M_rr and M_rc for c < r.
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

#include "families/functions.hpp"
#include "moefast/family.hpp"

namespace moefast {
namespace {

using namespace families;

class MultivariateNormal final : public Family {
 public:
  MultivariateNormal(index_t n_responses, bool diagonal) : q_(n_responses), diagonal_(diagonal) {}

  index_t n_predictors() const override { return q_; }
  bool has_scale() const override { return true; }
  bool has_covariance() const override { return true; }
  bool diagonal_covariance() const override { return diagonal_; }

  void terms(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
             const FamilyTerms& out) const override {
    const std::vector<double> M = inverse(dispersion.cholesky);
    by_blocks(rows.n, [&](index_t first, index_t length) {
      const auto residuals = [&](index_t a) { return out.slope + a * out.stride + first; };
      for (index_t a = 0; a < q_; ++a) {
        const double *const y = rows.y + a * rows.stride + first, *const t = eta + a * out.stride + first;
        double* const e = residuals(a);
        for (index_t s = 0; s < length; ++s) e[s] = y[s] - t[s];
      }
      double z[kBlock], log_density[kBlock];
      std::fill_n(log_density, length, constant(M));
      for (index_t r = 0; r < q_; ++r) {
        whiten(M, r, length, residuals, z);
        for (index_t s = 0; s < length; ++s) log_density[s] -= 0.5 * z[s] * z[s];
      }
      std::copy_n(log_density, length, out.log_density + first);
      std::fill_n(out.weight + first, length, 1.0);
    });
  }

  // With e and z as above, c <= r, and every number of one row r of M apart from those of others:
  //
  //     by eta_j: (M'z)_j                  by eta_i, eta_j: -(M'M)_ij
  //     by M_rc: -z_r e_c                  by M_rc, M_rd: -e_c e_d
  //     by eta_j, M_rc: [j = c] z_r + e_c M_rj
  //     l_r: d / dl_r = -M_rr d / dM_rr, with log M_rr: z_r e_r M_rr - 1; by l_r twice: -M_rr e_r (M_rr e_r +
  //     z_r)
  void derivatives(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
                   const FamilyDerivatives& out) const override {
    const std::vector<double> M = inverse(dispersion.cholesky);
    const index_t m = n_scales();
    by_blocks(rows.n, [&](index_t first, index_t length) {
      std::vector<double> residuals(at(q_ * kBlock)), whitened(at(q_ * kBlock));
      const auto e = [&](index_t a) { return residuals.data() + a * kBlock; };
      const auto z = [&](index_t a) { return whitened.data() + a * kBlock; };
      const auto row = [&](double* panel, index_t a) { return panel + a * out.stride + first; };
      for (index_t a = 0; a < q_; ++a)
        for (index_t s = 0; s < length; ++s)
          e(a)[s] = rows.y[a * rows.stride + first + s] - eta[a * out.stride + first + s];
      std::fill_n(out.log_density + first, length, constant(M));
      for (index_t r = 0; r < q_; ++r) {
        whiten(M, r, length, e, z(r));
        for (index_t s = 0; s < length; ++s) out.log_density[first + s] -= 0.5 * z(r)[s] * z(r)[s];
      }
      for (index_t j = 0; j < q_; ++j) {
        std::fill_n(row(out.eta, j), length, 0.0);
        for (index_t r = j; r < q_; ++r)
          for (index_t s = 0; s < length; ++s) row(out.eta, j)[s] += M[at(r * q_ + j)] * z(r)[s];
        for (index_t i = 0; i <= j; ++i) {
          double sum = 0;
          for (index_t r = j; r < q_; ++r) sum += M[at(r * q_ + i)] * M[at(r * q_ + j)];
          std::fill_n(row(out.eta_eta, j * (j + 1) / 2 + i), length, -sum);
        }
      }
      // What a derivative by a number of M is times that of M_rc: 1, or -M_rr of l_r.
      const auto unit = [&](index_t r, index_t c) { return r == c ? -M[at(r * q_ + r)] : 1.0; };
      for_numbers([&](index_t b, index_t r, index_t c) {
        for (index_t s = 0; s < length; ++s)
          row(out.l, b)[s] = -unit(r, c) * z(r)[s] * e(c)[s] - (r == c ? 1 : 0);
        for (index_t j = 0; j < q_; ++j) {
          double* const mixed = row(out.eta_l, j * m + b);
          for (index_t s = 0; s < length; ++s)
            mixed[s] = unit(r, c) * ((j == c ? z(r)[s] : 0) + e(c)[s] * M[at(r * q_ + j)]);
        }
        for_numbers([&](index_t a, index_t of_a, index_t d) {
          if (a > b) return;
          double* const both = row(out.l_l, b * (b + 1) / 2 + a);
          const double factor = of_a == r ? -unit(r, c) * unit(r, d) : 0;
          for (index_t s = 0; s < length; ++s) both[s] = factor * e(c)[s] * e(d)[s];
          if (a == b && r == c)
            for (index_t s = 0; s < length; ++s) both[s] += unit(r, r) * z(r)[s] * e(r)[s];
        });
      });
    });
  }

 private:
  static std::size_t at(index_t n) { return static_cast<std::size_t>(n); }

  template <class See>
  void for_numbers(const See& see) const {
    for_covariance(q_, diagonal_, see);
  }

  // M, by forward substitution.
  std::vector<double> inverse(const double* L) const {
    std::vector<double> M(at(q_ * q_), 0.0);
    for (index_t c = 0; c < q_; ++c) {
      for (index_t r = c; r < q_; ++r) {
        double sum = r == c ? 1 : 0;
        for (index_t j = c; j < r; ++j) sum -= L[r * q_ + j] * M[at(j * q_ + c)];
        M[at(r * q_ + c)] = sum / L[r * q_ + r];
      }
    }
    return M;
  }

  double constant(const std::vector<double>& M) const {
    double sum = -0.5 * static_cast<double>(q_) * std::log(2 * std::numbers::pi);
    for (index_t r = 0; r < q_; ++r) sum += std::log(M[at(r * q_ + r)]);
    return sum;
  }

  // z = row r of M times e.
  template <class Residuals>
  void whiten(const std::vector<double>& M, index_t r, index_t length, const Residuals& residuals,
              double* z) const {
    const double own = M[at(r * q_ + r)], *const last = residuals(r);
    for (index_t s = 0; s < length; ++s) z[s] = own * last[s];
    for (index_t c = 0; c < r && !diagonal_; ++c) {
      const double factor = M[at(r * q_ + c)], *const e = residuals(c);
      for (index_t s = 0; s < length; ++s) z[s] += factor * e[s];
    }
  }

  index_t q_;
  bool diagonal_;
};

}  // namespace

std::shared_ptr<const Family> multivariate_normal_family(index_t n_responses, bool diagonal) {
  if (n_responses < 1)
    throw std::invalid_argument("n_responses must be at least 1, got " + std::to_string(n_responses));
  return std::make_shared<const MultivariateNormal>(n_responses, diagonal);
}

}  // namespace moefast
