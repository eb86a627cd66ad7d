// Threads: one loop over independent tasks, safe to interrupt, safe after fork.
#pragma once

#include <atomic>
#include <chrono>

#include "moefast/types.hpp"

namespace moefast {

// OpenMP's, or those of the C++ library where it was built with MOEFAST_STD_THREADS.
bool threads_enabled();

// The number of threads a loop of n_tasks would really use: 1 without threads, and 1 with OpenMP in a forked
// child (libgomp's pool does not survive a fork).
int usable_threads(int n_threads, index_t n_tasks);

// Handed to each task; a task that can be long calls check() now and then.
class Checkpoint {
 public:
  Checkpoint(const Poll& poll, std::atomic<bool>& stop, bool polls)
      : poll_(poll), stop_(stop), polls_(polls) {}
  // Throws when the work has to end. Polls at most every 50 ms, and only on the calling thread.
  void check();

 private:
  const Poll& poll_;
  std::atomic<bool>& stop_;
  bool polls_;
  std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
};

// Runs task(t, checkpoint) for t = 0 .. n_tasks - 1 in any order on up to n_threads threads. The
// first exception (of a task or of poll) stops the others and is rethrown once all have ended.
void parallel_for(index_t n_tasks, int n_threads, const Poll& poll,
                  const std::function<void(index_t, Checkpoint&)>& task);

}  // namespace moefast
