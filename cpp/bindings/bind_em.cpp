#include <pybind11/stl.h>

#include <limits>
#include <optional>
#include <tuple>

#include "array_args.hpp"
#include "bound_link.hpp"
#include "moefast/em_batch.hpp"

namespace moefast::bindings {
namespace {

std::vector<double> to_vector(const Array& array) { return {array.data(), array.data() + array.size()}; }

using Labels = PlainArray<std::int32_t>;
// experts, gates, variance, responsibilities, labels; mirrored in _core.pyi.
using StartTuple = std::tuple<Array, Array, Array, std::optional<Array>, std::optional<Labels>>;

EmData make_data(const Array& X, const Array& y, const Array& w, const std::optional<Array>& means,
                 py::ssize_t k) {
  require_ndim(X, "X", 2);
  const py::ssize_t n = X.shape(0);
  require_shape(y, "y", {n});
  require_shape(w, "w", {n});
  if (means) require_shape(*means, "means", {n, k});
  EmData data;
  data.X = X.data();
  data.y = y.data();
  data.w = w.data();
  data.means = means ? means->data() : nullptr;
  data.n = n;
  data.d = X.shape(1);
  return data;
}

MixtureParameters make_parameters(const Array& experts, const Array& gates, const Array& variance,
                                  py::ssize_t dim) {
  require_ndim(experts, "experts", 2);
  const py::ssize_t k = experts.shape(0);
  require_shape(experts, "experts", {k, dim});
  require_shape(gates, "gates", {k, dim});
  require_shape(variance, "variance", {k});
  if (k < 1) throw py::value_error("experts must have at least one row");
  MixtureParameters p{k, dim, to_vector(experts), to_vector(gates), to_vector(variance)};
  for (double v : p.variance) {
    if (!(v > 0)) throw py::value_error("variance must be positive, got " + std::to_string(v));
  }
  return p;
}

EmStart make_start(const StartTuple& given, index_t n, index_t dim) {
  const auto& [experts, gates, variance, responsibilities, labels] = given;
  EmStart start{make_parameters(experts, gates, variance, dim), {}};
  const index_t k = start.parameters.k;
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

py::dict to_dict(const EmResult& result) {
  const MixtureParameters& p = result.parameters;
  py::dict out;
  out["experts"] = make_array(p.experts, {p.k, p.dim});
  out["gates"] = make_array(p.gates, {p.k, p.dim});
  out["variance"] = make_array(p.variance, {p.k});
  out["totals"] = make_array(result.totals, {p.k});
  out["log_likelihood"] = result.log_likelihood;
  out["trace"] = make_array(result.trace, {static_cast<py::ssize_t>(result.trace.size())});
  out["n_iter"] = result.n_iter;
  out["gradient"] = result.gradient;
  out["status"] = to_string(result.status);
  return out;
}

// Views into the arguments; they stay alive as long as the call does.
struct EmArguments {
  EmData data;
  MixtureParameters start;
  Assignment assignment;

  EmArguments(const Array& X, const Array& y, const Array& w, const Array& experts, const Array& gates,
              const Array& variance, const std::optional<Array>& given, const std::optional<Array>& means) {
    require_ndim(X, "X", 2);
    require_ndim(experts, "experts", 2);
    start = make_parameters(experts, gates, variance, X.shape(1) + 1);
    data = make_data(X, y, w, means, start.k);
    if (data.n < 1) throw py::value_error("X must have at least one row");
    if (given) require_shape(*given, "responsibilities", {data.n, start.k});
    assignment.responsibilities = given ? given->data() : nullptr;
  }
};

}  // namespace

void bind_em(py::module_& m) {
  py::class_<EmSettings>(m, "EmSettings", "Settings of EM; see em.hpp.")
      .def(py::init([](int max_iter, double tol, bool expert_intercept, bool gate_intercept,
                       bool update_noise, bool shared_noise, double variance_floor, double alpha,
                       double gate_alpha, int n_threads, bool accelerate, double inverse_temperature,
                       double gradient_tol, std::optional<double> to_beat, const py::object& link) {
             EmSettings s;
             s.max_iter = max_iter;
             s.tol = tol;
             s.expert_intercept = expert_intercept;
             s.gate_intercept = gate_intercept;
             s.update_noise = update_noise;
             s.shared_noise = shared_noise;
             s.variance_floor = variance_floor;
             s.alpha = alpha;
             s.gate_alpha = gate_alpha;
             s.n_threads = n_threads;
             if (to_beat) s.to_beat = *to_beat;
             s.link = make_link(link);
             s.accelerate = accelerate;
             s.inverse_temperature = inverse_temperature;
             s.gradient_tol = gradient_tol;
             s.check();
             return s;
           }),
           py::kw_only(), py::arg("max_iter"), py::arg("tol"), py::arg("expert_intercept"),
           py::arg("gate_intercept"), py::arg("update_noise"), py::arg("shared_noise"),
           py::arg("variance_floor"), py::arg("alpha"), py::arg("gate_alpha"), py::arg("n_threads"),
           py::arg("accelerate"), py::arg("inverse_temperature") = 1.0,
           py::arg("gradient_tol") = std::numeric_limits<double>::infinity(), py::arg("to_beat") = py::none(),
           py::arg("link") = py::none());

  m.def(
      "em_statistics",
      [](const Array& X, const Array& y, const Array& w, const Array& experts, const Array& gates,
         const Array& variance, const EmSettings& settings, const std::optional<Array>& responsibilities,
         const std::optional<Array>& means) {
        const EmArguments args(X, y, w, experts, gates, variance, responsibilities, means);
        const Poll poll = make_poll();
        EmStatistics stats;
        {
          const py::gil_scoped_release release;
          stats = em_pass(args.data, args.start, settings, args.assignment, poll);
        }
        const index_t k = args.start.k, dim = args.start.dim, pairs = dim * (dim + 1) / 2;
        py::dict out;
        out["log_likelihood"] = stats.log_likelihood;
        out["totals"] = make_array(stats.totals, {k});
        out["squares"] = make_array(stats.squares, {k});
        out["residuals"] = make_array(stats.residuals, {k, dim});
        out["gate_slope"] = make_array(stats.gate_slope, {k, dim});
        out["products"] =
            make_array(stats.products, {pairs, static_cast<index_t>(stats.products.size()) / pairs});
        return out;
      },
      py::arg("X").noconvert(), py::arg("y").noconvert(), py::arg("w").noconvert(),
      py::arg("experts").noconvert(), py::arg("gates").noconvert(), py::arg("variance").noconvert(),
      py::arg("settings"), py::arg("responsibilities").noconvert() = py::none(),
      py::arg("means").noconvert() = py::none(),
      "The statistics of one EM pass at the given parameters, by name.");

  m.def(
      "em_run",
      [](const Array& X, const Array& y, const Array& w, const Array& experts, const Array& gates,
         const Array& variance, const EmSettings& settings, const std::optional<Array>& responsibilities,
         const std::optional<Array>& means) {
        EmArguments args(X, y, w, experts, gates, variance, responsibilities, means);
        const Poll poll = make_poll();
        EmResult result;
        {
          const py::gil_scoped_release release;
          result = em_run(args.data, std::move(args.start), settings, args.assignment, poll);
        }
        return to_dict(result);
      },
      py::arg("X").noconvert(), py::arg("y").noconvert(), py::arg("w").noconvert(),
      py::arg("experts").noconvert(), py::arg("gates").noconvert(), py::arg("variance").noconvert(),
      py::arg("settings"), py::arg("responsibilities").noconvert() = py::none(),
      py::arg("means").noconvert() = py::none(),
      "EM from the given parameters until it settles: parameters, trace, n_iter, status, by name.");

  m.def(
      "em_run_batch",
      [](const Array& X, const Array& y, const Array& w, const std::vector<StartTuple>& given,
         const EmSettings& settings) {
        const EmData data = make_data(X, y, w, std::nullopt, 0);
        if (data.n < 1) throw py::value_error("X must have at least one row");
        std::vector<EmStart> starts;
        starts.reserve(given.size());
        for (const StartTuple& start : given) starts.push_back(make_start(start, data.n, data.d + 1));
        const Poll poll = make_poll();
        std::vector<EmResult> results;
        {
          const py::gil_scoped_release release;
          results = em_run_batch(data, starts, settings, poll);
        }
        py::list out;
        for (const EmResult& result : results) out.append(to_dict(result));
        return out;
      },
      py::arg("X").noconvert(), py::arg("y").noconvert(), py::arg("w").noconvert(),
      py::arg("starts").noconvert(), py::arg("settings"),
      "What em_run gives from each start, the runs in parallel. A start is a tuple (experts, gates, "
      "variance, "
      "responsibilities or None, int32 labels or None).");
}

}  // namespace moefast::bindings
