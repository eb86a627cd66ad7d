#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "array_args.hpp"
#include "bound_tensor.hpp"
#include "functions.hpp"

namespace moefast::bindings {
namespace {

// Runs compute() without the GIL; a result beyond the range of float64 becomes an OverflowError.
template <class Compute>
std::vector<double> finite_result(const Compute& compute) {
  const py::gil_scoped_release release;
  std::vector<double> out = compute();
  if (!std::all_of(out.begin(), out.end(), [](double x) { return std::isfinite(x); })) {
    throw std::overflow_error("a contraction of the tensor goes beyond the range of float64");
  }
  return out;
}

const BoundTensor& self_of(const Given& given) { return given.as<const BoundTensor&>("self"); }

py::object from_dense(const Given& given) {
  const Array array = array_of("array", given["array"]);
  if (array.ndim() < 2 || array.ndim() > 4) {
    throw py::value_error("array must have 2, 3 or 4 dimensions, got shape " + shape_text(array));
  }
  const int order = static_cast<int>(array.ndim());
  const py::ssize_t dim = array.shape(0);
  require_shape(array, "array", std::vector<py::ssize_t>(static_cast<std::size_t>(order), dim));
  const double* entries = array.data();
  std::unique_ptr<BoundTensor> made;
  {
    const py::gil_scoped_release release;
    made = std::make_unique<BoundTensor>(SymmetricTensor::from_dense(entries, dim, order));
  }
  return py::cast(std::move(made));
}

py::object from_canonical(const Given& given) {
  const Array values = array_of("values", given["values"]);
  const index_t dim = given.as<index_t>("dim");
  const int order = given.as<int>("order");
  require_shape(values, "values", {SymmetricTensor::layout_of(dim, order).size()});
  const double* entries = values.data();
  std::unique_ptr<BoundTensor> made;
  {
    const py::gil_scoped_release release;
    made = std::make_unique<BoundTensor>(SymmetricTensor::from_canonical(entries, dim, order));
  }
  return py::cast(std::move(made));
}

py::object to_dense_array(const Given& given) {
  const SymmetricTensor& tensor = self_of(given).tensor();
  const Poll poll = make_poll();
  std::vector<double> dense;
  {
    const py::gil_scoped_release release;
    dense = tensor.to_dense(poll);
  }
  return make_array(std::move(dense),
                    std::vector<py::ssize_t>(static_cast<std::size_t>(tensor.order()), tensor.dim()));
}

py::object apply_rows(const Given& given) {
  const BoundTensor& self = self_of(given);
  const Array U = array_of("U", given["U"]);
  require_ndim(U, "U", 2);
  const py::ssize_t n = U.shape(0), dim = self.tensor().dim();
  require_shape(U, "U", {n, dim});
  const double* rows = U.data();
  const Poll poll = make_poll();
  return make_array(finite_result([&] {
                      std::vector<double> out(static_cast<std::size_t>(n * dim));
                      self.contraction().apply(rows, n, out.data(), poll);
                      return out;
                    }),
                    {n, dim});
}

py::object value(const Given& given) {
  const BoundTensor& self = self_of(given);
  const Array U = array_of("U", given["U"]);
  require_ndim(U, "U", 2);
  const py::ssize_t n = U.shape(0);
  require_shape(U, "U", {n, self.tensor().dim()});
  const double* rows = U.data();
  const Poll poll = make_poll();
  return make_array(finite_result([&] {
                      std::vector<double> out(static_cast<std::size_t>(n));
                      self.contraction().value(rows, n, out.data(), poll);
                      return out;
                    }),
                    {n});
}

py::object project_on(const Given& given) {
  const BoundTensor& self = self_of(given);
  const Array W = array_of("W", given["W"]);
  require_ndim(W, "W", 2);
  const py::ssize_t m = W.shape(1);
  require_shape(W, "W", {self.tensor().dim(), m});
  const double* directions = W.data();
  const Poll poll = make_poll();
  return make_array(finite_result([&] { return self.contraction().project(directions, m, poll); }),
                    std::vector<py::ssize_t>(static_cast<std::size_t>(self.tensor().order()), m));
}

// Pairs of rows.
struct BoundPairs {
  Array U, V;
  py::ssize_t n, dim;

