#include <pybind11/stl.h>

#include <optional>
#include <tuple>

#include "array_args.hpp"
#include "moefast/information.hpp"

namespace moefast::bindings {
namespace {

// experts, gates, variance; and the columns of u that experts and gates use. Mirrored in _core.pyi.
using ParameterTuple = std::tuple<Array, Array, Array>;
using ColumnsTuple = std::tuple<std::vector<index_t>, std::vector<index_t>>;

// Views into the arguments, which stay alive as long as the call does.
struct InformationArguments {
  EmData data;
  MixtureParameters parameters;
  UsedColumns columns;
  py::ssize_t P = 0;

  InformationArguments(const Array& X, const Array& y, const Array& w, const ParameterTuple& given,
                       const ColumnsTuple& used, const EmSettings& settings) {
    require_ndim(X, "X", 2);
    const py::ssize_t n = X.shape(0), dim = X.shape(1) + 1;
    require_shape(y, "y", {n});
    require_shape(w, "w", {n});
    if (n < 1) throw py::value_error("X must have at least one row");
    const auto& [experts, gates, variance] = given;
    require_ndim(experts, "experts", 2);
    const py::ssize_t k = experts.shape(0);
    if (k < 1) throw py::value_error("experts must have at least one row");
    require_shape(experts, "experts", {k, dim});
    require_shape(gates, "gates", {k, dim});
    require_shape(variance, "variance", {k});
    const auto copy = [](const Array& array) {
      return std::vector<double>(array.data(), array.data() + array.size());
    };
    parameters = {k, dim, copy(experts), copy(gates), copy(variance)};
    for (const double v : parameters.variance) {
      if (!(v > 0)) throw py::value_error("variance must be positive, got " + std::to_string(v));
    }
    columns = {std::get<0>(used), std::get<1>(used)};
    columns.check(dim);
    data.X = X.data(), data.y = y.data(), data.w = w.data(), data.n = n, data.d = dim - 1;
    P = n_parameters(k, columns, settings.shared_noise);
  }
};

}  // namespace

void bind_information(py::module_& m) {
  m.def(
      "information",
      [](const Array& X, const Array& y, const Array& w, const ParameterTuple& parameters,
         const ColumnsTuple& columns, const EmSettings& settings, const std::optional<Array>& curvature) {
        const InformationArguments args(X, y, w, parameters, columns, settings);
        if (curvature) require_shape(*curvature, "curvature", {args.data.n, args.parameters.k});
        const double* bends = curvature ? curvature->data() : nullptr;
        const Poll poll = make_poll();
        Information found;
        {
          const py::gil_scoped_release release;
          found = information(args.data, args.parameters, settings, args.columns, bends, poll);
        }
        return py::make_tuple(make_array(std::move(found.score), {args.P}),
                              make_array(std::move(found.hessian), {args.P, args.P}),
                              make_array(std::move(found.score_products), {args.P, args.P}));
      },
      py::arg("X").noconvert(), py::arg("y").noconvert(), py::arg("w").noconvert(),
      py::arg("parameters").noconvert(), py::arg("columns"), py::arg("settings"),
      py::arg("curvature").noconvert() = py::none(),
      "Score, Hessian and score products of the log-likelihood without ridges; see information.hpp.");

  m.def(
      "row_scores",
      [](const Array& X, const Array& y, const ParameterTuple& parameters, const ColumnsTuple& columns,
         const EmSettings& settings) {
        require_ndim(X, "X", 2);
        const InformationArguments args(X, y, y, parameters, columns, settings);  // weights are not read
        const Poll poll = make_poll();
        std::vector<double> scores;
        {
          const py::gil_scoped_release release;
          scores = row_scores(args.data, args.parameters, settings, args.columns, poll);
        }
        return make_array(std::move(scores), {args.data.n, args.P});
      },
      py::arg("X").noconvert(), py::arg("y").noconvert(), py::arg("parameters").noconvert(),
      py::arg("columns"), py::arg("settings"), "The scores of single rows, n x P, without weights.");
}

}  // namespace moefast::bindings
