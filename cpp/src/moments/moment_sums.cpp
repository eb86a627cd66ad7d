// Moving the centre of a packed tensor of order M and dimension dim:
//
//     sum f (u + s)^(x)M = sum over the subsets of the M indices of prod s times the tensor of the rest,
//     sum (t + v)^h = sum_j binomial(h, j) v^j sum t^(h - j)
//
// with u = (x - m, 1), t = y - v; the tensors of the lower orders are slices at the appended 1.
#include "moefast/moment_sums.hpp"

#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>
#include <utility>

#include "in_parts.hpp"
#include "moefast/symmetric_tensor.hpp"

namespace moefast {
namespace {

using Numbers = std::vector<double>;

// T with its last index set to the appended 1: the packed entries of the order below. Both are walked in the
// same order, since dropping the last index leaves rectangles and rows as they are.
Numbers lower(const PackedLayout& layout, const double* entries, const Poll& poll) {
  const index_t dim = layout.dim;
  if (layout.order == 2) {
    const double* last = entries + layout.offset(dim - 1);
    return {last, last + dim};
  }
  Numbers out;
  out.reserve(static_cast<std::size_t>(multisets(dim, layout.order - 1)));
  for (index_t b = 0; b < dim; ++b) {
    if (poll) poll();
    const index_t cols = layout.cols(b);
    const double* row = entries + layout.offset(b);
    for (index_t a = 0; a <= b; ++a, row += cols) {
      if (layout.order == 3) {
        out.push_back(row[cols - 1]);
        continue;
      }
      const double* entry = row - 1;  // the pairs (c, last) end the runs of c
      for (index_t c = b; c < dim; ++c) out.push_back(*(entry += dim - c));
    }
  }
  return out;
}

// The lower orders of one channel, as they are before the centre moves.
struct LowerOrders {
  LowerOrders(const PackedLayout& layout, const double* entries, const Poll& poll) : dim(layout.dim) {
    Numbers below = lower(layout, entries, poll);
    if (layout.order == 4) {
      T3 = std::move(below);
      below = lower({dim, 3}, T3.data(), poll);
    }
    if (layout.order > 2) {
      T2.resize(static_cast<std::size_t>(dim * dim));
      for (index_t b = 0, i = 0; b < dim; ++b) {
        for (index_t a = 0; a <= b; ++a) T2[a * dim + b] = T2[b * dim + a] = below[i++];
      }
      below = lower({dim, 2}, below.data(), poll);
    }
    T1 = std::move(below);
    T0 = T1.back();
  }

