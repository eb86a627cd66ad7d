#include "moefast/power_iteration.hpp"

#include <cmath>
#include <numeric>
#include <stdexcept>

namespace moefast {
namespace {

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  return std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
}

// Scales v to unit length; false when it is zero or not finite.
bool normalise(std::vector<double>& v) {
  const double norm = std::sqrt(dot(v, v));
  if (!(norm > 0) || !std::isfinite(norm)) return false;
  for (double& x : v) x /= norm;
  return true;
}

// T minus the pairs already found; only the contraction changes, the tensor itself is never copied.
void contract_deflated(const TensorOperator& tensor, const std::vector<EigenPair>& found,
                       const std::vector<double>& u, std::vector<double>& out) {
  tensor.contract(u.data(), out.data());
  for (const EigenPair& pair : found) {
    if (pair.status == Status::degenerate) continue;
    const double along = dot(pair.vector, u);
    for (std::size_t i = 0; i < out.size(); ++i) out[i] -= pair.value * along * along * pair.vector[i];
  }
}

EigenPair iterate(const TensorOperator& tensor, const std::vector<EigenPair>& found, std::vector<double> u,
                  const PowerSettings& settings, const Poll& poll) {
  EigenPair pair;
  std::vector<double> image(u.size());
  if (!normalise(u)) return pair;
  pair.status = Status::iteration_limit;
  while (pair.n_iter < settings.max_iter) {
    if (poll) poll();
    contract_deflated(tensor, found, u, image);
    ++pair.n_iter;
    if (!normalise(image)) return EigenPair{};
    double change = 0;
    for (std::size_t i = 0; i < u.size(); ++i) change += (image[i] - u[i]) * (image[i] - u[i]);
    u.swap(image);
    if (std::sqrt(change) <= settings.tolerance) {
      pair.status = Status::converged;
      break;
    }
  }
  contract_deflated(tensor, found, u, image);
  pair.value = dot(image, u);
  for (std::size_t i = 0; i < u.size(); ++i) image[i] -= pair.value * u[i];
  pair.residual = std::sqrt(dot(image, image));
  pair.vector = std::move(u);
  return pair;
}

}  // namespace

void DenseTensorOperator::contract(const double* u, double* out) const {
  const double* entry = entries_;
  for (index_t i = 0; i < dim_; ++i) {
    double sum = 0;
    for (index_t j = 0; j < dim_; ++j) {
      double inner = 0;
      for (index_t l = 0; l < dim_; ++l) inner += *entry++ * u[l];
      sum += u[j] * inner;
    }
    out[i] = sum;
  }
}

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
  std::vector<EigenPair> found;
  for (index_t r = 0; r < settings.rank; ++r) {
    EigenPair best;
    best.vector.assign(static_cast<std::size_t>(tensor.dim()), 0.0);
    for (index_t s = 0; s < n_starts; ++s) {
      const double* start = starts + s * tensor.dim();
      EigenPair pair = iterate(tensor, found, {start, start + tensor.dim()}, settings, poll);
      if (pair.status != Status::degenerate &&
          (best.status == Status::degenerate || pair.value > best.value)) {
        best = std::move(pair);
      }
    }
    found.push_back(std::move(best));
  }
  return found;
}

}  // namespace moefast
