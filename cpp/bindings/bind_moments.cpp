#include <pybind11/stl.h>

#include <atomic>
#include <cmath>
#include <mutex>
#include <optional>
#include <string>
#include <thread>

#include "array_args.hpp"
#include "moefast/contraction.hpp"
#include "moefast/moments.hpp"
#include "moefast/symmetric_tensor.hpp"

namespace moefast::bindings {
namespace {

constexpr index_t kChannels = MomentSums::kChannels;
// Packed moments of 4000 features take 341 GB: more is a slip, and is refused before anything overflows.
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

// Serialises calls from several Python threads. The GIL is always released before the mutex is taken, and
// the poll takes the GIL only while holding the mutex, so the two cannot wait for each other.
template <class Scalar>
class Accumulator {
 public:
  explicit Accumulator(index_t n_features) : core_(checked(n_features)) {}

  void update(const py::array_t<Scalar>& X, const py::array_t<Scalar>& y,
              const std::optional<py::array_t<double>>& w, int n_threads) {
    require_ndim(X, "X", 2);
    const py::ssize_t n = X.shape(0), d = core_.n_features();
    require_shape(X, "X", {n, d});
    require_shape(y, "y", {n});
    if (w) require_shape(*w, "w", {n});
    if (n_threads < 1)
      throw py::value_error("n_threads must be at least 1, got " + std::to_string(n_threads));
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
    const Poll poll = make_poll();
    locked([&] { core_.update(view, n_threads, poll); });
  }

  void merge(const Accumulator& other) {
    const MomentAccumulator<Scalar> copy = other.copy();
    locked([&] { core_.merge(copy); });
  }

  index_t n_features() const { return core_.n_features(); }
  index_t n_samples() const {
    return locked([&] { return core_.n_samples(); });
  }
  MomentSums snapshot() const {
    return locked([&] { return core_.snapshot(); });
  }

  // (count, centre, magnitude, sums, pending x, pending y, pending w)
  py::tuple get_state() const {
    const MomentAccumulator<Scalar> core = copy();
    const MomentSums& total = core.total();
    const py::ssize_t d = core.n_features(), n = core.pending_rows();
    py::array_t<Scalar> x({n, d}), y(n);
    std::copy(core.pending_x().begin(), core.pending_x().end(), x.mutable_data());
    std::copy(core.pending_y().begin(), core.pending_y().end(), y.mutable_data());
    return py::make_tuple(total.count, make_array(total.centre, {d + 1}),
                          make_array(total.magnitude, {d + 1}),
                          make_array(total.sums, {static_cast<py::ssize_t>(total.sums.size())}), x, y,
                          make_array(core.pending_w(), {n}));
  }

  void set_state(index_t count, const Array& centre, const Array& magnitude, const Array& sums,
                 const py::array_t<Scalar, py::array::c_style>& x,
                 const py::array_t<Scalar, py::array::c_style>& y, const Array& w) {
    const py::ssize_t d = core_.n_features();
    MomentSums total(d);
    require_shape(centre, "centre", {d + 1});
    require_shape(magnitude, "magnitude", {d + 1});
    require_shape(sums, "sums", {static_cast<py::ssize_t>(total.sums.size())});
    require_ndim(w, "w", 1);
    require_shape(x, "x", {w.shape(0), d});
    require_shape(y, "y", {w.shape(0)});
    if (count < 0) throw py::value_error("count must not be negative, got " + std::to_string(count));
    if (w.shape(0) >= MomentAccumulator<Scalar>::kSuperBlock) {
      throw py::value_error("w: a state holds fewer pending rows than one super-block");
    }
    total.count = count;
    std::copy_n(centre.data(), centre.size(), total.centre.begin());
    std::copy_n(magnitude.data(), magnitude.size(), total.magnitude.begin());
    std::copy_n(sums.data(), sums.size(), total.sums.begin());
    total.check_finite();
    SampleView<Scalar> pending;
    pending.x = reinterpret_cast<const char*>(x.data());
    pending.y = reinterpret_cast<const char*>(y.data());
    pending.w = reinterpret_cast<const char*>(w.data());
    pending.n = w.shape(0);
    pending.x_row_stride = d * static_cast<index_t>(sizeof(Scalar));
    pending.x_col_stride = pending.y_stride = sizeof(Scalar);
    pending.w_stride = sizeof(double);
    locked([&] { core_.restore(std::move(total), pending); });
  }

