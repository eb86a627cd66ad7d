// The metric of the gates' steps: H of a pass that made it, what passes without it teach, and when it is due.
#include "check.hpp"
#include "em/gate_metric.hpp"

namespace moefast::tests {
namespace {

struct Gates {
  index_t n = 500, d, k;
  std::vector<double> X, y, w;
  MixtureParameters p;
  EmSettings settings;

  Gates(index_t d, index_t k) : d(d), k(k) {
    Random random(7);
    X = random.normals(n * d), y = random.normals(n), w.assign(size(n), 0.5);
    p = {k,
         d + 1,
         d + 1,
         random.normals(k * (d + 1)),
         random.normals(k * (d + 1)),
         std::vector<double>(size(k), 1.0)};
    std::fill(p.gates.end() - (d + 1), p.gates.end(), 0.0);
    settings.variance_floor = 1e-6;
    settings.gate_alpha = 0.3;
  }
  EmData data() const {
    EmData out;
    out.X = X.data(), out.y = y.data(), out.w = w.data(), out.n = n, out.d = d;
    return out;
  }
  index_t free() const { return (k - 1) * (d + 1); }

  // sum w p_i v with the ridge's part, which the gates' gradient has with the opposite sign; by plain sums
  Eigen::VectorXd sums() const {
    const index_t dim = d + 1;
    Eigen::VectorXd out = Eigen::VectorXd::Zero(free());
    for (index_t s = 0; s < n; ++s) {
      std::vector<double> gate(size(k));
      double total = 0;
      for (index_t i = 0; i < k; ++i) {
        double logit = p.gates[size(i * dim + d)];
        for (index_t j = 0; j < d; ++j) logit += p.gates[size(i * dim + j)] * X[size(s * d + j)];
        total += gate[size(i)] = std::exp(logit);
      }
      for (index_t i = 0; i + 1 < k; ++i) {
        for (index_t j = 0; j < dim; ++j) {
          out[i * dim + j] += w[size(s)] * gate[size(i)] / total * (j < d ? X[size(s * d + j)] : 1.0);
        }
      }
    }
    for (index_t j = 0; j < d; ++j) {
      double mean = 0;
      for (index_t i = 0; i < k; ++i) mean += p.gates[size(i * dim + j)] / static_cast<double>(k);
      for (index_t i = 0; i + 1 < k; ++i) {
        out[i * dim + j] += settings.gate_alpha * (p.gates[size(i * dim + j)] - mean);
      }
    }
    return out;
  }
  void move(const Eigen::VectorXd& by) {
    for (index_t i = 0; i < free(); ++i) p.gates[size(i)] += by[i];
  }
};

bool near(const Eigen::VectorXd& a, const Eigen::VectorXd& b, double tolerance) {
  return (a - b).norm() <= tolerance * b.norm();
}

// A fresh metric maps H t back to t, H t by differences of `sums`.
void newton(Gates at, const GateMetric& fresh) {
  GateMetric metric = fresh;
  Random random(3);
  const std::vector<double> numbers = random.normals(at.free());
  const Eigen::VectorXd t = Eigen::Map<const Eigen::VectorXd>(numbers.data(), at.free());
  const double step = 1e-5;
  at.move(step * t);
  Eigen::VectorXd image = at.sums();
  at.move(-2 * step * t);
  image = (image - at.sums()) / (2 * step);
  metric.solve(image, {});
  CHECK(near(image, t, 1e-7));
}

// Steps of a metric that was made once: after each it maps what the sums have changed by to the step before,
// whatever the responsibilities did.
void secants() {
  Gates at(4, 4);
  const EmData data = at.data();
  GateMetric metric(data, at.settings);
  metric.update(at.p, e_step(data, at.p, at.settings, {}, {}), {});
  newton(at, metric);
  for (int i = 0; i < 4; ++i) {
    const Eigen::VectorXd before = at.sums();
    Eigen::VectorXd step = 0.002 * before;
    metric.solve(step, {});
    CHECK(!metric.due());
    at.move(step);
    for (double& a : at.p.experts) a *= 0.9;
    metric.update(at.p, e_step(data, at.p, at.settings, {}, {}, PassSums::experts), {});
    CHECK(!metric.due());  // steps are short: it has judged well
    Eigen::VectorXd image = at.sums() - before;
    GateMetric(metric).solve(image, {});
    CHECK(near(image, step, 1e-8));
  }
  // The Hessian of where it is now takes the place of what was learnt.
  metric.update(at.p, e_step(data, at.p, at.settings, {}, {}), {});
  newton(at, metric);
}

// Due: after too many steps, a step that was halved, one along which the curvature was not what it foresaw.
void due() {
  Gates at(4, 4);
  const EmData data = at.data();
  const auto fresh = [&] {
    GateMetric metric(data, at.settings);
    metric.update(at.p, e_step(data, at.p, at.settings, {}, {}), {});
    return metric;
  };
  GateMetric metric = fresh();
  CHECK(!metric.due());
  metric.step_was_halved();
  CHECK(metric.due());

  GateMetric wild = fresh();
  Eigen::VectorXd long_step = 2 * at.sums();
  wild.solve(long_step, {});
  CHECK(!wild.due());
  Gates far = at;
  far.move(long_step);
  wild.update(far.p, e_step(data, far.p, at.settings, {}, {}, PassSums::experts), {});
  CHECK(wild.due());
  wild.update(far.p, e_step(data, far.p, at.settings, {}, {}), {});
  CHECK(!wild.due());

  GateMetric tame = fresh();
  int steps = 0;
  for (; steps < 100 && !tame.due(); ++steps) {
    Eigen::VectorXd step = 1e-3 * at.sums();
    tame.solve(step, {});
    at.move(step);
    tame.update(at.p, e_step(data, at.p, at.settings, {}, {}, PassSums::experts), {});
  }
  CHECK(steps > 4 && steps < 100);
}

// Where passes say nothing of sum w p_i v every one has to make the Hessian.
void always_due(const EmData& data, const Gates& at, const EmSettings& settings, const std::string& what) {
  GateMetric metric(data, settings);
  metric.update(at.p, e_step(data, at.p, settings, {}, {}), {});
  Eigen::VectorXd step = 1e-3 * at.sums();
  metric.solve(step, {});
  CHECK_AT(metric.due(), what);
}

}  // namespace

void test_gate_metric() {
  secants();
  due();
  const Gates at(4, 4);
  EmData frozen = at.data(), apart = at.data();
  const std::vector<double> means(size(at.n * at.k), 0.1);
  frozen.means = means.data();
  always_due(frozen, at, at.settings, "frozen experts");
  Gates of_two = at;
  apart.expert_columns = std::vector<index_t>{0, 2};
  of_two.p.expert_dim = 3;
  of_two.p.experts.resize(size(at.k * 3));
  always_due(apart, of_two, at.settings, "other columns");
  EmSettings linked = at.settings;
  linked.link = built_in_link("tanh");
  always_due(at.data(), at, linked, "a link");
  const Gates small(3, 3);
  always_due(small.data(), small, small.settings, "a few products");
}

}  // namespace moefast::tests