  BoundPairs(const Given& given, const BoundTensor& self)
      : U(array_of("U", given["U"])), V(array_of("V", given["V"])), dim(self.tensor().dim()) {
    require_ndim(U, "U", 2);
    n = U.shape(0);
    require_shape(U, "U", {n, dim});
    require_shape(V, "V", {n, dim});
  }
};

py::object pair_value(const Given& given) {
  const BoundTensor& self = self_of(given);
  const BoundPairs pairs(given, self);
  const py::ssize_t n = pairs.n;
  const double *u = pairs.U.data(), *v = pairs.V.data();
  const Poll poll = make_poll();
  return make_array(finite_result([&] {
                      std::vector<double> out(static_cast<std::size_t>(n));
                      self.contraction().pair(u, v, n, out.data(), nullptr, nullptr, poll);
                      return out;
                    }),
                    {n});
}

// by u, then by v: (2, n, dim)
py::object pair_gradient(const Given& given) {
  const BoundTensor& self = self_of(given);
  const BoundPairs pairs(given, self);
  const py::ssize_t n = pairs.n, dim = pairs.dim;
  const double *u = pairs.U.data(), *v = pairs.V.data();
  const Poll poll = make_poll();
  return make_array(finite_result([&] {
                      std::vector<double> out(static_cast<std::size_t>(2 * n * dim));
                      self.contraction().pair(u, v, n, nullptr, out.data(), out.data() + n * dim, poll);
                      return out;
                    }),
                    {2, n, dim});
}

// Indices in any order.
py::object packed_position(const Given& given) {
  const index_t dim = given.as<index_t>("dim");
  const int order = given.as<int>("order");
  const auto i = given.as<std::vector<index_t>>("indices");
  const PackedLayout layout = SymmetricTensor::layout_of(dim, order);
  if (static_cast<int>(i.size()) != order || *std::min_element(i.begin(), i.end()) < 0 ||
      *std::max_element(i.begin(), i.end()) >= dim) {
    throw py::value_error("indices: one an order, from 0 to dim - 1");
  }
  return py::int_(order == 2   ? layout.at(i[0], i[1])
                  : order == 3 ? layout.at(i[0], i[1], i[2])
                               : layout.at(i[0], i[1], i[2], i[3]));
}

}  // namespace

void bind_tensors(py::module_& m) {
  const auto bound =
      bind_class<BoundTensor>(m, "SymmetricTensor", "A packed symmetric tensor; see symmetric_tensor.hpp.");
  def(bound, "from_dense", "array", &from_dense);
  def(bound, "from_canonical", "values, dim, order", &from_canonical);
  def_property(bound, "dim",
               [](const Given& given) -> py::object { return py::int_(self_of(given).tensor().dim()); });
  def_property(bound, "order",
               [](const Given& given) -> py::object { return py::int_(self_of(given).tensor().order()); });
  def(bound, "to_dense", "self", &to_dense_array);
  def(bound, "to_canonical", "self", [](const Given& given) -> py::object {
    const SymmetricTensor& tensor = self_of(given).tensor();
    return make_array(tensor.to_canonical(), {tensor.layout.size()});
  });
  def(bound, "apply", "self, U", &apply_rows);
  def(bound, "value", "self, U", &value);
  def(bound, "project", "self, W", &project_on);
  def(bound, "pair_value", "self, U, V", &pair_value);
  def(bound, "pair_gradient", "self, U, V", &pair_gradient);
  def(m, "packed_position", "dim, order, indices", &packed_position,
      "Where an entry lies in the packed storage, indices in any order; for tests.");
}

}  // namespace moefast::bindings
