#include <pybind11/stl.h>

#include <optional>
#include <tuple>

#include "array_args.hpp"
#include "bound_data.hpp"
#include "bound_stream.hpp"
#include "em_result.hpp"
#include "moefast/newton.hpp"

namespace moefast::bindings {
namespace {

// experts, gates, dispersion; mirrored in _core.pyi.
using ParameterTuple = std::tuple<Array, Array, Array>;

const char* to_string(Curvature curvature) {
  switch (curvature) {
    case Curvature::maximum:
      return "maximum";
    case Curvature::indefinite:
      return "indefinite";
    case Curvature::saddle:
      return "saddle";
    default:
      return "unknown";
  }
}

double weight_of(const EmData& rows) {
  double sum = 0;
  for (index_t s = 0; s < rows.n; ++s) sum += rows.w[s];
  return sum;
}

Metric metric_of(const EmData& data, double weight, const BoundData& sample) {
  sample.refuse_groups();
  if (sample.view.expert_dim() != data.expert_dim() || sample.view.gate_dim() != data.gate_dim())
    throw py::value_error("sample must have the columns of data");
  return {&sample.view, weight / weight_of(sample.view)};
}

// `data`: EmData or RowStream, as `rows` says what they are like.
template <class Data>
py::dict run(const Data& data, const EmData& rows, const Metric& metric, const ParameterTuple& start,
             const EmSettings& settings, const NewtonSettings& newton) {
  const auto& [experts, gates, dispersion] = start;
  MixtureParameters parameters = make_parameters(rows, experts, gates, dispersion);
  const Poll poll = make_poll();
  NewtonResult found;
  {
    const py::gil_scoped_release release;
    found = newton_run(data, metric, std::move(parameters), settings, newton, poll);
  }
  py::dict out = to_dict(found.at);
  out["decrement"] = found.decrement;
  out["curvature"] = to_string(found.curvature);
  out["n_passes"] = found.n_passes;
  out["n_derivatives"] = found.n_derivatives;
  return out;
}

NewtonSettings newton_settings(double tol, int max_passes) {
  if (!(tol >= 0)) throw py::value_error("tol must not be negative, got " + std::to_string(tol));
  if (max_passes < 1)
    throw py::value_error("max_passes must be at least 1, got " + std::to_string(max_passes));
  return {tol, max_passes};
}

}  // namespace

void bind_newton(py::module_& m) {
  m.def(
      "newton_run",
      [](const BoundData& data, const ParameterTuple& start, const EmSettings& settings, double tol,
         int max_passes, const BoundData* sample) {
        const NewtonSettings newton = newton_settings(tol, max_passes);
        data.refuse_groups();
        const Metric metric = sample ? metric_of(data.view, weight_of(data.view), *sample) : Metric();
        return run(data.view, data.view, metric, start, settings, newton);
      },
      py::arg("data"), py::arg("start").noconvert(), py::arg("settings"), py::arg("tol"),
      py::arg("max_passes"), py::arg("sample") = py::none(),
      "Newton's method from a tuple (experts, gates, dispersion), with second derivatives of a sample where "
      "there is one; see newton.hpp.");

  m.def(
      "newton_run_stream",
      [](const BoundStream& stream, const ParameterTuple& start, const EmSettings& settings, double tol,
         int max_passes, const BoundData& sample) {
        const RowStream& view = stream.view;
        NewtonSettings newton = newton_settings(tol, max_passes);
        newton.strict = true;
        return run(view, view.rows, metric_of(view.rows, view.weight, sample), start, settings, newton);
      },
      py::arg("stream"), py::arg("start").noconvert(), py::arg("settings"), py::arg("tol"),
      py::arg("max_passes"), py::arg("sample"), "The same on a stream, with second derivatives of a sample.");
}

}  // namespace moefast::bindings
