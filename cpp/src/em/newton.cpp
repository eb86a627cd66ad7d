// theta as in information.hpp; its objective f is the log-likelihood less the ridges, g its gradient, H the
// second derivative. In units of 1 / sqrt(-H_aa), M stands for (-H)^-1, and
//
//     step p = M g,   decrement g'p / 2,   theta + t p for t = 1, 1/2, ... until f does not fall
//
// Parameters that are not free (theta.hpp) are left out, and so are directions in which nothing bends: linear
// dependent columns, which g does not have either. With s = t p and q = g before - g after, BFGS has
// M <- (I - s q' / s'q) M (I - q s' / s'q) + s s' / s'q.
#include "moefast/newton.hpp"

#include <Eigen/Core>
#include <algorithm>
#include <cmath>
#include <stdexcept>
#include <utility>

#include "em/e_step.hpp"
#include "em/m_step.hpp"
#include "em/polled_factors.hpp"
#include "em/stream_e_step.hpp"
#include "em/theta.hpp"
#include "matrices.hpp"
#include "moefast/information.hpp"

namespace moefast {
namespace {

using Eigen::Index, Eigen::MatrixXd, Eigen::VectorXd;

constexpr int kMostHalvings = 20;
// Of the largest eigenvalue in units of the diagonal: below it nothing bends, above it minus this something
// bends upwards.
constexpr double kFlat = 1e-10, kUpwards = 1e-8;
// sqrt(-H_aa), of the largest: what bends less has no unit of its own. Off a saddle more counts: the gates of
// experts that are the same do not bend at all, and have to move with the experts.
constexpr double kLeastBend = 1e-4, kLeastBendOffSaddle = 0.1;
// Second derivatives are taken anew unless a step left no more than this of the decrement.
constexpr double kGoodReduction = 0.1;
// The gradient, as in EmResult, of a point that is taken for a saddle.
constexpr double kStationary = 1e-4;
// What a step away from a saddle gains by the second derivatives, for rows of weight 1, to begin with; and
// how often it is made four times shorter where the objective falls.
constexpr double kGainOffSaddle = 1;
constexpr int kShorterOffSaddle = 8;

struct Point {
  MixtureParameters parameters;
  EmStatistics stats;
  double objective = 0;
  VectorXd gradient;
};

class Newton {
 public:
  Newton(AnyEStep& e_step, const Metric& metric, const EmSettings& settings, const NewtonSettings& newton,
         const Poll& poll, MixtureParameters start)
      : data_(e_step.data()),
        metric_(metric),
        settings_(settings),
        newton_(newton),
        poll_(poll),
        e_step_(e_step),
        m_step_(data_, e_step.weight(), settings, poll),
        theta_(ThetaLayout(start, settings, data_.one_design()), settings, m_step_.covariance()),
        now_(at(theta_.put_on_bounds(std::move(start)))) {
    result_.at.trace.push_back(now_.objective);
  }

  NewtonResult run() && {
    bool stale = true, fresh = false;  // whether M is to be taken anew, and whether it is that of this point
    while (true) {
      if (!std::isfinite(now_.objective) || !now_.gradient.allFinite()) {
        result_.at.status = Status::degenerate;
        break;
      }
      if (stale || theta_.free(now_.parameters, now_.gradient) != free_) {
        if (!take_metric()) break;
        stale = false, fresh = true;
      }
      const bool arrived = result_.decrement <= newton_.tol && gradient() <= settings_.gradient_tol;
      if (arrived && newton_.strict && !fresh) {
        stale = true;  // those of the sample, far from where they were taken, may have promised too much
        continue;
      }
      if (arrived) {
        result_.at.status = Status::converged;
        break;
      }
      if (result_.n_passes >= newton_.max_passes) break;
      const double before = result_.decrement;
      if (step()) {
        // A sample's second derivatives stay what they are: what steps have taught is worth more.
        stale = !metric_.data && !(result_.decrement <= kGoodReduction * before), fresh = false;
      } else if (!fresh) {
        stale = true;
      } else {
        if (result_.decrement <= rounding()) result_.at.status = Status::converged;
        break;
      }
    }
    EmResult& out = result_.at;
    out.log_likelihood = now_.stats.log_likelihood;
    out.gradient = gradient();
    out.n_iter = static_cast<int>(out.trace.size()) - 1;
    out.totals = std::move(now_.stats.totals);
    out.parameters = std::move(now_.parameters);
    return std::move(result_);
  }

