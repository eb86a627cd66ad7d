#include <pybind11/stl.h>

#include <optional>
#include <tuple>

#include "array_args.hpp"
#include "bound_data.hpp"
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

py::dict run(const BoundData& data, const ParameterTuple& start, const EmSettings& settings,
             const NewtonSettings& newton, const BoundData* sample) {
  data.refuse_groups();
  if (sample) sample->refuse_groups();
  const auto& [experts, gates, dispersion] = start;
  MixtureParameters parameters = make_parameters(data.view, experts, gates, dispersion);
  Metric metric;
  if (sample) {
    if (sample->view.expert_dim() != data.view.expert_dim() ||
        sample->view.gate_dim() != data.view.gate_dim())
      throw py::value_error("sample must have the columns of data");
    const auto weight = [](const EmData& rows) {
      double sum = 0;
      for (index_t s = 0; s < rows.n; ++s) sum += rows.w[s];
      return sum;
    };
    metric.data = &sample->view;
    metric.factor = weight(data.view) / weight(sample->view);
  }
  const Poll poll = make_poll();
  NewtonResult found;
  {
    const py::gil_scoped_release release;
    found = newton_run(data.view, metric, std::move(parameters), settings, newton, poll);
  }
  py::dict out = to_dict(found.at);
  out["decrement"] = found.decrement;
  out["curvature"] = to_string(found.curvature);
  out["n_passes"] = found.n_passes;
  out["n_derivatives"] = found.n_derivatives;
  return out;
}

}  // namespace

void bind_newton(py::module_& m) {
  m.def(
      "newton_run",
      [](const BoundData& data, const ParameterTuple& start, const EmSettings& settings, double tol,
         int max_passes, const BoundData* sample) {
        if (!(tol >= 0)) throw py::value_error("tol must not be negative, got " + std::to_string(tol));
        if (max_passes < 1)
          throw py::value_error("max_passes must be at least 1, got " + std::to_string(max_passes));
        return run(data, start, settings, {tol, max_passes}, sample);
      },
      py::arg("data"), py::arg("start").noconvert(), py::arg("settings"), py::arg("tol"),
      py::arg("max_passes"), py::arg("sample") = py::none(),
      "Newton's method from a tuple (experts, gates, dispersion), with second derivatives of a sample where "
      "there is one; see newton.hpp.");
}

}  // namespace moefast::bindings
