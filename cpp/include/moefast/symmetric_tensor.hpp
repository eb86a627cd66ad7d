// A symmetric tensor of order 2, 3 or 4 in packed storage, and its other forms. Contractions:
// contraction.hpp.
#pragma once

#include <vector>

#include "moefast/packed.hpp"
#include "moefast/types.hpp"

namespace moefast {

class SymmetricTensor {
 public:
  // Positions stay within 64 bits, at 1e17 entries.
  static constexpr index_t kMostDim = 40000;

  // Throws std::invalid_argument unless 1 <= dim <= kMostDim and order is 2, 3 or 4.
  static PackedLayout layout_of(index_t dim, int order);

  // Zero. Throws as layout_of does.
  SymmetricTensor(index_t dim, int order);

  // From dim^order numbers. Throws std::invalid_argument when two entries that should be equal differ by more
  // than 1e-8 of the largest absolute entry; the entry with sorted indices is kept.
  static SymmetricTensor from_dense(const double* dense, index_t dim, int order);
  // With every symmetric copy filled in.
  std::vector<double> to_dense(const Poll& poll = {}) const;

  // The unique entries in lexicographic order of their sorted indices (a, b, ...): the form that files and
  // other programs share, whatever the storage is.
  static SymmetricTensor from_canonical(const double* values, index_t dim, int order);
  std::vector<double> to_canonical() const;

  index_t dim() const { return layout.dim; }
  int order() const { return layout.order; }

  PackedLayout layout;
  std::vector<double> entries;  // each unique entry once, as it is: not multiplied by how often it occurs
};

}  // namespace moefast
