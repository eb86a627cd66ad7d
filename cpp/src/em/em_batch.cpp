// em_run from many starts: either the runs are spread over the threads, or the rows of one run after another;
// both give the same bits.
#include "moefast/em_batch.hpp"

#include <algorithm>

#include "em/iteration.hpp"
#include "moefast/parallel.hpp"

namespace moefast {
namespace {

// With this many runs a thread the last ones leave few threads idle.
constexpr index_t kRunsPerThread = 4;
// Multiply-adds of all runs below which one thread does them, about 20 ms of its time: OpenMP's other threads
// wait actively for some milliseconds after each batch, beside what the caller does between two.
constexpr double kWorkForThreads = 1e8;
// Iterations a run is reckoned to take, where it may take more.
constexpr int kReckonedIterations = 25;
// A density, its logarithm and its share, in multiply-adds.
constexpr double kDensity = 40;

double work(const EmData& data, const std::vector<EmStart>& starts, const EmSettings& settings) {
  double of_a_row = 0;
  for (const EmStart& start : starts) {
    const double k = static_cast<double>(start.parameters.k), dim = static_cast<double>(data.d + 1);
    of_a_row += k * kDensity + k * (k + 1) / 2 * dim * (dim + 1) / 2;
  }
  return of_a_row * static_cast<double>(data.n) * std::min(settings.max_iter + 1, kReckonedIterations);
}

}  // namespace

std::vector<EmResult> em_run_batch(const EmData& data, const std::vector<EmStart>& starts,
                                   const EmSettings& settings, const Poll& poll) {
  settings.check();
  data.check(settings);
  const index_t n_starts = static_cast<index_t>(starts.size());
  std::vector<EmResult> results(starts.size());
  const int n_threads = work(data, starts, settings) < kWorkForThreads ? 1 : settings.usable_threads();
  const bool share_passes = data.n >= kRowsForThreads && n_starts < kRunsPerThread * n_threads;
  const SamplePanels samples(data);
  EmSettings each = settings;
  each.n_threads = share_passes ? n_threads : 1;
  const int threads = share_passes ? 1 : n_threads;
  parallel_for(n_starts, threads, poll, [&](index_t i, Checkpoint& checkpoint) {
    // `poll` belongs to the calling thread; the checkpoint passes it and other threads' failures on.
    results[i] =
        em_run(samples, starts[i].parameters, each, starts[i].assignment, [&] { checkpoint.check(); });
  });
  return results;
}

}  // namespace moefast
