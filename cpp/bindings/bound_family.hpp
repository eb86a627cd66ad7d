// A family given from Python: None for normal responses, a tuple of its name and what it has to be told, or a
// callable.
#pragma once

#include <algorithm>
#include <limits>
#include <string>
#include <tuple>
#include <utility>

#include "array_args.hpp"
#include "moefast/family.hpp"

namespace moefast::bindings {

// Calls family(y, eta) -> (log f, its slope by eta, weight) with arrays of shape (n,), holding the GIL
// meanwhile. Exceptions of the callable pass through; they are thrown on the thread that called into the
// core, which alone may call `terms`.
class PythonFamily final : public Family {
 public:
  explicit PythonFamily(py::object function) : function_(std::move(function)) {}
  PythonFamily(const PythonFamily&) = delete;
  PythonFamily& operator=(const PythonFamily&) = delete;
  ~PythonFamily() override {
    const py::gil_scoped_acquire gil;
    function_ = py::object();
  }

  void terms(const ResponseRows& rows, const Dispersion&, const double* eta,
             const FamilyTerms& out) const override {
    const py::gil_scoped_acquire gil;
    const index_t n = rows.n;
    Array y(n), predictor(n);
    std::copy_n(rows.y, n, y.mutable_data());
    std::copy_n(eta, n, predictor.mutable_data());
    const auto [log_density, slope, weight] = function_(y, predictor).cast<std::tuple<Array, Array, Array>>();
    const auto take = [n](const Array& values, const char* name, double* to) {
      require_shape(values, name, {n});
      std::copy_n(values.data(), n, to);
    };
    take(log_density, "the family's log densities", out.log_density);
    take(slope, "the family's slopes", out.slope);
    take(weight, "the family's weights", out.weight);
  }

  bool any_thread() const override { return false; }

 private:
  py::object function_;
};

inline std::shared_ptr<const Family> make_family(const py::object& family) {
  if (family.is_none()) return nullptr;
  if (!py::isinstance<py::tuple>(family)) return std::make_shared<const PythonFamily>(family);
  const py::tuple given = family.cast<py::tuple>();
  const std::string name = given[0].cast<std::string>();
  if (name == "poisson") return poisson_family();
  if (name == "binomial") return binomial_family();
  if (name == "multinomial") return multinomial_family(given[1].cast<index_t>());
  if (name == "gamma") return gamma_family();
  if (name == "negative_binomial") return negative_binomial_family();
  if (name == "student_t") return student_t_family(given[1].cast<std::optional<double>>());
  if (name == "tobit") return tobit_family(given[1].cast<double>(), given[2].cast<double>());
  throw py::value_error("family '" + name + "' is not built in");
}

}  // namespace moefast::bindings