 private:
  int most_passes() const { return newton_.max_passes + (newton_.strict ? 0 : kMostHalvings); }
  double gradient() const { return m_step_.gradient(now_.parameters, now_.stats); }
  double rounding() const { return m_step_.rounding(now_.objective); }

  Point at(MixtureParameters p) {
    ++result_.n_passes;
    Point point{std::move(p), {}, 0, {}};
    e_step_(point.parameters, {}, PassSums::gradient, poll_, point.stats);
    point.objective = m_step_.objective(point.parameters, point.stats);
    point.gradient = theta_.gradient(point.parameters, point.stats);
    return point;
  }

  // -H, with the ridges.
  MatrixXd bends() {
    ++result_.n_derivatives;
    const MixtureParameters& p = now_.parameters;
    const EmData& rows = metric_.data ? *metric_.data : data_;
    const Information found = information(rows, p, settings_, poll_, false);
    const index_t P = theta_.layout().n_parameters();
    MatrixXd bends = -metric_.factor * Eigen::Map<const MatrixXd>(found.hessian.data(), P, P);
    theta_.add_ridges(p, bends);
    return bends;
  }

  VectorXd free_gradient() const {
    VectorXd g(static_cast<Index>(free_.size()));
    for (std::size_t a = 0; a < free_.size(); ++a) g[static_cast<Index>(a)] = now_.gradient[free_[a]];
    return g;
  }

  // 1 / sqrt(|-H_aa|), or where this is less than `least` times the largest of them, of that.
  static VectorXd units(const MatrixXd& bends, double least) {
    const VectorXd roots = bends.diagonal().cwiseAbs().cwiseSqrt();
    const double bound = roots.size() > 0 ? least * roots.maxCoeff() : 0;
    if (!(bound > 0)) return VectorXd::Zero(roots.size());
    return roots.cwiseMax(bound).cwiseInverse();
  }

  // Takes M from the second derivatives here. False where something bends upwards, a saddle is left then, and
  // where something is not finite.
  bool take_metric() {
    free_ = theta_.free(now_.parameters, now_.gradient);
    const MatrixXd all = bends();
    const Index m = static_cast<Index>(free_.size());
    MatrixXd A(m, m);
    for (Index b = 0; b < m; ++b)
      for (Index a = 0; a < m; ++a)
        A(a, b) = all(free_[static_cast<std::size_t>(a)], free_[static_cast<std::size_t>(b)]);
    if (!A.allFinite()) {
      result_.curvature = Curvature::unknown;
      return false;
    }
    const MatrixXd own_units = A;
    const VectorXd unit = units(own_units, kLeastBend);
    A = unit.asDiagonal() * own_units * unit.asDiagonal();
    result_.curvature = Curvature::maximum;
    MatrixXd factor = A;
    const bool plain =
        cholesky_in_place(factor) && (m == 0 || factor.diagonal().cwiseAbs2().minCoeff() > kUpwards);
    if (plain) {
      M_ = unit.asDiagonal() * inverse_of_cholesky(factor) * unit.asDiagonal();
    } else {
      const SymmetricEigen eigen = symmetric_eigen(A);
      const VectorXd& values = eigen.values;
      const double top = values.cwiseAbs().maxCoeff();
      if (values[0] < -kUpwards * top) {
        result_.curvature = gradient() <= kStationary ? Curvature::saddle : Curvature::indefinite;
        if (result_.curvature == Curvature::saddle) leave(own_units);
        return false;
      }
      const VectorXd inverse = (values.array() > kFlat * top).select(values.array().inverse(), 0.0);
      const MatrixXd vectors = unit.asDiagonal() * eigen.vectors;
      M_ = product(vectors * inverse.asDiagonal(), vectors.transpose());
    }
    aim();
    return true;
  }

  // The next direction and its decrement.
  void aim() {
    const VectorXd g = free_gradient();
    direction_ = times_vector(M_, g);
    result_.decrement = 0.5 * g.dot(direction_);
  }

  MixtureParameters moved(const VectorXd& direction, double t) const {
    VectorXd change = VectorXd::Zero(theta_.layout().n_parameters());
    for (std::size_t a = 0; a < free_.size(); ++a) change[free_[a]] = t * direction[static_cast<Index>(a)];
    return theta_.moved(now_.parameters, std::move(change));
  }

