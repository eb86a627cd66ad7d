// The E-step, one pass over the samples: chunk by chunk, transposed so that samples lie along the vectors.
//
//     scores = [g(a_i.u) | W_i.v]  ->  weights of each sum (kernels/expectation.hpp)
//              or log f(y | a_i.u), with a family, in place of g
//     sums   = weights times u_a u_b and v_a v_b  (kernels/dot_update.hpp)
//
// Panels are those of sample_panels.hpp, and as wide. Where experts and gates see the same columns V is U,
// and each kernel makes scores and sums of both in one sweep.
#include "em/e_step.hpp"

#include <algorithm>
#include <stdexcept>
#include <string>
#include <utility>

#include "em/e_step_lane.hpp"
#include "em/grouped_e_step.hpp"
#include "moefast/parallel.hpp"

namespace moefast {
namespace {

void reset(EmStatistics& s, const EmData& data, const MixtureParameters& p, const ProductColumns& columns) {
  const index_t k = p.k;
  s.log_likelihood = 0;
  s.totals.assign(size(k), 0);
  s.squares.assign(size(k * p.n_squares()), 0);
  s.residuals.assign(p.experts.size(), 0);
  s.gate_slope.assign(size(k * data.gate_dim()), 0);
  s.shape_slopes.assign(size(k), 0);
  s.shape_curvatures.assign(size(k), 0);
  s.products.assign(size(columns.own_size(data)), 0);
  s.gate_products.assign(size(columns.gate_size(data)), 0);
}

void add(std::vector<double>& to, const std::vector<double>& from) {
  for (std::size_t i = 0; i < to.size(); ++i) to[i] += from[i];
}

}  // namespace

index_t expert_of(const std::int32_t* labels, index_t row, index_t k) {
  const std::int32_t value = static_cast<const volatile std::int32_t*>(labels)[row];
  if (value >= 0 && value < k) return value;
  throw std::invalid_argument("labels must be from 0 to " + std::to_string(k - 1) + ", got " +
                              std::to_string(value));
}

double AnyEStep::weight() const {
  const EmData& rows = data();
  double sum = 0;
  for (index_t i = 0; i < rows.n; ++i) sum += rows.w[i];
  return sum;
}

std::unique_ptr<AnyEStep> make_e_step(const SamplePanels& samples, const EmSettings& settings, index_t k) {
  if (samples.data().grouped()) return std::make_unique<GroupedEStep>(samples, settings, k);
  return std::make_unique<EStep>(samples, settings, k);
}

EStep::EStep(const SamplePanels& samples, const EmSettings& settings, index_t k)
    : samples_(samples), settings_(settings) {
  const EmData& data = samples.data();
  // Of all sums, whichever a pass makes: rows are cut at the same places then.
  const ProductColumns all(data, k, PassSums::all);
  n_lanes_ = n_lanes(data.n, all.own_size(data) + all.gate_size(data));
  // Whole chunks a lane.
  const index_t chunk = SamplePanels::kChunk;
  lane_rows_ = ((data.n + n_lanes_ - 1) / n_lanes_ + chunk - 1) / chunk * chunk;
  if (n_lanes_ > 1) lane_sums_.resize(static_cast<std::size_t>(n_lanes_));
}

EStep::~EStep() = default;

std::unique_ptr<EStep::Lane> EStep::take_lane() {
  const std::lock_guard<std::mutex> lock(mutex_);
  if (idle_.empty()) return nullptr;
  std::unique_ptr<Lane> lane = std::move(idle_.back());
  idle_.pop_back();
  return lane;
}

void EStep::for_lanes(index_t k, const Poll& poll, const LaneWork& work) {
  const index_t n = samples_.data().n;
  const int threads = n < kRowsForThreads ? 1 : settings_.usable_threads();
  parallel_for(n_lanes_, threads, poll, [&](index_t i, Checkpoint& checkpoint) {
    std::unique_ptr<Lane> lane = take_lane();
    if (!lane) lane = std::make_unique<Lane>(samples_, settings_, k);
    work(*lane, i, std::min(n, i * lane_rows_), std::min(n, (i + 1) * lane_rows_), checkpoint);
    const std::lock_guard<std::mutex> lock(mutex_);
    idle_.push_back(std::move(lane));
  });
}

void EStep::log_densities(const MixtureParameters& parameters, const Assignment& assignment, const Poll& poll,
                          double* out) {
  const EmData& data = samples_.data();
  if (!data.frozen()) settings_.check_predictors(data, parameters);
  const Pass pass(parameters, assignment, ProductColumns(data, parameters.k, PassSums::gradient), data);
  for_lanes(parameters.k, poll,
            [&](Lane& lane, index_t, index_t first, index_t last, Checkpoint& checkpoint) {
              lane.log_densities(pass, first, last, out, checkpoint);
            });
}

void EStep::operator()(const MixtureParameters& parameters, const Assignment& assignment, PassSums sums,
                       const Poll& poll, EmStatistics& out) {
  (*this)(parameters, assignment, sums, poll, out, nullptr);
}

void EStep::operator()(const MixtureParameters& parameters, const Assignment& assignment, PassSums sums,
                       const Poll& poll, EmStatistics& out, double* row_weights) {
  const EmData& data = samples_.data();
  const index_t k = parameters.k;
  const ProductColumns columns(data, k, sums);
  if (!data.frozen()) settings_.check_predictors(data, parameters);
  Pass pass(parameters, assignment, columns, data);
  pass.row_weights = row_weights;
  for_lanes(k, poll, [&](Lane& lane, index_t i, index_t first, index_t last, Checkpoint& checkpoint) {
    EmStatistics& own = n_lanes_ > 1 ? lane_sums_[i] : out;
    reset(own, data, parameters, columns);
    lane.sum(pass, first, last, own, checkpoint);
  });
  out.sums = sums;
  if (n_lanes_ == 1) return;
  reset(out, data, parameters, columns);
  for (const EmStatistics& lane : lane_sums_) {
    out.log_likelihood += lane.log_likelihood;
    add(out.totals, lane.totals);
    add(out.squares, lane.squares);
    add(out.residuals, lane.residuals);
    add(out.gate_slope, lane.gate_slope);
    add(out.shape_slopes, lane.shape_slopes);
    add(out.shape_curvatures, lane.shape_curvatures);
    add(out.products, lane.products);
    add(out.gate_products, lane.gate_products);
  }
}

EmStatistics e_step(const EmData& data, const MixtureParameters& parameters, const EmSettings& settings,
                    const Assignment& assignment, const Poll& poll, PassSums sums) {
  const SamplePanels samples(data, 0);  // for one pass there is nothing to keep
  EmStatistics out;
  (*make_e_step(samples, settings, parameters.k))(parameters, assignment, sums, poll, out);
  return out;
}

}  // namespace moefast
