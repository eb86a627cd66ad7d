#include "array_args.hpp"
#include "bound_link.hpp"
#include "functions.hpp"
#include "kernels/kernels.hpp"

namespace moefast::bindings {
namespace {

using Map = void (*)(index_t n, const double* x, double* out);

py::object apply(const Given& given, Map map) {
  const Array x = array_of("x", given["x"]);
  require_ndim(x, "x", 1);
  Array out(x.shape(0));
  map(x.shape(0), x.data(), out.mutable_data());
  return out;
}

}  // namespace

void bind_exponential(py::module_& m) {
  def(
      m, "exponential", "x", [](const Given& given) { return apply(given, kernels::active().exponentials); },
      "exp of each number as the EM kernels compute it; for tests.");
  def(
      m, "logarithm", "x", [](const Given& given) { return apply(given, kernels::active().logarithms); },
      "log of each number as the EM kernels compute it; for tests.");
  def(
      m, "link_values", "name, t",
      [](const Given& given) -> py::object {
        const Array t = array_of("t", given["t"]);
        require_ndim(t, "t", 1);
        const std::shared_ptr<const Link> link = built_in_link(given.as<std::string>("name"));
        if (!link) throw py::value_error("link 'linear' needs no values");
        Array values(t.shape(0)), slopes(t.shape(0)), curvatures(t.shape(0));
        link->curvature(t.shape(0), t.data(), curvatures.mutable_data());
        std::copy_n(t.data(), t.shape(0), values.mutable_data());
        link->apply(t.shape(0), values.mutable_data(), slopes.mutable_data());
        return tuple_of({values, slopes, curvatures});
      },
      "g(t), g'(t) and g''(t) of a built-in link, as EM computes them; for tests.");
}

}  // namespace moefast::bindings