  index_t dim;
  Numbers T3;  // packed
  Numbers T2;  // dim x dim
  Numbers T1;
  double T0 = 0;
};

// Replaces u by u + s e (e: the last coordinate, which is 1) in one channel: T'[a, b, ..] is the sum over the
// subsets of {a, b, ..} of the product of their shifts times T with those indices set to last; s[last] = 0.
void shift_features(const PackedLayout& layout, double* entries, const Numbers& s, const Poll& poll) {
  const index_t dim = layout.dim;
  const LowerOrders T(layout, entries, poll);
  const Numbers& T1 = T.T1;
  if (layout.order == 2) {
    for (index_t b = 0; b < dim; ++b) {
      double* row = entries + layout.offset(b);
      for (index_t a = 0; a <= b; ++a) row[a] += s[a] * T1[b] + s[b] * T1[a] + s[a] * s[b] * T.T0;
    }
    return;
  }
  const PackedLayout third{dim, 3};
  Numbers Q1(static_cast<std::size_t>(dim));
  double* row = entries;
  for (index_t b = 0; b < dim; ++b) {
    if (poll) poll();
    for (index_t a = 0; a <= b; ++a, row += layout.cols(b)) {
      const double sa = s[a], sb = s[b], sab = sa * sb;
      const double *T2a = &T.T2[a * dim], *T2b = &T.T2[b * dim];
      const double Q0 = T2a[b] + sa * T1[b] + sb * T1[a] + sab * T.T0;
      if (layout.order == 3) {
        for (index_t c = b; c < dim; ++c) row[c - b] += sa * T2b[c] + sb * T2a[c] + sab * T1[c] + s[c] * Q0;
        continue;
      }
      // Q1[c]: the moments (a, b, c) with a and b shifted; then c and e.
      const double* T3ab = &T.T3[third.offset(b) + a * third.cols(b)];
      for (index_t c = b; c < dim; ++c) {
        Q1[c] = T3ab[c - b] + sa * T2b[c] + sb * T2a[c] + sab * T1[c];
      }
      double* entry = row;
      for (index_t c = b; c < dim; ++c) {
        const index_t n = dim - c, at = third.offset(c);
        const double *T3a = &T.T3[at + a * n], *T3b = &T.T3[at + b * n], *T2c = &T.T2[c * dim + c];
        const double sc = s[c], Qc = Q1[c] + sc * Q0, *Q1c = &Q1[c], *se = &s[c];
        for (index_t e = 0; e < n; ++e) {
          entry[e] += sa * T3b[e] + sb * T3a[e] + sab * T2c[e] + sc * Q1c[e] + se[e] * Qc;
        }
        entry += n;
      }
    }
  }
}

// (y - v)^h with y - v replaced by (y - v) + shift: the highest channel first, by Horner's rule.
void shift_response(MomentSums& m, double shift, const Poll& poll) {
  const std::size_t size = static_cast<std::size_t>(m.shape.layout().size());
  for (index_t h = m.shape.n_channels() - 1; h > 0; --h) {
    double* to = m.channel(h);
    double factor = 1;  // binomial(h, j) shift^j
    for (index_t j = 1; j <= h; ++j) {
      factor *= shift * static_cast<double>(h - j + 1) / static_cast<double>(j);
      const double* from = m.channel(h - j);
      in_parts(size, poll, [&](std::size_t first, std::size_t last) {
        for (std::size_t i = first; i < last; ++i) to[i] += factor * from[i];
      });
    }
  }
}

}  // namespace

MomentSums::MomentSums(MomentShape s)
    : shape(std::move(s)), centre(static_cast<std::size_t>(shape.dim())), magnitude(centre.size()) {}

void MomentSums::take_room(const Poll& poll) {
  if (sums.empty())
    fill_zeros(sums, static_cast<std::size_t>(shape.n_channels() * shape.layout().size()), poll);
}

void MomentSums::recentre(const std::vector<double>& new_centre, const Poll& poll) {
  Numbers shift(centre.size());
  for (std::size_t j = 0; j < centre.size(); ++j) shift[j] = centre[j] - new_centre[j];
  const double response_shift = shift.back();
  shift.back() = 0;
  if (std::any_of(shift.begin(), shift.end(), [](double s) { return s != 0; })) {
    const PackedLayout layout = shape.layout();
    for (index_t h = 0; h < shape.n_channels(); ++h) shift_features(layout, channel(h), shift, poll);
  }
  if (shape.polynomial.empty() && response_shift != 0) shift_response(*this, response_shift, poll);
  centre = new_centre;
}

void MomentSums::recentre_to_mean(const Poll& poll) {
  if (!shape.polynomial.empty()) return;  // blocks are centred and merged on means; no channel 1 to mend it
  const index_t d = shape.n_features;
  const Numbers first = LowerOrders(shape.layout(), channel(0), poll).T1;
  std::vector<double> mean = centre;
  for (index_t j = 0; j < d; ++j) mean[j] += first[j] / weight;
  mean[d] += channel(1)[shape.layout().size() - 1] / weight;
  recentre(mean, poll);
}

void MomentSums::merge(MomentSums& other, const Poll& poll) {
  if (other.count == 0) return;
  if (count == 0) {
    std::swap(*this, other);  // no copy: memory for one more is promised to nobody
    return;
  }
  const double share = other.weight / (weight + other.weight);
  std::vector<double> common(centre.size());
  for (std::size_t j = 0; j < centre.size(); ++j) {
    common[j] = centre[j] + share * (other.centre[j] - centre[j]);
    magnitude[j] = std::max(magnitude[j], other.magnitude[j]);
  }
  other.recentre(common, poll);
  recentre(common, poll);
  in_parts(sums.size(), poll, [&](std::size_t first, std::size_t last) {
    for (std::size_t i = first; i < last; ++i) sums[i] += other.sums[i];
  });
  count += other.count;
  weight += other.weight;
}

MomentSums MomentSums::copy(const Poll& poll) const {
  MomentSums out;
  out.shape = shape;
  out.count = count;
  out.weight = weight;
  out.centre = centre;
  out.magnitude = magnitude;
  reserve_large(out.sums, sums.size());
  in_parts(sums.size(), poll, [&](std::size_t first, std::size_t last) {
    out.sums.insert(out.sums.end(), sums.data() + first, sums.data() + last);
  });
  return out;
}

SymmetricTensor MomentSums::combine(const std::vector<double>& coefficients, const Poll& poll) const {
  SymmetricTensor tensor(shape.dim(), shape.order);
  for (std::size_t h = 0; h < coefficients.size(); ++h) {
    // A channel that is not asked for must not spoil the sum by a NaN of its own (inf * 0).
    const double q = coefficients[h];
    if (q == 0) continue;
    const double* from = channel(static_cast<index_t>(h));
    in_parts(tensor.entries.size(), poll, [&](std::size_t first, std::size_t last) {
      for (std::size_t i = first; i < last; ++i) tensor.entries[i] += q * from[i];
    });
  }
  return tensor;
}

std::vector<double> MomentSums::lower_order(int m, const std::vector<double>& coefficients,
                                            const Poll& poll) const {
  PackedLayout layout = shape.layout();
  Numbers entries = combine(coefficients, poll).entries;
  while (layout.order > std::max(m, 2)) {
    entries = lower(layout, entries.data(), poll);
    --layout.order;
  }
  if (m >= 2) {
    SymmetricTensor tensor(layout.dim, m);
    tensor.entries = std::move(entries);
    return tensor.to_dense(poll);
  }
  entries = lower(layout, entries.data(), poll);
  if (m == 0) entries.erase(entries.begin(), entries.end() - 1);
  return entries;
}

void MomentSums::check_finite(const Poll& poll) const {
  // x - x is 0, or NaN where x is not finite; eight sums, for the compiler to put side by side.
  double bad[8] = {};
  in_parts(sums.size(), poll, [&](std::size_t i, std::size_t last) {
    for (; i + 8 <= last; i += 8) {
      for (std::size_t j = 0; j < 8; ++j) bad[j] += sums[i + j] - sums[i + j];
    }
    for (; i < last; ++i) bad[0] += sums[i] - sums[i];
  });
  if (std::all_of(bad, bad + 8, [](double b) { return b == 0; })) return;
  const auto largest = std::max_element(magnitude.begin(), magnitude.end());
  if (!(std::log2(weight) <= shape.order * std::log2(*largest))) {
    throw ColumnError(ColumnError::Kind::overflow, shape.dim(), -1,
                      "its products with X and y go beyond the range of float64; rescale it");
  }
  throw ColumnError(ColumnError::Kind::overflow, largest - magnitude.begin(), -1,
                    "its products up to order " + std::to_string(shape.order) +
                        " go beyond the range of float64; rescale it");
}

}  // namespace moefast
