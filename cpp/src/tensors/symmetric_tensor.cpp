// The packed entries of a symmetric tensor as dim^order dense numbers, and as the C(dim + order - 1, order)
// unique ones in lexicographic order, and back.
#include "moefast/symmetric_tensor.hpp"

#include <algorithm>
#include <cmath>
#include <sstream>
#include <stdexcept>
#include <string>

#include "in_parts.hpp"
#include "tensors/scaling.hpp"

namespace moefast {
namespace {

index_t power(index_t base, int exponent) {
  index_t result = 1;
  for (int i = 0; i < exponent; ++i) result *= base;
  return result;
}

// Calls visit(a, b, place) for each row of a rectangle in the canonical order, where each row is contiguous
// as it is in the packed one; place: where it starts there.
template <class Visit>
void for_each_row(const PackedLayout& l, const Visit& visit) {
  for (index_t a = 0; a < l.dim; ++a) {
    for (index_t b = a; b < l.dim; ++b) visit(a, b, l.offset(b) + a * l.cols(b));
  }
}

// The largest |T[.., i, j, ..] - T[.., j, i, ..]| over all pairs of neighbouring indices.
double asymmetry(const double* dense, index_t dim, int order) {
  double largest = 0;
  for (int left = 0; left + 2 <= order; ++left) {
    const index_t outer = power(dim, left), inner = power(dim, order - 2 - left);
    for (index_t o = 0; o < outer; ++o) {
      const double* block = dense + o * dim * dim * inner;
      for (index_t i = 0; i < dim; ++i) {
        if (inner == 1) {  // a matrix: row i against column i
          const double *row = block + i * dim, *column = block + i;
          const auto difference = [&](index_t j) { return row[j] - column[j * dim]; };
          largest = std::max(largest, largest_absolute(i, difference));
          continue;
        }
        for (index_t j = 0; j < i; ++j) {
          const double *ij = block + (i * dim + j) * inner, *ji = block + (j * dim + i) * inner;
          const auto difference = [&](index_t k) { return ij[k] - ji[k]; };
          largest = std::max(largest, largest_absolute(inner, difference));
        }
      }
    }
  }
  return largest;
}

}  // namespace

PackedLayout SymmetricTensor::layout_of(index_t dim, int order) {
  if (order < 2 || order > 4) {
    throw std::invalid_argument("order must be 2, 3 or 4, got " + std::to_string(order));
  }
  if (dim < 1 || dim > kMostDim) {
    throw std::invalid_argument("dim must lie between 1 and " + std::to_string(kMostDim) + ", got " +
                                std::to_string(dim));
  }
  return {dim, order};
}

SymmetricTensor::SymmetricTensor(index_t dim, int order) : layout(layout_of(dim, order)) {
  entries.resize(static_cast<std::size_t>(layout.size()));
}

SymmetricTensor SymmetricTensor::from_dense(const double* dense, index_t dim, int order) {
  SymmetricTensor tensor(dim, order);
  const double largest = largest_absolute(power(dim, order), [&](index_t i) { return dense[i]; });
  if (const double difference = asymmetry(dense, dim, order); difference > 1e-8 * largest) {
    std::ostringstream text;
    text << "not symmetric: entries differ by up to " << difference;
    throw std::invalid_argument(text.str());
  }
  for_each_row(tensor.layout, [&](index_t a, index_t b, index_t place) {
    double* out = &tensor.entries[place];
    const double* rest = dense + (a * dim + b) * power(dim, order - 2);
    if (order == 2) *out = *rest;
    if (order == 3) std::copy(rest + b, rest + dim, out);
    for (index_t c = b; order == 4 && c < dim; ++c) {
      out = std::copy(rest + c * dim + c, rest + (c + 1) * dim, out);
    }
  });
  return tensor;
}

std::vector<double> SymmetricTensor::to_dense(const Poll& poll) const {
  std::vector<double> dense;
  fill_zeros(dense, static_cast<std::size_t>(power(dim(), order())), poll);
  const index_t d = dim();
  if (order() == 2) {
    for (index_t a = 0; a < d; ++a) {
      for (index_t b = 0; b <= a; ++b) dense[a * d + b] = dense[b * d + a] = entries[layout.at_sorted(b, a)];
    }
    return dense;
  }
  // Rows of the last index; of order 3 the first index is always 0. A row whose indices do not ascend is that
  // of the same ones in order, which stands above it; of others the part from the diagonal on is contiguous
  // in the packed tensor, and what is before stands in the columns of rows above.
  const auto row = [&](index_t a, index_t b, index_t c) { return dense.data() + ((a * d + b) * d + c) * d; };
  for (index_t a = 0; a < (order() == 4 ? d : 1); ++a) {
    for (index_t b = 0; b < d; ++b) {
      if (poll) poll();
      for (index_t c = 0; c < d; ++c) {
        double* out = row(a, b, c);
        if (a <= b && b <= c) {
          const index_t diagonal = order() == 4 ? layout.at(a, b, c, c) : layout.at(b, c, c);
          std::copy_n(&entries[diagonal], d - c, out + c);
          for (index_t e = 0; e < c; ++e) out[e] = row(a, b, e)[c];
        } else {
          index_t sorted[] = {a, b, c};
          std::sort(sorted, sorted + 3);
          std::copy_n(row(sorted[0], sorted[1], sorted[2]), d, out);
        }
      }
    }
  }
  return dense;
}

SymmetricTensor SymmetricTensor::from_canonical(const double* values, index_t dim, int order) {
  SymmetricTensor tensor(dim, order);
  for_each_row(tensor.layout, [&](index_t, index_t b, index_t place) {
    std::copy_n(values, tensor.layout.cols(b), &tensor.entries[place]);
    values += tensor.layout.cols(b);
  });
  return tensor;
}

std::vector<double> SymmetricTensor::to_canonical() const {
  std::vector<double> values;
  values.reserve(entries.size());
  for_each_row(layout, [&](index_t, index_t b, index_t place) {
    values.insert(values.end(), entries.begin() + place, entries.begin() + place + layout.cols(b));
  });
  return values;
}

}  // namespace moefast
