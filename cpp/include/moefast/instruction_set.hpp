// The kernels are compiled for several instruction sets; the best one the CPU has is chosen at load.
#pragma once

#include <string>
#include <vector>

#include "moefast/types.hpp"

namespace moefast {

// Best first: some of "avx512", "avx2", and always "baseline".
std::vector<std::string> usable_instruction_sets();

std::string active_instruction_set();

// Throws std::invalid_argument, listing the usable ones. Not while kernels run.
void use_instruction_set(const std::string& name);

// Multiply-adds on registers alone, on one thread: the most that a kernel could reach. Returns the flops
// done.
double fma_peak(bool single_precision, index_t n_steps);

}  // namespace moefast
