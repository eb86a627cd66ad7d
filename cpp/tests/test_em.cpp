// EM: a pass against plain sums, the same bits for any number of threads, runs that climb, batches of them.
#include <numbers>

#include "check.hpp"
#include "em/anderson.hpp"
#include "moefast/em_batch.hpp"

namespace moefast::tests {
namespace {

struct Problem {
  index_t n, d, k;
  std::vector<double> X, y, w, means, given;
  std::vector<std::int32_t> labels;
  MixtureParameters truth;

  Problem(index_t n, index_t d, index_t k, std::uint64_t seed) : n(n), d(d), k(k) {
    Random random(seed);
    const index_t dim = d + 1;
    truth = {
        k, dim, dim, random.normals(k * dim), random.normals(k * dim), std::vector<double>(size(k), 0.04)};
    std::fill(truth.gates.end() - dim, truth.gates.end(), 0.0);
    X = random.normals(n * d);
    means = random.normals(n * k);
    given = random.normals(n * k);
    w.assign(size(n), 1.0);
    for (index_t s = 0; s < n; ++s) {
      if (s % 3 == 0) w[size(s)] = s % 9 == 0 ? 0.0 : 0.5;
      index_t best = 0;  // a draw from the gates, by Gumbel's trick
      double top = -INFINITY;
      for (index_t i = 0; i < k; ++i) {
        const double score = line(truth.gates, i, s) - std::log(-std::log(random.uniform() + 1e-16));
        if (score > top) top = score, best = i;
      }
      y.push_back(line(truth.experts, best, s) + 0.2 * random.normal());
      labels.push_back(static_cast<std::int32_t>(best));
    }
  }

