#include <pybind11/stl.h>

#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "array_args.hpp"
#include "in_parts.hpp"
#include "moefast/contraction.hpp"
#include "moefast/moments.hpp"
#include "moefast/projected_moments.hpp"
#include "moefast/symmetric_tensor.hpp"

namespace moefast::bindings {
namespace {

// Order 3 of 4000 features takes 341 GB: more is a slip, and is refused before anything overflows.
constexpr index_t kMostFeatures = 4000;

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

MomentShape checked_shape(MomentShape shape) {
  const auto require = [](bool ok, const std::string& what, index_t value) {
    if (!ok) throw py::value_error(what + ", got " + std::to_string(value));
  };
  require(shape.n_features >= 1, "n_features must be at least 1", shape.n_features);
  require(shape.n_features <= kMostFeatures, "n_features must be at most " + std::to_string(kMostFeatures),
          shape.n_features);
  require(shape.order >= 2 && shape.order <= 4, "order must be 2, 3 or 4", shape.order);
  return shape;
}

template <class Scalar>
SampleView<Scalar> sample_view(const py::array_t<Scalar>& X, const py::array_t<Scalar>& y,
                               const std::optional<py::array_t<double>>& w, index_t n_features) {
  require_ndim(X, "X", 2);
  const py::ssize_t n = X.shape(0);
  require_shape(X, "X", {n, n_features});
  require_shape(y, "y", {n});
  if (w) require_shape(*w, "w", {n});
  SampleView<Scalar> view;
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
  return view;
}

void require_threads(int n_threads) {
  if (n_threads < 1) throw py::value_error("n_threads must be at least 1, got " + std::to_string(n_threads));
}

// Serialises calls from several Python threads. The GIL is always released before the mutex is taken, and
// the poll takes the GIL only while holding the mutex, so the two cannot wait for each other.
template <class Scalar>
class Accumulator {
 public:
  Accumulator(index_t n_features, int order, std::vector<double> polynomial, double about)
      : core_(checked_shape({n_features, order, std::move(polynomial), about})) {}

  void update(const py::array_t<Scalar>& X, const py::array_t<Scalar>& y,
              const std::optional<py::array_t<double>>& w, int n_threads) {
    const SampleView<Scalar> view = sample_view(X, y, w, core_.n_features());
    require_threads(n_threads);
    const Poll poll = make_poll();
    locked([&] { core_.update(view, n_threads, poll); });
  }

  void merge(const Accumulator& other) {
    const MomentAccumulator<Scalar> copy = other.copy();
    const Poll poll = make_poll();
    locked([&] { core_.merge(copy, poll); });
  }

  index_t n_features() const { return core_.n_features(); }
  int order() const { return core_.shape().order; }
  index_t n_samples() const {
    return locked([&] { return core_.n_samples(); });
  }
  MomentSums snapshot() const {
    const Poll poll = make_poll();
    return locked([&] { return core_.snapshot(poll); });
  }

  // (count, weight, centre, magnitude, sums, pending x, pending y, pending w)
  py::tuple get_state() const {
    MomentAccumulator<Scalar> core = copy();
    const py::ssize_t d = core.n_features(), n = core.pending_rows();
    std::vector<Scalar> x = core.pending_x(), y = core.pending_y();
    const std::vector<double> w = core.pending_w();
    MomentSums total = std::move(core).take_total();
    total.take_room(make_poll());
    const py::ssize_t n_sums = static_cast<py::ssize_t>(total.sums.size());
    return py::make_tuple(total.count, total.weight, make_array(total.centre, {d + 1}),
                          make_array(total.magnitude, {d + 1}), make_array(std::move(total.sums), {n_sums}),
                          make_array(std::move(x), {n, d}), make_array(std::move(y), {n}),
                          make_array(w, {n}));
  }

