#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>

#include "array_args.hpp"
#include "bound_tensor.hpp"

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

std::vector<py::ssize_t> dense_shape(const SymmetricTensor& tensor) {
  return std::vector<py::ssize_t>(static_cast<std::size_t>(tensor.order()), tensor.dim());
}

std::unique_ptr<BoundTensor> from_dense(const Array& array) {
  if (array.ndim() < 2 || array.ndim() > 4) {
    throw py::value_error("array must have 2, 3 or 4 dimensions, got shape " + shape_text(array));
  }
  const int order = static_cast<int>(array.ndim());
  const py::ssize_t dim = array.shape(0);
  require_shape(array, "array", std::vector<py::ssize_t>(static_cast<std::size_t>(order), dim));
  const double* entries = array.data();
  const py::gil_scoped_release release;
  return std::make_unique<BoundTensor>(SymmetricTensor::from_dense(entries, dim, order));
}

std::unique_ptr<BoundTensor> from_canonical(const Array& values, index_t dim, int order) {
  const PackedLayout layout = SymmetricTensor::layout_of(dim, order);
  require_shape(values, "values", {layout.size()});
  const double* entries = values.data();
  const py::gil_scoped_release release;
  return std::make_unique<BoundTensor>(SymmetricTensor::from_canonical(entries, dim, order));
}

Array contract(const BoundTensor& self, const Array& U) {
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

Array value(const BoundTensor& self, const Array& U) {
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

Array project(const BoundTensor& self, const Array& W) {
  require_ndim(W, "W", 2);
  const py::ssize_t m = W.shape(1);
  require_shape(W, "W", {self.tensor().dim(), m});
  const double* directions = W.data();
  const Poll poll = make_poll();
  return make_array(finite_result([&] { return self.contraction().project(directions, m, poll); }),
                    std::vector<py::ssize_t>(static_cast<std::size_t>(self.tensor().order()), m));
}

py::ssize_t require_pairs(const BoundTensor& self, const Array& U, const Array& V) {
  require_ndim(U, "U", 2);
  require_shape(U, "U", {U.shape(0), self.tensor().dim()});
  require_shape(V, "V", {U.shape(0), self.tensor().dim()});
  return U.shape(0);
}

Array pair_value(const BoundTensor& self, const Array& U, const Array& V) {
  const py::ssize_t n = require_pairs(self, U, V);
  const double *u = U.data(), *v = V.data();
  const Poll poll = make_poll();
  return make_array(finite_result([&] {
                      std::vector<double> out(static_cast<std::size_t>(n));
                      self.contraction().pair(u, v, n, out.data(), nullptr, nullptr, poll);
                      return out;
                    }),
                    {n});
}

// by u, then by v: (2, n, dim)
Array pair_gradient(const BoundTensor& self, const Array& U, const Array& V) {
  const py::ssize_t n = require_pairs(self, U, V), dim = self.tensor().dim();
  const double *u = U.data(), *v = V.data();
  const Poll poll = make_poll();
  return make_array(finite_result([&] {
                      std::vector<double> out(static_cast<std::size_t>(2 * n * dim));
                      self.contraction().pair(u, v, n, nullptr, out.data(), out.data() + n * dim, poll);
                      return out;
                    }),
                    {2, n, dim});
}

// Where an entry lies in the packed storage; indices in any order.
index_t packed_position(index_t dim, int order, std::vector<index_t> i) {
  const PackedLayout layout = SymmetricTensor::layout_of(dim, order);
  if (static_cast<int>(i.size()) != order || *std::min_element(i.begin(), i.end()) < 0 ||
      *std::max_element(i.begin(), i.end()) >= dim) {
    throw py::value_error("indices: one an order, from 0 to dim - 1");
  }
  if (order == 2) return layout.at(i[0], i[1]);
  return order == 3 ? layout.at(i[0], i[1], i[2]) : layout.at(i[0], i[1], i[2], i[3]);
}

}  // namespace

void bind_tensors(py::module_& m) {
  py::class_<BoundTensor>(m, "SymmetricTensor", "A packed symmetric tensor; see symmetric_tensor.hpp.")
      .def_static("from_dense", &from_dense, py::arg("array").noconvert())
      .def_static("from_canonical", &from_canonical, py::arg("values").noconvert(), py::arg("dim"),
                  py::arg("order"))
      .def_property_readonly("dim", [](const BoundTensor& self) { return self.tensor().dim(); })
      .def_property_readonly("order", [](const BoundTensor& self) { return self.tensor().order(); })
      .def("to_dense",
           [](const BoundTensor& self) {
             const Poll poll = make_poll();
             std::vector<double> dense;
             {
               const py::gil_scoped_release release;
               dense = self.tensor().to_dense(poll);
             }
             return make_array(std::move(dense), dense_shape(self.tensor()));
           })
      .def("to_canonical",
           [](const BoundTensor& self) {
             return make_array(self.tensor().to_canonical(), {self.tensor().layout.size()});
           })
      .def("apply", &contract, py::arg("U").noconvert())
      .def("value", &value, py::arg("U").noconvert())
      .def("project", &project, py::arg("W").noconvert())
      .def("pair_value", &pair_value, py::arg("U").noconvert(), py::arg("V").noconvert())
      .def("pair_gradient", &pair_gradient, py::arg("U").noconvert(), py::arg("V").noconvert());
  m.def("packed_position", &packed_position, py::arg("dim"), py::arg("order"), py::arg("indices"),
        "Where an entry lies in the packed storage; for tests.");
}

}  // namespace moefast::bindings
