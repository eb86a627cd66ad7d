#include "array_args.hpp"
#include "bound_data.hpp"
#include "functions.hpp"
#include "moefast/information.hpp"

namespace moefast::bindings {
namespace {

MixtureParameters parameters_of(const BoundData& data, const Given& given) {
  if (data.view.frozen()) throw py::value_error("data must not have means nor log_densities");
  data.refuse_groups();
  return make_parameters(data.view, items_of("parameters", given["parameters"], 3));
}

py::object all_information(const Given& given) {
  const BoundData& data = given.as<const BoundData&>("data");
  const EmSettings& settings = given.as<const EmSettings&>("settings");
  const MixtureParameters parameters = parameters_of(data, given);
  const Poll poll = make_poll();
  Information found;
  {
    const py::gil_scoped_release release;
    found = information(data.view, parameters, settings, poll);
  }
  const index_t P = n_parameters(parameters, settings);
  return tuple_of({make_array(std::move(found.score), {P}), make_array(std::move(found.hessian), {P, P}),
                   make_array(std::move(found.score_products), {P, P})});
}

py::object scores_of_rows(const Given& given) {
  const BoundData& data = given.as<const BoundData&>("data");
  const EmSettings& settings = given.as<const EmSettings&>("settings");
  const MixtureParameters parameters = parameters_of(data, given);
  const Poll poll = make_poll();
  std::vector<double> scores;
  {
    const py::gil_scoped_release release;
    scores = row_scores(data.view, parameters, settings, poll);
  }
  return make_array(std::move(scores), {data.view.n, n_parameters(parameters, settings)});
}

}  // namespace

void bind_information(py::module_& m) {
  def(m, "information", "data, parameters, settings", &all_information,
      "Score, Hessian and score products of the log-likelihood without ridges; see information.hpp.");
  def(m, "row_scores", "data, parameters, settings", &scores_of_rows,
      "The scores of single rows, n x P, without weights.");
}

}  // namespace moefast::bindings