  void set_state(index_t count, double weight, const Array& centre, const Array& magnitude, const Array& sums,
                 const PlainArray<Scalar>& x, const PlainArray<Scalar>& y, const Array& w) {
    const py::ssize_t d = core_.n_features();
    const MomentShape& shape = core_.shape();
    const py::ssize_t n_sums = shape.n_channels() * shape.layout().size();
    require_shape(centre, "centre", {d + 1});
    require_shape(magnitude, "magnitude", {d + 1});
    require_shape(sums, "sums", {n_sums});
    require_ndim(w, "w", 1);
    require_shape(x, "x", {w.shape(0), d});
    require_shape(y, "y", {w.shape(0)});
    if (count < 0) throw py::value_error("count must not be negative, got " + std::to_string(count));
    if (w.shape(0) >= MomentAccumulator<Scalar>::kSuperBlock) {
      throw py::value_error("w: a state holds fewer pending rows than one super-block");
    }
    const Poll poll = make_poll();
    MomentSums total;
    total.shape = shape;
    total.count = count;
    total.weight = weight;
    total.centre.assign(centre.data(), centre.data() + centre.size());
    total.magnitude.assign(magnitude.data(), magnitude.data() + magnitude.size());
    total.sums.reserve(static_cast<std::size_t>(n_sums));
    in_parts(static_cast<std::size_t>(n_sums), poll, [&](std::size_t first, std::size_t last) {
      total.sums.insert(total.sums.end(), sums.data() + first, sums.data() + last);
    });
    total.check_finite(poll);
    SampleView<Scalar> pending;
    pending.x = reinterpret_cast<const char*>(x.data());
    pending.y = reinterpret_cast<const char*>(y.data());
    pending.w = reinterpret_cast<const char*>(w.data());
    pending.n = w.shape(0);
    pending.x_row_stride = d * static_cast<index_t>(sizeof(Scalar));
    pending.x_col_stride = pending.y_stride = sizeof(Scalar);
    pending.w_stride = sizeof(double);
    locked([&] { core_.restore(std::move(total), pending, poll); });
  }

 private:
  template <class F>
  auto locked(F&& f) const {
    if (owner_ == std::this_thread::get_id()) {
      throw std::runtime_error("the accumulator was used by a signal handler while it was being updated");
    }
    const py::gil_scoped_release release;
    const std::lock_guard<std::mutex> lock(mutex_);
    struct Owner {
      explicit Owner(std::atomic<std::thread::id>& id) : id(id) { id = std::this_thread::get_id(); }
      ~Owner() { id = std::thread::id(); }
      std::atomic<std::thread::id>& id;
    } const owner(owner_);
    return f();
  }
  MomentAccumulator<Scalar> copy() const {
    const Poll poll = make_poll();
    return locked([&] { return core_.copy(poll); });
  }

