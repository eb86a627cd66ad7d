#include "em/grouped_e_step.hpp"

#include <algorithm>

#include "em/counts.hpp"

namespace moefast {
namespace {

// A value of X in standard units.
double value_at(const EmData& data, index_t row, index_t j) {
  const index_t at = row * data.d + j;
  const double x = data.X ? data.X[at] : static_cast<double>(data.X32[at]);
  return data.centre ? (x - data.centre[j]) * data.inverse_scale[j] : x;
}

// With gates that say nothing, or experts that do not.
MixtureParameters experts_of(const MixtureParameters& p) {
  return {p.k,     p.expert_dim,   1,         p.experts, std::vector<double>(size(p.k)), p.variance,
          p.shape, p.n_predictors, p.cholesky};
}

MixtureParameters gates_of(const MixtureParameters& p) {
  const std::vector<double> ones(size(p.k), 1.0);
  return {p.k, 1, p.gate_dim, std::vector<double>(size(p.k)), p.gates, ones, ones};
}

}  // namespace

GroupedEStep::GroupedEStep(const SamplePanels& samples, const EmSettings& settings, index_t k)
    : data_(samples.data()),
      k_(k),
      of_rows_(size(data_.n * k)),
      rows_(rows()),
      groups_(groups()),
      row_panels_(rows_),
      group_panels_(groups_),
      row_step_(row_panels_, settings, k),
      group_step_(group_panels_, settings, k) {}

EmData GroupedEStep::rows() const {
  EmData rows = data_;
  rows.group_starts = nullptr;
  rows.n_groups = 0;
  rows.gate_columns.emplace();
  return rows;
}

EmData GroupedEStep::groups() {
  const index_t G = data_.n_groups, m = data_.gate_dim() - 1;
  features_.resize(size(G * m));
  weights_.resize(size(G));
  joint_.resize(size(G * k_));
  shares_.resize(size(G * k_));
  for (index_t g = 0; g < G; ++g) {
    const index_t row = data_.group_starts[g];
    weights_[size(g)] = data_.w[row];
    for (index_t j = 0; j < m; ++j) {
      features_[size(g * m + j)] =
          value_at(data_, row, data_.gate_columns ? (*data_.gate_columns)[size(j)] : j);
    }
  }
  EmData groups;
  groups.X = features_.data();
  groups.y = weights_.data();  // not read: there are log-densities
  groups.w = weights_.data();
  groups.log_densities = joint_.data();
  groups.n = G;
  groups.d = m;
  groups.expert_columns.emplace();
  return groups;
}

// The responsibilities of groups: of the first row of each.
void GroupedEStep::take(const Assignment& assignment) {
  given_.assign(size(data_.n_groups * k_), 0.0);
  for (index_t g = 0; g < data_.n_groups; ++g) {
    const index_t row = data_.group_starts[g];
    double* const given = given_.data() + g * k_;
    if (assignment.responsibilities) {
      std::copy_n(assignment.responsibilities + row * k_, k_, given);
    } else {
      given[expert_of(assignment.labels, row, k_)] = 1;
    }
  }
}

// Every row has the responsibilities of its group.
void GroupedEStep::spread() {
  for (index_t g = 0; g < data_.n_groups; ++g) {
    // A group of weight 0 counts for nothing, whoever is responsible.
    const double w = weights_[size(g)], inverse = w > 0 ? 1 / w : 0;
    double* const share = shares_.data() + g * k_;
    for (index_t i = 0; i < k_; ++i) share[i] *= inverse;
    for (index_t row = data_.group_starts[g]; row < data_.group_starts[g + 1]; ++row) {
      std::copy_n(share, k_, of_rows_.data() + row * k_);
    }
  }
}

void GroupedEStep::operator()(const MixtureParameters& parameters, const Assignment& assignment,
                              PassSums sums, const Poll& poll, EmStatistics& out) {
  const MixtureParameters experts = experts_of(parameters);
  row_step_.log_densities(experts, assignment, poll, of_rows_.data());
  std::fill(joint_.begin(), joint_.end(), 0.0);
  for (index_t g = 0; g < data_.n_groups; ++g) {
    double* const joint = joint_.data() + g * k_;
    for (index_t row = data_.group_starts[g]; row < data_.group_starts[g + 1]; ++row) {
      for (index_t i = 0; i < k_; ++i) joint[i] += of_rows_[size(row * k_ + i)];
    }
  }
  Assignment of_groups;
  if (assignment) {
    take(assignment);
    of_groups.responsibilities = given_.data();
  }
  group_step_(gates_of(parameters), of_groups, sums, poll, group_sums_, shares_.data());
  spread();
  const Assignment of_rows = {of_rows_.data(), nullptr, assignment.experts_unknown};
  row_step_(experts, of_rows, std::min(sums, PassSums::experts), poll, out);
  out.sums = sums;
  out.log_likelihood = group_sums_.log_likelihood;
  out.group_totals = group_sums_.totals;
  out.gate_slope = group_sums_.gate_slope;
  out.gate_products = group_sums_.gate_products;
}

}  // namespace moefast
