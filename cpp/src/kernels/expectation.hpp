// The E-step of a panel of samples: from scores to responsibilities and the weights of every M-step sum.
//
//     p_i = exp(l_i) / sum_j exp(l_j),   h_i = log p_i + log N(y | m_i, s_i^2)
//     r_i = exp(beta h_i) / sum_j exp(beta h_j),   log-likelihood: log(sum_j exp(beta h_j)) / beta
//
// with beta = 1 but for annealing, and any log f_i(y) in place of log N where densities are given.
//
// Samples lie along the vectors, so exp, max, log and division each serve a vector of samples; arrays are
// rows of `stride` numbers, a row an expert. The largest exponent is taken off before each exp.
//
// What one vector of samples goes through is one long chain, of which a processor has room for little more
// than one at a time. So the samples go through it step by step in blocks, whose vectors know nothing of each
// other within a step: the chain by vectors, each to its end, took twice the time.
#pragma once

#include "kernels/exponential.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

// Samples of a block: its arrays stay in the first-level cache for a dozen experts.
constexpr index_t kBlockSamples = 64;

// The block's samples s .. s + samples - 1 of a panel.
template <class V>
class ExpectationBlock {
  using T = typename V::type;

 public:
  ExpectationBlock(const Expectation& panel, index_t s)
      : a_(panel),
        k_(panel.k),
        stride_(panel.stride),
        samples_(panel.samples - s < kBlockSamples ? panel.samples - s : kBlockSamples),
        s_(s),
        w_(panel.w + s),
        logits_(panel.scores + panel.k * panel.stride + s),
        weights_(panel.weights + s),
        residuals_(panel.residuals + s),
        slopes_(panel.slopes + s) {}

  void run() {
    gates();
    exponents();
    posterior();
    for (index_t i = 0; i < k_; ++i) shares(i);
    if (a_.gate_products) gate_products();
    for (index_t i = 0; i < k_; ++i) {
      double* const slope = slopes_ + i * stride_;
      const double* const weight = weights_ + i * stride_;
      each([&](index_t s) { at<V>(slope + s) = load<V>(weight + s) - load<V>(w_ + s) * load<V>(slope + s); });
    }
  }

 private:
  template <class Step>
  void each(const Step& step) const {
    for (index_t s = 0; s < samples_; s += V::lanes) step(s);
  }

  // slopes = exp(l_i - top), and their sum
  void gates() {
    each([&](index_t s) {
      T top = load<V>(logits_ + s);
      for (index_t i = 1; i < k_; ++i) {
        const T l = load<V>(logits_ + i * stride_ + s);
        top = l > top ? l : top;
      }
      at<V>(top_ + s) = top;
      at<V>(gate_sum_ + s) = T{};
    });
    for (index_t i = 0; i < k_; ++i) {
      const double* const logit = logits_ + i * stride_;
      double* const slope = slopes_ + i * stride_;
      each([&](index_t s) {
        const T q = exponential_share<V>(load<V>(logit + s) - load<V>(top_ + s));
        at<V>(slope + s) = q;
        at<V>(gate_sum_ + s) += q;
      });
    }
  }

  // residuals = e_i, weights = h_i + log gate_sum, the exponents of the second softmax, and the largest
  void exponents() {
    for (index_t i = 0; i < k_; ++i) {
      const double *const mean = a_.scores + i * stride_ + s_, *const logit = logits_ + i * stride_;
      double *const weight = weights_ + i * stride_, *const residual = residuals_ + i * stride_;
      const double inverse_sigma = a_.log_densities ? 0 : a_.inverse_sigma[i];
      const double log_scale = a_.log_densities ? 0 : a_.log_scale[i];
      each([&](index_t s) {
        T h = load<V>(logit + s) - load<V>(top_ + s), e = {};
        if (a_.log_densities) {
          h += load<V>(mean + s);
        } else {
          e = load<V>(a_.y + s_ + s) - load<V>(mean + s);
          const T z = e * inverse_sigma;
          h -= 0.5 * z * z + log_scale;
        }
        at<V>(residual + s) = e;
        at<V>(weight + s) = h;
        const T best = load<V>(best_ + s);
        at<V>(best_ + s) = i == 0 ? h : (h > best ? h : best);
      });
    }
  }

