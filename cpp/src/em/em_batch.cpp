// em_run from many starts: either the runs are spread over the threads, or the rows of one run after another;
// both give the same bits.
#include "moefast/em_batch.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <utility>

#include "em/counts.hpp"
#include "em/covariance.hpp"
#include "em/iteration.hpp"
#include "moefast/parallel.hpp"

namespace moefast {
namespace {

// With this many runs a thread the last ones leave few threads idle.
constexpr index_t kRunsPerThread = 4;
// Multiply-adds below which one thread does them: of all runs of a batch, about 0.4 s of its time, and of a
// pass that threads would share, about 2 ms. OpenMP's threads wait actively, for each other where one is held
// up and for some milliseconds after each batch, beside what the caller does between two. With a bound of
// 1e8, two threads of one busy core took 1.4 to 1.9 times the CPU time of one for searches at n = 1000 to 20
// 000, and no less time by the clock.
constexpr double kWorkForThreads = 6e9, kPassForThreads = 2e7;
// Iterations a run is reckoned to take, where it may take more.
constexpr int kReckonedIterations = 25;
// The share of passes that make the products of gates, about; see em/gate_metric.hpp.
constexpr double kGateProducts = 0.25;

double pass(const EmData& data, const EmStart& start) {
  const double k = static_cast<double>(start.parameters.k), dim = static_cast<double>(data.d + 1);
  const double of_a_row =
      k * static_cast<double>(kDensity) + (k + kGateProducts * k * (k - 1) / 2) * dim * (dim + 1) / 2;
  return of_a_row * static_cast<double>(data.n);
}

int reckoned(int max_iter) { return std::min(max_iter + 1, kReckonedIterations); }

EmSettings at_stage(EmSettings settings, const EmStage& stage) {
  settings.max_iter = stage.max_iter;
  settings.shared_noise = stage.shared_noise;
  settings.inverse_temperature = stage.inverse_temperature;
  settings.to_beat = EmSettings().to_beat;
  settings.gradient_tol = EmSettings().gradient_tol;
  return settings;
}

// Sets the noise that was found under other settings to the nearest one under these: at the floor or above,
// and where it is shared the mean of all. Variances become squares of standard deviations, as they are where
// a run goes on from parameters that were given back: stages are bit for bit runs one after the other.
void take_noise(MixtureParameters& p, const EmSettings& settings) {
  if (!settings.update_noise) return;
  const index_t k = p.k;
  if (p.several_responses()) {
    const index_t q = p.n_predictors;
    const ResponseCovariance covariance(settings);
    std::vector<Eigen::MatrixXd> own;
    Eigen::MatrixXd mean = Eigen::MatrixXd::Zero(q, q);
    for (index_t i = 0; i < k; ++i) {
      const Eigen::Map<const RowMatrix> L(p.cholesky_of(i), q, q);
      own.push_back(L.lazyProduct(L.transpose()));
      mean += own.back() / static_cast<double>(k);
    }
    if (settings.shared_noise) return covariance.set(p, 0, mean);
    for (index_t i = 0; i < k; ++i) covariance.set(p, i, own[static_cast<std::size_t>(i)]);
    return;
  }
  double sum = 0, logs = 0;
  for (double& v : p.variance) {
    const double deviation = std::sqrt(v);
    v = std::max(deviation * deviation, settings.variance_floor);
    sum += v;
  }
  if (!settings.shared_noise) return;
  for (const double shape : p.shape) logs += std::log(shape);
  std::fill(p.variance.begin(), p.variance.end(), sum / static_cast<double>(k));
  std::fill(p.shape.begin(), p.shape.end(), std::exp(logs / static_cast<double>(k)));
}

EmResult run_by_stages(const SamplePanels& samples, const EmStart& start, const EmSettings& settings,
                       const Poll& poll) {
  MixtureParameters now = start.parameters;
  Assignment assignment = start.assignment;
  int n_before = 0;
  for (std::size_t i = 0; i < start.before.size(); ++i) {
    const EmSettings here = at_stage(settings, start.before[i]);
    if (i > 0) take_noise(now, here);
    EmResult end = em_run(samples, std::move(now), here, assignment, poll);
    now = std::move(end.parameters), assignment = {}, n_before += end.n_iter + 1;
  }
  if (n_before > 0) take_noise(now, settings);
  EmResult end = em_run(samples, std::move(now), settings, assignment, poll);
  end.n_before = n_before;
  return end;
}

}  // namespace

std::vector<EmResult> em_run_batch(const EmData& data, const std::vector<EmStart>& starts,
                                   const EmSettings& settings, const Poll& poll) {
  settings.check();
  data.check(settings);
  for (const EmStart& start : starts)
    for (const EmStage& stage : start.before) at_stage(settings, stage).check();
  const index_t n_starts = static_cast<index_t>(starts.size());
  std::vector<EmResult> results(starts.size());
  double of_passes = 0, of_runs = 0;
  for (const EmStart& start : starts) {
    int iterations = reckoned(settings.max_iter);
    for (const EmStage& stage : start.before) iterations += reckoned(stage.max_iter);
    of_passes += pass(data, start), of_runs += pass(data, start) * iterations;
  }
  const bool share_passes = data.n >= kRowsForThreads &&
                            n_starts < kRunsPerThread * settings.usable_threads() &&
                            of_passes >= kPassForThreads * static_cast<double>(n_starts);
  const bool worth_it = share_passes || of_runs >= kWorkForThreads;
  const int n_threads = worth_it ? settings.usable_threads() : 1;
  const SamplePanels samples(data, data.grouped() ? 0 : SamplePanels::kMostKept);  // groups keep their own
  EmSettings each = settings;
  each.n_threads = share_passes ? n_threads : 1;
  const int threads = share_passes ? 1 : n_threads;
  parallel_for(n_starts, threads, poll, [&](index_t i, Checkpoint& checkpoint) {
    // `poll` belongs to the calling thread; the checkpoint passes it and other threads' failures on.
    results[i] = run_by_stages(samples, starts[i], each, [&] { checkpoint.check(); });
  });
  return results;
}

}  // namespace moefast
