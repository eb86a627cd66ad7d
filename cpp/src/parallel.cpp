// One parallel loop over tasks, with OpenMP, std::thread or neither.
#include "moefast/parallel.hpp"

#include <algorithm>
#include <exception>
#include <mutex>

#ifdef MOEFAST_STD_THREADS
#include <system_error>
#include <thread>
#include <vector>
#endif
#ifdef _OPENMP
#include <omp.h>
#endif
#if defined(_OPENMP) && !defined(_WIN32)
#include <pthread.h>
#endif

namespace moefast {
namespace {

// More threads than this bring nothing on any machine, and starting them can end the process (libgomp).
constexpr index_t kMostThreads = 256;

// Thrown inside a task when another thread has already failed; never leaves parallel_for.
struct Stopped {};

#if defined(_OPENMP) && !defined(_WIN32)
// True in a forked child. Its OpenMP pool may be lost even if we never used it: libgomp can be shared with
// other libraries of the process.
std::atomic<bool> pool_lost{false};
const int watching_forks = pthread_atfork(nullptr, nullptr, [] { pool_lost = true; });
#endif

}  // namespace

bool threads_enabled() {
#if defined(_OPENMP) || defined(MOEFAST_STD_THREADS)
  return true;
#else
  return false;
#endif
}

int usable_threads(int n_threads, index_t n_tasks) {
#if defined(_OPENMP) && !defined(_WIN32)
  if (watching_forks == 0 && pool_lost) return 1;
#endif
#if defined(_OPENMP) || defined(MOEFAST_STD_THREADS)
  return static_cast<int>(std::clamp<index_t>(std::min<index_t>(n_threads, n_tasks), 1, kMostThreads));
#else
  (void)n_threads, (void)n_tasks;
  return 1;
#endif
}

void Checkpoint::check() {
  if (stop_.load(std::memory_order_relaxed)) throw Stopped{};
  if (!polls_ || !poll_) return;
  const auto now = std::chrono::steady_clock::now();
  if (now - last_ < std::chrono::milliseconds(50)) return;
  last_ = now;
  poll_();
}

void parallel_for(index_t n_tasks, int n_threads, const Poll& poll,
                  const std::function<void(index_t, Checkpoint&)>& task) {
  std::atomic<bool> stop{false};
  std::atomic<index_t> next{0};
  std::exception_ptr error;
  std::mutex error_mutex;

  const auto work = [&](bool calling_thread) {
    Checkpoint checkpoint(poll, stop, calling_thread);
    try {
      for (index_t t = next++; t < n_tasks; t = next++) {
        checkpoint.check();
        task(t, checkpoint);
      }
    } catch (const Stopped&) {
      // Without a stop of our own it comes from a loop around this one, through poll, and has to go on up.
      const std::lock_guard<std::mutex> lock(error_mutex);
      if (!stop.exchange(true)) error = std::current_exception();
    } catch (...) {
      const std::lock_guard<std::mutex> lock(error_mutex);
      if (!error) error = std::current_exception();
      stop = true;
    }
  };

  const int threads = usable_threads(n_threads, n_tasks);
#ifdef _OPENMP
  if (threads > 1) {
#pragma omp parallel num_threads(threads)
    work(omp_get_thread_num() == 0);
  } else {
    work(true);
  }
#elif defined(MOEFAST_STD_THREADS)
  std::vector<std::thread> others;
  others.reserve(static_cast<std::size_t>(threads - 1));
  try {
    while (static_cast<int>(others.size()) < threads - 1) others.emplace_back(work, false);
  } catch (const std::system_error&) {  // fewer threads do
  }
  work(true);
  for (std::thread& thread : others) thread.join();
#else
  (void)threads;
  work(true);
#endif
  if (error) std::rethrow_exception(error);
}

}  // namespace moefast
