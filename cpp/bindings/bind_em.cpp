#include <pybind11/stl.h>

#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <tuple>
#include <utility>

#include "array_args.hpp"
#include "bound_data.hpp"
#include "bound_family.hpp"
#include "bound_link.hpp"
#include "bound_stream.hpp"
#include "em_result.hpp"
#include "moefast/em_batch.hpp"

namespace moefast::bindings {
namespace {

using Labels = PlainArray<std::int32_t>;
// experts, gates, dispersion, responsibilities, labels; mirrored in _core.pyi.
using StartTuple = std::tuple<Array, Array, Array, std::optional<Array>, std::optional<Labels>>;
// max_iter, shared_noise, inverse_temperature
using StageTuple = std::tuple<int, bool, double>;

// A row for every pair of `dim` columns.
py::array make_products(const std::vector<double>& products, index_t dim) {
  const index_t pairs = dim * (dim + 1) / 2;
  return make_array(products, {pairs, static_cast<index_t>(products.size()) / pairs});
}

// Views into the arguments; they stay alive as long as the call does.
EmStart make_start(const BoundData& data, const StartTuple& given) {
  const auto& [experts, gates, dispersion, responsibilities, labels] = given;
  EmStart start{make_parameters(data.view, experts, gates, dispersion), {}};
  const index_t n = data.view.n, k = start.parameters.k;
  data.require_experts(k);
  if (responsibilities && labels) throw py::value_error("give either responsibilities or labels, not both");
  if (responsibilities) {
    require_shape(*responsibilities, "responsibilities", {n, k});
    start.assignment.responsibilities = responsibilities->data();
  }
  if (labels) {
    require_shape(*labels, "labels", {n});
    start.assignment.labels = labels->data();
  }
  return start;
}

PassSums make_sums(const std::string& name) {
  if (name == "gradient") return PassSums::gradient;
  if (name == "experts") return PassSums::experts;
  if (name == "all") return PassSums::all;
  throw py::value_error("sums must be 'gradient', 'experts' or 'all', got '" + name + "'");
}

py::dict statistics(const BoundData& data, const StartTuple& at, const EmSettings& settings,
                    const std::string& sums) {
  const PassSums wanted = make_sums(sums);
  const EmStart start = make_start(data, at);
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

py::dict run_stream(const BoundStream& stream, const StartTuple& given, const EmSettings& settings) {
  const auto& [experts, gates, dispersion, responsibilities, labels] = given;
  if (responsibilities || labels)
    throw py::value_error("a start of a stream has no responsibilities or labels");
  MixtureParameters start = make_parameters(stream.view.rows, experts, gates, dispersion);
  const Poll poll = make_poll();
  EmResult result;
  {
    const py::gil_scoped_release release;
    result = em_run(stream.view, std::move(start), settings, poll);
  }
  return to_dict(result);
}

py::list run(const BoundData& data, const std::vector<StartTuple>& given, const EmSettings& settings,
             const std::vector<std::vector<StageTuple>>& before) {
  if (!before.empty() && before.size() != given.size())
    throw py::value_error("before must have the stages of each start, or be empty");
  std::vector<EmStart> starts;
  starts.reserve(given.size());
  for (const StartTuple& start : given) starts.push_back(make_start(data, start));
  for (std::size_t i = 0; i < before.size(); ++i)
    for (const auto& [max_iter, shared_noise, inverse_temperature] : before[i])
      starts[i].before.push_back({max_iter, shared_noise, inverse_temperature});
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

// Settings for Python: attributes to read, and arguments of the constructor and of `but` by the same names.
// They are values. A run reads them while it does not hold Python's lock, so nothing may change them then.
class SettingsByName {
 public:
  // `set` takes what Python gives as a T.
  template <class T, class Set>
  void add(const char* name, const Set& set) {
    set_[name] = [name, set](EmSettings& to, const py::handle& value) {
      py::detail::make_caster<T> caster;
      if (!caster.load(value, true)) {
        throw py::type_error("EmSettings: " + std::string(name) + " cannot be " +
                             py::repr(value).cast<std::string>());
      }
      set(to, py::detail::cast_op<T>(std::move(caster)));
    };
  }

  EmSettings changed(EmSettings settings, const py::kwargs& given) const {
    for (const auto& [key, value] : given) {
      const std::string name = key.cast<std::string>();
      const auto found = set_.find(name);
      if (found == set_.end()) throw py::attribute_error("EmSettings has no setting '" + name + "'");
      found->second(settings, value);
    }
    settings.check();
    return settings;
  }

 private:
  std::map<std::string, std::function<void(EmSettings&, const py::handle&)>> set_;
};

}  // namespace

void bind_em(py::module_& m) {
  // What is left out has the value that em.hpp gives it.
  py::class_<EmSettings> settings(m, "EmSettings", "Settings of EM by name; see em.hpp.");
  const auto by_name = std::make_shared<SettingsByName>();
  const auto add = [&]<class T>(const char* name, T EmSettings::* member) {
    settings.def_readonly(name, member);
    by_name->add<T>(name, [member](EmSettings& to, T value) { to.*member = std::move(value); });
  };
  add("max_iter", &EmSettings::max_iter);
  add("tol", &EmSettings::tol);
  add("gradient_tol", &EmSettings::gradient_tol);
  add("fit_intercept", &EmSettings::fit_intercept);
  add("fit_gate_intercept", &EmSettings::fit_gate_intercept);
  add("update_noise", &EmSettings::update_noise);
  add("shared_noise", &EmSettings::shared_noise);
  add("common_columns", &EmSettings::common_columns);
  add("variance_floor", &EmSettings::variance_floor);
  add("least_covariance", &EmSettings::least_covariance);
  add("alpha", &EmSettings::alpha);
  add("alpha_mean", &EmSettings::alpha_mean);
  add("alpha_l1", &EmSettings::alpha_l1);
  add("gate_alpha", &EmSettings::gate_alpha);
  add("to_beat", &EmSettings::to_beat);
  add("inverse_temperature", &EmSettings::inverse_temperature);
  add("accelerate", &EmSettings::accelerate);
  add("n_threads", &EmSettings::n_threads);
  by_name->add<py::object>("link", [](EmSettings& to, const py::object& link) { to.link = make_link(link); });
  by_name->add<py::object>("family",
                           [](EmSettings& to, const py::object& family) { to.family = make_family(family); });
  settings.def(py::init([by_name](const py::kwargs& given) { return by_name->changed({}, given); }))
      .def(
          "but",
          [by_name](const EmSettings& from, const py::kwargs& given) {
            return by_name->changed(from, given);
          },
          "A copy with other settings of these names.")
      .def_property_readonly("shape_bounds", [](const EmSettings& of) {
        const Family* const family = of.family.get();
        return family ? py::make_tuple(family->least_shape(), family->largest_shape())
                      : py::make_tuple(0.0, 0.0);
      });

  py::class_<BoundData>(m, "EmData", "The samples, and what is known of frozen experts; see em.hpp.")
      .def(
          py::init<BoundData::Features, Array, Array, std::optional<Array>, std::optional<Array>, Columns,
                   Columns, std::optional<Array>, std::optional<Array>, std::optional<Array>,
                   std::optional<Array>, std::optional<Array>, std::optional<Array>, std::optional<Starts>>(),
          py::arg("X").noconvert(), py::arg("y").noconvert(), py::arg("w").noconvert(),
          py::arg("means").noconvert() = py::none(), py::arg("log_densities").noconvert() = py::none(),
          py::arg("expert_columns") = py::none(), py::arg("gate_columns") = py::none(),
          py::arg("centre").noconvert() = py::none(), py::arg("inverse_scale").noconvert() = py::none(),
          py::arg("offset").noconvert() = py::none(), py::arg("trials").noconvert() = py::none(),
          py::arg("row_term").noconvert() = py::none(), py::arg("first_predictor").noconvert() = py::none(),
          py::arg("group_starts").noconvert() = py::none());

  py::class_<BoundStream>(
      m, "RowStream",
      "Rows that nobody holds at once: pass_(parameters, sums) returns what e_step says of "
      "all of them; see em.hpp.")
      .def(py::init<py::function, double, index_t, index_t, Columns, Columns, index_t>(), py::arg("pass_"),
           py::arg("weight"), py::arg("n_rows"), py::arg("n_features"),
           py::arg("expert_columns") = py::none(), py::arg("gate_columns") = py::none(),
           py::arg("n_responses") = 1);

  m.def("em_run_stream", &run_stream, py::arg("stream"), py::arg("start").noconvert(), py::arg("settings"),
        "EM from one start, as em_run, on a stream.");
  m.def("e_step", &statistics, py::arg("data"), py::arg("at").noconvert(), py::arg("settings"),
        py::arg("sums") = "all",
        "The statistics of one E-step, by name, at a tuple as of em_run. `sums` are 'gradient', 'experts' "
        "(with the products of experts) or 'all' (with those of gates too); what is not wanted is empty.");
  m.def(
      "em_run", &run, py::arg("data"), py::arg("starts").noconvert(), py::arg("settings"),
      py::arg("before") = std::vector<std::vector<StageTuple>>(),
      "EM from each start until it settles, the runs in parallel: parameters, trace, n_iter, status, by "
      "name. A "
      "start is a tuple (experts, gates, variances (k,) or with the shapes of a family (k, 2) or of q "
      "responses the Cholesky factors of their covariances (k, q, q), "
      "responsibilities or None, int32 labels or None). `before`: for each start tuples (max_iter, "
      "shared_noise, inverse_temperature), iterations under other settings that come first; n_before counts "
      "them.");
}

}  // namespace moefast::bindings
