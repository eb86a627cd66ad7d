// The built-in links, with exp and log of whole rows by the kernels.
#include "moefast/link.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <stdexcept>

#include "kernels/kernels.hpp"

namespace moefast {
namespace {

// Numbers handled together, on the stack.
constexpr index_t kBlock = 256;

// e[i] = exp(-rate |t[i]|), in (0, 1]: nothing overflows.
void decay(index_t n, double rate, const double* t, double* e) {
  for (index_t i = 0; i < n; ++i) e[i] = -rate * std::abs(t[i]);
  kernels::active().exponentials(n, e, e);
}

// 1 / (1 + exp(-t)) from e = exp(-|t|).
double sigmoid(double t, double e) { return (t < 0 ? e : 1.0) / (1 + e); }

// A link that is a function of t and exp(-rate |t|), or of t alone where `rate` is 0.
template <class Function>
class PointwiseLink final : public Link {
 public:
  PointwiseLink(double rate, Function function) : rate_(rate), function_(function) {}

  void apply(index_t n, double* t, double* slope) const override {
    double e[kBlock];
    for (index_t start = 0; start < n; start += kBlock, t += kBlock, slope += kBlock) {
      const index_t length = std::min(kBlock, n - start);
      if (rate_ > 0) decay(length, rate_, t, e);
      for (index_t i = 0; i < length; ++i) function_(t[i], e[i], slope[i]);
    }
  }

 private:
  double rate_;
  Function function_;
};

template <class Function>
std::shared_ptr<const Link> pointwise(double rate, Function function) {
  return std::make_shared<const PointwiseLink<Function>>(rate, function);
}

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
};

std::shared_ptr<const Link> leaky(double leak) {
  return pointwise(0, [leak](double& t, double, double& slope) {
    slope = t > 0 ? 1 : leak;
    t *= slope;
  });
}

}  // namespace

std::shared_ptr<const Link> built_in_link(const std::string& name) {
  if (name == "linear") return nullptr;
  if (name == "sigmoid") {
    return pointwise(1, [](double& t, double e, double& slope) {
      slope = e / ((1 + e) * (1 + e));
      t = sigmoid(t, e);
    });
  }
  if (name == "tanh") {
    return pointwise(2, [](double& t, double e, double& slope) {
      slope = 4 * e / ((1 + e) * (1 + e));
      t = std::copysign((1 - e) / (1 + e), t);
    });
  }
  if (name == "relu") return leaky(0);
  if (name == "leaky_relu") return leaky(0.1);
  if (name == "softplus") return std::make_shared<const Softplus>();
  if (name == "gelu") {
    return pointwise(0, [](double& t, double, double& slope) {
      const double below = 0.5 * std::erfc(-t / std::numbers::sqrt2);
      const double density = std::exp(-0.5 * t * t) / std::sqrt(2 * std::numbers::pi);
      slope = below + t * density;
      t *= below;
    });
  }
  if (name == "silu") {
    return pointwise(1, [](double& t, double e, double& slope) {
      const double s = sigmoid(t, e);
      slope = s + t * (e / ((1 + e) * (1 + e)));
      t *= s;
    });
  }
  throw std::invalid_argument("link '" + name + "' is not built in");
}

}  // namespace moefast
