// What the tests of the core share: checks that are counted, and numbers that are the same on every platform.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <initializer_list>
#include <string>
#include <utility>
#include <vector>

#include "moefast/types.hpp"

namespace moefast::tests {

struct Tally {
  std::int64_t checks = 0, failures = 0;
};
inline Tally tally;

inline std::size_t size(index_t n) { return static_cast<std::size_t>(n); }

inline void failed(const std::string& what, const char* file, int line) {
  if (++tally.failures <= 20) std::printf("%s:%d: failed: %s\n", file, line, what.c_str());
}
// `where` is a string that tells cases apart; it is made only when the check fails.
#define CHECK_AT(condition, where)                                                               \
  do {                                                                                           \
    ++::moefast::tests::tally.checks;                                                            \
    if (!(condition)) ::moefast::tests::failed(#condition " at " + (where), __FILE__, __LINE__); \
  } while (false)
#define CHECK(condition) CHECK_AT(condition, std::string())

template <class Exception, class Call>
bool throws(const Call& call) {
  try {
    call();
  } catch (const Exception&) {
    return true;
  }
  return false;
}

// "name=value" pairs for messages.
inline std::string text(std::initializer_list<std::pair<const char*, index_t>> values) {
  std::string out;
  for (const auto& [name, value] : values) out += std::string(name) + "=" + std::to_string(value) + " ";
  return out;
}

// splitmix64: the distributions of <random> differ between libraries.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t bits() {
    std::uint64_t z = (state_ += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
  }
  index_t below(index_t n) { return static_cast<index_t>(bits() % static_cast<std::uint64_t>(n)); }
  double uniform() { return static_cast<double>(bits() >> 11) * 0x1p-53; }
  // Nearly normal, of variance 1.
  double normal() {
    double sum = -6;
    for (int i = 0; i < 12; ++i) sum += uniform();
    return sum;
  }

  // -most .. most: products and sums of such numbers are exact, in whatever order.
  template <class Real = double>
  std::vector<Real> integers(index_t n, index_t most = 4) {
    std::vector<Real> out(size(n));
    for (Real& x : out) x = static_cast<Real>(below(2 * most + 1) - most);
    return out;
  }
  template <class Real = double>
  std::vector<Real> normals(index_t n) {
    std::vector<Real> out(size(n));
    for (Real& x : out) x = static_cast<Real>(normal());
    return out;
  }

 private:
  std::uint64_t state_;
};

// |found - wanted| <= tolerance * scale; a NaN fails.
inline bool close(double found, double wanted, double tolerance, double scale) {
  return std::abs(found - wanted) <= tolerance * scale;
}
inline bool close(double found, double wanted, double tolerance) {
  return close(found, wanted, tolerance, std::max(1.0, std::abs(wanted)));
}

void test_em();
void test_families();
void test_gate_metric();
void test_groups();
void test_information();
void test_kernel_products();
void test_kernels();
void test_moments();
void test_solve();
void test_tensors();
void test_threads();

}  // namespace moefast::tests
