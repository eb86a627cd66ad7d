// Checked views of numpy arrays, and the poll that lets Ctrl-C through.
//
// Order in every binding: make the views (they throw ValueError naming the argument), release the GIL,
// call the core, take the GIL, build the result. No Python object is touched while the GIL is free.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "moefast/types.hpp"

namespace moefast::bindings {

namespace py = pybind11;

// Python converts, C++ insists. Only numbers at odd addresses are copied here: views of them pass for C
// order.
constexpr int kPlain =
    static_cast<int>(py::array::c_style) | static_cast<int>(py::detail::npy_api::NPY_ARRAY_ALIGNED_);
template <class T>
using PlainArray = py::array_t<T, kPlain>;
using Array = PlainArray<double>;
// Features, of either type.
using FeatureArray = std::variant<Array, PlainArray<float>>;

// Columns by themselves, of either type.
using ColumnArrays = std::vector<FeatureArray>;

[[noreturn]] inline void refuse_array(const std::string& name, const py::handle& given,
                                      const std::string& type) {
  const py::object kind =
      py::isinstance<py::array>(given) ? py::object(given.attr("dtype")) : py::object(py::type::of(given));
  throw py::type_error(name + " must be an array of " + type + " in C order, got " +
                       py::repr(kind).cast<std::string>());
}

template <class Wanted = Array>
Wanted array_of(const std::string& name, const py::handle& given) {
  if (!py::isinstance<Wanted>(given))
    refuse_array(name, given, py::str(py::dtype::of<typename Wanted::value_type>()));
  return Wanted(py::reinterpret_borrow<py::object>(given));
}

template <class Wanted = Array>
std::optional<Wanted> optional_array(const std::string& name, const py::handle& given) {
  if (given.is_none()) return std::nullopt;
  return array_of<Wanted>(name, given);
}

// What a user's function has returned: its numbers may be of any type.
inline Array converted(const py::handle& given) { return Array(py::reinterpret_borrow<py::object>(given)); }

inline FeatureArray features_of(const std::string& name, const py::handle& given) {
  if (py::isinstance<PlainArray<float>>(given)) return array_of<PlainArray<float>>(name, given);
  if (py::isinstance<Array>(given)) return array_of(name, given);
  refuse_array(name, given, "float64 or float32");
}

inline ColumnArrays column_arrays(const py::handle& given) {
  ColumnArrays columns;
  for (const py::handle item : given) columns.push_back(features_of("a column of X", item));
  return columns;
}

inline std::string shape_text(const std::vector<py::ssize_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i) {
    text += (i ? ", " : "") + std::to_string(shape[i]);
  }
  return text + (shape.size() == 1 ? ",)" : ")");
}

inline std::string shape_text(const py::array& array) {
  return shape_text({array.shape(), array.shape() + array.ndim()});
}

inline void require_shape(const py::array& array, const char* name, const std::vector<py::ssize_t>& shape) {
  if (!std::equal(array.shape(), array.shape() + array.ndim(), shape.begin(), shape.end())) {
    throw py::value_error(std::string(name) + " must have shape " + shape_text(shape) + ", got " +
                          shape_text(array));
  }
}

inline void require_ndim(const py::array& array, const char* name, py::ssize_t ndim) {
  if (array.ndim() != ndim) {
    throw py::value_error(std::string(name) + " must have " + std::to_string(ndim) +
                          " dimension(s), got shape " + shape_text(array));
  }
}

inline std::vector<double> to_vector(const Array& array) {
  return {array.data(), array.data() + array.size()};
}

inline Array make_array(const std::vector<double>& values, std::vector<py::ssize_t> shape) {
  Array array(std::move(shape));
  std::copy(values.begin(), values.end(), array.mutable_data());
  return array;
}

// The same without a copy: the array keeps the vector, which can be large.
template <class T>
PlainArray<T> make_array(std::vector<T>&& values, std::vector<py::ssize_t> shape) {
  auto owned = std::make_unique<std::vector<T>>(std::move(values));
  const T* data = owned->data();
  const py::capsule owner(owned.get(), [](void* vector) { delete static_cast<std::vector<T>*>(vector); });
  owned.release();
  return PlainArray<T>(std::move(shape), data, owner);
}

// Takes the GIL and runs pending signal handlers, at most every 50 ms.
inline Poll make_poll() {
  return [last = std::chrono::steady_clock::now()]() mutable {
    const auto now = std::chrono::steady_clock::now();
    if (now - last < std::chrono::milliseconds(50)) return;
    last = now;
    const py::gil_scoped_acquire gil;
    if (PyErr_CheckSignals() != 0) throw py::error_already_set();
  };
}

}  // namespace moefast::bindings
