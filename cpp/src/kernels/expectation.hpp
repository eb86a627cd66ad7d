// The E-step of a panel of samples: from scores to responsibilities and the weights of every M-step sum.
//
//     p_i = exp(l_i) / sum_j exp(l_j),   h_i = log p_i + log N(y | m_i, s_i^2)
//     r_i = exp(beta h_i) / sum_j exp(beta h_j),   log-likelihood: log(sum_j exp(beta h_j)) / beta
//
// with beta = 1 but for annealing, and any log f_i(y) in place of log N where densities are given.
//
// Samples lie along the vectors, so exp, max, log and division each serve a vector of samples; arrays are
// rows of `stride` numbers, a row an expert. The largest exponent is taken off before each exp.
#pragma once

#include "kernels/exponential.hpp"

namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE {
namespace {

void expectation(const Expectation& a) {
  using V = Vector<double, kLanes<double>>;
  using T = typename V::type;
  const index_t k = a.k, stride = a.stride;
  const double beta = a.inverse_temperature;
  const auto add = [&](index_t row, const T& value) { at<V>(a.lane_sums + row * kSampleStep) += value; };
  for (index_t s = 0; s < a.samples; s += V::lanes) {
    const double *mean = a.scores + s, *logit = mean + k * stride;
    double *weight = a.weights + s, *residual = a.residuals + s, *slope = a.slopes + s;
    const T w = load<V>(a.w + s), y = load<V>(a.y + s);

    T top = load<V>(logit);
    for (index_t i = 1; i < k; ++i) {
      const T l = load<V>(logit + i * stride);
      top = l > top ? l : top;
    }
    T gate_sum = {};
    for (index_t i = 0; i < k; ++i) {
      const T q = exponential<V>(load<V>(logit + i * stride) - top);
      at<V>(slope + i * stride) = q;
      gate_sum += q;
    }
    // h_i + log gate_sum, the exponents of the second softmax.
    T best = {};
    for (index_t i = 0; i < k; ++i) {
      T e = {}, h;
      if (a.log_densities) {
        h = (load<V>(logit + i * stride) - top) + load<V>(mean + i * stride);
      } else {
        e = y - load<V>(mean + i * stride);
        const T z = e * a.inverse_sigma[i];
        h = (load<V>(logit + i * stride) - top) - (0.5 * z * z + a.log_scale[i]);
      }
      at<V>(residual + i * stride) = e;
      at<V>(weight + i * stride) = h;
      best = (i == 0) ? h : (h > best ? h : best);
    }
    T joint_sum = {};
    for (index_t i = 0; i < k; ++i) {
      const T q = exponential<V>(beta * (load<V>(weight + i * stride) - best));
      at<V>(weight + i * stride) = q;
      joint_sum += q;
    }
    const T gate_share = 1.0 / gate_sum, joint_share = 1.0 / joint_sum;
    const T above = beta == 1 ? logarithm<V>(joint_sum * gate_share)
                              : logarithm<V>(joint_sum) * (1 / beta) + logarithm<V>(gate_share);
    add(2 * k, w * (best + above));

    for (index_t i = 0; i < k; ++i) {
      const T r = a.given ? load<V>(a.given + i * stride + s) : load<V>(weight + i * stride) * joint_share;
      const T p = load<V>(slope + i * stride) * gate_share;
      const T e = load<V>(residual + i * stride);
      const T wr = w * r, wre = wr * e;
      at<V>(weight + i * stride) = wr;
      at<V>(residual + i * stride) = wre;
      at<V>(slope + i * stride) = p;
      add(i, wr);
      add(k + i, wre * e);
    }
    double* product = weight + k * stride;
    for (index_t i = 0; a.gate_products && i + 1 < k; ++i) {
      const T p = load<V>(slope + i * stride), wp = w * p;
      at<V>(product) = wp * (1.0 - p);
      product += stride;
      for (index_t j = i + 1; j + 1 < k; ++j, product += stride) {
        at<V>(product) = -(wp * load<V>(slope + j * stride));
      }
    }
    for (index_t i = 0; i < k; ++i) {
      at<V>(slope + i * stride) = load<V>(weight + i * stride) - w * load<V>(slope + i * stride);
    }
  }
}

}  // namespace
}  // namespace moefast::kernels::MOEFAST_KERNEL_NAMESPACE
