// Two looks at raw rows: their column sums and bounds, and the rows centred and scaled.
//
//     sums[j] += sum_s w[s] X[s][j],   bounds[j] = max(bounds[j], max_s |X[s][j]|)
//     U[s][j] = (X[s][j] - centre[j]) * scale[j],   or U[j][s], transposed
//
// X: samples x cols, row stride ldx (float or double); everything else is double but for U, which has the
// type of X. A NaN reaches the sums.
#pragma once

#include "kernels/interleave.hpp"
#include "kernels/unroll.hpp"
#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

// `Lanes` doubles read from X.
template <class Real, int Lanes>
typename Vector<double, Lanes>::type widen(const Real* x) {
  if constexpr (sizeof(Real) == sizeof(double)) {
    return load<Vector<double, Lanes>>(x);
  } else if constexpr (Lanes == 1) {
    return *x;
  } else {
#if MOEFAST_BYTES > 0
    return __builtin_convertvector((load<Vector<Real, Lanes>>(x)), typename Vector<double, Lanes>::type);
#endif
  }
}

// `Lanes` doubles as they are written to U.
template <class Real, int Lanes>
typename Vector<Real, Lanes>::type narrow(typename Vector<double, Lanes>::type u) {
  if constexpr (sizeof(Real) == sizeof(double)) {
    return u;
  } else if constexpr (Lanes == 1) {
    return static_cast<Real>(u);
  } else {
#if MOEFAST_BYTES > 0
    return __builtin_convertvector(u, typename Vector<Real, Lanes>::type);
#endif
  }
}

// Vectors of columns scanned side by side: their sums, four chains each, and bounds are in registers, and
// rows are read some lines at a time. Column after column the two looks took 9 % of order 3 at d = 50, now 5
// %.
constexpr int kScanVectors = MOEFAST_BYTES == 64 ? 4 : 2;

// Columns j .. of as many whole strips as there are; returns where they end.
template <class Real, int Lanes, int Vectors>
index_t scan_strips(index_t j, index_t samples, index_t cols, const Real* X, index_t ldx, const double* w,
                    double* sums, double* bounds) {
  using V = Vector<double, Lanes>;
  using Type = typename V::type;
  constexpr int chains = 4;  // additions in flight
  for (; j + Vectors * Lanes <= cols; j += Vectors * Lanes) {
    Type sum[chains][Vectors], bound[Vectors];
    MOEFAST_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      MOEFAST_UNROLL
      for (int i = 0; i < chains; ++i) sum[i][v] = Type{};
      bound[v] = load<V>(bounds + j + v * Lanes);
    }
    const Real* x = X + j;
    const auto take = [&](int i, index_t s) MOEFAST_ALWAYS_INLINE {
      MOEFAST_UNROLL
      for (int v = 0; v < Vectors; ++v) {
        const Type value = widen<Real, Lanes>(x + s * ldx + v * Lanes), size = value < 0 ? -value : value;
        sum[i][v] += value * w[s];
        bound[v] = bound[v] < size ? size : bound[v];
      }
    };
    index_t s = 0;
    for (; s + chains <= samples; s += chains) {
      MOEFAST_UNROLL
      for (int i = 0; i < chains; ++i) take(i, s + i);
    }
    for (; s < samples; ++s) take(0, s);
    MOEFAST_UNROLL
    for (int v = 0; v < Vectors; ++v) {
      at<V>(sums + j + v * Lanes) += (sum[0][v] + sum[1][v]) + (sum[2][v] + sum[3][v]);
      at<V>(bounds + j + v * Lanes) = bound[v];
    }
  }
  return j;
}

// Narrower and narrower vectors for what is left.
template <class Real, int Lanes>
void scan_columns(index_t j, index_t samples, index_t cols, const Real* X, index_t ldx, const double* w,
                  double* sums, double* bounds) {
  j = scan_strips<Real, Lanes, 1>(j, samples, cols, X, ldx, w, sums, bounds);
  if constexpr (Lanes > 1) scan_columns<Real, Lanes / 2>(j, samples, cols, X, ldx, w, sums, bounds);
}

template <class Real>
void scan_rows(index_t samples, index_t cols, const Real* X, index_t ldx, const double* w, double* sums,
               double* bounds) {
  constexpr int lanes = kLanes<double>;
  const index_t j = scan_strips<Real, lanes, kScanVectors>(0, samples, cols, X, ldx, w, sums, bounds);
  scan_columns<Real, lanes>(j, samples, cols, X, ldx, w, sums, bounds);
}

template <class Real, int Lanes>
void centre_row(index_t j, index_t cols, const Real* x, const double* centre, const double* scale, Real* u) {
  using V = Vector<double, Lanes>;
  for (; j + Lanes <= cols; j += Lanes) {
    at<Vector<Real, Lanes>>(u + j) =
        narrow<Real, Lanes>((widen<Real, Lanes>(x + j) - load<V>(centre + j)) * load<V>(scale + j));
  }
  if constexpr (Lanes > 1) centre_row<Real, Lanes / 2>(j, cols, x, centre, scale, u);
}

template <class Real>
void centre_rows(index_t samples, index_t cols, const Real* X, index_t ldx, const double* centre,
                 const double* scale, Real* U, index_t ldu) {
  for (index_t s = 0; s < samples; ++s) {
    centre_row<Real, kLanes<double>>(0, cols, X + s * ldx, centre, scale, U + s * ldu);
  }
}

// Squares of Lanes x Lanes numbers; the sample edge and the column edge go one by one.
template <class Real>
void centre_rows_transposed(index_t samples, index_t cols, const Real* X, index_t ldx, const double* centre,
                            const double* scale, Real* U, index_t ldu) {
  constexpr int lanes = kLanes<double>;
  using W = Vector<double, lanes>;
  using N = Vector<Real, lanes>;
  index_t s = 0;
  for (; s + lanes <= samples; s += lanes) {
    index_t j = 0;
    for (; j + lanes <= cols; j += lanes) {
      typename N::type square[lanes];
      const typename W::type middle = load<W>(centre + j), factor = load<W>(scale + j);
      for (int i = 0; i < lanes; ++i) {
        square[i] = narrow<Real, lanes>((widen<Real, lanes>(X + (s + i) * ldx + j) - middle) * factor);
      }
      transpose<Real, lanes>(square);
      for (int i = 0; i < lanes; ++i) at<N>(U + (j + i) * ldu + s) = square[i];
    }
    for (; j < cols; ++j) {
      for (index_t i = s; i < s + lanes; ++i) {
        U[j * ldu + i] = static_cast<Real>((X[i * ldx + j] - centre[j]) * scale[j]);
      }
    }
  }
  for (; s < samples; ++s) {
    for (index_t j = 0; j < cols; ++j) {
      U[j * ldu + s] = static_cast<Real>((X[s * ldx + j] - centre[j]) * scale[j]);
    }
  }
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
