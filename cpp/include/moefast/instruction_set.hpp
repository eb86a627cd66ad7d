// The kernels are compiled for several instruction sets; the best one the CPU has is chosen at load.
#pragma once

#include <string>
#include <vector>

namespace moefast {

// Best first: some of "avx512", "avx2", and always "baseline".
std::vector<std::string> usable_instruction_sets();

std::string active_instruction_set();

// Throws std::invalid_argument, listing the usable ones. Not while kernels run.
void use_instruction_set(const std::string& name);

}  // namespace moefast
