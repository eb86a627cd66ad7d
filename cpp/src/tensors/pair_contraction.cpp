// F(u, v) = T(u, u, v, v) and its gradients, order 4, for many pairs (u, v) at once.
//
// An entry [a,b,c,e] weighted by multiplicity adds a sixth of
//
//     u_a u_b  v_c v_e  +  v_a v_b  u_c u_e  +  (u_a v_b + v_a u_b)(u_c v_e + v_c u_e)
//
// (24 arrangements; each of the 6 ways to give two of the four places to u comes 4 times). So every pair
// takes three lanes of the rectangle kernel, a row vector and a column vector each:
//
//     lane   p_a                        q_(c,e)
//     0      u_a u_b                    v_c v_e
//     1      v_a v_b                    u_c u_e
//     2      u_a v_b + v_a u_b          u_c v_e + v_c u_e
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <string>

#include "kernels/kernels.hpp"
#include "moefast/contraction.hpp"
#include "tensors/lanes.hpp"
#include "tensors/scaling.hpp"

namespace moefast {
namespace {

// Lanes [k n, (k + 1) n) hold lane k of n pairs.
struct Lanes {
  index_t dim, n, width;

  // x: dim x width; from: dim x n
  void set(int k, const double* from, double* x) const {
    for (index_t i = 0; i < dim; ++i) std::copy_n(from + i * n, n, x + i * width + k * n);
  }
  void add(int k, const double* x, double* to) const {
    for (index_t i = 0; i < dim; ++i) {
      for (index_t r = 0; r < n; ++r) to[i * n + r] += x[i * width + k * n + r];
    }
  }
};

void set_columns(const Lanes& at, const double* u, const double* v, double* q) {
  const index_t n = at.n;
  for (index_t c = 0; c < at.dim; ++c) {
    for (index_t e = c; e < at.dim; ++e, q += at.width) {
      const double *uc = u + c * n, *ue = u + e * n, *vc = v + c * n, *ve = v + e * n;
      for (index_t r = 0; r < n; ++r) {
        q[r] = vc[r] * ve[r];
        q[n + r] = uc[r] * ue[r];
        q[2 * n + r] = uc[r] * ve[r] + vc[r] * ue[r];
      }
    }
  }
}

// The chain rule of set_columns.
void add_column_gradients(const Lanes& at, const double* u, const double* v, const double* z, double* by_u,
                          double* by_v) {
  const index_t n = at.n;
  for (index_t c = 0; c < at.dim; ++c) {
    for (index_t e = c; e < at.dim; ++e, z += at.width) {
      const double *uc = u + c * n, *ue = u + e * n, *vc = v + c * n, *ve = v + e * n;
      double *guc = by_u + c * n, *gue = by_u + e * n, *gvc = by_v + c * n, *gve = by_v + e * n;
      for (index_t r = 0; r < n; ++r) {
        const double both_v = z[r], both_u = z[n + r], mixed = z[2 * n + r];
        guc[r] += both_u * ue[r] + mixed * ve[r];
        gue[r] += both_u * uc[r] + mixed * vc[r];
        gvc[r] += both_v * ve[r] + mixed * ue[r];
        gve[r] += both_v * vc[r] + mixed * uc[r];
      }
    }
  }
}

}  // namespace

void TensorContraction::pair(const double* U, const double* V, index_t n_pairs, double* values, double* by_u,
                             double* by_v, const Poll& poll) const {
  if (layout_.order != 4) {
    throw std::invalid_argument("the tensor must be of order 4, got order " + std::to_string(layout_.order));
  }
  const index_t dim = layout_.dim, tile = kernels::active().rectangle_lanes;
  const index_t widest = rounded_up(3 * tile, kernels::active().lanes_f64);
  const auto zeros = [](index_t n) { return std::vector<double>(static_cast<std::size_t>(n)); };
  std::vector<double> u = zeros(dim * tile), v = u, gu = u, gv = u;
  std::vector<double> A = zeros(dim * widest), s = A, B = A, t = A, by_A = A, by_s = A, by_B = A, by_t = A;
  std::vector<double> q = zeros(layout_.cols(0) * widest), z = q;
  std::vector<int> u_exponent(static_cast<std::size_t>(tile)), v_exponent = u_exponent;
  for (index_t first = 0, n = 0; first < n_pairs; first += n) {
    if (poll) poll();
    n = std::min(tile, n_pairs - first);
    const Lanes at{dim, n, rounded_up(3 * n, kernels::active().lanes_f64)};
    to_lanes(U + first * dim, n, dim, n, u.data(), u_exponent.data());
    to_lanes(V + first * dim, n, dim, n, v.data(), v_exponent.data());
    for (std::vector<double>* x : {&A, &s, &B, &t, &by_A, &by_s, &by_B, &by_t, &q, &z, &gu, &gv}) {
      std::fill(x->begin(), x->end(), 0.0);
    }
    at.set(0, u.data(), A.data()), at.set(1, v.data(), A.data()), at.set(2, u.data(), A.data());
    at.set(0, u.data(), s.data()), at.set(1, v.data(), s.data()), at.set(2, v.data(), s.data());
    at.set(2, v.data(), B.data()), at.set(2, u.data(), t.data());
    set_columns(at, u.data(), v.data(), q.data());

    kernels::RectangleArgs args{};
    args.width = at.width;
    args.A = A.data(), args.s = s.data(), args.B = B.data(), args.t = t.data(), args.Q = q.data();
    args.by_A = by_A.data(), args.by_s = by_s.data(), args.by_B = by_B.data(), args.by_t = by_t.data();
    args.Z = z.data();
    all_rectangles(args);

    at.add(0, by_A.data(), gu.data()), at.add(1, by_A.data(), gv.data()), at.add(2, by_A.data(), gu.data());
    at.add(0, by_s.data(), gu.data()), at.add(1, by_s.data(), gv.data()), at.add(2, by_s.data(), gv.data());
    at.add(2, by_B.data(), gv.data()), at.add(2, by_t.data(), gu.data());
    add_column_gradients(at, u.data(), v.data(), z.data(), gu.data(), gv.data());

    for (index_t r = 0; r < n; ++r) {
      const int eu = u_exponent[r], ev = v_exponent[r];
      if (by_u) from_lane(gu.data(), r, dim, n, exponent_ + eu + 2 * ev, 6, by_u + (first + r) * dim);
      if (by_v) from_lane(gv.data(), r, dim, n, exponent_ + 2 * eu + ev, 6, by_v + (first + r) * dim);
      if (values) {  // F is quadratic in u: u' (gradient by u) = 2 F
        const double twice = lane_dot(u.data(), gu.data(), r, dim, n) / 6;
        values[first + r] = std::ldexp(twice / 2, exponent_ + 2 * eu + 2 * ev);
      }
    }
  }
}

}  // namespace moefast
