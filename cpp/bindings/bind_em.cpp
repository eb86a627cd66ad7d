#include <pybind11/stl.h>

#include <optional>

#include "array_args.hpp"
#include "moefast/em.hpp"

namespace moefast::bindings {
namespace {

std::vector<double> to_vector(const Array& array) { return {array.data(), array.data() + array.size()}; }

// Views into the arguments; they stay alive as long as the call does.
struct EmArguments {
  EmData data;
  MixtureParameters start;
  const double* responsibilities = nullptr;

  EmArguments(const Array& X, const Array& y, const Array& w, const Array& experts, const Array& gates,
              const Array& variance, const std::optional<Array>& given, const std::optional<Array>& means) {
    require_ndim(X, "X", 2);
    require_ndim(experts, "experts", 2);
    const py::ssize_t n = X.shape(0), k = experts.shape(0), dim = X.shape(1) + 1;
    require_shape(y, "y", {n});
    require_shape(w, "w", {n});
    require_shape(experts, "experts", {k, dim});
    require_shape(gates, "gates", {k, dim});
    require_shape(variance, "variance", {k});
    if (k < 1) throw py::value_error("experts must have at least one row");
    if (n < 1) throw py::value_error("X must have at least one row");
    if (given) require_shape(*given, "responsibilities", {n, k});
    if (means) require_shape(*means, "means", {n, k});
    data.X = X.data();
    data.y = y.data();
    data.w = w.data();
    data.means = means ? means->data() : nullptr;
    data.n = n;
    data.d = X.shape(1);
    start.k = k;
    start.dim = dim;
    start.experts = to_vector(experts);
    start.gates = to_vector(gates);
    start.variance = to_vector(variance);
    for (double v : start.variance) {
      if (!(v > 0)) throw py::value_error("variance must be positive, got " + std::to_string(v));
    }
    responsibilities = given ? given->data() : nullptr;
  }
};

}  // namespace

void bind_em(py::module_& m) {
  py::class_<EmSettings>(m, "EmSettings", "Settings of EM; see em.hpp.")
      .def(py::init([](int max_iter, double tol, bool expert_intercept, bool gate_intercept,
                       bool update_noise, bool shared_noise, double variance_floor, double alpha,
                       double gate_alpha, int n_threads) {
             EmSettings s{max_iter,       tol,   expert_intercept, gate_intercept, update_noise, shared_noise,
                          variance_floor, alpha, gate_alpha,       n_threads};
             s.check();
             return s;
           }),
           py::kw_only(), py::arg("max_iter"), py::arg("tol"), py::arg("expert_intercept"),
           py::arg("gate_intercept"), py::arg("update_noise"), py::arg("shared_noise"),
           py::arg("variance_floor"), py::arg("alpha"), py::arg("gate_alpha"), py::arg("n_threads"));

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
          stats = em_pass(args.data, args.start, settings, args.responsibilities, poll);
        }
        const index_t k = args.start.k, dim = args.start.dim, pairs = dim * (dim + 1) / 2;
        py::dict out;
        out["log_likelihood"] = stats.log_likelihood;
        out["totals"] = make_array(stats.totals, {k});
        out["squares"] = make_array(stats.squares, {k});
        out["residuals"] = make_array(stats.residuals, {k, dim});
        out["gate_slope"] = make_array(stats.gate_slope, {k, dim});
        out["products"] =
            make_array(stats.products, {static_cast<index_t>(stats.products.size()) / pairs, pairs});
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
          result = em_run(args.data, std::move(args.start), settings, args.responsibilities, poll);
        }
        const MixtureParameters& p = result.parameters;
        py::dict out;
        out["experts"] = make_array(p.experts, {p.k, p.dim});
        out["gates"] = make_array(p.gates, {p.k, p.dim});
        out["variance"] = make_array(p.variance, {p.k});
        out["totals"] = make_array(result.totals, {p.k});
        out["log_likelihood"] = result.log_likelihood;
        out["trace"] = make_array(result.trace, {static_cast<py::ssize_t>(result.trace.size())});
        out["n_iter"] = result.n_iter;
        out["status"] = to_string(result.status);
        return out;
      },
      py::arg("X").noconvert(), py::arg("y").noconvert(), py::arg("w").noconvert(),
      py::arg("experts").noconvert(), py::arg("gates").noconvert(), py::arg("variance").noconvert(),
      py::arg("settings"), py::arg("responsibilities").noconvert() = py::none(),
      py::arg("means").noconvert() = py::none(),
      "EM from the given parameters until it settles: parameters, trace, n_iter, status, by name.");
}

}  // namespace moefast::bindings
