// One parallel loop over tasks, with OpenMP, std::thread or neither.
#include "moefast/parallel.hpp"

#include <algorithm>
#include <exception>
#include <mutex>
#include <vector>

#ifdef MOEFAST_STD_THREADS
#include <system_error>
#include <thread>
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

// How many threads this one can have at its side: libgomp, which keeps a pool for each thread that asks, ends
// the process when the system gives it fewer than it wants. So they are started here first, all at once, and
// go again.
int startable_threads(int wanted) {
  thread_local int found = 1;
  if (wanted <= found) return wanted;
  std::vector<pthread_t> others;
  others.reserve(static_cast<std::size_t>(wanted));
  static std::mutex one_at_a_time;
  const std::lock_guard<std::mutex> turn(one_at_a_time);
  std::mutex gate;
  {
    const std::lock_guard<std::mutex> closed(gate);
    while (static_cast<int>(others.size()) < wanted - 1) {
      pthread_t other;
      const auto wait = [](void* at) -> void* {
        const std::lock_guard<std::mutex> passed(*static_cast<std::mutex*>(at));
        return nullptr;
      };
      if (pthread_create(&other, nullptr, wait, &gate) != 0) break;
      others.push_back(other);
    }
  }
  for (const pthread_t other : others) pthread_join(other, nullptr);
  const int started = 1 + static_cast<int>(others.size());
  if (started == wanted) found = wanted;
  return started;
}
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

#if defined(_OPENMP) && !defined(_WIN32)
  const int threads = startable_threads(usable_threads(n_threads, n_tasks));
#else
  const int threads = usable_threads(n_threads, n_tasks);
#endif
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
