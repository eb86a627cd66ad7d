// The samples and the parameters of a mixture, given from Python.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "array_args.hpp"
#include "functions.hpp"
#include "moefast/em.hpp"

namespace moefast::bindings {

// Of columns that are there as long as the arrays are, all of one length.
inline std::vector<Column> views_of(const ColumnArrays& columns) {
  std::vector<Column> views;
  py::ssize_t n = -1;
  for (const FeatureArray& array : columns) {
    const auto view = [&](const auto& values) {
      require_ndim(values, "a column of X", 1);
      if (n < 0) n = values.shape(0);
      require_shape(values, "a column of X", {n});
      return values.data();
    };
    if (const Array* doubles = std::get_if<Array>(&array)) {
      views.push_back({view(*doubles), nullptr});
    } else {
      views.push_back({nullptr, view(std::get<PlainArray<float>>(array))});
    }
  }
  return views;
}

using Columns = std::optional<std::vector<index_t>>;

// The samples, with the arrays that hold them.
struct BoundData {
  ColumnArrays X;  // one table, or columns
  Array y, w;
  std::optional<Array> means, log_densities, centre, inverse_scale;
  std::optional<Array> offset, trials, row_term, first_predictor;
  std::vector<index_t> group_starts;  // a copy, checked: other threads may change the array that was given
  EmData view;

  explicit BoundData(const Given& given)
      : y(array_of("y", given["y"])),
        w(array_of("w", given["w"])),
        means(optional_array("means", given["means"])),
        log_densities(optional_array("log_densities", given["log_densities"])),
        centre(optional_array("centre", given["centre"])),
        inverse_scale(optional_array("inverse_scale", given["inverse_scale"])),
        offset(optional_array("offset", given["offset"])),
        trials(optional_array("trials", given["trials"])),
        row_term(optional_array("row_term", given["row_term"])),
        first_predictor(optional_array("first_predictor", given["first_predictor"])) {
    const auto [n, d] = take_features(given["X"]);
    if (n < 1) throw py::value_error("X must have at least one row");
    if (y.ndim() == 2) view.n_responses = y.shape(0);
    if (view.n_responses < 1) throw py::value_error("y must have at least one response");
    require_shape(
        y, "y", y.ndim() == 2 ? std::vector<py::ssize_t>{view.n_responses, n} : std::vector<py::ssize_t>{n});
    require_shape(w, "w", {n});
    view.y = y.data(), view.w = w.data();
    view.n = n, view.d = d;
    if (centre.has_value() != inverse_scale.has_value())
      throw py::value_error("give both centre and inverse_scale, or neither");
    if (centre) {
      require_shape(*centre, "centre", {d});
      require_shape(*inverse_scale, "inverse_scale", {d});
      view.centre = centre->data(), view.inverse_scale = inverse_scale->data();
    }
    view.expert_columns = given.as<Columns>("expert_columns");
    view.gate_columns = given.as<Columns>("gate_columns");
    view.check_columns();
    const auto of_rows = [n](const std::optional<Array>& array, const char* name) {
      if (array) require_shape(*array, name, {n});
      return array ? array->data() : nullptr;
    };
    view.offset = of_rows(offset, "offset"), view.trials = of_rows(trials, "trials");
    view.row_term = of_rows(row_term, "row_term");
    view.first_predictor = of_rows(first_predictor, "first_predictor");
    if (given.has("group_starts")) {
      const auto starts = array_of<PlainArray<std::int64_t>>("group_starts", given["group_starts"]);
      require_ndim(starts, "group_starts", 1);
      if (starts.size() < 2) throw py::value_error("group_starts must have at least two entries");
      group_starts.assign(starts.data(), starts.data() + starts.size());
      view.group_starts = group_starts.data();
      view.n_groups = static_cast<index_t>(group_starts.size()) - 1;
      view.check_groups();
      if (!view.by_column.empty())
        throw py::value_error("rows in groups need X as one array, not by columns");
    }
    if (means) view.means = means->data();
    if (log_densities) view.log_densities = log_densities->data();
  }

