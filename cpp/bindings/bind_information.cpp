#include <pybind11/stl.h>

#include <optional>
#include <tuple>

#include "array_args.hpp"
#include "bound_data.hpp"
#include "moefast/information.hpp"

namespace moefast::bindings {
namespace {

// experts, gates, dispersion; mirrored in _core.pyi.
using ParameterTuple = std::tuple<Array, Array, Array>;

MixtureParameters parameters_of(const BoundData& data, const ParameterTuple& given) {
  if (data.view.frozen()) throw py::value_error("data must not have means nor log_densities");
  data.refuse_groups();
  const auto& [experts, gates, dispersion] = given;
  return make_parameters(data.view, experts, gates, dispersion);
}

}  // namespace

void bind_information(py::module_& m) {
  m.def(
      "information",
      [](const BoundData& data, const ParameterTuple& given, const EmSettings& settings) {
        const MixtureParameters parameters = parameters_of(data, given);
        const Poll poll = make_poll();
        Information found;
        {
          const py::gil_scoped_release release;
          found = information(data.view, parameters, settings, poll);
        }
        const index_t P = n_parameters(parameters, settings);
        return py::make_tuple(make_array(std::move(found.score), {P}),
                              make_array(std::move(found.hessian), {P, P}),
                              make_array(std::move(found.score_products), {P, P}));
      },
      py::arg("data"), py::arg("parameters").noconvert(), py::arg("settings"),
      "Score, Hessian and score products of the log-likelihood without ridges; see information.hpp.");

  m.def(
      "row_scores",
      [](const BoundData& data, const ParameterTuple& given, const EmSettings& settings) {
        const MixtureParameters parameters = parameters_of(data, given);
        const Poll poll = make_poll();
        std::vector<double> scores;
        {
          const py::gil_scoped_release release;
          scores = row_scores(data.view, parameters, settings, poll);
        }
        return make_array(std::move(scores), {data.view.n, n_parameters(parameters, settings)});
      },
      py::arg("data"), py::arg("parameters").noconvert(), py::arg("settings"),
      "The scores of single rows, n x P, without weights.");
}

}  // namespace moefast::bindings
