#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "array_args.hpp"
#include "bound_samples.hpp"
#include "functions.hpp"
#include "in_parts.hpp"
#include "moefast/moments.hpp"

namespace moefast::bindings {
namespace {

// Of rows of float64 or float32.
class Accumulator {
 public:
  virtual ~Accumulator() = default;
  virtual void update(const Given& given) = 0;  // X, y, w, n_threads
  virtual void merge(const Accumulator& other) = 0;
  virtual MomentShape shape() const = 0;
  virtual index_t n_samples() const = 0;
  virtual MomentSums snapshot() const = 0;
  virtual py::tuple get_state() const = 0;
  virtual void set_state(const Given& given) = 0;  // count, weight, centre, magnitude, sums, x, y, w

 protected:
  // While this lives its thread alone uses the accumulator, and without the GIL. The GIL is always released
  // before the mutex is taken, and the poll takes the GIL only while holding the mutex, so the two cannot
  // wait for each other.
  class Hold {
   public:
    explicit Hold(const Accumulator& held) : owner_(owner_of(held)), lock_(held.mutex_) {
      owner_ = std::this_thread::get_id();
    }
    ~Hold() { owner_ = std::thread::id(); }
    Hold(const Hold&) = delete;
    Hold& operator=(const Hold&) = delete;

   private:
    static std::atomic<std::thread::id>& owner_of(const Accumulator& held) {
      if (held.owner_ == std::this_thread::get_id()) {
        throw std::runtime_error("the accumulator was used by a signal handler while it was being updated");
      }
      return held.owner_;
    }
    std::atomic<std::thread::id>& owner_;
    const py::gil_scoped_release release_;
    const std::lock_guard<std::mutex> lock_;
  };

 private:
  mutable std::mutex mutex_;
  // The thread that holds the mutex: the poll of a long update runs signal handlers of Python in it.
  mutable std::atomic<std::thread::id> owner_{};
};

// The sums of a state.
MomentSums given_total(const Given& given, const MomentShape& shape, const Poll& poll) {
  MomentSums total;
  total.shape = shape;
  total.count = given.as<index_t>("count");
  total.weight = given.as<double>("weight");
  const Array centre = array_of("centre", given["centre"]), sums = array_of("sums", given["sums"]);
  const Array magnitude = array_of("magnitude", given["magnitude"]);
  const index_t n_sums = shape.n_channels() * shape.layout().size();
  require_shape(centre, "centre", {shape.dim()});
  require_shape(magnitude, "magnitude", {shape.dim()});
  require_shape(sums, "sums", {n_sums});
  if (total.count < 0)
    throw py::value_error("count must not be negative, got " + std::to_string(total.count));
  total.centre = to_vector(centre), total.magnitude = to_vector(magnitude);
  total.sums.reserve(static_cast<std::size_t>(n_sums));
  in_parts(static_cast<std::size_t>(n_sums), poll, [&](std::size_t first, std::size_t last) {
    total.sums.insert(total.sums.end(), sums.data() + first, sums.data() + last);
  });
  total.check_finite(poll);
  return total;
}

template <class Scalar>
class AccumulatorOf final : public Accumulator {
 public:
  explicit AccumulatorOf(MomentShape shape) : core_(std::move(shape)) {}

  void update(const Given& given) override {
    const BoundSamples<Scalar> samples(given, core_.n_features());
    const int n_threads = checked_threads(given);
    const Poll poll = make_poll();
    const Hold hold(*this);
    core_.update(samples.view, n_threads, poll);
  }

  void merge(const Accumulator& other) override {
    const auto* const same = dynamic_cast<const AccumulatorOf*>(&other);
    if (!same) throw py::type_error("other must have the same dtype");
    const MomentAccumulator<Scalar> copy = same->copy();
    const Poll poll = make_poll();
    const Hold hold(*this);
    core_.merge(copy, poll);
  }

  MomentShape shape() const override { return core_.shape(); }
  index_t n_samples() const override {
    const Hold hold(*this);
    return core_.n_samples();
  }
  MomentSums snapshot() const override {
    const Poll poll = make_poll();
    const Hold hold(*this);
    return core_.snapshot(poll);
  }

  // (count, weight, centre, magnitude, sums, pending x, pending y, pending w)
  py::tuple get_state() const override {
    MomentAccumulator<Scalar> core = copy();
    const py::ssize_t d = core.n_features(), n = core.pending_rows();
    std::vector<Scalar> x = core.pending_x(), y = core.pending_y();
    const std::vector<double> w = core.pending_w();
    MomentSums total = std::move(core).take_total();
    total.take_room(make_poll());
    const py::ssize_t n_sums = static_cast<py::ssize_t>(total.sums.size());
    return tuple_of({py::int_(total.count), py::float_(total.weight), make_array(total.centre, {d + 1}),
                     make_array(total.magnitude, {d + 1}), make_array(std::move(total.sums), {n_sums}),
                     make_array(std::move(x), {n, d}), make_array(std::move(y), {n}), make_array(w, {n})});
  }

