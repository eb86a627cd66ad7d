// Which build of the kernels runs: the best one this CPU has, or the one asked for.
#include <atomic>
#include <stdexcept>
#include <string>

#include "kernels/kernels.hpp"
#include "moefast/instruction_set.hpp"

namespace moefast {
namespace kernels {

namespace baseline {
extern const KernelTable table;
}
#ifdef MOEFAST_X86_KERNELS
namespace avx2 {
extern const KernelTable table;
}
namespace avx512 {
extern const KernelTable table;
}
#endif

namespace {

struct Build {
  const KernelTable* table;
  bool (*supported)();
};

// Best first.
constexpr Build kBuilds[] = {
#ifdef MOEFAST_X86_KERNELS
    {&avx512::table,
     [] { return __builtin_cpu_supports("avx512f") != 0 && __builtin_cpu_supports("fma") != 0; }},
    {&avx2::table, [] { return __builtin_cpu_supports("avx2") != 0 && __builtin_cpu_supports("fma") != 0; }},
#endif
    {&baseline::table, [] { return true; }},
};

const KernelTable* best() {
  for (const Build& build : kBuilds) {
    if (build.supported()) return build.table;
  }
  return &baseline::table;
}

std::atomic<const KernelTable*> chosen{best()};

}  // namespace

const KernelTable& active() { return *chosen.load(std::memory_order_relaxed); }

}  // namespace kernels

std::vector<std::string> usable_instruction_sets() {
  std::vector<std::string> names;
  for (const kernels::Build& build : kernels::kBuilds) {
    if (build.supported()) names.emplace_back(build.table->name);
  }
  return names;
}

std::string active_instruction_set() { return kernels::active().name; }

double fma_peak(bool single_precision, index_t n_steps) {
  double sink = 0;
  return single_precision ? kernels::of<float>().fma_peak(n_steps, &sink)
                          : kernels::of<double>().fma_peak(n_steps, &sink);
}

void use_instruction_set(const std::string& name) {
  std::string known;
  for (const kernels::Build& build : kernels::kBuilds) {
    if (!build.supported()) continue;
    if (name == build.table->name) {
      kernels::chosen = build.table;
      return;
    }
    known += (known.empty() ? "" : ", ") + std::string(build.table->name);
  }
  throw std::invalid_argument("instruction set '" + name +
                              "' is not one that this build and this CPU have: " + known);
}

}  // namespace moefast
