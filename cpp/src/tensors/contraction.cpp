// T(I, u, .., u) and T(u, .., u) for many vectors from one read of every rectangle M_b, (b + 1) x cols(b), of
// the weighted tensor: f(u) = sum_b u_b p' M_b q and its gradient over the order. U: n x dim, given by rows,
// is worked on as dim x width, lanes along the vectors.
#include "moefast/contraction.hpp"

#include <algorithm>
#include <cmath>

#include "kernels/kernels.hpp"
#include "tensors/lanes.hpp"
#include "tensors/scaling.hpp"

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

// Order 4: columns[(c, e)] = u_c u_e, c <= e.
void pair_products(index_t dim, index_t width, const double* u, double* columns) {
  for (index_t c = 0; c < dim; ++c) {
    const double* uc = u + c * width;
    for (index_t e = c; e < dim; ++e, columns += width) {
      const double* ue = u + e * width;
      for (index_t l = 0; l < width; ++l) columns[l] = uc[l] * ue[l];
    }
  }
}

// The chain rule of it: G_c += Z[(c, e)] u_e, G_e += Z[(c, e)] u_c.
void pair_products_gradient(index_t dim, index_t width, const double* u, const double* Z, double* G) {
  for (index_t c = 0; c < dim; ++c) {
    const double* uc = u + c * width;
    double* gc = G + c * width;
    for (index_t e = c; e < dim; ++e, Z += width) {
      const double* ue = u + e * width;
      double* ge = G + e * width;
      for (index_t l = 0; l < width; ++l) {
        gc[l] += Z[l] * ue[l];
        ge[l] += Z[l] * uc[l];
      }
    }
  }
}

}  // namespace

TensorContraction::TensorContraction(const SymmetricTensor& tensor, const Poll& poll)
    : layout_(tensor.layout),
      exponent_(exponent_of_largest(tensor.entries.data(), layout_.size())),
      weighted_(tensor.entries) {
  const index_t dim = layout_.dim;
  const PowerOfTwo scaled(-exponent_);
  double* entry = weighted_.data();
  for (index_t b = 0; b < dim; ++b) {
    if (poll) poll();
    for (index_t a = 0; a <= b; ++a) {
      // An order without the index c or e runs over a single value of it.
      for (index_t c = b; c < (layout_.order > 2 ? dim : b + 1); ++c) {
        for (index_t e = c; e < (layout_.order > 3 ? dim : c + 1); ++e, ++entry) {
          *entry = scaled(*entry) * multiplicity(layout_.order, a, b, c, e);
        }
      }
    }
  }
}

// Runs the kernel over all rectangles. Given are the arrays as if b were 0; A, B, by_A, by_B stay.
void TensorContraction::all_rectangles(const kernels::RectangleArgs& whole) const {
  const auto rectangle = kernels::active().rectangle;
  const index_t width = whole.width;
  for (index_t b = 0; b < layout_.dim; ++b) {
    kernels::RectangleArgs args = whole;
    args.rows = layout_.rows(b);
    args.cols = layout_.cols(b);
    args.M = &weighted_[static_cast<std::size_t>(layout_.offset(b))];
    args.Q += layout_.first_col(b) * width;
    args.Z += layout_.first_col(b) * width;
    args.s += b * width;
    args.by_s += b * width;
    if (args.B) {
      args.t += b * width;
      args.by_t += b * width;
    }
    rectangle(args);
  }
}

// G, the gradient of f(u) = sum_b u_b p' M_b q, gives both: T(I, u, .., u) = G / order, f(u) = u' G / order.
void TensorContraction::contract(const double* U, index_t n, double* vectors, double* values,
                                 const Poll& poll) const {
  const index_t dim = layout_.dim, lanes = kernels::active().lanes_f64,
                tile = kernels::active().rectangle_lanes;
  std::vector<double> u(static_cast<std::size_t>(dim * tile)), G(u.size()), own_q, own_z;
  if (layout_.order != 3) {  // where the columns are not the vectors themselves: 1, or their products
    own_q.assign(static_cast<std::size_t>(layout_.cols(0) * tile), 1.0);
    own_z.resize(own_q.size());
  }
  std::vector<int> exponent(static_cast<std::size_t>(tile));
  kernels::RectangleArgs args{};
  args.A = args.s = u.data();
  args.by_A = args.by_s = G.data();
  args.Q = layout_.order == 3 ? u.data() : own_q.data();
  args.Z = layout_.order == 3 ? G.data() : own_z.data();
  for (index_t first = 0, taken = 0; first < n; first += taken) {
    if (poll) poll();
    taken = std::min(tile, n - first);
    args.width = rounded_up(taken, lanes);
    if (taken <= std::max<index_t>(1, lanes / 4)) taken = args.width = 1;  // most lanes would be empty
    std::fill(u.begin(), u.end(), 0.0);
    std::fill(G.begin(), G.end(), 0.0);
    std::fill(own_z.begin(), own_z.end(), 0.0);
    to_lanes(U + first * dim, taken, dim, args.width, u.data(), exponent.data());
    if (layout_.order == 4) pair_products(dim, args.width, u.data(), own_q.data());
    all_rectangles(args);
    if (layout_.order == 4) pair_products_gradient(dim, args.width, u.data(), own_z.data(), G.data());
    for (index_t r = 0; r < taken; ++r) {
      const int scale = exponent_ + (layout_.order - 1) * exponent[r];
      if (vectors) {
        from_lane(G.data(), r, dim, args.width, scale, layout_.order, vectors + (first + r) * dim);
      }
      if (values) {
        const double value = lane_dot(u.data(), G.data(), r, dim, args.width) / layout_.order;
        values[first + r] = std::ldexp(value, scale + exponent[r]);
      }
    }
  }
}

void TensorContraction::apply(const double* U, index_t n, double* out, const Poll& poll) const {
  contract(U, n, out, nullptr, poll);
}

void TensorContraction::value(const double* U, index_t n, double* out, const Poll& poll) const {
  contract(U, n, nullptr, out, poll);
}

}  // namespace moefast
