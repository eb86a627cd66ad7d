// EM from many starts on one data set.
#pragma once

#include <vector>

#include "moefast/em.hpp"

namespace moefast {

struct EmStart {
  MixtureParameters parameters;
  Assignment assignment;  // when set, the first M-step uses it and only `gates` of the parameters matter
};

// em_run from every start; a result each, in the order of the starts, with a status of its own. Bit for bit
// what em_run gives alone, for any n_threads: threads take whole runs, or, when there are few starts and
// many rows, runs come one after the other and threads share each pass.
std::vector<EmResult> em_run_batch(const EmData& data, const std::vector<EmStart>& starts,
                                   const EmSettings& settings, const Poll& poll);

}  // namespace moefast
