// Rows in groups: a group of one row is a row, the same bits for any number of threads, runs that climb.
#include <stdexcept>

#include "check.hpp"
#include "moefast/em_batch.hpp"

namespace moefast::tests {
namespace {

// Experts see column 0, gates column 1, which is the same in all rows of a group.
struct Subjects {
  index_t k = 3;
  std::vector<index_t> starts = {0};
  std::vector<double> X, y, w, given;
  MixtureParameters p;

  Subjects(index_t n_groups, index_t most_rows) {
    Random random(11);
    for (index_t g = 0; g < n_groups; ++g) {
      const index_t rows = 1 + g % most_rows;
      const double z = random.normal(), weight = g % 7 == 0 ? 0.0 : 0.5 + static_cast<double>(g % 3);
      const double slope = z + random.normal() > 0 ? 1.5 : -1;
      for (index_t r = 0; r < rows; ++r) {
        X.push_back(random.normal()), X.push_back(z);
        y.push_back(slope * X[X.size() - 2] + 0.3 * random.normal());
        w.push_back(weight);
      }
      starts.push_back(starts.back() + rows);
    }
    given = random.normals(static_cast<index_t>(y.size()) * k);
    for (double& r : given) r = std::abs(r);
    const std::vector<double> ones(size(k), 1.0);
    p = {k, 2, 2, random.normals(2 * k), random.normals(2 * k), ones, ones};
    std::fill(p.gates.end() - 2, p.gates.end(), 0.0);
  }

  EmData data(bool grouped) const {
    EmData out;
    out.X = X.data(), out.y = y.data(), out.w = w.data();
    out.n = static_cast<index_t>(y.size()), out.d = 2;
    out.expert_columns = {0}, out.gate_columns = {1};
    if (grouped) {
      out.group_starts = starts.data();
      out.n_groups = static_cast<index_t>(starts.size()) - 1;
    }
    return out;
  }
};

EmSettings settings_of(int n_threads) {
  EmSettings settings;
  settings.variance_floor = 1e-6;
  settings.n_threads = n_threads;
  return settings;
}

void near(const std::vector<double>& found, const std::vector<double>& wanted, const std::string& what) {
  CHECK_AT(found.size() == wanted.size(), what);
  for (std::size_t i = 0; i < wanted.size(); ++i) {
    CHECK_AT(std::abs(found[i] - wanted[i]) <= 1e-9 * (1 + std::abs(wanted[i])), what);
  }
}

void groups_of_one_row() {
  const Subjects subjects(1500, 1);
  const EmData in_groups = subjects.data(true), alone = subjects.data(false);
  for (const bool assigned : {false, true}) {
    Assignment assignment;
    if (assigned) assignment.responsibilities = subjects.given.data();
    const EmStatistics found = e_step(in_groups, subjects.p, settings_of(1), assignment, {});
    const EmStatistics wanted = e_step(alone, subjects.p, settings_of(1), assignment, {});
    CHECK(std::abs(found.log_likelihood - wanted.log_likelihood) < 1e-9 * std::abs(wanted.log_likelihood));
    near(found.totals, wanted.totals, "totals");
    near(found.group_totals, wanted.totals, "group_totals");
    near(found.squares, wanted.squares, "squares");
    near(found.residuals, wanted.residuals, "residuals");
    near(found.gate_slope, wanted.gate_slope, "gate_slope");
    near(found.products, wanted.products, "products");
    near(found.gate_products, wanted.gate_products, "gate_products");
  }
}

void threads_and_climbs() {
  const Subjects subjects(6000, 5);
  const EmData data = subjects.data(true);
  std::vector<EmStart> starts(2);
  starts[0].parameters = starts[1].parameters = subjects.p;
  starts[1].assignment.responsibilities = subjects.given.data();
  EmSettings settings = settings_of(1);
  settings.max_iter = 8;
  const std::vector<EmResult> wanted = em_run_batch(data, starts, settings, {});
  for (const EmResult& run : wanted) {
    CHECK(run.trace.size() == 9);
    for (std::size_t i = 1; i < run.trace.size(); ++i) CHECK(run.trace[i] >= run.trace[i - 1] - 1e-8);
  }
  settings.n_threads = 4;
  const std::vector<EmResult> found = em_run_batch(data, starts, settings, {});
  for (std::size_t i = 0; i < found.size(); ++i) {
    CHECK(found[i].trace == wanted[i].trace);
    CHECK(found[i].parameters.gates == wanted[i].parameters.gates);
  }
  const EmStatistics one = e_step(data, subjects.p, settings_of(1), {}, {});
  const EmStatistics four = e_step(data, subjects.p, settings_of(4), {}, {});
  CHECK(one.log_likelihood == four.log_likelihood && one.products == four.products);
  CHECK(one.gate_products == four.gate_products && one.group_totals == four.group_totals);
}

void bad_groups() {
  Subjects subjects(10, 3);
  subjects.starts[4] = subjects.starts[5];
  CHECK(throws<std::invalid_argument>([&] { subjects.data(true).check_groups(); }));
  subjects.starts.pop_back();
  CHECK(throws<std::invalid_argument>([&] { subjects.data(true).check_groups(); }));
}

}  // namespace

void test_groups() {
  groups_of_one_row();
  threads_and_climbs();
  bad_groups();
}

}  // namespace moefast::tests
