// The built-in links, with exp and log of whole rows by the kernels.
#include "moefast/link.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>
#include <vector>

#include "kernels/kernels.hpp"

namespace moefast {
namespace {

// Numbers handled together, on the stack.
constexpr index_t kBlock = 256;

// Of central differences: the cube root of the rounding error balances it against the third derivative.
constexpr double kStep = 6e-6;

// e[i] = exp(-rate |t[i]|), in (0, 1]: nothing overflows.
void decay(index_t n, double rate, const double* t, double* e) {
  for (index_t i = 0; i < n; ++i) e[i] = -rate * std::abs(t[i]);
  kernels::active().exponentials(n, e, e);
}

// 1 / (1 + exp(-t)) from e = exp(-|t|).
double sigmoid(double t, double e) { return (t < 0 ? e : 1.0) / (1 + e); }

// A link that is a function of t and exp(-rate |t|), or of t alone where `rate` is 0, and so is g''.
template <class Function, class Curvature>
class PointwiseLink final : public Link {
 public:
  PointwiseLink(double rate, Function function, Curvature curvature)
      : rate_(rate), function_(function), curvature_(curvature) {}

  void apply(index_t n, double* t, double* slope) const override {
    double e[kBlock];
    for (index_t start = 0; start < n; start += kBlock, t += kBlock, slope += kBlock) {
      const index_t length = std::min(kBlock, n - start);
      if (rate_ > 0) decay(length, rate_, t, e);
      for (index_t i = 0; i < length; ++i) function_(t[i], e[i], slope[i]);
    }
  }

  void curvature(index_t n, const double* t, double* out) const override {
    if (rate_ > 0) decay(n, rate_, t, out);
    for (index_t i = 0; i < n; ++i) out[i] = curvature_(t[i], out[i]);
  }

 private:
  double rate_;
  Function function_;
  Curvature curvature_;
};

template <class Function, class Curvature>
std::shared_ptr<const Link> pointwise(double rate, Function function, Curvature curvature) {
  return std::make_shared<const PointwiseLink<Function, Curvature>>(rate, function, curvature);
}

// The sigmoid's slope, and 2 sigmoid - 1 = tanh(t / 2), from e = exp(-|t|).
double sigmoid_slope(double e) { return e / ((1 + e) * (1 + e)); }
double twice_less_one(double t, double e) { return std::copysign((1 - e) / (1 + e), t); }

class Softplus final : public Link {
 public:
  // log(1 + exp(t)) = max(t, 0) + log(1 + exp(-|t|))
  void apply(index_t n, double* t, double* slope) const override {
    double e[kBlock], logarithm[kBlock];
    for (index_t start = 0; start < n; start += kBlock, t += kBlock, slope += kBlock) {
      const index_t length = std::min(kBlock, n - start);
      decay(length, 1, t, e);
      for (index_t i = 0; i < length; ++i) logarithm[i] = 1 + e[i];
      kernels::active().logarithms(length, logarithm, logarithm);
      for (index_t i = 0; i < length; ++i) {
        slope[i] = sigmoid(t[i], e[i]);
        t[i] = std::max(t[i], 0.0) + logarithm[i];
      }
    }
  }

  void curvature(index_t n, const double* t, double* out) const override {
    decay(n, 1, t, out);
    for (index_t i = 0; i < n; ++i) out[i] = sigmoid_slope(out[i]);
  }
};

std::shared_ptr<const Link> leaky(double leak) {
  const auto function = [leak](double& t, double, double& slope) {
    slope = t > 0 ? 1 : leak;
    t *= slope;
  };
  return pointwise(0, function, [](double, double) { return 0.0; });
}

double normal_density(double t) { return std::exp(-0.5 * t * t) / std::sqrt(2 * std::numbers::pi); }

}  // namespace

void Link::curvature(index_t n, const double* t, double* out) const {
  std::vector<double> above(t, t + n), below(t, t + n), slope_above(above.size()), slope_below(above.size());
  for (std::size_t i = 0; i < above.size(); ++i) {
    const double step = kStep * std::max(1.0, std::abs(t[i]));
    above[i] += step, below[i] -= step;
    out[i] = above[i] - below[i];
  }
  apply(n, above.data(), slope_above.data());
  apply(n, below.data(), slope_below.data());
  for (std::size_t i = 0; i < above.size(); ++i) out[i] = (slope_above[i] - slope_below[i]) / out[i];
}

std::shared_ptr<const Link> built_in_link(const std::string& name) {
  if (name == "linear") return nullptr;
  if (name == "sigmoid") {
    const auto function = [](double& t, double e, double& slope) {
      slope = sigmoid_slope(e);
      t = sigmoid(t, e);
    };
    return pointwise(1, function,
                     [](double t, double e) { return -sigmoid_slope(e) * twice_less_one(t, e); });
  }
  if (name == "tanh") {
    const auto function = [](double& t, double e, double& slope) {
      slope = 4 * e / ((1 + e) * (1 + e));
      t = twice_less_one(t, e);
    };
    return pointwise(2, function,
                     [](double t, double e) { return -8 * sigmoid_slope(e) * twice_less_one(t, e); });
  }
  if (name == "relu") return leaky(0);
  if (name == "leaky_relu") return leaky(0.1);
  if (name == "softplus") return std::make_shared<const Softplus>();
  if (name == "gelu") {
    const auto function = [](double& t, double, double& slope) {
      const double below = 0.5 * std::erfc(-t / std::numbers::sqrt2);
      slope = below + t * normal_density(t);
      t *= below;
    };
    return pointwise(0, function, [](double t, double) { return normal_density(t) * (2 - t * t); });
  }
  if (name == "silu") {
    const auto function = [](double& t, double e, double& slope) {
      const double s = sigmoid(t, e);
      slope = s + t * sigmoid_slope(e);
      t *= s;
    };
    return pointwise(1, function,
                     [](double t, double e) { return sigmoid_slope(e) * (2 - t * twice_less_one(t, e)); });
  }
  throw std::invalid_argument("link '" + name + "' is not built in");
}

}  // namespace moefast
