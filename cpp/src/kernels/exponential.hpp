// exp and log of a vector of doubles, over the whole range: 0, infinities, denormals and NaN included.
//
// exp: x = n log 2 + r, |r| <= log(2) / 2, and exp(r) = 1 + r + r^2 g(r), g a polynomial. 2^n is applied in
// two factors, so results may be denormal. Error below 1.5 units in the last place with fused multiply-adds.
// log: x = 2^e m, m in [sqrt(1/2), sqrt(2)), and the series of log((1 + s) / (1 - s)), s = (m - 1) / (m + 1),
// with the coefficients of fdlibm's e_log.c (Sun Microsystems 1993, freely distributable). Below 1.5 units.
#pragma once

#include <math.h>
#include <string.h>

#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

template <class V>
inline typename V::bits bits_of(typename V::type value) {
  typename V::bits bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}
template <class V>
inline typename V::type value_of(typename V::bits bits) {
  typename V::type value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

// 1.5 * 2^52: adding it rounds to an integer, which then stands in the lowest bits.
constexpr double kRounder = 6755399441055744.0;
// log 2 in two parts; the first has 32 zero bits at its end, so that products with exponents are exact.
constexpr double kLog2High = 6.93147180369123816490e-01, kLog2Low = 1.90821492927058770002e-10;

// 2^n for integers |n| <= 1000, given as n + kRounder.
template <class V>
inline typename V::type power_of_two(typename V::type rounded) {
  return value_of<V>((bits_of<V>(rounded) + 1023) << 52);
}

// exp(x) / 2^n, n being what x / log 2 rounds to.
template <class V>
inline typename V::type scaled_exponential(typename V::type x, typename V::type n) {
  using T = typename V::type;
  const T r = (x - n * kLog2High) - n * kLog2Low;
  T g = r * 2.5100377619606372e-08 + 2.7620078203806394e-07;
  g = g * r + 2.7557268476553695e-06;
  g = g * r + 2.4801521317484083e-05;
  g = g * r + 1.9841269863042963e-04;
  g = g * r + 1.3888888917199863e-03;
  g = g * r + 8.3333333333300630e-03;
  g = g * r + 4.1666666666624160e-02;
  g = g * r + 1.6666666666666669e-01;
  g = g * r + 0.5;
  return (g * (r * r) + r) + 1.0;
}

template <class V>
inline typename V::type exponential(typename V::type x) {
  using T = typename V::type;
  const T lowest = T{} - 746.0, highest = T{} + 710.0;  // beyond them the result is 0 or infinite
  x = x < lowest ? lowest : x;                          // NaN stays
  x = x > highest ? highest : x;
  const T n = (x * 1.4426950408889634 + kRounder) - kRounder;
  const T value = scaled_exponential<V>(x, n);
  const T half = n * 0.5 + kRounder;
  return value * power_of_two<V>(half) * power_of_two<V>((n - (half - kRounder)) + kRounder);
}

// exp(x) for x not above 0, NaN for NaN; 0 where it would be below 1e-304: processors take several times as
// long over results that are denormal or underflow, of which softmaxes are full.
template <class V>
inline typename V::type exponential_share(typename V::type x) {
  using T = typename V::type;
  const T lowest = T{} - 700.0;
  const auto nothing = x < lowest;
  x = nothing ? lowest : x;
  const T rounded = x * 1.4426950408889634 + kRounder;
  const T value = scaled_exponential<V>(x, rounded - kRounder) * power_of_two<V>(rounded);
  return nothing ? T{} : value;
}

template <class V>
inline typename V::type logarithm(typename V::type x) {
  using T = typename V::type;
  using Bits = typename V::bits;
  constexpr std::uint64_t root_half = 0x3fe6a09e00000000;  // sqrt(1/2), its upper half
  const T zero = {}, infinite = zero + HUGE_VAL;
  const auto denormal = x < zero + 2.2250738585072014e-308;
  const T lifted = denormal ? x * 18014398509481984.0 : x;  // 2^54
  const Bits moved = bits_of<V>(lifted) + (0x3ff0000000000000 - root_half);
  // A number below 2^52 becomes a double by putting it behind the exponent of 2^52.
  const T biased = value_of<V>((moved >> 52) | 0x4330000000000000) - 4503599627370496.0;
  const T e = biased - (denormal ? zero + (1023.0 + 54.0) : zero + 1023.0);
  const T f = value_of<V>((moved & 0x000fffffffffffff) + root_half) - 1.0;
  const T s = f / (f + 2.0);
  const T z = s * s, w = z * z;
  const T odd =
      w * (w * (w * 1.531383769920937332e-01 + 2.222219843214978396e-01) + 3.999999999940941908e-01);
  const T even =
      z * (w * (w * (w * 1.479819860511658591e-01 + 1.818357216161805012e-01) + 2.857142874366239149e-01) +
           6.666666666666735130e-01);
  const T half = 0.5 * f * f;
  const T value = s * (half + (odd + even)) + e * kLog2Low - half + f + e * kLog2High;
  const T outside = x < zero ? zero + NAN : x;  // what is not positive and finite: NaN, infinity, or 0
  const T special = x == zero ? -infinite : outside;
  return x > zero ? (x < infinite ? value : special) : special;
}

// out[i] = exp(x[i]) or log(x[i]); for tests and for whatever is left of a vector.
template <class V>
index_t map_exponential(index_t i, index_t n, const double* x, double* out) {
  for (; i + V::lanes <= n; i += V::lanes) at<V>(out + i) = exponential<V>(load<V>(x + i));
  return i;
}
template <class V>
index_t map_logarithm(index_t i, index_t n, const double* x, double* out) {
  for (; i + V::lanes <= n; i += V::lanes) at<V>(out + i) = logarithm<V>(load<V>(x + i));
  return i;
}

void exponentials(index_t n, const double* x, double* out) {
  map_exponential<Vector<double, 1>>(map_exponential<Vector<double, kLanes<double>>>(0, n, x, out), n, x,
                                     out);
}
void logarithms(index_t n, const double* x, double* out) {
  map_logarithm<Vector<double, 1>>(map_logarithm<Vector<double, kLanes<double>>>(0, n, x, out), n, x, out);
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
