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
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "moefast/types.hpp"

namespace moefast::bindings {

namespace py = pybind11;

// noconvert at each argument: Python converts, C++ insists. Only numbers at odd addresses are copied here:
// views of them pass for C order.
constexpr int kPlain =
    static_cast<int>(py::array::c_style) | static_cast<int>(py::detail::npy_api::NPY_ARRAY_ALIGNED_);
template <class T>
using PlainArray = py::array_t<T, kPlain>;
// Mirrored in _core.pyi as NDArray[np.float64].
using Array = PlainArray<double>;
// Features, of either type; mirrored as NDArray[np.float64] | NDArray[np.float32]. Needs pybind11/stl.h.
using FeatureArray = std::variant<Array, PlainArray<float>>;

// Columns by themselves, of either type: a tuple of arrays.
using ColumnArrays = std::vector<FeatureArray>;

inline ColumnArrays column_arrays(const py::tuple& given) {
  ColumnArrays columns;
  for (const py::handle item : given) {
    if (py::isinstance<Array>(item)) {
      columns.emplace_back(py::reinterpret_borrow<Array>(item));
    } else if (py::isinstance<PlainArray<float>>(item)) {
      columns.emplace_back(py::reinterpret_borrow<PlainArray<float>>(item));
    } else {
      throw py::type_error("columns of X must be contiguous arrays of float64 or float32");
    }
  }
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
