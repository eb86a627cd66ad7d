// Vector types of the kernels, one per instruction set and lane count.
//
// Nothing but raw pointers and plain loops may stand in a kernel: an inline function or template of a
// library, compiled into the AVX-512 unit, could be the copy that the linker keeps for all (a crash on older
// CPUs). Everything is in an unnamed namespace, and CI looks at the symbols.
//
// Before inclusion define
//   MOEFAST_KERNEL_NAMESPACE  the namespace
//   MOEFAST_BYTES             bytes of a vector register: 64, 32, 16, or 0 where the compiler has no vectors
//   MOEFAST_TILE_ROWS         rows of the register tile
//   MOEFAST_TILE_VECTORS      vectors in a row of the tile: rows * vectors accumulators, plus one row of
//                             vectors and one broadcast, have to fit the register file
//   MOEFAST_DOT_ROWS, MOEFAST_DOT_COLUMNS  the tile of the dot form, likewise
#pragma once

#include "kernels/kernels.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

using index_t = std::int64_t;

#if MOEFAST_BYTES > 0
// In memory, panels lie at any multiple of a number and are arrays of Real. GCC is told so by attributes of
// the type; Clang loses them where templates pass the type on, and uses aligned moves: it gets InPanel,
// below.
#ifdef __clang__
#define MOEFAST_IN_MEMORY(Number)
#else
#define MOEFAST_IN_MEMORY(Number) , aligned(sizeof(Number)), may_alias
#endif
template <class Real, int Lanes>
struct Vector {
  typedef Real type __attribute__((vector_size(sizeof(Real) * Lanes) MOEFAST_IN_MEMORY(Real)));
  // As many integers of 64 bits: the bits of doubles.
  typedef std::uint64_t bits
      __attribute__((vector_size(sizeof(std::uint64_t) * Lanes) MOEFAST_IN_MEMORY(std::uint64_t)));
  static constexpr index_t lanes = Lanes;
};
#else
template <class Real, int Lanes>
struct Vector;
#endif
template <class Real>
struct Vector<Real, 1> {
  typedef Real type;
  typedef std::uint64_t bits;
  static constexpr index_t lanes = 1;
};

// Numbers of this type in a register.
template <class Real>
constexpr int kLanes = MOEFAST_BYTES > 0 ? MOEFAST_BYTES / static_cast<int>(sizeof(Real)) : 1;

// load<V>(p) reads a vector; at<V>(p) = v and at<V>(p) += v write one.
#ifdef __clang__
template <class V>
struct __attribute__((packed, may_alias)) InPanel {
  typename V::type value;
};
template <class V>
struct Place {
  InPanel<V>* panel;
  void operator=(const typename V::type& v) const { panel->value = v; }
  void operator+=(const typename V::type& v) const { panel->value += v; }
};
template <class V>
inline typename V::type load(const void* p) {
  return static_cast<const InPanel<V>*>(p)->value;
}
template <class V>
inline Place<V> at(void* p) {
  return {static_cast<InPanel<V>*>(p)};
}
#else  // packed structs are right for GCC too, but cost the E-step a tenth of its time
template <class V>
inline const typename V::type& load(const void* p) {
  return *reinterpret_cast<const typename V::type*>(p);
}
template <class V>
inline typename V::type& at(void* p) {
  return *reinterpret_cast<typename V::type*>(p);
}
#endif

inline void prefetch(const void* p) {
#ifdef __GNUC__
  __builtin_prefetch(p);
#else
  static_cast<void>(p);
#endif
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
