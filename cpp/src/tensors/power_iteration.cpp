// u <- T(I, u, .., u) / || . || from all starts in lockstep: U is starts x dim, one contraction a round;
// deflated by sum_i value_i (v_i . u)^(order - 1) v_i.
#include "moefast/power_iteration.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <stdexcept>
#include <string>

#include "tensors/scaling.hpp"

namespace moefast {
namespace {

double dot(const double* a, const double* b, index_t n) { return std::inner_product(a, a + n, b, 0.0); }

// The length of v, whatever its scale.
double norm(const double* v, index_t n) {
  const int exponent = exponent_of_largest(v, n);
  const PowerOfTwo scaled(-exponent);
  double sum = 0;
  for (index_t i = 0; i < n; ++i) sum += scaled(v[i]) * scaled(v[i]);
  return std::ldexp(std::sqrt(sum), exponent);
}

constexpr const char* kOverflow = "a contraction of the tensor goes beyond the range of float64";

// What is left of a tensor once all its pairs are taken off is rounding: below this share of the largest
// value found an image counts as zero.
constexpr double kRounding = 8 * std::numeric_limits<double>::epsilon();

// Scales v to unit length; false when it is no longer than `zero`. First by a power of two: the square of a
// length may be out of range.
bool normalise(double* v, index_t n, double zero) {
  if (norm(v, n) <= zero) return false;
  const PowerOfTwo scaled(-exponent_of_largest(v, n));
  for (index_t i = 0; i < n; ++i) v[i] = scaled(v[i]);
  const double length = std::sqrt(dot(v, v, n));
  if (!std::isfinite(length)) throw std::overflow_error(kOverflow);
  for (index_t i = 0; i < n; ++i) v[i] /= length;
  return true;
}

// T minus the pairs already found; only the contraction changes, the tensor itself is never copied.
void contract_deflated(const TensorOperator& tensor, const std::vector<EigenPair>& found, const double* U,
                       index_t n, double* out, const Poll& poll) {
  const index_t dim = tensor.dim();
  tensor.contract(U, n, out, poll);
  for (const EigenPair& pair : found) {
    if (pair.status == Status::degenerate) continue;
    for (index_t r = 0; r < n; ++r) {
      const double along = dot(pair.vector.data(), U + r * dim, dim);
      double factor = pair.value;
      for (int k = 1; k < tensor.order(); ++k) factor *= along;
      for (index_t i = 0; i < dim; ++i) out[r * dim + i] -= factor * pair.vector[i];
    }
  }
}

// Iterates all restarts in step. Those that settled, or came to zero, leave the batch; the rows of the batch
// are moved together, `restart` says whose they are.
std::vector<EigenPair> iterate_all(const TensorOperator& tensor, const std::vector<EigenPair>& found,
                                   const double* starts, index_t n_starts, const PowerSettings& settings,
                                   const Poll& poll) {
  const index_t dim = tensor.dim();
  const bool even = tensor.order() % 2 == 0;
  double zero = 0;
  for (const EigenPair& pair : found) zero = std::max(zero, kRounding * std::abs(pair.value));
  std::vector<EigenPair> pairs(static_cast<std::size_t>(n_starts));
  std::vector<double> U(starts, starts + n_starts * dim), image(U.size());
  std::vector<index_t> restart(static_cast<std::size_t>(n_starts));
  std::iota(restart.begin(), restart.end(), index_t{0});

  // Keeps the rows of U for which keep(row) holds.
  const auto filter = [&](const auto& keep) {
    index_t kept = 0;
    for (index_t r = 0; r < static_cast<index_t>(restart.size()); ++r) {
      if (!keep(r)) continue;
      restart[kept] = restart[r];
      if (kept != r) std::copy_n(&U[r * dim], dim, &U[kept * dim]);
      ++kept;
    }
    restart.resize(static_cast<std::size_t>(kept));
  };

  filter([&](index_t r) { return normalise(&U[r * dim], dim, 0); });
  for (index_t r : restart) pairs[r].status = Status::iteration_limit;
  for (int step = 0; step < settings.max_iter && !restart.empty(); ++step) {
    contract_deflated(tensor, found, U.data(), static_cast<index_t>(restart.size()), image.data(), poll);
    filter([&](index_t r) {
      EigenPair& pair = pairs[restart[r]];
      double *u = &U[r * dim], *next = &image[r * dim];
      ++pair.n_iter;
      if (!normalise(next, dim, zero)) {
        pair = EigenPair{};
        return false;
      }
      const double sign = even && dot(u, next, dim) < 0 ? -1 : 1;
      double change = 0;
      for (index_t i = 0; i < dim; ++i) {
        const double moved = sign * next[i];
        change += (moved - u[i]) * (moved - u[i]);
        u[i] = moved;
      }
      if (!(std::sqrt(change) <= settings.tolerance)) return true;
      pair.status = Status::converged;
      pair.vector.assign(u, u + dim);
      return false;
    });
  }
  for (index_t r = 0; r < static_cast<index_t>(restart.size()); ++r) {
    pairs[restart[r]].vector.assign(U.data() + r * dim, U.data() + (r + 1) * dim);
  }

  // Values and residuals of all that did not come to zero, in one batch.
  pairs.erase(std::remove_if(pairs.begin(), pairs.end(),
                             [](const EigenPair& pair) { return pair.status == Status::degenerate; }),
              pairs.end());
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    std::copy(pairs[i].vector.begin(), pairs[i].vector.end(), &U[static_cast<index_t>(i) * dim]);
  }
  contract_deflated(tensor, found, U.data(), static_cast<index_t>(pairs.size()), image.data(), poll);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    double* rest = &image[static_cast<index_t>(i) * dim];
    pairs[i].value = dot(rest, pairs[i].vector.data(), dim);
    for (index_t k = 0; k < dim; ++k) rest[k] -= pairs[i].value * pairs[i].vector[k];
    pairs[i].residual = norm(rest, dim);
    if (!std::isfinite(pairs[i].value)) throw std::overflow_error(kOverflow);
  }
  return pairs;
}

}  // namespace

void PowerSettings::check() const {
  if (rank < 1) throw std::invalid_argument("rank must be at least 1, got " + std::to_string(rank));
  if (max_iter < 1)
    throw std::invalid_argument("max_iter must be at least 1, got " + std::to_string(max_iter));
  if (!(tolerance >= 0))
    throw std::invalid_argument("tolerance must not be negative, got " + std::to_string(tolerance));
}

std::vector<EigenPair> power_iteration(const TensorOperator& tensor, const double* starts, index_t n_starts,
                                       const PowerSettings& settings, const Poll& poll) {
  settings.check();
  if (settings.rank > tensor.dim()) {
    throw std::invalid_argument("rank must be at most the dimension " + std::to_string(tensor.dim()) +
                                ", got " + std::to_string(settings.rank));
  }
  if (n_starts < 1) throw std::invalid_argument("starts must have at least one row");
  const auto merit = [&](const EigenPair& pair) {
    return tensor.order() % 2 == 0 ? std::abs(pair.value) : pair.value;
  };
  std::vector<EigenPair> found;
  for (index_t r = 0; r < settings.rank; ++r) {
    EigenPair best;
    best.vector.assign(static_cast<std::size_t>(tensor.dim()), 0.0);
    for (EigenPair& pair : iterate_all(tensor, found, starts, n_starts, settings, poll)) {
      if (best.status == Status::degenerate || merit(pair) > merit(best)) best = std::move(pair);
    }
    found.push_back(std::move(best));
  }
  return found;
}

}  // namespace moefast
