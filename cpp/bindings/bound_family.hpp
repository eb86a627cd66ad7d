// A family given from Python: None for normal responses, a tuple of its name and what it has to be told, or a
// callable.
#pragma once

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <string>
#include <utility>

#include "array_args.hpp"
#include "functions.hpp"
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
    const Terms found = call(rows, eta, 0);
    std::copy_n(found.log_density.data(), rows.n, out.log_density);
    std::copy_n(found.slope.data(), rows.n, out.slope);
    std::copy_n(found.weight.data(), rows.n, out.weight);
  }

  // The second derivative is a central difference, good to about 1e-10: the weights may be others.
  void derivatives(const ResponseRows& rows, const Dispersion&, const double* eta,
                   const FamilyDerivatives& out) const override {
    const py::gil_scoped_acquire gil;
    const Array above = call(rows, eta, kStep).slope, below = call(rows, eta, -kStep).slope;
    for (index_t s = 0; s < rows.n; ++s) {
      const double distance = moved(eta[s], kStep) - moved(eta[s], -kStep);
      out.eta_eta[s] = (above.data()[s] - below.data()[s]) / distance;
    }
    const Terms found = call(rows, eta, 0);
    std::copy_n(found.slope.data(), rows.n, out.eta);
    std::copy_n(found.log_density.data(), rows.n, out.log_density);
  }

  bool any_thread() const override { return false; }

 private:
  // Of central differences: the cube root of the rounding error balances it against the third derivative.
  static constexpr double kStep = 6e-6;
  static double moved(double eta, double step) { return eta + step * std::max(1.0, std::abs(eta)); }

  struct Terms {
    Array log_density, slope, weight;
  };
  // At predictors moved by so much.
  Terms call(const ResponseRows& rows, const double* eta, double step) const {
    Array y(rows.n), predictor(rows.n);
    std::copy_n(rows.y, rows.n, y.mutable_data());
    std::transform(eta, eta + rows.n, predictor.mutable_data(),
                   [step](double value) { return moved(value, step); });
    const py::tuple found = items_of("what the family returns", function_(y, predictor), 3);
    const auto take = [&](std::size_t i, const char* name) {
      const Array values = converted(found[i]);
      require_shape(values, name, {rows.n});
      return values;
    };
    return {take(0, "the family's log densities"), take(1, "the family's slopes"),
            take(2, "the family's weights")};
  }

  py::object function_;
};

inline std::shared_ptr<const Family> make_family(const py::handle& family) {
  if (family.is_none()) return nullptr;
  if (!py::isinstance<py::tuple>(family))
    return std::make_shared<const PythonFamily>(py::reinterpret_borrow<py::object>(family));
  const py::tuple given = family.cast<py::tuple>();
  const std::string name = given[0].cast<std::string>();
  if (name == "poisson") return poisson_family();
  if (name == "binomial") return binomial_family();
  if (name == "multinomial") return multinomial_family(given[1].cast<index_t>());
  if (name == "gamma") return gamma_family();
  if (name == "negative_binomial") return negative_binomial_family();
  if (name == "student_t")
    return student_t_family(given[1].is_none() ? std::nullopt : std::optional(given[1].cast<double>()));
  if (name == "multivariate_normal")
    return multivariate_normal_family(given[1].cast<index_t>(), given[2].cast<bool>());
  if (name == "tobit") return tobit_family(given[1].cast<double>(), given[2].cast<double>());
  throw py::value_error("family '" + name + "' is not built in");
}

}  // namespace moefast::bindings