  // Points the view at the features; returns how many rows and columns there are.
  std::pair<py::ssize_t, py::ssize_t> take_features(const py::handle& given) {
    if (py::isinstance<py::tuple>(given)) {
      X = column_arrays(given);
      if (X.empty()) throw py::value_error("X must have a column where it is given by columns");
      view.by_column = views_of(X);
      const auto length = [](const py::array& values) { return values.shape(0); };
      return {std::visit(length, X.front()), static_cast<py::ssize_t>(X.size())};
    }
    X.push_back(features_of("X", given));
    const auto shape_of = [](const py::array& table) {
      require_ndim(table, "X", 2);
      return std::pair(table.shape(0), table.shape(1));
    };
    if (const Array* doubles = std::get_if<Array>(&X.front())) {
      view.X = doubles->data();
      return shape_of(*doubles);
    }
    const PlainArray<float>& floats = std::get<PlainArray<float>>(X.front());
    view.X32 = floats.data();
    return shape_of(floats);
  }

  // For what knows rows by themselves only.
  void refuse_groups() const {
    if (view.grouped()) throw py::value_error("group_starts must be left out here: rows count by themselves");
  }

  void require_experts(index_t k) const {
    if (means) require_shape(*means, "means", {view.n, k});
    if (log_densities) require_shape(*log_densities, "log_densities", {view.n, k});
  }
};

// `given`: experts, gates and dispersion, the first three of the tuple. The dispersion: the variances, (k,),
// or beside them the shapes, (k, 2); of q responses the Cholesky factors of their covariances, (k, q, q).
inline MixtureParameters make_parameters(const EmData& data, const py::tuple& given) {
  const Array experts = array_of("experts", given[0]), gates = array_of("gates", given[1]);
  const Array dispersion = array_of("variance", given[2]);
  require_ndim(experts, "experts", 2);
  require_ndim(gates, "gates", 2);
  // Rows of experts beyond one for each gate are those of further predictors.
  const py::ssize_t rows = experts.shape(0), expert_dim = data.expert_dim(), gate_dim = data.gate_dim();
  const bool several = gates.shape(0) > 0 && rows > gates.shape(0) && rows % gates.shape(0) == 0;
  const py::ssize_t k = several ? gates.shape(0) : rows;
  require_shape(experts, "experts", {rows, expert_dim});
  require_shape(gates, "gates", {k, gate_dim});
  if (k < 1) throw py::value_error("experts must have at least one row");
  const bool shapes = dispersion.ndim() == 2, covariances = dispersion.ndim() == 3;
  require_shape(dispersion, "variance",
                covariances ? std::vector<py::ssize_t>{k, rows / k, rows / k}
                : shapes    ? std::vector<py::ssize_t>{k, 2}
                            : std::vector<py::ssize_t>{k});
  MixtureParameters p{k,
                      expert_dim,
                      gate_dim,
                      to_vector(experts),
                      to_vector(gates),
                      std::vector<double>(static_cast<std::size_t>(k)),
                      std::vector<double>(static_cast<std::size_t>(k), 1.0),
                      rows / k,
                      covariances ? to_vector(dispersion) : std::vector<double>()};
  const double* next = dispersion.data();
  for (std::size_t i = 0; i < p.variance.size() && !covariances; ++i) {
    p.variance[i] = *next++;
    if (shapes) p.shape[i] = *next++;
  }
  if (covariances) std::fill(p.variance.begin(), p.variance.end(), 1.0);
  for (index_t i = 0; covariances && i < k * p.n_predictors; ++i) {
    const index_t q = p.n_predictors, at = i * q + i % q;
    if (!(p.cholesky[static_cast<std::size_t>(at)] > 0))
      throw py::value_error("covariances must have Cholesky factors of a positive diagonal");
  }
  for (double v : p.variance) {
    if (!(v > 0)) throw py::value_error("variance must be positive, got " + std::to_string(v));
  }
  for (double v : p.shape) {
    if (!(v > 0)) throw py::value_error("shape must be positive, got " + std::to_string(v));
  }
  return p;
}

}  // namespace moefast::bindings