  // a_i . x + b_i
  double line(const std::vector<double>& rows, index_t i, index_t s) const {
    const index_t dim = d + 1;
    double value = rows[size(i * dim + d)];
    for (index_t j = 0; j < d; ++j) value += rows[size(i * dim + j)] * X[size(s * d + j)];
    return value;
  }
  EmData data() const {
    EmData out;
    out.X = X.data(), out.y = y.data(), out.w = w.data(), out.n = n, out.d = d;
    return out;
  }
};

enum class Mode { posterior, responsibilities, labels, frozen, densities, link };

void pass(index_t n, index_t d, index_t k, Mode mode) {
  const Problem problem(n, d, k, 41);
  const std::string what = text({{"n", n}, {"d", d}, {"k", k}, {"mode", static_cast<index_t>(mode)}});
  const index_t dim = d + 1, pairs = dim * (dim + 1) / 2;
  EmData data = problem.data();
  Assignment assignment;
  if (mode == Mode::frozen) data.means = problem.means.data();
  if (mode == Mode::densities) data.log_densities = problem.means.data();
  if (mode == Mode::responsibilities) assignment.responsibilities = problem.given.data();
  if (mode == Mode::labels) assignment.labels = problem.labels.data();
  EmSettings settings;
  settings.variance_floor = 1e-6;
  settings.n_threads = 2;
  if (mode == Mode::link) settings.link = built_in_link("tanh");
  MixtureParameters p = problem.truth;
  for (double& v : p.variance) v = 0.7;
  const EmStatistics found = e_step(data, p, settings, assignment, {});

  EmStatistics wanted;
  wanted.totals.resize(size(k)), wanted.squares.resize(size(k));
  wanted.residuals.resize(size(k * dim)), wanted.gate_slope.resize(size(k * dim));
  const index_t columns = k + k * (k - 1) / 2;
  wanted.products.resize(size(columns * pairs));
  CHECK_AT(found.products.size() == wanted.products.size(), what);
  for (index_t s = 0; s < n; ++s) {
    std::vector<double> gate(size(k)), joint(size(k)), e(size(k)), slope(size(k), 1.0), u(size(dim), 1.0);
    std::copy_n(&problem.X[size(s * d)], d, u.begin());
    double gate_sum = 0, joint_sum = 0;
    for (index_t i = 0; i < k; ++i) gate_sum += gate[size(i)] = std::exp(problem.line(p.gates, i, s));
    for (index_t i = 0; i < k; ++i) {
      double mean = data.means ? data.means[s * k + i] : problem.line(p.experts, i, s);
      if (mode == Mode::link) {
        mean = std::tanh(mean);
        slope[size(i)] = 1 - mean * mean;
      }
      e[size(i)] = problem.y[size(s)] - mean;
      gate[size(i)] /= gate_sum;
      double density = std::exp(-0.5 * e[size(i)] * e[size(i)] / p.variance[size(i)]) /
                       std::sqrt(2 * std::numbers::pi * p.variance[size(i)]);
      if (mode == Mode::densities) {
        density = std::exp(problem.means[size(s * k + i)]);
        e[size(i)] = 0;
      }
      joint_sum += joint[size(i)] = gate[size(i)] * density;
    }
    const double w = problem.w[size(s)];
    wanted.log_likelihood += w * std::log(joint_sum);
    const auto add_products = [&](index_t column, double weight) {
      if (data.frozen() && column < k) return;  // frozen experts have no sums of their own
      for (index_t b = 0, at = column; b < dim; ++b) {
        for (index_t a = 0; a <= b; ++a, at += columns) {
          wanted.products[size(at)] += weight * u[size(a)] * u[size(b)];
        }
      }
    };
    for (index_t i = 0; i < k; ++i) {
      double r = joint[size(i)] / joint_sum;
      if (mode == Mode::responsibilities) r = problem.given[size(s * k + i)];
      if (mode == Mode::labels) r = problem.labels[size(s)] == i ? 1 : 0;
      wanted.totals[size(i)] += w * r;
      wanted.squares[size(i)] += w * r * e[size(i)] * e[size(i)];
      for (index_t j = 0; j < dim; ++j) {
        wanted.residuals[size(i * dim + j)] += w * r * e[size(i)] * slope[size(i)] * u[size(j)];
        wanted.gate_slope[size(i * dim + j)] += w * (r - gate[size(i)]) * u[size(j)];
      }
      add_products(i, w * r * slope[size(i)] * slope[size(i)]);
    }
    for (index_t i = 0, column = k; i + 1 < k; ++i) {
      for (index_t j = i; j + 1 < k; ++j, ++column) {
        add_products(column, w * gate[size(i)] * ((i == j ? 1 : 0) - gate[size(j)]));
      }
    }
  }
  // Frozen experts have no sums of their own.
  const double tolerance = 1e-11 * static_cast<double>(n + 10);
  const auto compare = [&](const std::vector<double>& a, const std::vector<double>& b, index_t first) {
    bool same = a.size() == b.size();
    for (std::size_t i = size(first); same && i < a.size(); ++i) same = close(a[i], b[i], 1, tolerance);
    CHECK_AT(same, what);
  };
  CHECK_AT(close(found.log_likelihood, wanted.log_likelihood, 1, 10 * tolerance), what);
  compare(found.totals, wanted.totals, 0);
  compare(found.squares, wanted.squares, 0);
  compare(found.gate_slope, wanted.gate_slope, 0);
  if (!data.frozen()) compare(found.residuals, wanted.residuals, 0);
  compare(found.products, wanted.products, 0);
}

// Experts and gates that see some columns: the sums of these among those of all, at parameters that are 0
// elsewhere.
void columns(const std::vector<index_t>& of_experts, const std::vector<index_t>& of_gates, const char* link) {
  const index_t n = 500, d = 3, k = 3, dim = d + 1;
  const Problem problem(n, d, k, 44);
  EmSettings settings;
  settings.variance_floor = 1e-6;
  settings.link = built_in_link(link);
  EmData some = problem.data();
  some.expert_columns = of_experts, some.gate_columns = of_gates;
  const index_t u_dim = some.expert_dim(), v_dim = some.gate_dim();
  MixtureParameters all{k,
                        dim,
                        dim,
                        std::vector<double>(size(k * dim)),
                        std::vector<double>(size(k * dim)),
                        problem.truth.variance};
  MixtureParameters compact{k, u_dim, v_dim, {}, {}, problem.truth.variance};
  std::vector<index_t> u = of_experts, v = of_gates;
  u.push_back(d), v.push_back(d);  // the constant
  for (index_t i = 0; i < k; ++i) {
    for (const index_t j : u) {
      compact.experts.push_back(all.experts[size(i * dim + j)] = problem.truth.experts[size(i * dim + j)]);
    }
    for (const index_t j : v) {
      compact.gates.push_back(all.gates[size(i * dim + j)] = problem.truth.gates[size(i * dim + j)]);
    }
  }
  const EmStatistics whole = e_step(problem.data(), all, settings, {}, {});
  const EmStatistics found = e_step(some, compact, settings, {}, {});
  const std::string what = link + text({{"u", u_dim}, {"v", v_dim}});
  constexpr double tolerance = 1e-9;
  CHECK_AT(close(found.log_likelihood, whole.log_likelihood, 1, tolerance), what);
  const index_t gate_columns = some.constant_gates() ? 0 : k * (k - 1) / 2,
                whole_columns = k + k * (k - 1) / 2;
  const bool one = some.one_design();
  const std::vector<double>& gate_products = one ? found.products : found.gate_products;
  const index_t expert_stride = k + (one ? gate_columns : 0),
                gate_stride = one ? expert_stride : gate_columns;
  CHECK_AT(found.products.size() == size(u_dim * (u_dim + 1) / 2 * expert_stride), what);
  CHECK_AT(one || found.gate_products.size() == size(v_dim * (v_dim + 1) / 2 * gate_columns), what);
  for (index_t i = 0; i < k; ++i) {
    CHECK_AT(close(found.totals[size(i)], whole.totals[size(i)], 1, tolerance), what);
    CHECK_AT(close(found.squares[size(i)], whole.squares[size(i)], 1, tolerance), what);
    for (index_t b = 0; b < u_dim; ++b) {
      CHECK_AT(close(found.residuals[size(i * u_dim + b)], whole.residuals[size(i * dim + u[size(b)])], 1,
                     tolerance),
               what);
      for (index_t a = 0; a <= b; ++a) {
        const index_t row = b * (b + 1) / 2 + a, of_all = u[size(b)] * (u[size(b)] + 1) / 2 + u[size(a)];
        CHECK_AT(close(found.products[size(row * expert_stride + i)],
                       whole.products[size(of_all * whole_columns + i)], 1, tolerance),
                 what);
      }
    }
    for (index_t b = 0; b < v_dim; ++b) {
      CHECK_AT(close(found.gate_slope[size(i * v_dim + b)], whole.gate_slope[size(i * dim + v[size(b)])], 1,
                     tolerance),
               what);
    }
  }
  for (index_t c = 0; c < gate_columns; ++c) {
    for (index_t b = 0; b < v_dim; ++b) {
      for (index_t a = 0; a <= b; ++a) {
        const index_t row = b * (b + 1) / 2 + a, of_all = v[size(b)] * (v[size(b)] + 1) / 2 + v[size(a)];
        CHECK_AT(close(gate_products[size(row * gate_stride + (one ? k : 0) + c)],
                       whole.products[size(of_all * whole_columns + k + c)], 1, tolerance),
                 what);
      }
    }
  }
  const EmResult run = em_run(some, compact, settings, {}, {});
  CHECK_AT(run.parameters.experts.size() == size(k * u_dim) && run.parameters.gates.size() == size(k * v_dim),
           what);
  for (std::size_t i = 1; i < run.trace.size(); ++i) CHECK_AT(run.trace[i] >= run.trace[i - 1] - 1e-9, what);
}

bool same_bits(const EmResult& a, const EmResult& b) {
  return a.trace == b.trace && a.totals == b.totals && a.log_likelihood == b.log_likelihood &&
         a.status == b.status && a.n_iter == b.n_iter && a.parameters.experts == b.parameters.experts &&
         a.parameters.gates == b.parameters.gates && a.parameters.variance == b.parameters.variance;
}

void runs(index_t n, index_t d, index_t k, const char* link) {
  const Problem problem(n, d, k, 42);
  const std::string what = link + text({{"n", n}, {"d", d}, {"k", k}});
  const EmData data = problem.data();
  EmSettings settings;
  settings.variance_floor = 1e-6;
  settings.max_iter = 25;
  settings.link = built_in_link(link);
  const EmResult from_truth = em_run(data, problem.truth, settings, {}, {});
  CHECK_AT(from_truth.log_likelihood >= from_truth.trace.front() - 1e-9, what);
  for (std::size_t i = 1; i < from_truth.trace.size(); ++i) {
    CHECK_AT(from_truth.trace[i] >= from_truth.trace[i - 1] - 1e-9 * static_cast<double>(n), what);
  }
  if (n > 2000 && !settings.link) {  // enough rows for the noise to be found
    for (const double v : from_truth.parameters.variance) CHECK_AT(v > 0.02 && v < 0.08, what);
  }
  EmSettings threaded = settings;
  threaded.n_threads = 3;
  CHECK_AT(same_bits(from_truth, em_run(data, problem.truth, threaded, {}, {})), what);

  // A batch gives each run what it gives alone, whether threads take runs or share the passes.
  std::vector<EmStart> starts;
  starts.push_back({problem.truth, {}});
  starts.push_back({problem.truth, {nullptr, problem.labels.data()}});
  Random random(43);
  while (starts.size() < 14) {
    EmStart start{problem.truth, {}};
    for (double& x : start.parameters.experts) x += random.normal();
    starts.push_back(std::move(start));
  }
  settings.max_iter = 4;
  settings.alpha = settings.gate_alpha = 1e-3;
  threaded = settings;
  for (const std::size_t count : {size(2), starts.size()}) {
    const std::vector<EmStart> some(starts.begin(), starts.begin() + static_cast<std::ptrdiff_t>(count));
    std::vector<EmResult> alone;
    for (const EmStart& s : some) alone.push_back(em_run(data, s.parameters, settings, s.assignment, {}));
    for (const int n_threads : {1, 3}) {
      threaded.n_threads = n_threads;
      const auto together = em_run_batch(data, some, threaded, {});
      for (std::size_t i = 0; i < count; ++i) CHECK_AT(same_bits(together[i], alone[i]), what);
    }
  }
  if (n > 2000) {  // work for more than the 50 ms that polls are apart
    struct Stop {};
    const std::vector<EmStart> few = starts;
    while (starts.size() < 400) starts.insert(starts.end(), few.begin(), few.end());
    threaded.max_iter = 1000;
    threaded.tol = 0;
    CHECK(throws<Stop>([&] { em_run_batch(data, starts, threaded, [] { throw Stop{}; }); }));
  }
  EmData unclear = data;
  unclear.log_densities = problem.means.data();
  CHECK(throws<std::invalid_argument>([&] { em_run(unclear, problem.truth, settings, {}, {}); }));
  unclear.means = problem.means.data();
  settings.update_noise = false;
  CHECK(throws<std::invalid_argument>([&] { em_run(unclear, problem.truth, settings, {}, {}); }));
  threaded.max_iter = -1;
  CHECK(throws<std::invalid_argument>([&] { em_run_batch(data, starts, threaded, {}); }));
}

// A linear map with eigenvalues below 1: plain iterations creep, the accelerated ones arrive in as many steps
// as there are dimensions, and a few.
void anderson() {
  const Eigen::Index m = 5;
  const Eigen::VectorXd rates = Eigen::VectorXd::LinSpaced(m, 0.5, 0.99);
  const Eigen::VectorXd goal = Eigen::VectorXd::LinSpaced(m, -1, 3);
  Eigen::VectorXd theta = Eigen::VectorXd::Zero(m), proposal;
  Anderson tail;
  CHECK(!tail.propose(theta, goal, proposal));  // no history yet
  tail.forget();
  for (int i = 0; i < 12; ++i) {
    const Eigen::VectorXd image = goal + rates.cwiseProduct(theta - goal);
    theta = tail.propose(theta, image, proposal) ? proposal : image;
  }
  CHECK((theta - goal).norm() < 1e-6);
  // An eigenvalue above 1: the fixed point lies behind, and no proposal goes there.
  tail.forget();
  theta.setConstant(0.1);
  for (int i = 0; i < 4; ++i) {
    const Eigen::VectorXd image = 1.5 * theta;
    CHECK(!tail.propose(theta, image, proposal));
    theta = image;
  }
}

}  // namespace

void test_em() {
  anderson();
  for (const Mode mode :
       {Mode::posterior, Mode::responsibilities, Mode::labels, Mode::frozen, Mode::densities, Mode::link}) {
    for (index_t k = 1; k <= 5; ++k) {
      for (const index_t d : {1, 2, 3, 6}) {
        for (const index_t n : {1, 7, 383, 393}) pass(n, d, k, mode);
      }
    }
    pass(9001, 3, 3, mode);  // several threads
  }
  const std::vector<std::vector<index_t>> seen = {{}, {1}, {0, 2}, {0, 1, 2}};
  for (const auto& of_experts : seen) {
    for (const auto& of_gates : seen) {
      for (const char* link : {"linear", "tanh"}) columns(of_experts, of_gates, link);
    }
  }
  for (const std::vector<index_t>& wrong : {std::vector<index_t>{3}, {-1}, {1, 1}, {1, 0}}) {
    CHECK(throws<std::invalid_argument>([&] {
      const Problem problem(20, 3, 2, 45);
      EmData data = problem.data();
      data.gate_columns = wrong;
      EmSettings settings;
      settings.variance_floor = 1e-6;
      em_run(data, problem.truth, settings, {}, {});
    }));
  }
  for (const char* link : {"linear", "sigmoid", "relu"}) {
    runs(300, 2, 2, link);
    runs(9000, 3, 2, link);
  }
  CHECK(throws<std::invalid_argument>([] { built_in_link("cosine"); }));
}

}  // namespace moefast::tests
