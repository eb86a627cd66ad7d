// A link given from Python: the name of a built-in one, a callable, or None for the linear one.
#pragma once

#include <string>

#include "array_args.hpp"
#include "moefast/link.hpp"

namespace moefast::bindings {

// Calls link(t) -> (g(t), g'(t)) with arrays of shape (n,), holding the GIL meanwhile. Exceptions of the
// callable pass through; they are thrown on the thread that called into the core, which alone may call
// `apply`.
class PythonLink final : public Link {
 public:
  explicit PythonLink(py::object function) : function_(std::move(function)) {}
  PythonLink(const PythonLink&) = delete;
  PythonLink& operator=(const PythonLink&) = delete;
  ~PythonLink() override {
    const py::gil_scoped_acquire gil;
    function_ = py::object();
  }

  void apply(index_t n, double* t, double* slope) const override {
    const py::gil_scoped_acquire gil;
    Array argument(n);
    std::copy_n(t, n, argument.mutable_data());
    const auto [values, slopes] = function_(argument).cast<std::pair<Array, Array>>();
    require_shape(values, "the link's values", {n});
    require_shape(slopes, "the link's slopes", {n});
    std::copy_n(values.data(), n, t);
    std::copy_n(slopes.data(), n, slope);
  }

  bool any_thread() const override { return false; }

 private:
  py::object function_;
};

inline std::shared_ptr<const Link> make_link(const py::object& link) {
  if (link.is_none()) return nullptr;
  if (py::isinstance<py::str>(link)) return built_in_link(link.cast<std::string>());
  return std::make_shared<const PythonLink>(link);
}

}  // namespace moefast::bindings
