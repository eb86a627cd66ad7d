// Accumulated moments of orders 2 to 4 against plain sums; merges; bits that must not change; bad values.
#include <array>

#include "check.hpp"
#include "moefast/moments.hpp"

namespace moefast::tests {
namespace {

template <class Scalar>
struct Samples {
  index_t n, d;
  std::vector<Scalar> x, y;  // x: n x d
  std::vector<double> w;

  Samples(index_t n, index_t d, std::uint64_t seed) : n(n), d(d) {
    Random random(seed);
    x = random.normals<Scalar>(n * d);
    y = random.normals<Scalar>(n);
    w = random.normals(n);
    for (double& v : w) v = 0.1 + std::abs(v);
    for (index_t i = 0; i < n; ++i) {  // means that are not 0, and a response that depends on x
      x[size(i * d)] += static_cast<Scalar>(5);
      y[size(i)] += x[size(i * d)] * x[size(i * d + d - 1)];
    }
  }

  SampleView<Scalar> view(bool weighted) const {
    SampleView<Scalar> v;
    v.x = reinterpret_cast<const char*>(x.data());
    v.y = reinterpret_cast<const char*>(y.data());
    v.w = weighted ? reinterpret_cast<const char*>(w.data()) : nullptr;
    v.n = n;
    v.x_row_stride = d * static_cast<index_t>(sizeof(Scalar));
    v.x_col_stride = v.y_stride = sizeof(Scalar);
    v.w_stride = sizeof(double);
    return v;
  }
};

template <class Scalar>
SampleView<Scalar> rows(SampleView<Scalar> view, index_t first, index_t last) {
  view.x += first * view.x_row_stride;
  view.y += first * view.y_stride;
  if (view.w) view.w += first * view.w_stride;
  view.n = last - first;
  return view;
}

bool same_bits(const MomentSums& a, const MomentSums& b) {
  return a.count == b.count && a.weight == b.weight && a.centre == b.centre && a.magnitude == b.magnitude &&
         a.sums == b.sums;
}

// f_h(y), as moment_sums.hpp has it
double channel(const MomentSums& m, index_t h, double y) {
  if (m.shape.polynomial.empty()) return std::pow(y - m.centre.back(), static_cast<double>(h));
  double value = 0;
  for (std::size_t j = m.shape.polynomial.size(); j-- > 0;) {
    value = value * (y - m.shape.about) + m.shape.polynomial[j];
  }
  return value;
}

// Entries drawn at random, all channels, within `tolerance` of the sum of sizes.
template <class Scalar>
void compare(const MomentSums& found, const Samples<Scalar>& data, bool weighted, double tolerance) {
  const index_t d = data.d, dim = d + 1;
  const PackedLayout layout = found.shape.layout();
  const std::string what =
      text({{"d", d}, {"order", layout.order}, {"n", data.n}, {"w", weighted}, {"bytes", sizeof(Scalar)}});
  CHECK_AT(found.count == data.n, what);
  Random random(22);
  const auto entry = [&](const std::array<index_t, 4>& i) {
    const index_t at = layout.order == 2   ? layout.at(i[0], i[1])
                       : layout.order == 3 ? layout.at(i[0], i[1], i[2])
                                           : layout.at(i[0], i[1], i[2], i[3]);
    for (index_t h = 0; h < found.shape.n_channels(); ++h) {
      double sum = 0, sizes = 0;
      for (index_t s = 0; s < data.n; ++s) {
        double term =
            (weighted ? data.w[size(s)] : 1) * channel(found, h, static_cast<double>(data.y[size(s)]));
        for (index_t k = 0; k < layout.order; ++k) {
          const index_t j = i[size(k)];
          if (j < d) term *= static_cast<double>(data.x[size(s * d + j)]) - found.centre[size(j)];
        }
        sum += term, sizes += std::abs(term);
      }
      // Where all terms are small the rounding of the centre decides.
      CHECK_AT(close(found.channel(h)[at], sum, tolerance, sizes + 1),
               what + text({{"h", h}, {"entry", at}}));
    }
  };
  for (index_t b = 0; b < dim; ++b) entry({b, dim - 1, dim - 1, dim - 1});
  for (int i = 0; i < 25; ++i) {
    entry({random.below(dim), random.below(dim), random.below(dim), random.below(dim)});
  }
}

template <class Scalar>
void moments(const MomentShape& shape, index_t n, bool weighted) {
  const Samples<Scalar> data(n, shape.n_features, 21);
  const SampleView<Scalar> view = data.view(weighted);
  using Moments = MomentAccumulator<Scalar>;
  const auto update = [&](const SampleView<Scalar>& samples, int n_threads) {
    Moments m(shape);
    m.update(samples, n_threads, {});
    return m.snapshot();
  };
  const MomentSums found = update(view, 1);
  compare(found, data, weighted, sizeof(Scalar) == sizeof(double) ? 1e-12 : 1e-4);
  const std::string what = text({{"d", shape.n_features}, {"order", shape.order}, {"n", n}});

  // Threads, cuts of the rows and the layout of memory do not change a bit.
  CHECK_AT(same_bits(found, update(view, 3)), what);
  Moments cut(shape);
  for (index_t first = 0; first < n;) {
    const index_t last = std::min(n, first + 1 + n / 3);
    cut.update(rows(view, first, last), 2, {});
    first = last;
  }
  CHECK_AT(same_bits(found, cut.snapshot()), what);

  std::vector<Scalar> reversed(data.x.rbegin(), data.x.rend());  // read backwards
  SampleView<Scalar> back = view;
  back.x = reinterpret_cast<const char*>(&reversed.back());
  back.x_row_stride = -view.x_row_stride, back.x_col_stride = -view.x_col_stride;
  CHECK_AT(same_bits(found, update(back, 2)), what);

  std::vector<char> bytes(data.x.size() * sizeof(Scalar) + 1), weights(data.w.size() * sizeof(double) + 1);
  std::memcpy(bytes.data() + 1, data.x.data(), bytes.size() - 1);  // at odd addresses
  std::memcpy(weights.data() + 1, data.w.data(), weights.size() - 1);
  SampleView<Scalar> odd = view;
  odd.x = bytes.data() + 1;
  if (weighted) odd.w = weights.data() + 1;
  CHECK_AT(same_bits(found, update(odd, 2)), what);

  // Parts, each about its own means, merged.
  Moments left(shape), right(shape);
  left.update(rows(view, 0, n / 3), 1, {});
  right.update(rows(view, n / 3, n), 2, {});
  left.merge(right);
  compare(left.snapshot(), data, weighted, sizeof(Scalar) == sizeof(double) ? 1e-11 : 1e-4);

  // State goes out and comes back.
  Moments restored(shape);
  SampleView<Scalar> pending;
  pending.x = reinterpret_cast<const char*>(left.pending_x().data());
  pending.y = reinterpret_cast<const char*>(left.pending_y().data());
  pending.w = reinterpret_cast<const char*>(left.pending_w().data());
  pending.n = left.pending_rows();
  pending.x_row_stride = view.x_row_stride, pending.x_col_stride = view.x_col_stride;
  pending.y_stride = view.y_stride, pending.w_stride = sizeof(double);
  restored.restore(left.total(), pending);
  CHECK_AT(same_bits(restored.snapshot(), left.snapshot()), what);
}

template <class Scalar>
void failures() {
  const Samples<Scalar> data(5000, 2, 23);
  MomentAccumulator<Scalar> m({2, 3, {}, 0});
  m.update(rows(data.view(true), 0, 100), 1, {});
  const MomentSums before = m.snapshot();
  for (const index_t bad : {3, 4990}) {  // in a full block, and among the rows that wait
    Samples<Scalar> copy = data;
    copy.x[size(bad * 2 + 1)] = static_cast<Scalar>(NAN);
    CHECK(throws<ColumnError>([&] { m.update(copy.view(true), 2, {}); }));
    copy = data;
    copy.y[size(bad)] = static_cast<Scalar>(INFINITY);
    CHECK(throws<ColumnError>([&] { m.update(copy.view(false), 2, {}); }));
    copy = data;
    copy.w[size(bad)] = 0;
    CHECK(throws<ColumnError>([&] { m.update(copy.view(true), 2, {}); }));
  }
  struct Stop {};
  CHECK(throws<Stop>([&] { m.update(data.view(true), 2, [] { throw Stop{}; }); }));
  CHECK(same_bits(before, m.snapshot()));
}

}  // namespace

void test_moments() {
  const index_t block = MomentAccumulator<double>::kSuperBlock;
  for (int order = 2; order <= 4; ++order) {
    for (const index_t d : {1, 2, 3, 4, 7, 8, 11}) {
      for (const index_t n : {index_t{1}, index_t{65}, block + 37}) {
        if (n > block && d != 3 && d != 8) continue;
        moments<double>({d, order, {}, 0}, n, n == 65);
        moments<float>({d, order, {}, 0}, n, n != 65);
      }
    }
    moments<double>({4, order, {0.5, -1.0, 0.25}, 1.0}, 2 * block + 300, true);
    moments<float>({4, order, {0.5, -1.0, 0.25}, 1.0}, 2 * block + 300, true);
  }
  // Order 4 of many features: the outer form, pieces shared by the threads.
  moments<double>({26, 4, {}, 0}, 300, true);
  moments<float>({26, 4, {}, 0}, 300, false);
  moments<double>({26, 4, {1.0, 1.0}, 0.0}, block + 130, false);
  moments<float>({26, 4, {1.0, 1.0}, 0.0}, block + 130, true);
  // Order 3 likewise: the columns of one channel are the features, those of several are made.
  moments<double>({50, 3, {1.0, 1.0}, 0.0}, 300, true);
  moments<float>({50, 3, {1.0, 1.0}, 0.0}, 300, false);
  moments<double>({37, 3, {}, 0}, 130, false);
  moments<float>({37, 3, {}, 0}, 130, true);
  failures<double>();
  failures<float>();
}

}  // namespace moefast::tests