  void set_state(const Given& given) override {
    const auto x = array_of<PlainArray<Scalar>>("x", given["x"]);
    const auto y = array_of<PlainArray<Scalar>>("y", given["y"]);
    const Array w = array_of("w", given["w"]);
    const py::ssize_t d = core_.n_features();
    require_ndim(w, "w", 1);
    require_shape(x, "x", {w.shape(0), d});
    require_shape(y, "y", {w.shape(0)});
    if (w.shape(0) >= MomentAccumulator<Scalar>::kSuperBlock) {
      throw py::value_error("w: a state holds fewer pending rows than one super-block");
    }
    const Poll poll = make_poll();
    MomentSums total = given_total(given, core_.shape(), poll);
    SampleView<Scalar> pending;
    pending.x = reinterpret_cast<const char*>(x.data());
    pending.y = reinterpret_cast<const char*>(y.data());
    pending.w = reinterpret_cast<const char*>(w.data());
    pending.n = w.shape(0);
    pending.x_row_stride = d * static_cast<index_t>(sizeof(Scalar));
    pending.x_col_stride = pending.y_stride = sizeof(Scalar);
    pending.w_stride = sizeof(double);
    const Hold hold(*this);
    core_.restore(std::move(total), pending, poll);
  }

 private:
  MomentAccumulator<Scalar> copy() const {
    const Poll poll = make_poll();
    const Hold hold(*this);
    return core_.copy(poll);
  }

  MomentAccumulator<Scalar> core_;
};

}  // namespace

void bind_accumulator(py::module_& m) {
  auto bound = bind_class<Accumulator>(m, "Accumulator", "Moments of a stream of rows; see moments.hpp.");
  def_init<Accumulator>(bound, "dtype, n_features, order, polynomial, about",
                        [](const Given& given) -> std::unique_ptr<Accumulator> {
                          const MomentShape shape = given_shape(given, given.as<index_t>("n_features"));
                          if (is_float32(given.as<std::string>("dtype")))
                            return std::make_unique<AccumulatorOf<float>>(shape);
                          return std::make_unique<AccumulatorOf<double>>(shape);
                        });
  def(
      bound, "memory", "dtype, n_features, order, n_terms, n_threads",
      [](const Given& given) -> py::object {
        const index_t n_terms = given.as<index_t>("n_terms");
        if (n_terms < 0)
          throw py::value_error("n_terms must not be negative, got " + std::to_string(n_terms));
        const int n_threads = checked_threads(given);
        // However many terms the polynomial has, it is one channel.
        const std::vector<double> polynomial(n_terms > 0 ? 1 : 0);
        const MomentShape shape =
            checked_shape({given.as<index_t>("n_features"), given.as<int>("order"), polynomial});
        return py::float_(is_float32(given.as<std::string>("dtype"))
                              ? MomentAccumulator<float>::memory(shape, n_threads)
                              : MomentAccumulator<double>::memory(shape, n_threads));
      },
      "Bytes that update needs at most.");
  def(bound, "update", "self, X, y, w, n_threads", [](const Given& given) -> py::object {
    given.as<Accumulator&>("self").update(given);
    return py::none();
  });
  def(bound, "merge", "self, other", [](const Given& given) -> py::object {
    given.as<Accumulator&>("self").merge(given.as<const Accumulator&>("other"));
    return py::none();
  });
  def_property(bound, "n_features", [](const Given& given) -> py::object {
    return py::int_(given.as<Accumulator&>("self").shape().n_features);
  });
  def_property(bound, "order", [](const Given& given) -> py::object {
    return py::int_(given.as<Accumulator&>("self").shape().order);
  });
  def_property(bound, "n_samples", [](const Given& given) -> py::object {
    return py::int_(given.as<Accumulator&>("self").n_samples());
  });
  def(bound, "snapshot", "self",
      [](const Given& given) { return py::cast(given.as<Accumulator&>("self").snapshot()); });
  def(bound, "get_state", "self",
      [](const Given& given) -> py::object { return given.as<Accumulator&>("self").get_state(); });
  def(bound, "set_state", "self, count, weight, centre, magnitude, sums, x, y, w",
      [](const Given& given) -> py::object {
        given.as<Accumulator&>("self").set_state(given);
        return py::none();
      });
}

}  // namespace moefast::bindings
