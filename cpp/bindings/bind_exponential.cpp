#include "array_args.hpp"
#include "bound_link.hpp"
#include "kernels/kernels.hpp"

namespace moefast::bindings {
namespace {

using Map = void (*)(index_t n, const double* x, double* out);

Array apply(const Array& x, Map map) {
  require_ndim(x, "x", 1);
  Array out(x.shape(0));
  map(x.shape(0), x.data(), out.mutable_data());
  return out;
}

}  // namespace

void bind_exponential(py::module_& m) {
  m.def(
      "exponential", [](const Array& x) { return apply(x, kernels::active().exponentials); },
      py::arg("x").noconvert(), "exp of each number as the EM kernels compute it; for tests.");
  m.def(
      "logarithm", [](const Array& x) { return apply(x, kernels::active().logarithms); },
      py::arg("x").noconvert(), "log of each number as the EM kernels compute it; for tests.");
  m.def(
      "link_values",
      [](const std::string& name, const Array& t) {
        require_ndim(t, "t", 1);
        const std::shared_ptr<const Link> link = built_in_link(name);
        if (!link) throw py::value_error("link 'linear' needs no values");
        Array values(t.shape(0)), slopes(t.shape(0)), curvatures(t.shape(0));
        link->curvature(t.shape(0), t.data(), curvatures.mutable_data());
        std::copy_n(t.data(), t.shape(0), values.mutable_data());
        link->apply(t.shape(0), values.mutable_data(), slopes.mutable_data());
        return std::make_tuple(values, slopes, curvatures);
      },
      py::arg("name"), py::arg("t").noconvert(),
      "g(t), g'(t) and g''(t) of a built-in link, as EM computes them; for tests.");
}

}  // namespace moefast::bindings
