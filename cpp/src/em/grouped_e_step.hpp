// The E-step where rows come in groups, each of one expert: a subject that was seen more than once.
//
//     J_gi = sum_{n in g} log f_i(y_n | x_n),   r_gi = p_i(v_g) exp(J_gi) / sum_j p_j(v_g) exp(J_gj)
//     log-likelihood = sum_g w_g log sum_i p_i(v_g) exp(J_gi)
//
// It is made of E-steps of rows (em/e_step.hpp): groups are rows whose log-densities J are given, which
// yields the log-likelihood, the sums of the gates and r; and the rows with r_g(n) for responsibilities yield
// the sums of the experts. The annealed J and log p are multiplied by beta as those of rows are.
#pragma once

#include <vector>

#include "em/e_step.hpp"

namespace moefast {

class GroupedEStep final : public AnyEStep {
 public:
  // Samples, of data with groups, and settings have to outlive it.
  GroupedEStep(const SamplePanels& samples, const EmSettings& settings, index_t k);

  // In one sweep over the groups, and two over the rows.
  void operator()(const MixtureParameters& parameters, const Assignment& assignment, PassSums sums,
                  const Poll& poll, EmStatistics& out) override;

  const EmData& data() const override { return data_; }

 private:
  EmData rows() const;
  EmData groups();
  void take(const Assignment& assignment);
  void spread();

  const EmData& data_;
  index_t k_;
  // Of rows: log f_i, then responsibilities, n x k. Of groups: the gates' columns of their first rows,
  // weights, J, w r, and given responsibilities.
  std::vector<double> of_rows_, features_, weights_, joint_, shares_, given_;
  EmData rows_, groups_;  // rows have constant gates, groups no experts
  SamplePanels row_panels_, group_panels_;
  EStep row_step_, group_step_;
  EmStatistics group_sums_;
};

}  // namespace moefast
