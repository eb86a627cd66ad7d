// EM from many starts on one data set.
#pragma once

#include <vector>

#include "moefast/em.hpp"

namespace moefast {

// Iterations before those of the run itself, under another noise or at another temperature than its
// settings'.
struct EmStage {
  int max_iter = 0;
  bool shared_noise = false;
  double inverse_temperature = 1;
};

struct EmStart {
  MixtureParameters parameters;
  Assignment assignment;  // when set, the first M-step uses it and only `gates` of the parameters matter
  std::vector<EmStage> before = {};  // one after the other; each begins where the one before has ended
};

// em_run from every start; a result each, in the order of the starts, with a status of its own. Bit for bit
// what em_run gives alone, for any n_threads: threads take whole runs, or, when there are few starts and
// many rows, runs come one after the other and threads share each pass. Nothing but the end of its stages
// before is known of them: EmResult::n_before, and where the run begins.
std::vector<EmResult> em_run_batch(const EmData& data, const std::vector<EmStart>& starts,
                                   const EmSettings& settings, const Poll& poll);

}  // namespace moefast