  // weights = exp(beta (h_i - best)); the shares of both sums; the log-likelihood
  void posterior() {
    const double beta = a_.inverse_temperature;
    each([&](index_t s) { at<V>(joint_sum_ + s) = T{}; });
    for (index_t i = 0; i < k_; ++i) {
      double* const weight = weights_ + i * stride_;
      each([&](index_t s) {
        const T q = exponential_share<V>(beta * (load<V>(weight + s) - load<V>(best_ + s)));
        at<V>(weight + s) = q;
        at<V>(joint_sum_ + s) += q;
      });
    }
    T sum = load<V>(a_.lane_sums + 2 * k_ * kSampleStep);
    each([&](index_t s) {
      // Between 1 and k, both: one division does for two.
      const T gate_sum = load<V>(gate_sum_ + s), joint_sum = load<V>(joint_sum_ + s);
      const T both = 1.0 / (gate_sum * joint_sum);
      const T gate_share = both * joint_sum, joint_share = both * gate_sum;
      const T above = beta == 1 ? logarithm<V>(joint_sum * gate_share)
                                : logarithm<V>(joint_sum) * (1 / beta) + logarithm<V>(gate_share);
      at<V>(gate_sum_ + s) = gate_share;
      at<V>(joint_sum_ + s) = joint_share;
      sum += load<V>(w_ + s) * (load<V>(best_ + s) + above);
    });
    at<V>(a_.lane_sums + 2 * k_ * kSampleStep) = sum;
  }

  // weights = w r_i, residuals = w r_i e_i, slopes = p_i, and the sums of the first two
  void shares(index_t i) {
    double *const weight = weights_ + i * stride_, *const residual = residuals_ + i * stride_;
    double* const slope = slopes_ + i * stride_;
    const double* const given = a_.given ? a_.given + i * stride_ + s_ : nullptr;
    double *const totals = a_.lane_sums + i * kSampleStep, *const squares = totals + k_ * kSampleStep;
    T total = load<V>(totals), square = load<V>(squares);
    each([&](index_t s) {
      const T r = given ? load<V>(given + s) : load<V>(weight + s) * load<V>(joint_sum_ + s);
      const T e = load<V>(residual + s), wr = load<V>(w_ + s) * r, wre = wr * e;
      at<V>(weight + s) = wr;
      at<V>(residual + s) = wre;
      at<V>(slope + s) = load<V>(slope + s) * load<V>(gate_sum_ + s);
      total += wr;
      square += wre * e;
    });
    at<V>(totals) = total;
    at<V>(squares) = square;
  }

  // w p_i (delta_ij - p_j) for i <= j < k - 1
  void gate_products() {
    double* product = weights_ + k_ * stride_;
    for (index_t i = 0; i + 1 < k_; ++i) {
      const double* const p = slopes_ + i * stride_;
      each([&](index_t s) {
        const T share = load<V>(p + s);
        at<V>(product + s) = load<V>(w_ + s) * share * (1.0 - share);
      });
      product += stride_;
      for (index_t j = i + 1; j + 1 < k_; ++j, product += stride_) {
        const double* const q = slopes_ + j * stride_;
        each([&](index_t s) { at<V>(product + s) = -(load<V>(w_ + s) * load<V>(p + s) * load<V>(q + s)); });
      }
    }
  }

  const Expectation& a_;
  index_t k_, stride_, samples_, s_;
  const double *w_, *logits_;
  double *weights_, *residuals_, *slopes_;
  // Of each sample: the largest logit, the sum of the gates' exponentials and later their share, likewise of
  // the posterior's.
  double top_[kBlockSamples], gate_sum_[kBlockSamples], best_[kBlockSamples], joint_sum_[kBlockSamples];
};

void expectation(const Expectation& a) {
  for (index_t s = 0; s < a.samples; s += kBlockSamples) {
    ExpectationBlock<Vector<double, kLanes<double>>>(a, s).run();
  }
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
