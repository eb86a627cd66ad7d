// A symmetric order-3 tensor in packed storage, and its contractions.
#pragma once

#include <vector>

#include "moefast/packed.hpp"
#include "moefast/types.hpp"

namespace moefast {

class SymmetricTensor3 {
 public:
  explicit SymmetricTensor3(index_t dim)
      : layout{dim}, entries(static_cast<std::size_t>(PackedLayout3{dim}.size())) {}

  // T(V, V, V)[i, j, k] = sum_{a,b,c} T[a,b,c] V[a,i] V[b,j] V[c,k]
  // V: dim x m row-major; the result: m x m x m, dense.
  std::vector<double> contract(const double* V, index_t m) const;

  // The dim x dim x dim array with every symmetric copy filled in.
  std::vector<double> to_dense() const;

  PackedLayout3 layout;
  std::vector<double> entries;
};

}  // namespace moefast
