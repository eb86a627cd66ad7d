#include "em/iteration.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace moefast {
namespace {

constexpr int kMaxHalvings = 30;
// Levenberg-Marquardt damping of a step with a link, relative to the mean of the Gram matrix's diagonal:
// raised by kMoreDamping from kLeastDamping with each rejected step, lowered by kLessDamping with an accepted
// one.
constexpr double kLeastDamping = 1e-4, kMoreDamping = 10, kLessDamping = 0.2;
// With more damping than this a small gain says nothing about having arrived.
constexpr double kSettledDamping = 0.1;
// Steps are accelerated once the mean objective gains no more than this an iteration: the iterations before
// choose the basin and pass saddles, where acceleration would stop. On 320 runs from random starts on two
// data sets 4 ended lower and 5 higher than without, in 0.7 of the time; with 1e-3 it was 21 and 22 in 0.6 of
// the time.
constexpr double kTailGain = 1e-5;
// A relative gain that is nothing but rounding.
constexpr double kNoGain = 1e-15;
// When a run counts as beaten. Gains often fall more slowly later on, or grow again where EM passes a saddle:
// it may still gain kDoubt times what its falling gains add up to, and has to look beaten so many times in a
// row, with gains in the mean objective no larger than kSettledGain. On the moves of 20 searches on three
// tables and simulated data 16 % (airfoil) to 45 % (concrete, three experts) of the iterations after the
// first 25 were those of runs that look so by then, and 0 to 6 % of what the moves gained was; a doubt of 20
// spares 5 to 27 % of the iterations.
constexpr double kDoubt = 5;
// Of the mean objective: what a forecast may be off by near the end.
constexpr double kForecastError = 1e-7;
constexpr int kBeatenInARow = 4;
constexpr double kSettledGain = 1e-3;

void move_gates(MixtureParameters& p, const std::vector<double>& from, const std::vector<double>& direction,
                double step) {
  for (std::size_t i = 0; i < p.gates.size(); ++i) p.gates[i] = from[i] + step * direction[i];
}

// experts, gates, logarithms of the variances and shapes, numbers of covariances, in one vector
Eigen::VectorXd to_vector(const MixtureParameters& p, const ResponseCovariance& covariance) {
  const auto view = [](const std::vector<double>& v) {
    return Eigen::Map<const Eigen::VectorXd>(v.data(), static_cast<Eigen::Index>(v.size()));
  };
  const index_t n_numbers = p.several_responses() ? covariance.n_numbers() : 0;
  std::vector<double> numbers(static_cast<std::size_t>(p.k * n_numbers));
  for (index_t i = 0; n_numbers > 0 && i < p.k; ++i) covariance.read(p, i, numbers.data() + i * n_numbers);
  Eigen::VectorXd theta(static_cast<Eigen::Index>(p.experts.size() + p.gates.size() + p.variance.size() +
                                                  p.shape.size() + numbers.size()));
  theta << view(p.experts), view(p.gates), view(p.variance).array().log().matrix(),
      view(p.shape).array().log().matrix(), view(numbers);
  return theta;
}

// Back, with variances and covariances at the floor or above it, and shapes where the family wants them.
void from_vector(const Eigen::VectorXd& theta, const EmSettings& settings,
                 const ResponseCovariance& covariance, MixtureParameters& p) {
  const double* from = theta.data();
  for (double& x : p.experts) x = *from++;
  for (double& x : p.gates) x = *from++;
  for (double& v : p.variance) {
    if (settings.fits_scale() && !p.several_responses())
      v = std::max(settings.variance_floor, std::exp(*from));
    ++from;
  }
  if (p.several_responses() && settings.fits_scale()) {
    from += p.shape.size();
    for (index_t i = 0; i < (settings.shared_noise ? 1 : p.k); ++i)
      covariance.write(from + i * covariance.n_numbers(), i, p);
  }
  if (!settings.fits_shape()) return;
  const Family& family = *settings.family;
  for (double& shape : p.shape)
    shape = std::clamp(std::exp(*from++), family.least_shape(), family.largest_shape());
}

}  // namespace

Iteration::Iteration(AnyEStep& e_step, MixtureParameters start, const EmSettings& settings,
                     const Assignment& assignment, const Poll& poll)
    : settings_(settings),
      poll_(poll),
      e_step_(e_step),
      m_step_(e_step.data(), e_step.weight(), settings, poll) {
  current_.parameters = std::move(start);
  if (assignment) {
    MixtureParameters& p = current_.parameters;
    Assignment first = assignment;
    first.experts_unknown = true;
    if (settings.family) std::fill(p.experts.begin(), p.experts.end(), 0.0);
    e_step_(p, first, PassSums::all, poll, current_.stats);
    m_step_.gate_direction(p, current_.stats, gate_direction_);
    move_gates(p, std::vector<double>(p.gates), gate_direction_, 1);
    m_step_.update_experts(p, current_.stats);
  }
  evaluate(current_);
  trace_.push_back(current_.objective);
}

void Iteration::evaluate(Point& point) {
  e_step_(point.parameters, {}, wanted(), poll_, point.stats);
  point.objective = m_step_.objective(point.parameters, point.stats);
}

// Where no iteration follows there is no M-step to make products for.
PassSums Iteration::wanted() const {
  if (static_cast<int>(trace_.size()) >= settings_.max_iter) return PassSums::gradient;
  return trace_.empty() || m_step_.metric().due() ? PassSums::all : PassSums::experts;
}

double Iteration::mean_size() const { return std::abs(current_.objective / m_step_.weight()); }

