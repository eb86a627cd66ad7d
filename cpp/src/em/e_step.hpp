// E-steps on the same samples, one after another: what they need of memory is taken once.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <vector>

#include "em/sample_panels.hpp"
#include "moefast/em.hpp"
#include "moefast/parallel.hpp"

namespace moefast {

// Of rows by themselves (EStep), or of groups of rows (em/grouped_e_step.hpp).
class AnyEStep {
 public:
  virtual ~AnyEStep() = default;

  // One E-step; `out` is overwritten, in the memory it has. Not by two threads at once.
  virtual void operator()(const MixtureParameters& parameters, const Assignment& assignment, PassSums sums,
                          const Poll& poll, EmStatistics& out) = 0;

  // What the rows are like; those of a stream are not there themselves.
  virtual const EmData& data() const = 0;
  // sum_n w
  virtual double weight() const;
};

// The one that the samples ask for. They and the settings have to outlive it.
std::unique_ptr<AnyEStep> make_e_step(const SamplePanels& samples, const EmSettings& settings, index_t k);

// The expert of a row. The array is the caller's and may change under our hands: it is read once, and what
// was read is what is checked.
index_t expert_of(const std::int32_t* labels, index_t row, index_t k);

class EStep final : public AnyEStep {
 public:
  // Samples and settings have to outlive it.
  EStep(const SamplePanels& samples, const EmSettings& settings, index_t k);
  ~EStep() override;

  const EmData& data() const override { return samples_.data(); }

  // In one pass.
  void operator()(const MixtureParameters& parameters, const Assignment& assignment, PassSums sums,
                  const Poll& poll, EmStatistics& out) override;

  // The same; row_weights, n x k: w r_i of each row.
  void operator()(const MixtureParameters& parameters, const Assignment& assignment, PassSums sums,
                  const Poll& poll, EmStatistics& out, double* row_weights);

  // out, n x k: log f_i(y | x), without the gates. Of an assignment it matters whether experts are known.
  void log_densities(const MixtureParameters& parameters, const Assignment& assignment, const Poll& poll,
                     double* out);

 private:
  class Lane;
  struct Pass;
  std::unique_ptr<Lane> take_lane();
  // Calls work(lane, number, first row, the row after the last) for every lane.
  using LaneWork = std::function<void(Lane&, index_t, index_t, index_t, Checkpoint&)>;
  void for_lanes(index_t k, const Poll& poll, const LaneWork& work);

  const SamplePanels& samples_;
  const EmSettings& settings_;
  index_t n_lanes_, lane_rows_;
  std::vector<EmStatistics> lane_sums_;      // of all lanes, where there are several
  std::vector<std::unique_ptr<Lane>> idle_;  // as many as threads have worked at once
  std::mutex mutex_;                         // of idle_
};

}  // namespace moefast
