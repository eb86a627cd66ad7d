#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "array_args.hpp"
#include "bound_data.hpp"
#include "bound_family.hpp"
#include "bound_link.hpp"
#include "bound_stream.hpp"
#include "em_result.hpp"
#include "functions.hpp"
#include "moefast/em_batch.hpp"

namespace moefast::bindings {
namespace {

// A row for every pair of `dim` columns.
py::array make_products(const std::vector<double>& products, index_t dim) {
  const index_t pairs = dim * (dim + 1) / 2;
  return make_array(products, {pairs, static_cast<index_t>(products.size()) / pairs});
}

// A start, with the arrays that hold what it points at.
struct BoundStart {
  std::optional<Array> responsibilities;
  std::optional<PlainArray<std::int32_t>> labels;
  EmStart view;

  // `given`: experts, gates, dispersion, responsibilities, labels.
  BoundStart(const BoundData& data, const py::tuple& given)
      : responsibilities(optional_array("responsibilities", given[3])),
        labels(optional_array<PlainArray<std::int32_t>>("labels", given[4])),
        view{make_parameters(data.view, given), {}} {
    const index_t n = data.view.n, k = view.parameters.k;
    data.require_experts(k);
    if (responsibilities && labels) throw py::value_error("give either responsibilities or labels, not both");
    if (responsibilities) {
      require_shape(*responsibilities, "responsibilities", {n, k});
      view.assignment.responsibilities = responsibilities->data();
    }
    if (labels) {
      require_shape(*labels, "labels", {n});
      view.assignment.labels = labels->data();
    }
  }
};

PassSums make_sums(const std::string& name) {
  if (name == "gradient") return PassSums::gradient;
  if (name == "experts") return PassSums::experts;
  if (name == "all") return PassSums::all;
  throw py::value_error("sums must be 'gradient', 'experts' or 'all', got '" + name + "'");
}

py::object statistics(const Given& given) {
  const BoundData& data = given.as<const BoundData&>("data");
  const EmSettings& settings = given.as<const EmSettings&>("settings");
  const PassSums wanted = make_sums(given.as<std::string>("sums", "all"));
  const BoundStart bound(data, items_of("at", given["at"], 5));
  const EmStart& start = bound.view;
  const Poll poll = make_poll();
  EmStatistics stats;
  {
    const py::gil_scoped_release release;
    stats = e_step(data.view, start.parameters, settings, start.assignment, poll, wanted);
  }
  const index_t k = start.parameters.k, expert_dim = data.view.expert_dim(), gate_dim = data.view.gate_dim();
  py::dict out;
  out["log_likelihood"] = stats.log_likelihood;
  out["totals"] = make_array(stats.totals, {k});
  out["squares"] = make_array(stats.squares, {static_cast<py::ssize_t>(stats.squares.size())});
  out["residuals"] = make_array(stats.residuals, {k * start.parameters.n_predictors, expert_dim});
  out["gate_slope"] = make_array(stats.gate_slope, {k, gate_dim});
  out["shape_slopes"] = make_array(stats.shape_slopes, {k});
  out["shape_curvatures"] = make_array(stats.shape_curvatures, {k});
  out["products"] = make_products(stats.products, expert_dim);
  out["gate_products"] = make_products(stats.gate_products, gate_dim);
  if (data.view.grouped())
    out["group_totals"] =
        make_array(stats.group_totals, {static_cast<py::ssize_t>(stats.group_totals.size())});
  return out;
}

py::object run_stream(const Given& given) {
  const RowStream& stream = given.as<const BoundStream&>("stream").view;
  const EmSettings& settings = given.as<const EmSettings&>("settings");
  const py::tuple at = items_of("start", given["start"], 5);
  if (!at[3].is_none() || !at[4].is_none())
    throw py::value_error("a start of a stream has no responsibilities or labels");
  MixtureParameters start = make_parameters(stream.rows, at);
  const Poll poll = make_poll();
  EmResult result;
  {
    const py::gil_scoped_release release;
    result = em_run(stream, std::move(start), settings, poll);
  }
  return to_dict(result);
}

py::object run(const Given& given) {
  const BoundData& data = given.as<const BoundData&>("data");
  const EmSettings& settings = given.as<const EmSettings&>("settings");
  std::vector<BoundStart> bound;
  for (const py::handle start : given["starts"]) bound.emplace_back(data, items_of("a start", start, 5));
  std::vector<EmStart> starts;
  for (BoundStart& start : bound) starts.push_back(std::move(start.view));
  const auto before = py::reinterpret_borrow<py::object>(given["before"]);
  if (!before.is_none() && py::len(before) > 0) {
    if (py::len(before) != starts.size())
      throw py::value_error("before must have the stages of each start, or be empty");
    for (std::size_t i = 0; i < starts.size(); ++i)
      for (const py::handle stage : py::object(before[py::int_(i)])) {
        const py::tuple values = items_of("a stage of before", stage, 3);
        starts[i].before.push_back({from_python<int>("max_iter", values[0]),
                                    from_python<bool>("shared_noise", values[1]),
                                    from_python<double>("inverse_temperature", values[2])});
      }
  }
  const Poll poll = make_poll();
  std::vector<EmResult> results;
  {
    const py::gil_scoped_release release;
    results = em_run_batch(data.view, starts, settings, poll);
  }
  py::list out;
  for (const EmResult& result : results) out.append(to_dict(result));
  return out;
}

// Calls `visit` with the name and the member of each setting that Python may read. Settings are values. A run
// reads them while it does not hold Python's lock, so nothing may change them then.
template <class Visit>
void visit_settings(const Visit& visit) {
  visit("max_iter", &EmSettings::max_iter);
  visit("tol", &EmSettings::tol);
  visit("gradient_tol", &EmSettings::gradient_tol);
  visit("fit_intercept", &EmSettings::fit_intercept);
  visit("fit_gate_intercept", &EmSettings::fit_gate_intercept);
  visit("update_noise", &EmSettings::update_noise);
  visit("shared_noise", &EmSettings::shared_noise);
  visit("common_columns", &EmSettings::common_columns);
  visit("variance_floor", &EmSettings::variance_floor);
  visit("least_covariance", &EmSettings::least_covariance);
  visit("alpha", &EmSettings::alpha);
  visit("alpha_mean", &EmSettings::alpha_mean);
  visit("alpha_l1", &EmSettings::alpha_l1);
  visit("gate_alpha", &EmSettings::gate_alpha);
  visit("to_beat", &EmSettings::to_beat);
  visit("inverse_temperature", &EmSettings::inverse_temperature);
  visit("accelerate", &EmSettings::accelerate);
  visit("n_threads", &EmSettings::n_threads);
}

void set(EmSettings& settings, const std::string& name, const py::handle& value) {
  bool found = true;
  if (name == "link") {
    settings.link = make_link(value);
  } else if (name == "family") {
    settings.family = make_family(value);
  } else {
    found = false;
    visit_settings([&]<class T>(const char* known, T EmSettings::* member) {
      if (name != known) return;
      settings.*member = from_python<T>("EmSettings: " + name, value);
      found = true;
    });
  }
  if (!found) throw py::attribute_error("EmSettings has no setting '" + name + "'");
}

EmSettings changed(EmSettings settings, const Given& given) {
  for (const auto& [name, value] : given.others()) set(settings, name, value);
  settings.check();
  return settings;
}

}  // namespace

void bind_em(py::module_& m) {
  // What is left out has the value that em.hpp gives it.
  auto settings = bind_class<EmSettings>(m, "EmSettings", "Settings of EM by name; see em.hpp.");
  def_init<EmSettings>(settings, "**settings",
                       [](const Given& given) { return std::make_unique<EmSettings>(changed({}, given)); });
  def(
      settings, "but", "self, **settings",
      [](const Given& given) { return py::cast(changed(given.as<const EmSettings&>("self"), given)); },
      "A copy with other settings of these names.");
  def(
      settings, "values", "self",
      [](const Given& given) -> py::object {
        const EmSettings& self = given.as<const EmSettings&>("self");
        py::dict values;
        visit_settings([&](const char* name, auto member) { values[name] = self.*member; });
        return values;
      },
      "All but the link and the family, by name.");
  def_property(settings, "shape_bounds", [](const Given& given) -> py::object {
    const Family* const family = given.as<const EmSettings&>("self").family.get();
    return tuple_of({py::float_(family ? family->least_shape() : 0.0),
                     py::float_(family ? family->largest_shape() : 0.0)});
  });

  auto data =
      bind_class<BoundData>(m, "EmData", "The samples, and what is known of frozen experts; see em.hpp.");
  def_init<BoundData>(data,
                      "X, y, w, means=None, log_densities=None, expert_columns=None, gate_columns=None, "
                      "centre=None, inverse_scale=None, offset=None, trials=None, row_term=None, "
                      "first_predictor=None, group_starts=None",
                      [](const Given& given) { return std::make_unique<BoundData>(given); });

  auto stream = bind_class<BoundStream>(
      m, "RowStream",
      "Rows that nobody holds at once: pass_(parameters, sums) returns what e_step says of all of them; see "
      "em.hpp.");
  def_init<BoundStream>(
      stream, "pass_, weight, n_rows, n_features, expert_columns=None, gate_columns=None, n_responses=1",
      [](const Given& given) { return std::make_unique<BoundStream>(given); });

  def(m, "em_run_stream", "stream, start, settings", &run_stream,
      "EM from one start, as em_run, on a stream.");
  def(m, "e_step", "data, at, settings, sums='all'", &statistics,
      "The statistics of one E-step, by name, at a tuple as of em_run. `sums` are 'gradient', 'experts' "
      "(with the products of experts) or 'all' (with those of gates too); what is not wanted is empty.");
  def(m, "em_run", "data, starts, settings, before=()", &run,
      "EM from each start until it settles, the runs in parallel: parameters, trace, n_iter, status, by "
      "name. A "
      "start is a tuple (experts, gates, variances (k,) or with the shapes of a family (k, 2) or of q "
      "responses the Cholesky factors of their covariances (k, q, q), "
      "responsibilities or None, int32 labels or None). `before`: for each start tuples (max_iter, "
      "shared_noise, inverse_temperature), iterations under other settings that come first; n_before counts "
      "them.");
}

}  // namespace moefast::bindings
