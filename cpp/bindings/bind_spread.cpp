#include "array_args.hpp"
#include "functions.hpp"
#include "moefast/spread.hpp"

namespace moefast::bindings {
namespace {

template <class T>
py::object find_spread(const PlainArray<T>& X, const Array& w) {
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
  return tuple_of({make_array(std::move(found.mean), {d}), make_array(std::move(found.deviation), {d})});
}

}  // namespace

void bind_spread(py::module_& m) {
  def(
      m, "spread", "X, w",
      [](const Given& given) {
        const Array w = array_of("w", given["w"]);
        return std::visit([&w](const auto& X) { return find_spread(X, w); }, features_of("X", given["X"]));
      },
      "Means and standard deviations of the columns of X with weights w; see spread.hpp.");
}

}  // namespace moefast::bindings
