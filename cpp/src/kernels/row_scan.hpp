// Two looks at raw rows: their column sums and bounds, and the rows centred and scaled.
//
//     sums[j] += sum_s w[s] X[s][j],   bounds[j] = max(bounds[j], max_s |X[s][j]|)
//     U[s][j] = (X[s][j] - centre[j]) * scale[j],   or U[j][s], transposed
//
// X: samples x cols, row stride ldx (float or double); everything else is double but for U, which has the
// type of X. A NaN reaches the sums.
#pragma once

#include "kernels/interleave.hpp"
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

template <class Real, int Lanes>
void scan_columns(index_t j, index_t samples, index_t cols, const Real* X, index_t ldx, const double* w,
                  double* sums, double* bounds) {
  using V = Vector<double, Lanes>;
  using Type = typename V::type;
  constexpr index_t chains = 4;  // additions in flight
  for (; j + Lanes <= cols; j += Lanes) {
    Type sum[chains], bound[chains];
    for (index_t i = 0; i < chains; ++i) sum[i] = bound[i] = Type{};
    const Real* x = X + j;
    index_t s = 0;
    for (; s + chains <= samples; s += chains) {
      for (index_t i = 0; i < chains; ++i) {
        const Type value = widen<Real, Lanes>(x + (s + i) * ldx), size = value < 0 ? -value : value;
        sum[i] += value * w[s + i];
        bound[i] = bound[i] < size ? size : bound[i];
      }
    }
    for (; s < samples; ++s) {
      const Type value = widen<Real, Lanes>(x + s * ldx), size = value < 0 ? -value : value;
      sum[0] += value * w[s];
      bound[0] = bound[0] < size ? size : bound[0];
    }
    at<V>(sums + j) += (sum[0] + sum[1]) + (sum[2] + sum[3]);
    for (index_t i = 0; i < chains; ++i) {
      const Type so_far = load<V>(bounds + j);
      at<V>(bounds + j) = so_far < bound[i] ? bound[i] : so_far;
    }
  }
  if constexpr (Lanes > 1) scan_columns<Real, Lanes / 2>(j, samples, cols, X, ldx, w, sums, bounds);
}

template <class Real>
void scan_rows(index_t samples, index_t cols, const Real* X, index_t ldx, const double* w, double* sums,
               double* bounds) {
  scan_columns<Real, kLanes<double>>(0, samples, cols, X, ldx, w, sums, bounds);
}

template <class Real, int Lanes>
void centre_columns(index_t j, index_t samples, index_t cols, const Real* X, index_t ldx,
                    const double* centre, const double* scale, Real* U, index_t ldu) {
  using V = Vector<double, Lanes>;
  for (; j + Lanes <= cols; j += Lanes) {
    const typename V::type middle = load<V>(centre + j), factor = load<V>(scale + j);
    for (index_t s = 0; s < samples; ++s) {
      at<Vector<Real, Lanes>>(U + s * ldu + j) =
          narrow<Real, Lanes>((widen<Real, Lanes>(X + s * ldx + j) - middle) * factor);
    }
  }
  if constexpr (Lanes > 1) {
    centre_columns<Real, Lanes / 2>(j, samples, cols, X, ldx, centre, scale, U, ldu);
  }
}

template <class Real>
void centre_rows(index_t samples, index_t cols, const Real* X, index_t ldx, const double* centre,
                 const double* scale, Real* U, index_t ldu) {
  centre_columns<Real, kLanes<double>>(0, samples, cols, X, ldx, centre, scale, U, ldu);
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
