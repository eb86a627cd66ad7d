// The end of a run by Newton's method, with the exact second derivatives of information.hpp. Near an optimum
// a step takes the objective as far as many iterations of EM, and a pass between costs less than one of EM.
#pragma once

#include <vector>

#include "moefast/em.hpp"

namespace moefast {

struct NewtonSettings {
  // On the decrement, what the next step would gain by the second derivatives, in the unit of the objective.
  double tol = 1e-6;
  int max_passes = 30;
  // Whether a step that is halved ends with the passes, too, and not up to 20 later.
  bool strict = false;
};

// What the second derivatives are like where they were last taken.
enum class Curvature {
  maximum,     // no direction in which the objective bends upwards
  indefinite,  // there is one, away from a stationary point
  saddle,      // there is one, and the gradient vanishes
  unknown      // not finite
};

struct NewtonResult {
  // n_iter counts steps. `converged` where the decrement is below NewtonSettings::tol and the gradient meets
  // EmSettings::gradient_tol, or nothing above rounding is left to gain; always at a maximum.
  EmResult at;
  double decrement = 0;
  Curvature curvature = Curvature::unknown;
  int n_passes = 0;       // over the rows
  int n_derivatives = 0;  // how often second derivatives were taken
};

// Rows from which second derivatives are taken in place of those of all: a sample.
struct Metric {
  const EmData* data = nullptr;
  double factor = 1;  // weight of all rows / weight of these
};

// From `start`, for experts that are not frozen, at temperature 1. The objective never falls. Second
// derivatives are taken at the start, and again where a step reduced the gradient little; in between they are
// improved by what the gradients show (BFGS). At a saddle the run goes a step along the direction that bends
// upwards most, to the side where the objective is higher, and ends there, for EM to take over.
NewtonResult newton_run(const EmData& data, const Metric& metric, MixtureParameters start,
                        const EmSettings& settings, const NewtonSettings& newton, const Poll& poll);

// The same on rows that nobody holds, with a metric, which has to be that of a sample.
NewtonResult newton_run(const RowStream& stream, const Metric& metric, MixtureParameters start,
                        const EmSettings& settings, const NewtonSettings& newton, const Poll& poll);

}  // namespace moefast
