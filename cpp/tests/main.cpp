// Tests of the core without Python: `core_tests [suite...]`, all of them by default. Every suite runs once
// for each instruction set that this build and this CPU have.
#include <cstring>

#include "check.hpp"
#include "moefast/instruction_set.hpp"
#include "moefast/parallel.hpp"

using namespace moefast;
using namespace moefast::tests;

int main(int argc, char** argv) {
  struct Suite {
    const char* name;
    void (*run)();
  };
  const Suite suites[] = {{"kernel_products", test_kernel_products},
                          {"kernels", test_kernels},
                          {"moments", test_moments},
                          {"tensors", test_tensors},
                          {"solve", test_solve},
                          {"em", test_em},
                          {"families", test_families},
                          {"gate_metric", test_gate_metric},
                          {"groups", test_groups},
                          {"information", test_information},
                          {"threads", test_threads}};
  for (int i = 1; i < argc; ++i) {
    const auto named = [&](const Suite& suite) { return std::strcmp(argv[i], suite.name) == 0; };
    if (!std::any_of(std::begin(suites), std::end(suites), named)) {
      std::printf("no such suite: %s\n", argv[i]);
      return 2;
    }
  }
  for (const std::string& name : usable_instruction_sets()) {
    use_instruction_set(name);
    for (const Suite& suite : suites) {
      const auto is_it = [&](const char* wanted) { return std::strcmp(wanted, suite.name) == 0; };
      if (argc > 1 && !std::any_of(argv + 1, argv + argc, is_it)) continue;
      const Tally before = tally;
      suite.run();
      std::printf("%-9s %-16s %8lld checks, %lld failed\n", name.c_str(), suite.name,
                  static_cast<long long>(tally.checks - before.checks),
                  static_cast<long long>(tally.failures - before.failures));
      std::fflush(stdout);
    }
  }
  return tally.failures == 0 ? 0 : 1;
}
