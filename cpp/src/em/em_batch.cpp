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
// Multiply-adds below which one thread does them: of all runs of a batch, about 0.4 s of its time, and of a
// pass that threads would share, about 2 ms. OpenMP's threads wait actively, for each other where one is held
// up and for some milliseconds after each batch, beside what the caller does between two. With a bound of
// 1e8, two threads of one busy core took 1.4 to 1.9 times the CPU time of one for searches at n = 1000 to 20
// 000, and no less time by the clock.
constexpr double kWorkForThreads = 6e9, kPassForThreads = 2e7;
// Iterations a run is reckoned to take, where it may take more.
constexpr int kReckonedIterations = 25;
// A density, its logarithm and its share, in multiply-adds.
constexpr double kDensity = 40;
// The share of passes that make the products of gates, about; see em/gate_metric.hpp.
constexpr double kGateProducts = 0.25;

// Of a pass of each run, added up.
double passes(const EmData& data, const std::vector<EmStart>& starts) {
  double of_a_row = 0;
  for (const EmStart& start : starts) {
    const double k = static_cast<double>(start.parameters.k), dim = static_cast<double>(data.d + 1);
    of_a_row += k * kDensity + (k + kGateProducts * k * (k - 1) / 2) * dim * (dim + 1) / 2;
  }
  return of_a_row * static_cast<double>(data.n);
}

}  // namespace

std::vector<EmResult> em_run_batch(const EmData& data, const std::vector<EmStart>& starts,
                                   const EmSettings& settings, const Poll& poll) {
  settings.check();
  data.check(settings);
  const index_t n_starts = static_cast<index_t>(starts.size());
  std::vector<EmResult> results(starts.size());
  const double of_passes = passes(data, starts);
  const bool share_passes = data.n >= kRowsForThreads &&
                            n_starts < kRunsPerThread * settings.usable_threads() &&
                            of_passes >= kPassForThreads * static_cast<double>(n_starts);
  const double iterations = std::min(settings.max_iter + 1, kReckonedIterations);
  const bool worth_it = share_passes || of_passes * iterations >= kWorkForThreads;
  const int n_threads = worth_it ? settings.usable_threads() : 1;
  const SamplePanels samples(data, data.grouped() ? 0 : SamplePanels::kMostKept);  // groups keep their own
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
