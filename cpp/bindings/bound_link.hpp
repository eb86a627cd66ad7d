// A link given from Python: the name of a built-in one, a callable, or a pair of it and its second
// derivative, or None for the linear one.
#pragma once

#include <string>

#include "array_args.hpp"
#include "functions.hpp"
#include "moefast/link.hpp"

namespace moefast::bindings {

// Calls link(t) -> (g(t), g'(t)), and curvature(t) -> g''(t) where there is one, with arrays of shape (n,),
// holding the GIL meanwhile. Exceptions of the callables pass through; they are thrown on the thread that
// called into the core, which alone may call them.
class PythonLink final : public Link {
 public:
  explicit PythonLink(py::object function, py::object curvature = py::none())
      : function_(std::move(function)), curvature_(std::move(curvature)) {}
  PythonLink(const PythonLink&) = delete;
  PythonLink& operator=(const PythonLink&) = delete;
  ~PythonLink() override {
    const py::gil_scoped_acquire gil;
    function_ = py::object();
    curvature_ = py::object();
  }

  void apply(index_t n, double* t, double* slope) const override {
    const py::gil_scoped_acquire gil;
    Array argument(n);
    std::copy_n(t, n, argument.mutable_data());
    const py::tuple found = items_of("what the link returns", function_(argument), 2);
    const Array values = converted(found[0]), slopes = converted(found[1]);
    require_shape(values, "the link's values", {n});
    require_shape(slopes, "the link's slopes", {n});
    std::copy_n(values.data(), n, t);
    std::copy_n(slopes.data(), n, slope);
  }

  void curvature(index_t n, const double* t, double* out) const override {
    const py::gil_scoped_acquire gil;
    if (curvature_.is_none()) return Link::curvature(n, t, out);
    Array argument(n);
    std::copy_n(t, n, argument.mutable_data());
    const Array values = converted(curvature_(argument));
    require_shape(values, "the link's second derivatives", {n});
    std::copy_n(values.data(), n, out);
  }

  bool any_thread() const override { return false; }

 private:
  py::object function_, curvature_;
};

inline std::shared_ptr<const Link> make_link(const py::handle& link) {
  if (link.is_none()) return nullptr;
  if (py::isinstance<py::str>(link)) return built_in_link(link.cast<std::string>());
  if (!py::isinstance<py::tuple>(link))
    return std::make_shared<const PythonLink>(py::reinterpret_borrow<py::object>(link));
  const py::tuple both = items_of("link", link, 2);
  return std::make_shared<const PythonLink>(both[0], both[1]);
}

}  // namespace moefast::bindings
