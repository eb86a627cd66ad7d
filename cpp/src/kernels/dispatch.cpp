// Which build of the kernel runs: the best one this CPU has, or the one asked for.
#include <atomic>
#include <stdexcept>
#include <string>

#include "kernels/rank_update.hpp"
#include "moefast/instruction_set.hpp"

namespace moefast {
namespace kernels {

using RankUpdate = void (*)(index_t, index_t, index_t, const double*, index_t, const double*, index_t,
                            double*, index_t);

namespace baseline {
void rank_update(index_t, index_t, index_t, const double*, index_t, const double*, index_t, double*, index_t);
}
#ifdef MOEFAST_X86_KERNELS
namespace avx2 {
void rank_update(index_t, index_t, index_t, const double*, index_t, const double*, index_t, double*, index_t);
}
namespace avx512 {
void rank_update(index_t, index_t, index_t, const double*, index_t, const double*, index_t, double*, index_t);
}
#endif

namespace {

struct Build {
  const char* name;
  RankUpdate rank_update;
  bool (*supported)();
};

// Best first.
constexpr Build kBuilds[] = {
#ifdef MOEFAST_X86_KERNELS
    {"avx512", avx512::rank_update, [] { return __builtin_cpu_supports("avx512f") != 0; }},
    {"avx2", avx2::rank_update,
     [] { return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0; }},
#endif
    {"baseline", baseline::rank_update, [] { return true; }},
};

const Build* best() {
  for (const Build& build : kBuilds) {
    if (build.supported()) return &build;
  }
  return &kBuilds[std::size(kBuilds) - 1];
}

std::atomic<const Build*> active{best()};

}  // namespace

void rank_update(index_t rows, index_t cols, index_t samples, const double* A, index_t lda, const double* B,
                 index_t ldb, double* M, index_t ldm) {
  active.load(std::memory_order_relaxed)->rank_update(rows, cols, samples, A, lda, B, ldb, M, ldm);
}

}  // namespace kernels

std::vector<std::string> usable_instruction_sets() {
  std::vector<std::string> names;
  for (const kernels::Build& build : kernels::kBuilds) {
    if (build.supported()) names.emplace_back(build.name);
  }
  return names;
}

std::string active_instruction_set() { return kernels::active.load()->name; }

void use_instruction_set(const std::string& name) {
  std::string known;
  for (const kernels::Build& build : kernels::kBuilds) {
    if (!build.supported()) continue;
    if (name == build.name) {
      kernels::active = &build;
      return;
    }
    known += (known.empty() ? "" : ", ") + std::string(build.name);
  }
  throw std::invalid_argument("instruction set '" + name +
                              "' is not one that this build and this CPU have: " + known);
}

}  // namespace moefast
