// P[s][lane + i] = U[s][a + i] * F[s][b],   i < length: products of two panels, run by run.
//
// U: samples x anything, row stride ldu; F likewise; P: samples x width, row stride ldp. With F = U a panel
// holds a stretch of the list of pairs (a <= b) sorted by b, then a: a run is the part of it with one b. With
// F = response channels it holds the columns that the pairs are multiplied by.
//
// P is written vector by vector at multiples of the vector length: where runs meet inside a vector, their
// products are blended. (Storing run by run, each over the end of the one before, costs twice the time: all
// those stores straddle two cache lines.) Reads of U go up to a vector beyond a run at both ends, so U needs
// kPanelPadding numbers before its first row and after its last one; ldp is a multiple of the vector length.
#pragma once

#include "kernels/vectors.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

// Lanes from `first` on are taken from `later`.
template <class Real>
struct Blend {
  using V = Vector<Real, kLanes<Real>>;
  using Type = typename V::type;

  explicit Blend(index_t first) {
    Real lanes[V::lanes];
    for (index_t l = 0; l < V::lanes; ++l) lanes[l] = static_cast<Real>(l < first ? 0 : 1);
    chosen = load<V>(lanes);
  }
  Type operator()(Type before, Type later) const { return chosen > 0 ? later : before; }

  Type chosen;
};

template <class Real>
void pair_panel(const PairRun* runs, index_t n_runs, index_t samples, const Real* U, index_t ldu,
                const Real* F, index_t ldf, Real* P, index_t ldp) {
  using V = Vector<Real, kLanes<Real>>;
  const PairRun *run = runs, *const end = runs + n_runs;
  index_t done = run < end ? run->lane / V::lanes * V::lanes : 0;  // columns written so far
  while (run < end) {
    // The vector of columns done .. done + lanes - 1: its first run, perhaps a second one, then others.
    const Real *u = U + run->a + (done - run->lane), *f = F + run->b;
    Real* p = P + done;
    const index_t next = done + V::lanes;
    const auto has_more = [&] { return run + 1 < end && run[1].lane < next; };
    if (has_more()) {
      ++run;
      const Real *u2 = U + run->a + (done - run->lane), *f2 = F + run->b;
      const Blend<Real> blend(run->lane - done);
      for (index_t s = 0; s < samples; ++s) {
        at<V>(p + s * ldp) = blend(load<V>(u + s * ldu) * f[s * ldf], load<V>(u2 + s * ldu) * f2[s * ldf]);
      }
      while (has_more()) {
        ++run;
        const Real *u3 = U + run->a + (done - run->lane), *f3 = F + run->b;
        const Blend<Real> also(run->lane - done);
        for (index_t s = 0; s < samples; ++s) {
          at<V>(p + s * ldp) = also(load<V>(p + s * ldp), load<V>(u3 + s * ldu) * f3[s * ldf]);
        }
      }
    } else {
      for (index_t s = 0; s < samples; ++s) at<V>(p + s * ldp) = load<V>(u + s * ldu) * f[s * ldf];
    }
    done = next;
    if (run->lane + run->length <= done) ++run;
  }
}

// out[r][l] = A[r][l] * f[l]: whole rows of a transposed panel; `length` is a multiple of the vector length.
template <class Real>
void scale_rows(index_t rows, index_t length, const Real* A, index_t lda, const Real* f, Real* out,
                index_t ldo) {
  using V = Vector<Real, kLanes<Real>>;
  for (index_t r = 0; r < rows; ++r) {
    for (index_t l = 0; l < length; l += V::lanes) {
      at<V>(out + r * ldo + l) = load<V>(A + r * lda + l) * load<V>(f + l);
    }
  }
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
