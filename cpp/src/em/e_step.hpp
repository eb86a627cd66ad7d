// E-steps on the same samples, one after another: what they need of memory is taken once.
#pragma once

#include <memory>
#include <mutex>
#include <vector>

#include "em/sample_panels.hpp"
#include "moefast/em.hpp"

namespace moefast {

class EStep {
 public:
  // Samples and settings have to outlive it.
  EStep(const SamplePanels& samples, const EmSettings& settings, index_t k);
  ~EStep();

  // One pass; `out` is overwritten, in the memory it has. Not by two threads at once.
  void operator()(const MixtureParameters& parameters, const Assignment& assignment, PassSums sums,
                  const Poll& poll, EmStatistics& out);

 private:
  class Lane;
  struct Pass;
  std::unique_ptr<Lane> take_lane();

  const SamplePanels& samples_;
  const EmSettings& settings_;
  index_t n_lanes_, lane_rows_;
  std::vector<EmStatistics> lane_sums_;      // of all lanes, where there are several
  std::vector<std::unique_ptr<Lane>> idle_;  // as many as threads have worked at once
  std::mutex mutex_;                         // of idle_
};

}  // namespace moefast
