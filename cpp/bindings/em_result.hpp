// The end of a run, for Python.
#pragma once

#include "array_args.hpp"
#include "moefast/em.hpp"

namespace moefast::bindings {

inline py::dict to_dict(const EmResult& result) {
  const MixtureParameters& p = result.parameters;
  py::dict out;
  out["experts"] = make_array(p.experts, {p.k * p.n_predictors, p.expert_dim});
  out["gates"] = make_array(p.gates, {p.k, p.gate_dim});
  out["variance"] = make_array(p.variance, {p.k});
  out["shape"] = make_array(p.shape, {p.k});
  if (p.several_responses()) out["cholesky"] = make_array(p.cholesky, {p.k, p.n_predictors, p.n_predictors});
  out["totals"] = make_array(result.totals, {p.k});
  out["log_likelihood"] = result.log_likelihood;
  out["trace"] = make_array(result.trace, {static_cast<py::ssize_t>(result.trace.size())});
  out["n_iter"] = result.n_iter;
  out["n_before"] = result.n_before;
  out["gradient"] = result.gradient;
  out["status"] = to_string(result.status);
  return out;
}

}  // namespace moefast::bindings
