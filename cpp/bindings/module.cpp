// moefast._core: a table of contents.
#include <pybind11/pybind11.h>

#include "moefast/types.hpp"

namespace py = pybind11;

namespace moefast::bindings {
void bind_accumulator(py::module_& m);
void bind_build_info(py::module_& m);
void bind_em(py::module_& m);
void bind_equal_rows(py::module_& m);
void bind_exponential(py::module_& m);
void bind_information(py::module_& m);
void bind_moments(py::module_& m);
void bind_newton(py::module_& m);
void bind_power_iteration(py::module_& m);
void bind_spread(py::module_& m);
void bind_tensors(py::module_& m);
}  // namespace moefast::bindings

// Without Python's lock too: calls release it for all that takes time, so what threads have in common is
// constant, atomic or behind a mutex. Objects are values; the two that are not, accumulators and the
// contraction that a tensor makes when first asked, have a mutex.
PYBIND11_MODULE(_core, m, py::mod_gil_not_used()) {
  m.doc() = "The C++ core of moefast. Private: use the functions of the package.";
  moefast::bindings::bind_accumulator(m);
  moefast::bindings::bind_build_info(m);
  moefast::bindings::bind_em(m);
  moefast::bindings::bind_equal_rows(m);
  moefast::bindings::bind_exponential(m);
  moefast::bindings::bind_information(m);
  moefast::bindings::bind_moments(m);
  moefast::bindings::bind_newton(m);
  moefast::bindings::bind_tensors(m);
  moefast::bindings::bind_power_iteration(m);
  moefast::bindings::bind_spread(m);
}
