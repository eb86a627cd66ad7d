// The samples and the parameters of a mixture, given from Python.
#pragma once

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "array_args.hpp"
#include "moefast/em.hpp"

namespace moefast::bindings {

inline std::vector<double> to_vector(const Array& array) {
  return {array.data(), array.data() + array.size()};
}

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

using Starts = PlainArray<std::int64_t>;
using Columns = std::optional<std::vector<index_t>>;

// The samples, with the arrays that hold them.
struct BoundData {
  // A table, or its columns.
  using Features = std::variant<Array, PlainArray<float>, py::tuple>;
  Features X;
  ColumnArrays columns;
  Array y, w;
  std::optional<Array> means, log_densities, centre, inverse_scale;
  std::optional<Array> offset, trials, row_term, first_predictor;
  std::vector<index_t> group_starts;  // a copy, checked: other threads may change the array that was given
  EmData view;

  BoundData(Features X, Array y, Array w, std::optional<Array> means, std::optional<Array> log_densities,
            Columns expert_columns, Columns gate_columns, std::optional<Array> centre,
            std::optional<Array> inverse_scale, std::optional<Array> offset, std::optional<Array> trials,
            std::optional<Array> row_term, std::optional<Array> first_predictor,
            const std::optional<Starts>& group_starts)
      : X(std::move(X)),
        y(std::move(y)),
        w(std::move(w)),
        means(std::move(means)),
        log_densities(std::move(log_densities)),
        centre(std::move(centre)),
        inverse_scale(std::move(inverse_scale)),
        offset(std::move(offset)),
        trials(std::move(trials)),
        row_term(std::move(row_term)),
        first_predictor(std::move(first_predictor)) {
    const auto [n, d] = take_features();
    if (n < 1) throw py::value_error("X must have at least one row");
    if (this->y.ndim() == 2) view.n_responses = this->y.shape(0);
    if (view.n_responses < 1) throw py::value_error("y must have at least one response");
    require_shape(
        this->y, "y",
        this->y.ndim() == 2 ? std::vector<py::ssize_t>{view.n_responses, n} : std::vector<py::ssize_t>{n});
    require_shape(this->w, "w", {n});
    view.y = this->y.data(), view.w = this->w.data();
    view.n = n, view.d = d;
    if (this->centre.has_value() != this->inverse_scale.has_value())
      throw py::value_error("give both centre and inverse_scale, or neither");
    if (this->centre) {
      require_shape(*this->centre, "centre", {d});
      require_shape(*this->inverse_scale, "inverse_scale", {d});
      view.centre = this->centre->data(), view.inverse_scale = this->inverse_scale->data();
    }
    view.expert_columns = std::move(expert_columns), view.gate_columns = std::move(gate_columns);
    view.check_columns();
    const auto of_rows = [n](const std::optional<Array>& array, const char* name) {
      if (array) require_shape(*array, name, {n});
      return array ? array->data() : nullptr;
    };
    view.offset = of_rows(this->offset, "offset"), view.trials = of_rows(this->trials, "trials");
    view.row_term = of_rows(this->row_term, "row_term");
    view.first_predictor = of_rows(this->first_predictor, "first_predictor");
    if (group_starts) {
      require_ndim(*group_starts, "group_starts", 1);
      if (group_starts->size() < 2) throw py::value_error("group_starts must have at least two entries");
      this->group_starts.assign(group_starts->data(), group_starts->data() + group_starts->size());
      view.group_starts = this->group_starts.data();
      view.n_groups = static_cast<index_t>(this->group_starts.size()) - 1;
      view.check_groups();
      if (!view.by_column.empty())
        throw py::value_error("rows in groups need X as one array, not by columns");
    }
    if (this->means) view.means = this->means->data();
    if (this->log_densities) view.log_densities = this->log_densities->data();
  }

  // Points the view at the features; returns how many rows and columns there are.
  std::pair<py::ssize_t, py::ssize_t> take_features() {
    if (const py::tuple* given = std::get_if<py::tuple>(&X)) {
      columns = column_arrays(*given);
      if (columns.empty()) throw py::value_error("X must have a column where it is given by columns");
      view.by_column = views_of(columns);
      const auto length = [](const py::array& values) { return values.shape(0); };
      return {std::visit(length, columns.front()), static_cast<py::ssize_t>(columns.size())};
    }
    const auto shape_of = [](const py::array& table) {
      require_ndim(table, "X", 2);
      return std::pair(table.shape(0), table.shape(1));
    };
    if (const Array* doubles = std::get_if<Array>(&X)) {
      view.X = doubles->data();
      return shape_of(*doubles);
    }
    const PlainArray<float>& floats = std::get<PlainArray<float>>(X);
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

// `dispersion`: the variances, (k,), or beside them the shapes, (k, 2); of q responses the Cholesky factors
// of their covariances, (k, q, q).
inline MixtureParameters make_parameters(const EmData& data, const Array& experts, const Array& gates,
                                         const Array& dispersion) {
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
