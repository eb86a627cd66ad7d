#include "moefast/contraction.hpp"

#include <cmath>

#include "scaling.hpp"

namespace moefast {
namespace {

// How many index tuples are an arrangement of the sorted one a <= b [<= c [<= e]].
double multiplicity(int order, index_t a, index_t b, index_t c, index_t e) {
  if (order == 2) return a == b ? 1 : 2;
  const int equal = (a == b) + (b == c) + (order == 4 && c == e);
  if (order == 3) return equal == 0 ? 6 : equal == 1 ? 3 : 1;
  if (equal == 2) return b == c ? 4 : 6;  // three and one, or two and two
  return equal == 0 ? 24 : equal == 1 ? 12 : 1;
}

}  // namespace

TensorContraction::TensorContraction(const SymmetricTensor& tensor)
    : layout_(tensor.layout),
      exponent_(exponent_of_largest(tensor.entries.data(), layout_.size())),
      weighted_(tensor.entries) {
  const index_t dim = layout_.dim;
  double* entry = weighted_.data();
  for (index_t b = 0; b < dim; ++b) {
    for (index_t a = 0; a <= b; ++a) {
      // An order without the index c or e runs over a single value of it.
      for (index_t c = b; c < (layout_.order > 2 ? dim : b + 1); ++c) {
        for (index_t e = c; e < (layout_.order > 3 ? dim : c + 1); ++e, ++entry) {
          *entry = std::ldexp(*entry, -exponent_) * multiplicity(layout_.order, a, b, c, e);
        }
      }
    }
  }
}

}  // namespace moefast
