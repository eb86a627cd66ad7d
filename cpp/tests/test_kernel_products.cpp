// The kernels that multiply panels, against plain loops. Numbers are small integers, so every order of
// summing gives the same bits, in float32 as well; buffers end where the kernels may read or write last, and
// gaps between rows must stay as they are.
#include "check.hpp"
#include "kernels/kernels.hpp"
#include "moments/sum_plan.hpp"

namespace moefast::tests {
namespace {

using kernels::kPanelPadding;
using kernels::kSampleStep;

void rank_update() {
  const index_t widest = kernels::of<double>().panel_columns;
  Random random(1);
  for (const index_t rows : {1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17}) {
    for (index_t cols = 1; cols <= 2 * widest + 3; ++cols) {
      for (const index_t samples : {0, 1, 5}) {
        const index_t lda = rows + 2, ldb = cols + 1, ldm = cols + 3;
        const auto A = random.integers((samples + 1) * lda), B = random.integers((samples + 1) * ldb);
        auto M = random.integers<double>(rows * ldm), wanted = M;
        for (index_t s = 0; s < samples; ++s) {
          for (index_t r = 0; r < rows; ++r) {
            for (index_t c = 0; c < cols; ++c) {
              wanted[size(r * ldm + c)] += A[size(s * lda + r)] * B[size(s * ldb + c)];
            }
          }
        }
        kernels::rank_update(rows, cols, samples, A.data(), lda, B.data(), ldb, M.data(), ldm);
        CHECK_AT(M == wanted, text({{"rows", rows}, {"cols", cols}, {"samples", samples}}));
      }
    }
  }
}

template <class Real>
void dot_update() {
  const kernels::Kernels<Real>& kernel = kernels::of<Real>();
  Random random(2);
  for (index_t rows = 1; rows <= 9; ++rows) {
    for (index_t cols = 1; cols <= 13; ++cols) {
      for (const index_t length : {16, 32, 80}) {
        for (const bool with_f : {false, true}) {
          const index_t lda = length + 5, ldb = length + 1, ldm = cols + 2;
          auto A = random.integers<Real>((rows - 1) * lda + length);
          const auto B = random.integers<Real>((cols - 1) * ldb + length), f = random.integers<Real>(length);
          auto M = random.integers<double>(rows * ldm), wanted = M;
          for (index_t r = 0; r < rows; ++r) {
            for (index_t c = 0; c < cols; ++c) {
              for (index_t l = 0; l < length; ++l) {
                const Real factor = with_f ? f[size(l)] : Real(1);
                wanted[size(r * ldm + c)] +=
                    static_cast<double>(A[size(r * lda + l)] * factor * B[size(c * ldb + l)]);
              }
            }
          }
          kernel.dot_update(rows, cols, length, A.data(), lda, with_f ? f.data() : nullptr, B.data(), ldb,
                            M.data(), ldm);
          CHECK_AT(M == wanted, text({{"rows", rows}, {"cols", cols}, {"length", length}, {"f", with_f}}));
        }
      }
    }
  }
}

// P from `runs`, which cover columns 0 .. end of the last; what lies around U is NaN.
template <class Real>
void pair_panel(const std::vector<kernels::PairRun>& runs, index_t u_columns, index_t f_columns,
                const std::string& what) {
  Random random(3);
  for (const index_t samples : {1, 4}) {
    const index_t width = runs.back().lane + runs.back().length;
    const index_t ldu = u_columns, ldf = f_columns + 1;
    const index_t ldp = (width + kPanelPadding - 1) / kPanelPadding * kPanelPadding;
    std::vector<Real> numbers(size(samples * ldu + 2 * kPanelPadding), static_cast<Real>(NAN));
    const auto values = random.integers<Real>(samples * ldu), F = random.integers<Real>(samples * ldf);
    std::copy(values.begin(), values.end(), numbers.begin() + kPanelPadding);
    std::vector<Real> P(size(samples * ldp));
    kernels::of<Real>().pair_panel(runs.data(), static_cast<index_t>(runs.size()), samples,
                                   numbers.data() + kPanelPadding, ldu, F.data(), ldf, P.data(), ldp);
    bool same = true;
    for (const kernels::PairRun& run : runs) {
      for (index_t s = 0; s < samples; ++s) {
        for (index_t i = 0; i < run.length; ++i) {
          same = same && P[size(s * ldp + run.lane + i)] ==
                             values[size(s * ldu + run.a + i)] * F[size(s * ldf + run.b)];
        }
      }
    }
    CHECK_AT(same, what + text({{"samples", samples}, {"width", width}}));
  }
}

template <class Real>
void pair_panels() {
  // The list of pairs a <= b, sorted by b, then a, cut into panels.
  for (index_t dim = 1; dim <= 40; ++dim) {
    for (const index_t width : {kernels::of<Real>().panel_columns, index_t{5}}) {
      if (dim > 12 && width == 5) continue;
      std::vector<kernels::PairRun> runs;
      index_t lane = 0;
      const auto flush = [&] {
        if (!runs.empty()) pair_panel<Real>(runs, dim, dim, "pairs ");
        runs.clear();
        lane = 0;
      };
      for (index_t b = 0; b < dim; ++b) {
        for (index_t a = 0; a <= b;) {
          const index_t length = std::min(b + 1 - a, width - lane);
          runs.push_back({a, b, length, lane});
          a += length, lane += length;
          if (lane == width) flush();
        }
      }
      flush();
    }
  }
  // Channels of each feature, and suffixes of the features.
  for (index_t dim = 1; dim <= 9; ++dim) {
    for (index_t channels = 1; channels <= 7; ++channels) {
      std::vector<kernels::PairRun> runs;
      for (index_t c = 0; c < dim; ++c) runs.push_back({0, c, channels, c * channels});
      pair_panel<Real>(runs, channels, dim, "channels ");
    }
    std::vector<kernels::PairRun> runs;
    for (index_t c = 0, lane = 0; c < dim; lane += dim - c, ++c) runs.push_back({c, c, dim - c, lane});
    pair_panel<Real>(runs, dim, dim, "suffixes ");
  }
}

// The groups of a plan with every number of rows; lanes without a pair may hold anything.
template <class Real>
void pair_update() {
  const kernels::Kernels<Real>& kernel = kernels::of<Real>();
  const index_t width = kernel.panel_columns, samples = 3, lda = 20;
  kernels::Tuning outer{};
  Random random(5);
  for (index_t dim = 2; dim <= 40; ++dim) {
    const SumPlan plan({dim - 1, 3, {}, 0}, outer, width, kernel.lanes);
    const index_t ldu = dim + 1;
    std::vector<Real> numbers(size(samples * ldu + 2 * kPanelPadding));
    const auto values = random.integers<Real>(samples * ldu), F = random.integers<Real>(samples * ldu);
    std::copy(values.begin(), values.end(), numbers.begin() + kPanelPadding);
    for (const SumPlan::Piece& piece : plan.pieces) {
      const index_t rows = 1 + (piece.b + dim) % 19;
      for (const bool ones : {false, true}) {
        auto A = random.integers<Real>(samples * lda);
        for (index_t s = 0; s < samples && ones; ++s) A[size(s * lda + rows - 1)] = Real(1);
        std::vector<Real> P(size(samples * width));
        std::vector<double> M(size(rows * width), 1.0);
        const kernels::PairRun* runs = &plan.pair_runs[size(piece.first_run)];
        kernel.pair_update(runs, piece.group, samples, numbers.data() + kPanelPadding, F.data(), ldu, ones,
                           rows, A.data(), lda, P.data(), width, M.data(), width);
        bool same = true;
        for (index_t r = 0; r < rows; ++r) {
          for (const kernels::PairRun* run = runs; run < runs + piece.group.n_runs; ++run) {
            for (index_t i = 0; i < run->length; ++i) {
              double wanted = 1;
              for (index_t s = 0; s < samples; ++s) {
                wanted += static_cast<double>(A[size(s * lda + r)] * values[size(s * ldu + run->a + i)] *
                                              F[size(s * ldu + run->b)]);
              }
              same = same && M[size(r * width + run->lane + i)] == wanted;
            }
          }
        }
        CHECK_AT(same, text({{"dim", dim}, {"b", piece.b}, {"rows", rows}, {"ones", ones}}));
      }
    }
  }
}

template <class Real>
void scale_rows() {
  Random random(4);
  for (index_t rows = 1; rows <= 5; ++rows) {
    for (const index_t length : {16, 48}) {
      const index_t lda = length + 3, ldo = length + 7;
      const auto A = random.integers<Real>((rows - 1) * lda + length), f = random.integers<Real>(length);
      auto out = random.integers<Real>(rows * ldo), wanted = out;
      for (index_t r = 0; r < rows; ++r) {
        for (index_t l = 0; l < length; ++l) wanted[size(r * ldo + l)] = A[size(r * lda + l)] * f[size(l)];
      }
      kernels::of<Real>().scale_rows(rows, length, A.data(), lda, f.data(), out.data(), ldo);
      CHECK_AT(out == wanted, text({{"rows", rows}, {"length", length}}));
    }
  }
}

void rectangle(index_t rows, index_t cols, index_t width, bool with_b) {
  Random random(5);
  const auto M = random.integers(rows * cols, 3), Q = random.integers(cols * width, 3);
  const auto A = random.integers(rows * width, 3), B = random.integers(rows * width, 3);
  const auto s = random.integers(width, 3), t = random.integers(width, 3);
  struct Gradients {
    std::vector<double> Z, A, s, B, t;
    bool operator==(const Gradients&) const = default;
  };
  Gradients found{random.integers(cols * width), random.integers(rows * width), random.integers(width),
                  random.integers(rows * width), random.integers(width)};
  Gradients wanted = found;
  for (index_t l = 0; l < width; ++l) {
    for (index_t r = 0; r < rows; ++r) {
      const std::size_t at = size(r * width + l), lane = size(l);
      const double p = s[lane] * A[at] + (with_b ? t[lane] * B[at] : 0);
      double y = 0;
      for (index_t c = 0; c < cols; ++c) {
        y += M[size(r * cols + c)] * Q[size(c * width + l)];
        wanted.Z[size(c * width + l)] += M[size(r * cols + c)] * p;
      }
      wanted.A[at] += s[lane] * y;
      wanted.s[lane] += A[at] * y;
      if (!with_b) continue;
      wanted.B[at] += t[lane] * y;
      wanted.t[lane] += B[at] * y;
    }
  }
  kernels::RectangleArgs args{};
  args.rows = rows, args.cols = cols, args.width = width;
  args.M = M.data(), args.Q = Q.data(), args.A = A.data(), args.s = s.data();
  args.Z = found.Z.data(), args.by_A = found.A.data(), args.by_s = found.s.data();
  if (with_b) {
    args.B = B.data(), args.t = t.data(), args.by_B = found.B.data(), args.by_t = found.t.data();
  }
  kernels::active().rectangle(args);
  CHECK_AT(found == wanted, text({{"rows", rows}, {"cols", cols}, {"width", width}, {"B", with_b}}));
}

void rectangles() {
  const index_t lanes = kernels::active().lanes_f64, tile = kernels::active().rectangle_lanes;
  CHECK(tile % lanes == 0);
  for (const bool with_b : {false, true}) {
    for (index_t rows = 1; rows <= 9; ++rows) {
      for (const index_t cols : {1, 2, 3, 4, 5, 6, 7, 8, 9, 15, 16, 17, 23, 127, 128, 129}) {
        rectangle(rows, cols, 1, with_b);
        for (index_t vectors = 1; vectors <= 5; ++vectors) rectangle(rows, cols, vectors * lanes, with_b);
      }
    }
  }
}

template <class Real>
void products_of() {
  dot_update<Real>();
  pair_panels<Real>();
  pair_update<Real>();
  scale_rows<Real>();
}

}  // namespace

void test_kernel_products() {
  rank_update();
  products_of<double>();
  products_of<float>();
  rectangles();
}

}  // namespace moefast::tests