  MomentAccumulator<Scalar> core_;
  mutable std::mutex mutex_;
  // The thread that holds the mutex: the poll of a long update runs signal handlers of Python in it.
  mutable std::atomic<std::thread::id> owner_{};
};

template <class Scalar>
void bind_accumulator(py::module_& m, const char* name) {
  using Class = Accumulator<Scalar>;
  py::class_<Class>(m, name, "Moments of a stream of rows; see moments.hpp.")
      .def(py::init<index_t, int, std::vector<double>, double>(), py::arg("n_features"), py::arg("order"),
           py::arg("polynomial"), py::arg("about"))
      .def("update", &Class::update, py::arg("X").noconvert(), py::arg("y").noconvert(),
           py::arg("w").noconvert(), py::arg("n_threads"))
      .def("merge", &Class::merge, py::arg("other"))
      .def_static(
          "memory",
          [](index_t n_features, int order, index_t n_terms, int n_threads) {
            if (n_terms < 0) {
              throw py::value_error("n_terms must not be negative, got " + std::to_string(n_terms));
            }
            require_threads(n_threads);
            // However many terms the polynomial has, it is one channel.
            const std::vector<double> polynomial(n_terms > 0 ? 1 : 0);
            const MomentShape shape = checked_shape({n_features, order, polynomial});
            const py::gil_scoped_release release;
            return MomentAccumulator<Scalar>::memory(shape, n_threads);
          },
          py::arg("n_features"), py::arg("order"), py::arg("n_terms"), py::arg("n_threads"),
          "Bytes that update needs at most.")
      .def_property_readonly("n_features", &Class::n_features)
      .def_property_readonly("order", &Class::order)
      .def_property_readonly("n_samples", &Class::n_samples)
      .def("snapshot", &Class::snapshot)
      .def("get_state", &Class::get_state)
      .def("set_state", &Class::set_state, py::arg("count"), py::arg("weight"), py::arg("centre").noconvert(),
           py::arg("magnitude").noconvert(), py::arg("sums").noconvert(), py::arg("x").noconvert(),
           py::arg("y").noconvert(), py::arg("w").noconvert());
}

void require_channels(const MomentSums& s, const std::vector<double>& coefficients) {
  if (static_cast<index_t>(coefficients.size()) != s.shape.n_channels()) {
    throw py::value_error("coefficients must have " + std::to_string(s.shape.n_channels()) + " values, got " +
                          std::to_string(coefficients.size()));
  }
}

template <class Scalar>
void bind_projected_moments(py::module_& m, const char* name) {
  m.def(
      name,
      [](const py::array_t<Scalar>& X, const py::array_t<Scalar>& y,
         const std::optional<py::array_t<double>>& w, const Array& W, const Array& offset, int order,
         const std::vector<double>& polynomial, double about, int n_threads) {
        require_ndim(W, "W", 2);
        const py::ssize_t d = W.shape(0), k = W.shape(1);
        if (d < 1 || k < 1)
          throw py::value_error("W must have at least one row and one column, got shape " + shape_text(W));
        require_shape(offset, "offset", {d});
        const SampleView<Scalar> view = sample_view(X, y, w, d);
        require_threads(n_threads);
        const MomentShape shape = checked_shape({k, order, polynomial, about});
        Projection projection{d, {W.data(), W.data() + W.size()}, {offset.data(), offset.data() + d}};
        const Poll poll = make_poll();
        const py::gil_scoped_release release;
        return projected_moments(view, projection, shape, n_threads, poll);
      },
      py::arg("X").noconvert(), py::arg("y").noconvert(), py::arg("w").noconvert(), py::arg("W").noconvert(),
      py::arg("offset").noconvert(), py::arg("order"), py::arg("polynomial"), py::arg("about"),
      py::arg("n_threads"), "Moments of W' (x - offset); see projected_moments.hpp.");
}

}  // namespace

void bind_moments(py::module_& m) {
  py::register_exception_translator(translate_column_error);
  bind_accumulator<double>(m, "Accumulator64");
  bind_accumulator<float>(m, "Accumulator32");

  bind_projected_moments<double>(m, "projected_moments64");
  bind_projected_moments<float>(m, "projected_moments32");

  py::class_<MomentSums>(m, "MomentSums", "Sums of monomials of (x, y) about a centre; see moment_sums.hpp.")
      .def_property_readonly("n_features", [](const MomentSums& s) { return s.shape.n_features; })
      .def_property_readonly("count", [](const MomentSums& s) { return s.count; })
      .def_property_readonly("order", [](const MomentSums& s) { return s.shape.order; })
      .def_property_readonly("n_channels", [](const MomentSums& s) { return s.shape.n_channels(); })
      .def_readonly("weight", &MomentSums::weight)
      .def_property_readonly("centre",
                             [](const MomentSums& s) { return make_array(s.centre, {s.shape.dim()}); })
      .def(
          "recentred",
          [](const MomentSums& s, const Array& centre) {
            require_shape(centre, "centre", {s.shape.dim()});
            const std::vector<double> to(centre.data(), centre.data() + centre.size());
            const Poll poll = make_poll();
            const py::gil_scoped_release release;
            MomentSums moved = s.copy(poll);
            moved.recentre(to, poll);
            moved.check_finite(poll);
            return moved;
          },
          py::arg("centre").noconvert())
      .def(
          "contract",
          [](const MomentSums& s, const std::vector<double>& coefficients, const Array& V) {
            require_channels(s, coefficients);
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
            return make_array(std::move(out),
                              std::vector<py::ssize_t>(static_cast<std::size_t>(s.shape.order), m));
          },
          py::arg("coefficients"), py::arg("V").noconvert(),
          "T(V, ..., V) of sum_n w Q(y) u u ..., Q = sum_h q_h f_h; V: (n_features + 1, m).")
      .def(
          "to_dense",
          [](const MomentSums& s, const std::vector<double>& coefficients) {
            require_channels(s, coefficients);
            const Poll poll = make_poll();
            std::vector<double> out;
            {
              const py::gil_scoped_release release;
              out = s.combine(coefficients, poll).to_dense(poll);
            }
            return make_array(std::move(out), std::vector<py::ssize_t>(
                                                  static_cast<std::size_t>(s.shape.order), s.shape.dim()));
          },
          py::arg("coefficients"), "The dense symmetric tensor of sum_n w Q(y) u u ..., highest order.")
      .def(
          "lower_order",
          [](const MomentSums& s, int order, const std::vector<double>& coefficients) {
            require_channels(s, coefficients);
            if (order < 0 || order >= s.shape.order) {
              throw py::value_error("order must lie between 0 and " + std::to_string(s.shape.order - 1) +
                                    ", got " + std::to_string(order));
            }
            const Poll poll = make_poll();
            std::vector<double> out;
            {
              const py::gil_scoped_release release;
              out = s.lower_order(order, coefficients, poll);
            }
            return make_array(std::move(out),
                              std::vector<py::ssize_t>(static_cast<std::size_t>(order), s.shape.dim()));
          },
          py::arg("order"), py::arg("coefficients"), "The same of a lower order, dense.");
}

}  // namespace moefast::bindings
