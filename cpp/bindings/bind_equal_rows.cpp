#include "array_args.hpp"
#include "moefast/equal_rows.hpp"

namespace moefast::bindings {

void bind_equal_rows(py::module_& m) {
  m.def(
      "equal_rows",
      [](const Array& X, const Array& y) {
        require_ndim(X, "X", 2);
        require_shape(y, "y", {X.shape(0)});
        std::vector<index_t> groups;
        {
          const Poll poll = make_poll();
          const py::gil_scoped_release nogil;
          groups = equal_rows(X.data(), y.data(), X.shape(0), X.shape(1), poll);
        }
        py::array_t<index_t> out(static_cast<py::ssize_t>(groups.size()));
        std::copy(groups.begin(), groups.end(), out.mutable_data());
        return out;
      },
      py::arg("X").noconvert(), py::arg("y").noconvert(),
      "A number for each row of (X, y), the same for equal rows, in order of first appearance.");
}

}  // namespace moefast::bindings
