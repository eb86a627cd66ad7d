#include "array_args.hpp"
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
}

}  // namespace moefast::bindings
