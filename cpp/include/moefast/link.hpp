// Links g: what an expert does to its linear form t = a.x + b.
#pragma once

#include <memory>
#include <string>

#include "moefast/types.hpp"

namespace moefast {

class Link {
 public:
  virtual ~Link() = default;

  // t[i] becomes g(t[i]), slope[i] becomes g'(t[i]), for i < n.
  virtual void apply(index_t n, double* t, double* slope) const = 0;

  // out[i] = g''(t[i]) for i < n; here central differences of the slope, good to about 1e-10.
  virtual void curvature(index_t n, const double* t, double* out) const;

  // Whether both may be called from any thread.
  virtual bool any_thread() const { return true; }
};

// By name: "sigmoid", "tanh", "relu", "leaky_relu" (slope 0.1), "softplus", "gelu", "silu"; null for
// "linear", which needs no link. Values are exact to rounding of max(1, |g|), slopes to that of 1; the slope
// of a kink is the one on its left. Throws std::invalid_argument for another name.
std::shared_ptr<const Link> built_in_link(const std::string& name);

}  // namespace moefast
