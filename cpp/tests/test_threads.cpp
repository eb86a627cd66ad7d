// The loop over tasks: all of them once, errors and interrupts reach the caller.
#include <atomic>
#include <stdexcept>

#include "check.hpp"
#include "moefast/parallel.hpp"

namespace moefast::tests {

void test_threads() {
  CHECK(usable_threads(4, 100) == (threads_enabled() ? 4 : 1));
  CHECK(usable_threads(4, 2) == (threads_enabled() ? 2 : 1));
  CHECK(usable_threads(4, 0) == 1);
  struct Stop {};
  for (const int n_threads : {1, 2, 4, 7}) {
    for (const index_t n_tasks : {0, 1, 3, 1000}) {
      std::vector<int> times(size(n_tasks));  // not atomic: every task has its own
      parallel_for(n_tasks, n_threads, {}, [&](index_t t, Checkpoint&) { ++times[size(t)]; });
      CHECK(std::all_of(times.begin(), times.end(), [](int n) { return n == 1; }));
    }
    std::atomic<int> done{0};
    CHECK(throws<std::runtime_error>([&] {
      parallel_for(100000, n_threads, {}, [&](index_t t, Checkpoint& checkpoint) {
        checkpoint.check();
        if (t == 17) throw std::runtime_error("17");
        ++done;
      });
    }));
    CHECK(done < 100000);
    // An interrupt comes through the poll, on the calling thread alone, while tasks go on.
    CHECK(throws<Stop>([&] {
      parallel_for(
          n_threads, n_threads, [] { throw Stop{}; },
          [&](index_t, Checkpoint& checkpoint) {
            for (;;) checkpoint.check();
          });
    }));
    // A loop within a loop, as a batch of runs has it.
    std::atomic<index_t> sum{0};
    parallel_for(8, n_threads, {}, [&](index_t i, Checkpoint& outer) {
      parallel_for(5, 1, [&] { outer.check(); }, [&](index_t j, Checkpoint&) { sum += i * j; });
    });
    CHECK(sum == 280);
  }
}

}  // namespace moefast::tests
