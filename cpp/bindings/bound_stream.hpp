// A stream of rows whose passes Python makes.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "array_args.hpp"
#include "bound_data.hpp"
#include "functions.hpp"
#include "moefast/em.hpp"

namespace moefast::bindings {

inline const char* to_string(PassSums sums) {
  switch (sums) {
    case PassSums::gradient:
      return "gradient";
    case PassSums::experts:
      return "experts";
    default:
      return "all";
  }
}

// What `e_step` has returned, or a sum of such.
inline EmStatistics to_statistics(const py::dict& sums, PassSums kind) {
  const auto take = [&sums](const char* name) {
    if (!sums.contains(name)) throw py::value_error("the pass returned no " + std::string(name));
    return to_vector(converted(sums[name]));
  };
  EmStatistics out;
  out.sums = kind;
  out.log_likelihood = sums["log_likelihood"].cast<double>();
  out.totals = take("totals"), out.squares = take("squares");
  out.residuals = take("residuals"), out.gate_slope = take("gate_slope");
  out.shape_slopes = take("shape_slopes"), out.shape_curvatures = take("shape_curvatures");
  out.products = take("products"), out.gate_products = take("gate_products");
  return out;
}

struct BoundStream {
  py::function pass;
  RowStream view;

  explicit BoundStream(const Given& given) : pass(given.as<py::function>("pass_")) {
    const double weight = given.as<double>("weight");
    const index_t n_rows = given.as<index_t>("n_rows"), n_features = given.as<index_t>("n_features");
    const index_t n_responses = given.as<index_t>("n_responses", 1);
    if (n_responses < 1)
      throw py::value_error("n_responses must be at least 1, got " + std::to_string(n_responses));
    if (n_rows < 1) throw py::value_error("n_rows must be at least 1, got " + std::to_string(n_rows));
    if (n_features < 0)
      throw py::value_error("n_features must not be negative, got " + std::to_string(n_features));
    if (!(weight > 0)) throw py::value_error("weight must be positive, got " + std::to_string(weight));
    view.rows.n = n_rows, view.rows.d = n_features, view.rows.n_responses = n_responses;
    view.rows.expert_columns = given.as<Columns>("expert_columns");
    view.rows.gate_columns = given.as<Columns>("gate_columns");
    view.rows.check_columns();
    view.weight = weight;
    view.pass = [this](const MixtureParameters& p, PassSums sums) { return call(p, sums); };
  }
  // The view calls this object.
  BoundStream(const BoundStream&) = delete;
  BoundStream& operator=(const BoundStream&) = delete;

 private:
  EmStatistics call(const MixtureParameters& p, PassSums sums) const {
    const py::gil_scoped_acquire gil;
    std::vector<double> dispersion;
    for (std::size_t i = 0; i < p.variance.size(); ++i) {
      dispersion.push_back(p.variance[i]);
      dispersion.push_back(p.shape.empty() ? 1.0 : p.shape[i]);
    }
    const py::tuple parameters = tuple_of(
        {make_array(p.experts, {p.k * p.n_predictors, p.expert_dim}), make_array(p.gates, {p.k, p.gate_dim}),
         p.several_responses() ? make_array(p.cholesky, {p.k, p.n_predictors, p.n_predictors})
                               : make_array(std::move(dispersion), {p.k, 2})});
    return to_statistics(pass(parameters, py::str(to_string(sums))), sums);
  }
};

}  // namespace moefast::bindings