  // Takes the step, halved until the objective does not fall; false where it always does.
  bool step() {
    double t = 1;
    for (int halving = 0; halving <= kMostHalvings; ++halving, t /= 2) {
      if (result_.n_passes >= most_passes()) return false;
      Point next = at(moved(direction_, t));
      // Within rounding the gradient has to shrink: else steps would never end.
      const bool better = next.objective > now_.objective ||
                          (next.objective >= now_.objective - rounding() &&
                           m_step_.gradient(next.parameters, next.stats) < 0.5 * gradient());
      if (!better) {
        if (result_.decrement <= rounding()) return false;
        continue;
      }
      const VectorXd g = free_gradient(), s = t * direction_;
      now_ = std::move(next);
      result_.at.trace.push_back(now_.objective);
      learn(s, g - free_gradient());
      aim();
      return true;
    }
    return false;
  }

  void learn(const VectorXd& s, const VectorXd& q) {
    const double sq = s.dot(q);
    if (!(sq > 1e-8 * s.norm() * q.norm())) return;
    const VectorXd Mq = times_vector(M_, q);
    M_ += ((1 + q.dot(Mq) / sq) / sq) * s * s.transpose() - (Mq * s.transpose() + s * Mq.transpose()) / sq;
  }

  // A step in the direction that bends upwards most, to the better side.
  void leave(const MatrixXd& bends) {
    const VectorXd unit = units(bends, kLeastBendOffSaddle);
    const SymmetricEigen eigen = symmetric_eigen(unit.asDiagonal() * bends * unit.asDiagonal());
    const VectorXd direction = unit.cwiseProduct(eigen.vectors.col(0));
    const double bend = -eigen.values[0];
    if (!(bend > 0)) return;
    const double weight_per_row = m_step_.weight() / static_cast<double>(data_.n);
    const double first = std::sqrt(2 * kGainOffSaddle * weight_per_row / bend);
    Point best = now_;
    for (const double side : {1.0, -1.0}) {
      double t = side * first;
      for (int shorter = 0; shorter <= kShorterOffSaddle; ++shorter, t /= 4) {
        if (newton_.strict && result_.n_passes >= newton_.max_passes) break;
        Point next = at(moved(direction, t));
        if (!(next.objective > now_.objective)) continue;
        if (next.objective > best.objective) best = std::move(next);
        break;
      }
    }
    if (!(best.objective > now_.objective)) return;
    now_ = std::move(best);
    result_.at.trace.push_back(now_.objective);
  }

  const EmData& data_;
  const Metric metric_;
  const EmSettings& settings_;
  const NewtonSettings& newton_;
  const Poll& poll_;
  AnyEStep& e_step_;
  const MStep m_step_;
  const Theta theta_;
  NewtonResult result_;
  Point now_;
  std::vector<index_t> free_;  // the parameters that M is about
  MatrixXd M_;
  VectorXd direction_;
};

void refuse_lasso(const EmSettings& settings) {
  if (settings.alpha_l1 > 0)
    throw std::invalid_argument("Newton's method is for objectives that are smooth, without alpha_l1");
}

}  // namespace

NewtonResult newton_run(const EmData& data, const Metric& metric, MixtureParameters start,
                        const EmSettings& settings, const NewtonSettings& newton, const Poll& poll) {
  settings.check();
  data.check(settings);
  if (data.frozen() || settings.inverse_temperature != 1)
    throw std::invalid_argument("Newton's method is for experts that are fitted, at temperature 1");
  refuse_lasso(settings);
  const SamplePanels panels(data);
  EStep e_step(panels, settings, start.k);
  return Newton(e_step, metric, settings, newton, poll, std::move(start)).run();
}

NewtonResult newton_run(const RowStream& stream, const Metric& metric, MixtureParameters start,
                        const EmSettings& settings, const NewtonSettings& newton, const Poll& poll) {
  settings.check();
  refuse_lasso(settings);
  if (!metric.data)
    throw std::invalid_argument("second derivatives of a stream have to be those of a sample");
  StreamEStep e_step(stream, settings);
  return Newton(e_step, metric, settings, newton, poll, std::move(start)).run();
}

}  // namespace moefast
