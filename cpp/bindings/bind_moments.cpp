#include <string>
#include <vector>

#include "array_args.hpp"
#include "bound_samples.hpp"
#include "functions.hpp"
#include "moefast/contraction.hpp"
#include "moefast/moments.hpp"
#include "moefast/projected_moments.hpp"
#include "moefast/symmetric_tensor.hpp"

namespace moefast::bindings {
namespace {

// A ColumnError reaches Python as ValueError or OverflowError with the attributes `column` and `row`, from
// which the Python layer makes a message with the column's own name.
void translate_column_error(std::exception_ptr p) {
  try {
    if (p) std::rethrow_exception(p);
  } catch (const ColumnError& e) {
    PyObject* type = e.kind == ColumnError::Kind::overflow ? PyExc_OverflowError : PyExc_ValueError;
    const std::string where = "input column " + std::to_string(e.column) +
                              (e.row >= 0 ? ", row " + std::to_string(e.row) : std::string()) + ": ";
    py::object error = py::handle(type)(where + e.what());
    error.attr("column") = e.column;
    error.attr("row") = e.row;
    error.attr("reason") = e.what();
    PyErr_SetObject(type, error.ptr());
  }
}

std::vector<double> given_coefficients(const Given& given, const MomentSums& s) {
  auto coefficients = given.as<std::vector<double>>("coefficients");
  if (static_cast<index_t>(coefficients.size()) != s.shape.n_channels()) {
    throw py::value_error("coefficients must have " + std::to_string(s.shape.n_channels()) + " values, got " +
                          std::to_string(coefficients.size()));
  }
  return coefficients;
}

// A tensor of as many indices as the order says.
std::vector<py::ssize_t> dense_shape(int order, py::ssize_t dim) {
  return std::vector<py::ssize_t>(static_cast<std::size_t>(order), dim);
}

template <class Scalar>
MomentSums project(const Given& given) {
  const Array W = array_of("W", given["W"]), offset = array_of("offset", given["offset"]);
  require_ndim(W, "W", 2);
  const py::ssize_t d = W.shape(0), k = W.shape(1);
  if (d < 1 || k < 1)
    throw py::value_error("W must have at least one row and one column, got shape " + shape_text(W));
  require_shape(offset, "offset", {d});
  const BoundSamples<Scalar> samples(given, d);
  const int n_threads = checked_threads(given);
  const MomentShape shape = given_shape(given, k);
  const Projection projection{d, to_vector(W), to_vector(offset)};
  const Poll poll = make_poll();
  const py::gil_scoped_release release;
  return projected_moments(samples.view, projection, shape, n_threads, poll);
}

py::object recentred(const Given& given) {
  const MomentSums& s = given.as<const MomentSums&>("self");
  const Array centre = array_of("centre", given["centre"]);
  require_shape(centre, "centre", {s.shape.dim()});
  const std::vector<double> to = to_vector(centre);
  const Poll poll = make_poll();
  MomentSums moved;
  {
    const py::gil_scoped_release release;
    moved = s.copy(poll);
    moved.recentre(to, poll);
    moved.check_finite(poll);
  }
  return py::cast(std::move(moved));
}

py::object contract(const Given& given) {
  const MomentSums& s = given.as<const MomentSums&>("self");
  const std::vector<double> coefficients = given_coefficients(given, s);
  const Array V = array_of("V", given["V"]);
  require_ndim(V, "V", 2);
  const py::ssize_t m = V.shape(1);
  require_shape(V, "V", {s.shape.dim(), m});
  const double* directions = V.data();
  const Poll poll = make_poll();
  std::vector<double> out;
  {
    const py::gil_scoped_release release;
    out = TensorContraction(s.combine(coefficients, poll), poll).project(directions, m, poll);
  }
  return make_array(std::move(out), dense_shape(s.shape.order, m));
}

py::object to_dense(const Given& given) {
  const MomentSums& s = given.as<const MomentSums&>("self");
  const std::vector<double> coefficients = given_coefficients(given, s);
  const Poll poll = make_poll();
  std::vector<double> out;
  {
    const py::gil_scoped_release release;
    out = s.combine(coefficients, poll).to_dense(poll);
  }
  return make_array(std::move(out), dense_shape(s.shape.order, s.shape.dim()));
}

py::object lower_order(const Given& given) {
  const MomentSums& s = given.as<const MomentSums&>("self");
  const std::vector<double> coefficients = given_coefficients(given, s);
  const int order = given.as<int>("order");
  if (order < 0 || order >= s.shape.order) {
    throw py::value_error("order must lie between 0 and " + std::to_string(s.shape.order - 1) + ", got " +
                          std::to_string(order));
  }
  const Poll poll = make_poll();
  std::vector<double> out;
  {
    const py::gil_scoped_release release;
    out = s.lower_order(order, coefficients, poll);
  }
  return make_array(std::move(out), dense_shape(order, s.shape.dim()));
}

}  // namespace

void bind_moments(py::module_& m) {
  py::register_exception_translator(translate_column_error);
  const auto sums = bind_class<MomentSums>(
      m, "MomentSums", "Sums of monomials of (x, y) about a centre; see moment_sums.hpp.");
  def_property(sums, "n_features", [](const Given& given) -> py::object {
    return py::int_(given.as<const MomentSums&>("self").shape.n_features);
  });
  def_property(sums, "count", [](const Given& given) -> py::object {
    return py::int_(given.as<const MomentSums&>("self").count);
  });
  def_property(sums, "order", [](const Given& given) -> py::object {
    return py::int_(given.as<const MomentSums&>("self").shape.order);
  });
  def_property(sums, "n_channels", [](const Given& given) -> py::object {
    return py::int_(given.as<const MomentSums&>("self").shape.n_channels());
  });
  def_property(sums, "weight", [](const Given& given) -> py::object {
    return py::float_(given.as<const MomentSums&>("self").weight);
  });
  def_property(sums, "centre", [](const Given& given) -> py::object {
    const MomentSums& self = given.as<const MomentSums&>("self");
    return make_array(self.centre, {self.shape.dim()});
  });
  def(sums, "recentred", "self, centre", &recentred);
  def(sums, "contract", "self, coefficients, V", &contract,
      "T(V, ..., V) of sum_n w Q(y) u u ..., Q = sum_h q_h f_h; V: (n_features + 1, m).");
  def(sums, "to_dense", "self, coefficients", &to_dense,
      "The dense symmetric tensor of sum_n w Q(y) u u ..., highest order.");
  def(sums, "lower_order", "self, order, coefficients", &lower_order, "The same of a lower order, dense.");

  def(
      m, "projected_moments", "X, y, w, W, offset, order, polynomial, about, n_threads",
      [](const Given& given) {
        const bool single = py::isinstance<StridedArray<float>>(given["X"]);
        return py::cast(single ? project<float>(given) : project<double>(given));
      },
      "Moments of W' (x - offset), of X and y of float64 or float32; see projected_moments.hpp.");
}

}  // namespace moefast::bindings
