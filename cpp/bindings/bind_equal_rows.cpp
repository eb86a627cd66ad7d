#include "array_args.hpp"
#include "bound_data.hpp"
#include "functions.hpp"
#include "moefast/equal_rows.hpp"
#include "moefast/row_hash.hpp"

namespace moefast::bindings {
namespace {

template <class T>
py::object find_equal_rows(const PlainArray<T>& X, const Array& y) {
  require_ndim(X, "X", 2);
  require_shape(y, "y", {X.shape(0)});
  std::vector<index_t> groups;
  {
    const Poll poll = make_poll();
    const py::gil_scoped_release nogil;
    groups = equal_rows(X.data(), y.data(), X.shape(0), X.shape(1), poll);
  }
  if (groups.empty()) return py::none();
  return make_array(std::move(groups), {X.shape(0)});
}

}  // namespace

void bind_equal_rows(py::module_& m) {
  def(
      m, "equal_rows", "X, y",
      [](const Given& given) -> py::object {
        const Array y = array_of("y", given["y"]);
        return std::visit([&y](const auto& X) { return find_equal_rows(X, y); },
                          features_of("X", given["X"]));
      },
      "A number for each row of (X, y), the same for equal rows, in order of first appearance; None where "
      "all "
      "rows differ.");

  def(
      m, "row_hashes", "columns",
      [](const Given& given) -> py::object {
        const ColumnArrays columns = column_arrays(given["columns"]);
        const std::vector<Column> views = views_of(columns);
        if (views.empty()) throw py::value_error("columns must have at least one column");
        const index_t n =
            std::visit([](const py::array& values) { return values.shape(0); }, columns.front());
        std::vector<std::uint64_t> hashes;
        {
          const Poll poll = make_poll();
          const py::gil_scoped_release nogil;
          hashes = row_hashes(views, n, poll);
        }
        return make_array(std::move(hashes), {n});
      },
      "A number for each row that depends on its values; see row_hash.hpp.");
}

}  // namespace moefast::bindings
