#include <pybind11/stl.h>

#include "array_args.hpp"
#include "moefast/spread.hpp"

namespace moefast::bindings {
namespace {

template <class T>
py::tuple find_spread(const PlainArray<T>& X, const Array& w) {
  require_ndim(X, "X", 2);
  const py::ssize_t n = X.shape(0), d = X.shape(1);
  if (n < 1) throw py::value_error("X must have at least one row");
  require_shape(w, "w", {n});
  Spread found;
  {
    const Poll poll = make_poll();
    const py::gil_scoped_release nogil;
    found = spread_of(X.data(), w.data(), n, d, poll);
  }
  return py::make_tuple(make_array(std::move(found.mean), {d}), make_array(std::move(found.deviation), {d}));
}

}  // namespace

void bind_spread(py::module_& m) {
  m.def(
      "spread",
      [](const FeatureArray& X, const Array& w) {
        return std::visit([&w](const auto& array) { return find_spread(array, w); }, X);
      },
      py::arg("X").noconvert(), py::arg("w").noconvert(),
      "Means and standard deviations of the columns of X with weights w; see spread.hpp.");
}

}  // namespace moefast::bindings