bool Iteration::may_continue() {
  if (static_cast<int>(trace_.size()) > settings_.max_iter) return false;
  if (std::isfinite(current_.objective)) return true;
  status_ = Status::degenerate;
  return false;
}

void Iteration::propose() {
  if (poll_) poll_();  // a pass may be too short for its own
  m_step_.gate_direction(current_.parameters, current_.stats, gate_direction_);
  proposal_ = current_.parameters;
  m_step_.update_experts(proposal_, current_.stats, damping_);
  move_gates(proposal_, current_.parameters.gates, gate_direction_, 1);
}

bool Iteration::accept() {
  const double rounding = m_step_.rounding(current_.objective);
  if (!leap()) halve(rounding);
  if (!(next_.objective >= current_.objective - rounding)) {
    status_ = std::isfinite(next_.objective) ? Status::converged : Status::degenerate;
    return false;
  }
  previous_gain_ = gain_;
  gain_ = (next_.objective - current_.objective) / m_step_.weight();
  std::swap(current_, next_);
  trace_.push_back(current_.objective);
  return true;
}

bool Iteration::tries_to_leap() const {
  return settings_.accelerate && damping_ == 0 && trace_.size() > 1 && gain_ <= kTailGain && !settled_;
}

// True when next_ is where Anderson acceleration leads to and the objective there is no lower.
bool Iteration::leap() {
  if (!tries_to_leap() || !tail_.propose(to_vector(current_.parameters, m_step_.covariance()),
                                         to_vector(proposal_, m_step_.covariance()), far_)) {
    return false;
  }
  MixtureParameters& p = next_.parameters;
  p = proposal_;
  from_vector(far_, settings_, m_step_.covariance(), p);
  for (std::size_t j = 0; settings_.alpha_l1 > 0 && j < p.experts.size(); ++j)
    if (proposal_.experts[j] == 0) p.experts[j] = 0;  // what the lasso has left out stays out
  if (settings_.shared_noise) {
    std::fill(p.variance.begin(), p.variance.end(), p.variance[0]);
    std::fill(p.shape.begin(), p.shape.end(), p.shape[0]);
  }
  evaluate(next_);
  if (next_.objective >= current_.objective) return true;  // not so for NaN
  tail_.forget();
  return false;
}

// Experts and noise alone cannot lower the objective, nor can the noise alone where there is a link: so
// halving the gates' step and damping that of the experts ends well; what is left then is rounding, and the
// run has arrived. With a family all of the step is halved: its direction is one of ascent. Several normal
// responses are as one.
void Iteration::halve(double rounding) {
  double step = 1;
  Eigen::VectorXd from, whole;
  const ResponseCovariance& covariance = m_step_.covariance();
  const bool all = settings_.family && !settings_.several_responses();
  if (all) {
    from = to_vector(current_.parameters, covariance);
    whole = to_vector(proposal_, covariance) - from;
  }
  for (int halving = 0; halving <= kMaxHalvings; ++halving, step /= 2) {
    if (halving > 0) {
      tail_.forget();
      m_step_.metric().step_was_halved();
      const double size = halving < kMaxHalvings ? step : 0;
      move_gates(proposal_, current_.parameters.gates, gate_direction_, size);
      if (all) from_vector(from + size * whole, settings_, covariance, proposal_);
    }
    next_.parameters = proposal_;
    evaluate(next_);
    if (next_.objective >= current_.objective - rounding) {
      if (halving == 0) damping_ = damping_ > kLeastDamping ? damping_ * kLessDamping : 0;
      return;
    }
    if (settings_.link) {
      damping_ = std::max(kLeastDamping, damping_ * kMoreDamping);
      proposal_.experts = current_.parameters.experts;
      m_step_.update_experts(proposal_, current_.stats, damping_);
    }
  }
}

bool Iteration::settled() {
  was_settled_ = settled_;
  settled_ = gain_ <= settings_.tol * std::max(1.0, mean_size()) && damping_ <= kSettledDamping &&
             m_step_.gradient(current_.parameters, current_.stats) <= settings_.gradient_tol;
  // Twice in a row, and falling: a small gain that grows is a run leaving a saddle (experts that are nearly
  // the same), not one arriving.
  const bool arrived =
      (settled_ && was_settled_ && gain_ <= previous_gain_) || gain_ <= kNoGain * mean_size();
  if (arrived) status_ = Status::converged;
  return arrived;
}

// Aitken's extrapolation: gains that fall by the factor rate lead to objective + gain rate / (1 - rate).
// Gains that grow are those of a run leaving a saddle: nobody knows where it goes.
bool Iteration::beaten() {
  const double weight = m_step_.weight(), gain = gain_ * weight, previous = previous_gain_ * weight;
  bool looks_beaten = gain < previous && gain <= kSettledGain * weight;
  if (looks_beaten) {
    const double rate = std::max(0.0, gain / previous);
    looks_beaten =
        current_.objective + kDoubt * gain * rate / (1 - rate) + kForecastError * weight < settings_.to_beat;
  }
  times_beaten_ = looks_beaten ? times_beaten_ + 1 : 0;
  if (times_beaten_ < kBeatenInARow) return false;
  status_ = Status::beaten;
  return true;
}

EmResult Iteration::result() && {
  EmResult out;
  out.log_likelihood = current_.stats.log_likelihood;
  out.gradient = m_step_.gradient(current_.parameters, current_.stats);
  out.parameters = std::move(current_.parameters);
  out.totals = std::move(current_.stats.totals);
  out.n_iter = static_cast<int>(trace_.size()) - 1;
  out.trace = std::move(trace_);
  out.status = status_;
  return out;
}

}  // namespace moefast
