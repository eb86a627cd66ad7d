// What moments are taken of, and which.
#pragma once

#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <vector>

#include "array_args.hpp"
#include "functions.hpp"
#include "moefast/moments.hpp"

namespace moefast::bindings {

// Order 3 of 4000 features takes 341 GB: more is a slip, and is refused before anything overflows.
constexpr index_t kMostFeatures = 4000;

inline MomentShape checked_shape(MomentShape shape) {
  const auto require = [](bool ok, const std::string& what, index_t value) {
    if (!ok) throw py::value_error(what + ", got " + std::to_string(value));
  };
  require(shape.n_features >= 1, "n_features must be at least 1", shape.n_features);
  require(shape.n_features <= kMostFeatures, "n_features must be at most " + std::to_string(kMostFeatures),
          shape.n_features);
  require(shape.order >= 2 && shape.order <= 4, "order must be 2, 3 or 4", shape.order);
  return shape;
}

inline MomentShape given_shape(const Given& given, index_t n_features) {
  return checked_shape({n_features, given.as<int>("order"), given.as<std::vector<double>>("polynomial"),
                        given.as<double>("about")});
}

// As they lie in memory: samples may have any strides.
template <class T>
using StridedArray = py::array_t<T>;

// Rows, with the arrays that hold them, of any strides.
template <class Scalar>
struct BoundSamples {
  StridedArray<Scalar> X, y;
  std::optional<StridedArray<double>> w;
  SampleView<Scalar> view;

  BoundSamples(const Given& given, index_t n_features)
      : X(array_of<StridedArray<Scalar>>("X", given["X"])),
        y(array_of<StridedArray<Scalar>>("y", given["y"])),
        w(optional_array<StridedArray<double>>("w", given["w"])) {
    require_ndim(X, "X", 2);
    const py::ssize_t n = X.shape(0);
    require_shape(X, "X", {n, n_features});
    require_shape(y, "y", {n});
    if (w) require_shape(*w, "w", {n});
    view.x = reinterpret_cast<const char*>(X.data());
    view.y = reinterpret_cast<const char*>(y.data());
    view.n = n;
    view.x_row_stride = X.strides(0);
    view.x_col_stride = X.strides(1);
    view.y_stride = y.strides(0);
    if (w) {
      view.w = reinterpret_cast<const char*>(w->data());
      view.w_stride = w->strides(0);
    }
  }
};

inline int checked_threads(const Given& given) {
  const int n_threads = given.as<int>("n_threads");
  if (n_threads < 1) throw py::value_error("n_threads must be at least 1, got " + std::to_string(n_threads));
  return n_threads;
}

}  // namespace moefast::bindings
