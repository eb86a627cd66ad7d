// The information: against differences of the log-likelihood, against sums over single rows, the same bits
// for any number of threads.
#include "moefast/information.hpp"

#include "check.hpp"

namespace moefast::tests {
namespace {

struct Case {
  index_t n, k;
  bool gates_apart, fit_intercept, fit_gate_intercept, shared_noise;
  std::shared_ptr<const Family> family = nullptr;  // that takes any response
  const char* link = "linear";
};

constexpr index_t kFeatures = 3;

struct Problem {
  std::vector<double> X, y, w, offset;
  EmData data;
  EmSettings settings;
  MixtureParameters at;

  explicit Problem(const Case& c) {
    Random random(7);
    X = random.normals(c.n * kFeatures), y = random.normals(c.n), w = random.normals(c.n);
    for (double& weight : w) weight = std::max(0.0, 1 + weight);
    data.X = X.data(), data.y = y.data(), data.w = w.data(), data.n = c.n, data.d = kFeatures;
    if (c.gates_apart) data.expert_columns = {{0, 2}}, data.gate_columns = {{1}};
    settings.variance_floor = 1e-9;
    settings.fit_intercept = c.fit_intercept, settings.fit_gate_intercept = c.fit_gate_intercept;
    settings.shared_noise = c.shared_noise;
    settings.family = c.family, settings.link = built_in_link(c.link);
    if (c.family) offset = random.normals(c.n), data.offset = offset.data();
    const index_t u = data.expert_dim(), v = data.gate_dim();
    at = {c.k,
          u,
          v,
          random.normals(c.k * u),
          random.normals(c.k * v),
          std::vector<double>(size(c.k), 0.8),
          std::vector<double>(size(c.k), 3.0)};
    std::fill(at.gates.end() - v, at.gates.end(), 0.0);
    for (index_t i = 0; i < c.k; ++i) {
      if (!c.fit_intercept) at.experts[size(i * u + u - 1)] = 0;
      if (!c.fit_gate_intercept) at.gates[size(i * v + v - 1)] = 0;
      if (!c.shared_noise) at.variance[size(i)] = 0.5 + 0.2 * static_cast<double>(i);
    }
  }

  // The parameters with number `p` of theta moved by `step`.
  MixtureParameters moved(index_t p, double step) const {
    MixtureParameters out = at;
    const index_t u = at.expert_dim - (settings.fit_intercept ? 0 : 1),
                  v = at.gate_dim - (settings.fit_gate_intercept ? 0 : 1);
    if (p < at.k * u) {
      out.experts[size(p / u * at.expert_dim + p % u)] += step;
      return out;
    }
    p -= at.k * u;
    if (p < (at.k - 1) * v) {
      out.gates[size(p / v * at.gate_dim + p % v)] += step;
      return out;
    }
    p -= (at.k - 1) * v;
    const index_t scales = settings.shared_noise ? 1 : at.k;
    for (index_t i = 0; i < at.k; ++i) {
      if (p < scales && (settings.shared_noise || i == p)) out.variance[size(i)] *= std::exp(2 * step);
      if (p >= scales && (settings.shared_noise || i == p - scales)) out.shape[size(i)] *= std::exp(step);
    }
    return out;
  }
  double log_likelihood(const MixtureParameters& p) const {
    return e_step(data, p, settings, {}, {}).log_likelihood;
  }
};

void derivatives(const Case& c) {
  const std::string what = text({{"n", c.n},
                                 {"k", c.k},
                                 {"gates_apart", c.gates_apart},
                                 {"intercepts", 2 * c.fit_intercept + c.fit_gate_intercept},
                                 {"shared_noise", c.shared_noise}});
  Problem problem(c);
  const index_t P = n_parameters(problem.at, problem.settings);
  const Information found = information(problem.data, problem.at, problem.settings, {});
  const std::vector<double> rows = row_scores(problem.data, problem.at, problem.settings, {});
  CHECK_AT(found.score.size() == size(P) && found.hessian.size() == size(P * P), what);
  const double scale = static_cast<double>(c.n), h = 1e-5;
  for (index_t p = 0; p < P; ++p) {
    const MixtureParameters above = problem.moved(p, h), below = problem.moved(p, -h);
    const double slope = (problem.log_likelihood(above) - problem.log_likelihood(below)) / (2 * h);
    CHECK_AT(close(found.score[size(p)], slope, 1e-6, scale), what);
    const Information up = information(problem.data, above, problem.settings, {}),
                      down = information(problem.data, below, problem.settings, {});
    double sum = 0;
    for (index_t s = 0; s < c.n; ++s) sum += problem.w[size(s)] * rows[size(s * P + p)];
    CHECK_AT(close(found.score[size(p)], sum, 1e-12, scale), what);
    for (index_t q = 0; q < P; ++q) {
      const double bend = (up.score[size(q)] - down.score[size(q)]) / (2 * h);
      CHECK_AT(close(found.hessian[size(p * P + q)], bend, 1e-6, scale), what);
      double product = 0;
      for (index_t s = 0; s < c.n; ++s)
        product += problem.w[size(s)] * rows[size(s * P + p)] * rows[size(s * P + q)];
      CHECK_AT(close(found.score_products[size(p * P + q)], product, 1e-11, scale), what);
    }
  }
}

void threads() {
  Problem problem({20000, 2, false, true, true, false});
  const Information alone = information(problem.data, problem.at, problem.settings, {});
  const std::vector<double> rows = row_scores(problem.data, problem.at, problem.settings, {});
  for (const int n_threads : {2, 5}) {
    problem.settings.n_threads = n_threads;
    const Information found = information(problem.data, problem.at, problem.settings, {});
    CHECK(found.score == alone.score && found.hessian == alone.hessian);
    CHECK(found.score_products == alone.score_products);
    CHECK(row_scores(problem.data, problem.at, problem.settings, {}) == rows);
  }
}

}  // namespace

void test_information() {
  for (const index_t n : {1, 100, 400})
    for (const index_t k : {1, 3})
      for (const bool gates_apart : {false, true})
        for (const bool shared_noise : {false, true})
          derivatives({n, k, gates_apart, true, true, shared_noise});
  derivatives({100, 2, false, true, false, false});
  derivatives({100, 2, false, false, true, false});
  derivatives({100, 2, true, false, false, true});
  for (const bool shared_noise : {false, true}) {
    derivatives({400, 2, true, true, true, shared_noise, student_t_family({})});
    derivatives({400, 3, false, true, true, shared_noise, tobit_family(-0.5, 0.5)});
    derivatives({400, 2, false, true, true, shared_noise, nullptr, "silu"});
  }
  threads();
}

}  // namespace moefast::tests