 private:
  static index_t checked(index_t n_features) {
    if (n_features < 1) {
      throw py::value_error("n_features must be at least 1, got " + std::to_string(n_features));
    }
    if (n_features > kMostFeatures) {
      throw py::value_error("n_features must be at most " + std::to_string(kMostFeatures) + ", got " +
                            std::to_string(n_features) +
                            ": beyond that the packed moments take more than 341 GB");
    }
    return n_features;
  }

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
    return locked([&] { return core_; });
  }

  MomentAccumulator<Scalar> core_;
  mutable std::mutex mutex_;
  // The thread that holds the mutex: the poll of a long update runs signal handlers of Python in it.
  mutable std::atomic<std::thread::id> owner_{};
};

template <class Scalar>
void bind_accumulator(py::module_& m, const char* name) {
  using Class = Accumulator<Scalar>;
  py::class_<Class>(m, name, "Order 3 moments of a stream of rows; see moments.hpp.")
      .def(py::init<index_t>(), py::arg("n_features"))
      .def("update", &Class::update, py::arg("X").noconvert(), py::arg("y").noconvert(),
           py::arg("w").noconvert(), py::arg("n_threads"))
      .def("merge", &Class::merge, py::arg("other"))
      .def_property_readonly("n_features", &Class::n_features)
      .def_property_readonly("n_samples", &Class::n_samples)
      .def("snapshot", &Class::snapshot)
      .def("get_state", &Class::get_state)
      .def("set_state", &Class::set_state, py::arg("count"), py::arg("centre").noconvert(),
           py::arg("magnitude").noconvert(), py::arg("sums").noconvert(), py::arg("x").noconvert(),
           py::arg("y").noconvert(), py::arg("w").noconvert());
}

}  // namespace

void bind_moments(py::module_& m) {
  py::register_exception_translator(translate_column_error);
  bind_accumulator<double>(m, "Accumulator64");
  bind_accumulator<float>(m, "Accumulator32");

  py::class_<MomentSums>(m, "MomentSums", "Sums of monomials of (x, y) about a centre; see moment_sums.hpp.")
      .def_property_readonly("n_features", [](const MomentSums& s) { return s.n_features; })
      .def_property_readonly("count", [](const MomentSums& s) { return s.count; })
      .def_property_readonly("weight", &MomentSums::weight)
      .def_property_readonly("centre",
                             [](const MomentSums& s) { return make_array(s.centre, {s.n_features + 1}); })
      .def(
          "recentred",
          [](const MomentSums& s, const Array& centre) {
            require_shape(centre, "centre", {s.n_features + 1});
            const std::vector<double> to(centre.data(), centre.data() + centre.size());
            const py::gil_scoped_release release;
            MomentSums moved = s;
            moved.recentre(to);
            moved.check_finite();
            return moved;
          },
          py::arg("centre").noconvert())
      .def(
          "contract",
          [](const MomentSums& s, const std::array<double, kChannels>& polynomial, const Array& V) {
            require_ndim(V, "V", 2);
            const py::ssize_t m = V.shape(1);
            require_shape(V, "V", {s.dim(), m});
            const double* directions = V.data();
            std::vector<double> out;
            {
              const py::gil_scoped_release release;
              out = TensorContraction(s.combine(polynomial)).project(directions, m);
            }
            return make_array(out, {m, m, m});
          },
          py::arg("polynomial"), py::arg("V").noconvert(),
          "T(V, V, V) of sum_n w P(y - v) u u u, u = (x - m, 1); V: (n_features + 1, m).")
      .def(
          "to_dense",
          [](const MomentSums& s, const std::array<double, kChannels>& polynomial) {
            std::vector<double> out;
            {
              const py::gil_scoped_release release;
              out = s.combine(polynomial).to_dense();
            }
            return make_array(out, {s.dim(), s.dim(), s.dim()});
          },
          py::arg("polynomial"), "The dense symmetric tensor of sum_n w P(y - v) u u u, u = (x - m, 1).")
      .def(
          "lower_order",
          [](const MomentSums& s, const std::array<double, kChannels>& polynomial) {
            const index_t dim = s.dim();
            const SymmetricTensor T = s.combine(polynomial);
            Array out({dim, dim});
            for (index_t a = 0; a < dim; ++a) {
              for (index_t b = 0; b < dim; ++b) out.mutable_at(a, b) = T.entries[T.layout.at(a, b, dim - 1)];
            }
            return out;
          },
          py::arg("polynomial"), "sum_n w P(y - v) u u, u = (x - m, 1): all orders up to 2.");
}

}  // namespace moefast::bindings
