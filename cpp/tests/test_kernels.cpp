// The kernels that read rows, exp and log, and the E-step, against plain loops.
#include <limits>
#include <numbers>

#include "check.hpp"
#include "kernels/kernels.hpp"

namespace moefast::tests {
namespace {

using kernels::kSampleStep;

template <class Real>
void rows_kernels() {
  const kernels::Kernels<Real>& kernel = kernels::of<Real>();
  Random random(11);
  for (const index_t samples : {0, 1, 3, 4, 7, 8, 9, 16, 33}) {
    for (index_t cols = 1; cols <= 35; ++cols) {
      const std::string what = text({{"samples", samples}, {"cols", cols}});
      const index_t ldx = cols + 2, ldu = cols + 1, ldt = samples + 3;
      const auto X = random.integers<Real>((samples + 1) * ldx, 50);
      const auto w = random.integers(samples), centre = random.integers(cols, 9);
      std::vector<double> scale(size(cols));
      for (double& x : scale) x = std::ldexp(1.0, static_cast<int>(random.below(9)) - 4);
      auto sums = random.integers(cols), bounds = std::vector<double>(size(cols), 3.0);
      auto U = random.integers<Real>((samples + 1) * ldu), T = random.integers<Real>(cols * ldt);
      auto sums_wanted = sums, bounds_wanted = bounds;
      auto U_wanted = U, T_wanted = T;
      for (index_t s = 0; s < samples; ++s) {
        for (index_t j = 0; j < cols; ++j) {
          const double x = static_cast<double>(X[size(s * ldx + j)]);
          sums_wanted[size(j)] += w[size(s)] * x;
          bounds_wanted[size(j)] = std::max(bounds_wanted[size(j)], std::abs(x));
          U_wanted[size(s * ldu + j)] = T_wanted[size(j * ldt + s)] =
              static_cast<Real>((x - centre[size(j)]) * scale[size(j)]);
        }
      }
      kernel.scan_rows(samples, cols, X.data(), ldx, w.data(), sums.data(), bounds.data());
      kernel.centre_rows(samples, cols, X.data(), ldx, centre.data(), scale.data(), U.data(), ldu);
      kernel.centre_rows_transposed(samples, cols, X.data(), ldx, centre.data(), scale.data(), T.data(), ldt);
      CHECK_AT(sums == sums_wanted, what);
      CHECK_AT(bounds == bounds_wanted, what);
      CHECK_AT(U == U_wanted, what);
      CHECK_AT(T == T_wanted, what);
    }
  }
  // A NaN reaches the sum of its column, and no other.
  for (index_t bad = 0; bad < 11; ++bad) {
    auto X = random.integers<Real>(5 * 11);
    X[size(2 * 11 + bad)] = static_cast<Real>(NAN);
    const std::vector<double> w(5, 1.0);
    std::vector<double> sums(11), bounds(11);
    kernel.scan_rows(5, 11, X.data(), 11, w.data(), sums.data(), bounds.data());
    for (index_t j = 0; j < 11; ++j) CHECK(std::isnan(sums[size(j)]) == (j == bad));
  }
  double sink = NAN;
  CHECK(kernel.fma_peak(10, &sink) > 0);
  CHECK(std::isfinite(sink));
}

// Units in the last place between found and wanted.
bool within_units(double found, double wanted, double units) {
  if (std::isnan(wanted)) return std::isnan(found);
  if (std::isinf(wanted) || wanted == 0) return found == wanted;
  const double unit = std::max(std::abs(wanted) * std::numeric_limits<double>::epsilon(),
                               std::numeric_limits<double>::denorm_min());
  return std::abs(found - wanted) <= units * unit;
}

void exponentials_and_logarithms() {
  Random random(12);
  const double inf = std::numeric_limits<double>::infinity();
  std::vector<double> x = {0.0,     -0.0,   1.0,    -1.0,   inf,    -inf,  NAN,    709.782, 709.79, 710.5,
                           -708.4,  -740.0, -745.1, -745.2, -800.0, 1e300, -1e300, 5e-324,  1e-310, 2.3e-308,
                           1.7e308, 0.7071, 0.7072, 1.4142, 1.4143, 2.0,   0.5,    1e-17,   -1e-17};
  for (int i = 0; i < 3000; ++i) x.push_back((random.uniform() - 0.5) * 1500);
  for (int i = 0; i < 500; ++i) x.push_back((random.uniform() - 0.5) * 2);
  for (int i = 0; i < 3000; ++i)
    x.push_back(std::ldexp(1 + random.uniform(), static_cast<int>(random.below(2090)) - 1070));
  for (int i = 0; i < 500; ++i) x.push_back(1 + (random.uniform() - 0.5) * 1e-3);
  std::vector<double> exps(x.size()), logs(x.size());
  const kernels::KernelTable& table = kernels::active();
  table.exponentials(static_cast<index_t>(x.size()), x.data(), exps.data());
  table.logarithms(static_cast<index_t>(x.size()), x.data(), logs.data());
  for (std::size_t i = 0; i < x.size(); ++i) {
    CHECK_AT(within_units(exps[i], std::exp(x[i]), 3), "exp of " + std::to_string(x[i]));
    CHECK_AT(within_units(logs[i], std::log(x[i]), 3), "log of " + std::to_string(x[i]));
  }
  for (index_t n = 0; n <= 20; ++n) {  // ends of vectors
    const std::vector<double> some(x.begin() + 100, x.begin() + 100 + n);
    std::vector<double> out(size(n) + 1, 7.0);
    table.exponentials(n, some.data(), out.data());
    for (index_t i = 0; i < n; ++i) CHECK(within_units(out[size(i)], std::exp(some[size(i)]), 3));
    CHECK(out.back() == 7);
    table.logarithms(n, some.data(), out.data());
    for (index_t i = 0; i < n; ++i) CHECK(within_units(out[size(i)], std::log(some[size(i)]), 3));
    CHECK(out.back() == 7);
  }
}

void expectation(index_t k, index_t samples, bool with_given, double spread) {
  Random random(13);
  const std::string what = text({{"k", k}, {"samples", samples}, {"given", with_given}});
  const index_t stride = samples + kSampleStep, n_weights = k + k * (k - 1) / 2;
  auto scores = random.normals(2 * k * stride);
  for (index_t i = k * stride; i < 2 * k * stride; ++i) scores[size(i)] *= spread;
  const auto y = random.normals(samples);
  auto w = random.normals(samples), given = random.normals(k * stride), log_scale = random.normals(k);
  for (double& v : w) v = std::abs(v);
  w.back() = 0;
  std::vector<double> inverse_sigma(size(k));
  for (double& v : inverse_sigma) v = 0.5 + random.uniform();
  std::vector<double> weights(size(n_weights * stride)), residuals(size(k * stride)),
      slopes(size(k * stride));
  std::vector<double> lane_sums(size((2 * k + 1) * kSampleStep), 0.125);

  kernels::Expectation a;
  a.samples = samples, a.k = k, a.stride = stride;
  a.scores = scores.data(), a.y = y.data(), a.w = w.data(), a.given = with_given ? given.data() : nullptr;
  a.inverse_sigma = inverse_sigma.data(), a.log_scale = log_scale.data();
  a.weights = weights.data(), a.residuals = residuals.data(), a.slopes = slopes.data();
  a.lane_sums = lane_sums.data();
  kernels::active().expectation(a);

  std::vector<double> totals(size(2 * k + 1), 0.125 * kSampleStep), sizes(totals);
  constexpr double tolerance = 2e-13;
  for (index_t s = 0; s < samples; ++s) {
    const auto at = [&](index_t row) { return size(row * stride + s); };
    std::vector<double> p(size(k)), h(size(k)), r(size(k));
    double top = -INFINITY, gate_sum = 0, best = -INFINITY, joint_sum = 0;
    for (index_t i = 0; i < k; ++i) top = std::max(top, scores[at(k + i)]);
    for (index_t i = 0; i < k; ++i) gate_sum += p[size(i)] = std::exp(scores[at(k + i)] - top);
    for (index_t i = 0; i < k; ++i) {
      const double z = (y[size(s)] - scores[at(i)]) * inverse_sigma[size(i)];
      h[size(i)] = scores[at(k + i)] - top - std::log(gate_sum) - 0.5 * z * z - log_scale[size(i)];
      p[size(i)] /= gate_sum;
      best = std::max(best, h[size(i)]);
    }
    for (index_t i = 0; i < k; ++i) joint_sum += r[size(i)] = std::exp(h[size(i)] - best);
    const double ws = w[size(s)], log_p = best + std::log(joint_sum);
    totals[size(2 * k)] += ws * log_p;
    sizes[size(2 * k)] += ws * (1 + std::abs(log_p) + spread);
    for (index_t i = 0; i < k; ++i) {
      const double ri = with_given ? given[at(i)] : r[size(i)] / joint_sum;
      const double e = y[size(s)] - scores[at(i)];
      const double scale = ws * (1 + std::abs(ri)) * (1 + spread);
      totals[size(i)] += ws * ri, sizes[size(i)] += scale;
      totals[size(k + i)] += ws * ri * e * e, sizes[size(k + i)] += scale * e * e;
      CHECK_AT(close(weights[at(i)], ws * ri, tolerance, scale), what);
      CHECK_AT(close(residuals[at(i)], ws * ri * e, tolerance, scale * (1 + std::abs(e))), what);
      CHECK_AT(close(slopes[at(i)], ws * (ri - p[size(i)]), tolerance, scale), what);
    }
    for (index_t i = 0, row = k; i + 1 < k; ++i) {
      for (index_t j = i; j + 1 < k; ++j, ++row) {
        const double product = ws * p[size(i)] * ((i == j ? 1 : 0) - p[size(j)]);
        CHECK_AT(close(weights[at(row)], product, tolerance, ws * (1 + spread)), what);
      }
    }
  }
  for (index_t row = 0; row <= 2 * k; ++row) {
    double sum = 0;
    for (index_t l = 0; l < kSampleStep; ++l) sum += lane_sums[size(row * kSampleStep + l)];
    CHECK_AT(close(sum, totals[size(row)], tolerance, sizes[size(row)]), what);
  }
}

}  // namespace

void test_kernels() {
  rows_kernels<double>();
  rows_kernels<float>();
  exponentials_and_logarithms();
  for (index_t k = 1; k <= 6; ++k) {
    for (const index_t samples : {kSampleStep, 7 * kSampleStep}) {
      for (const bool with_given : {false, true}) {
        for (const double spread : {1.0, 500.0}) expectation(k, samples, with_given, spread);
      }
    }
  }
}

}  // namespace moefast::tests
