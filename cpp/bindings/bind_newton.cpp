#include "array_args.hpp"
#include "bound_data.hpp"
#include "bound_stream.hpp"
#include "em_result.hpp"
#include "functions.hpp"
#include "moefast/newton.hpp"

namespace moefast::bindings {
namespace {

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

NewtonSettings newton_settings(const Given& given) {
  const double tol = given.as<double>("tol");
  const int max_passes = given.as<int>("max_passes");
  if (!(tol >= 0)) throw py::value_error("tol must not be negative, got " + std::to_string(tol));
  if (max_passes < 1)
    throw py::value_error("max_passes must be at least 1, got " + std::to_string(max_passes));
  return {tol, max_passes};
}

// `data`: EmData or RowStream, as `rows` says what they are like.
template <class Data>
py::object run(const Given& given, const Data& data, const EmData& rows, const Metric& metric,
               const NewtonSettings& newton) {
  const EmSettings& settings = given.as<const EmSettings&>("settings");
  MixtureParameters parameters = make_parameters(rows, items_of("start", given["start"], 3));
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

py::object run_on_data(const Given& given) {
  const BoundData& data = given.as<const BoundData&>("data");
  const NewtonSettings newton = newton_settings(given);
  data.refuse_groups();
  Metric metric;
  if (given.has("sample"))
    metric = metric_of(data.view, weight_of(data.view), given.as<const BoundData&>("sample"));
  return run(given, data.view, data.view, metric, newton);
}

py::object run_on_stream(const Given& given) {
  const RowStream& stream = given.as<const BoundStream&>("stream").view;
  NewtonSettings newton = newton_settings(given);
  newton.strict = true;
  const Metric metric = metric_of(stream.rows, stream.weight, given.as<const BoundData&>("sample"));
  return run(given, stream, stream.rows, metric, newton);
}

}  // namespace

void bind_newton(py::module_& m) {
  def(m, "newton_run", "data, start, settings, tol, max_passes, sample=None", &run_on_data,
      "Newton's method from a tuple (experts, gates, dispersion), with second derivatives of a sample where "
      "there is one; see newton.hpp.");
  def(m, "newton_run_stream", "stream, start, settings, tol, max_passes, sample", &run_on_stream,
      "The same on a stream, with second derivatives of a sample.");
}

}  // namespace moefast::bindings
