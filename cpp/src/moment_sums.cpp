#include "moefast/moment_sums.hpp"

#include <algorithm>
#include <cmath>

#include "moefast/symmetric_tensor.hpp"

namespace moefast {
namespace {

constexpr index_t kChannels = MomentSums::kChannels;

// Replaces u by u + shift e (e: the last coordinate, which is 1) in every channel of a packed tensor:
// T'[a,b,c] = sum over the subsets of {a, b, c} of prod(shift) times T with those indices set to last.
void shift_features(MomentSums& m, const std::vector<double>& shift) {
  const index_t dim = m.dim(), last = dim - 1;
  const PackedLayout layout = m.layout();
  // The lower orders are read while they are being written, so they are copied first.
  std::vector<double> second(static_cast<std::size_t>(dim * dim * kChannels));
  for (index_t a = 0; a < dim; ++a) {
    for (index_t b = a; b < dim; ++b) {
      const double* entry = &m.sums[layout.at_sorted(a, b, last) * kChannels];
      std::copy(entry, entry + kChannels, &second[(a * dim + b) * kChannels]);
      std::copy(entry, entry + kChannels, &second[(b * dim + a) * kChannels]);
    }
  }
  const auto T2 = [&](index_t a, index_t b) { return &second[(a * dim + b) * kChannels]; };
  double* entry = m.sums.data();
  for (index_t b = 0; b < dim; ++b) {
    for (index_t a = 0; a <= b; ++a) {
      for (index_t c = b; c < dim; ++c, entry += kChannels) {
        const double sa = a < last ? shift[a] : 0, sb = b < last ? shift[b] : 0, sc = c < last ? shift[c] : 0;
        const double *ab = T2(a, b), *ac = T2(a, c), *bc = T2(b, c);
        const double *first_a = T2(a, last), *first_b = T2(b, last), *first_c = T2(c, last);
        const double* zeroth = T2(last, last);
        for (index_t h = 0; h < kChannels; ++h) {
          entry[h] += sa * bc[h] + sb * ac[h] + sc * ab[h] + sa * sb * first_c[h] + sa * sc * first_b[h] +
                      sb * sc * first_a[h] + sa * sb * sc * zeroth[h];
        }
      }
    }
  }
}

// (y - v)^h with y - v replaced by (y - v) + shift, in every entry, highest channel first.
void shift_response(MomentSums& m, double shift) {
  if (shift == 0) return;
  for (std::size_t i = 0; i < m.sums.size(); i += kChannels) {
    double* h = &m.sums[i];
    h[3] += shift * (3 * h[2] + shift * (3 * h[1] + shift * h[0]));
    h[2] += shift * (2 * h[1] + shift * h[0]);
    h[1] += shift * h[0];
  }
}

}  // namespace

MomentSums::MomentSums(index_t n_features)
    : n_features(n_features),
      centre(static_cast<std::size_t>(n_features + 1)),
      magnitude(static_cast<std::size_t>(n_features + 1)),
      sums(static_cast<std::size_t>(PackedLayout{n_features + 1, kOrder}.size() * kChannels)) {}

double MomentSums::weight() const { return sums[sums.size() - kChannels]; }

void MomentSums::recentre(const std::vector<double>& new_centre) {
  std::vector<double> shift(centre.size());
  for (std::size_t j = 0; j < centre.size(); ++j) shift[j] = centre[j] - new_centre[j];
  const double response_shift = shift.back();
  shift.pop_back();
  if (std::any_of(shift.begin(), shift.end(), [](double s) { return s != 0; })) shift_features(*this, shift);
  shift_response(*this, response_shift);
  centre = new_centre;
}

void MomentSums::recentre_to_mean() {
  const index_t last = n_features;
  const PackedLayout l = layout();
  std::vector<double> mean = centre;
  for (index_t j = 0; j < n_features; ++j) mean[j] += sums[l.at_sorted(j, last, last) * kChannels] / weight();
  mean[last] += sums[l.at_sorted(last, last, last) * kChannels + 1] / weight();
  recentre(mean);
}

void MomentSums::merge(const MomentSums& other) {
  if (other.count == 0) return;
  if (count == 0) {
    *this = other;
    return;
  }
  // The other side is the smaller one as a rule (one super-block): move it here, add, then follow the mean.
  MomentSums moved = other;
  const double share = other.weight() / (weight() + other.weight());
  std::vector<double> common(centre.size());
  for (std::size_t j = 0; j < centre.size(); ++j) {
    common[j] = centre[j] + share * (other.centre[j] - centre[j]);
    magnitude[j] = std::max(magnitude[j], other.magnitude[j]);
  }
  moved.recentre(common);
  recentre(common);
  for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += moved.sums[i];
  count += other.count;
}

SymmetricTensor MomentSums::combine(const std::array<double, kChannels>& polynomial) const {
  SymmetricTensor tensor(dim(), kOrder);
  for (std::size_t i = 0; i < tensor.entries.size(); ++i) {
    double value = 0;
    for (index_t h = 0; h < kChannels; ++h) {
      // A channel that is not asked for must not spoil the sum by a NaN of its own (inf * 0).
      if (polynomial[h] != 0) value += polynomial[h] * sums[i * kChannels + h];
    }
    tensor.entries[i] = value;
  }
  return tensor;
}

void MomentSums::check_finite() const {
  if (std::all_of(sums.begin(), sums.end(), [](double s) { return std::isfinite(s); })) return;
  const auto largest = std::max_element(magnitude.begin(), magnitude.end());
  throw ColumnError(ColumnError::Kind::overflow, largest - magnitude.begin(), -1,
                    "its products up to order 3 go beyond the range of float64; rescale it");
}

}  // namespace moefast
