// EM as in the textbook: E-step and M-step in turn until the objective settles.
#include <cmath>
#include <cstdio>
#include <memory>
#include <stdexcept>
#include <string>
#include <utility>

#include "em/iteration.hpp"
#include "em/stream_e_step.hpp"
#include "moefast/em.hpp"

namespace moefast {
namespace {

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

}  // namespace

namespace {

EmResult run(AnyEStep& e_step, MixtureParameters start, const EmSettings& settings,
             const Assignment& assignment, const Poll& poll) {
  Iteration em(e_step, std::move(start), settings, assignment, poll);  // with the E-step at the start
  while (em.may_continue()) {
    em.propose();             // M-step
    if (!em.accept()) break;  // E-step there; held back until the objective does not fall
    if (em.settled() || em.beaten()) break;
  }
  return std::move(em).result();
}

}  // namespace

EmResult em_run(const SamplePanels& samples, MixtureParameters start, const EmSettings& settings,
                const Assignment& assignment, const Poll& poll) {
  const std::unique_ptr<AnyEStep> e_step = make_e_step(samples, settings, start.k);
  return run(*e_step, std::move(start), settings, assignment, poll);
}

EmResult em_run(const RowStream& stream, MixtureParameters start, const EmSettings& settings,
                const Poll& poll) {
  settings.check();
  StreamEStep e_step(stream, settings);
  return run(e_step, std::move(start), settings, {}, poll);
}

EmResult em_run(const EmData& data, MixtureParameters start, const EmSettings& settings,
                const Assignment& assignment, const Poll& poll) {
  settings.check();
  data.check(settings);
  return em_run(SamplePanels(data, data.grouped() ? 0 : SamplePanels::kMostKept), std::move(start), settings,
                assignment, poll);
}

void EmSettings::check() const {
  const auto require = [](bool ok, const char* name, const char* what, double value) {
    if (!ok) throw std::invalid_argument(std::string(name) + " must " + what + ", got " + number(value));
  };
  const auto not_negative = [&](const char* name, double value) {
    require(value >= 0, name, "not be negative", value);
  };
  not_negative("max_iter", max_iter);
  not_negative("tol", tol);
  not_negative("gradient_tol", gradient_tol);
  require(variance_floor > 0 && std::isfinite(variance_floor), "variance_floor", "be positive and finite",
          variance_floor);
  require(alpha >= 0 && std::isfinite(alpha), "alpha", "be finite and not negative", alpha);
  require(alpha_mean >= 0 && std::isfinite(alpha_mean), "alpha_mean", "be finite and not negative",
          alpha_mean);
  require(alpha_l1 >= 0 && std::isfinite(alpha_l1), "alpha_l1", "be finite and not negative", alpha_l1);
  require(gate_alpha >= 0 && std::isfinite(gate_alpha), "gate_alpha", "be finite and not negative",
          gate_alpha);
  require(inverse_temperature > 0 && inverse_temperature <= 1, "inverse_temperature", "lie in (0, 1]",
          inverse_temperature);
  require(!std::isnan(to_beat), "to_beat", "be a number", to_beat);
  if (link && !common_columns.empty())
    throw std::invalid_argument("common_columns need linear experts, without a link");
  if (alpha_l1 > 0 && (alpha_mean > 0 || !common_columns.empty() || (family && family->n_predictors() > 1)))
    throw std::invalid_argument(
        "alpha_l1 is for experts of one predictor and columns of their own, without alpha_mean");
  require(n_threads >= 1, "n_threads", "be at least 1", n_threads);
  if (!several_responses()) return;
  const auto q = static_cast<std::size_t>(family->n_responses());
  if (!common_columns.empty() || alpha_mean > 0 || alpha_l1 > 0)
    throw std::invalid_argument("common_columns, alpha_mean and alpha_l1 need one response");
  if (least_covariance.size() != q * q)
    throw std::invalid_argument("least_covariance must have " + std::to_string(q * q) + " numbers, got " +
                                std::to_string(least_covariance.size()));
}

void EmSettings::check_predictors(const EmData& data, const MixtureParameters& parameters) const {
  const index_t wanted = family ? family->n_predictors() : 1, responses = family ? family->n_responses() : 1;
  if (several_responses() != parameters.several_responses())
    throw std::invalid_argument("experts must have a covariance each, or none, as the family wants it");
  if (parameters.n_predictors != wanted)
    throw std::invalid_argument("experts must have " + std::to_string(wanted) + " row(s) an expert, got " +
                                std::to_string(parameters.n_predictors));
  if (data.n_responses != responses)
    throw std::invalid_argument("y must have " + std::to_string(responses) + " response(s), got " +
                                std::to_string(data.n_responses));
}

void EmData::check_columns() const {
  const auto require = [this](const std::optional<std::vector<index_t>>& columns, const char* name) {
    index_t least = 0;
    for (const index_t j : columns.value_or(std::vector<index_t>())) {
      if (j < least || j >= d) {
        throw std::invalid_argument(std::string(name) + " must be increasing columns of X, from 0 to " +
                                    std::to_string(d - 1) + ", got " + std::to_string(j));
      }
      least = j + 1;
    }
  };
  require(expert_columns, "expert_columns");
  require(gate_columns, "gate_columns");
}

void EmData::check_groups() const {
  if (!grouped()) return;
  bool good = n_groups >= 1 && group_starts[0] == 0 && group_starts[n_groups] == n;
  for (index_t g = 0; good && g < n_groups; ++g) good = group_starts[g] < group_starts[g + 1];
  if (!good) {
    throw std::invalid_argument("group_starts must increase from 0 to the number of rows, " +
                                std::to_string(n));
  }
}

void EmData::check(const EmSettings& settings) const {
  index_t least = 0;
  for (const index_t j : settings.common_columns) {
    if (j < least || j >= expert_dim()) {
      throw std::invalid_argument("common_columns must be increasing columns of the experts, from 0 to " +
                                  std::to_string(expert_dim() - 1) + ", got " + std::to_string(j));
    }
    least = j + 1;
  }
  if (means && log_densities) throw std::invalid_argument("give either means or log_densities, not both");
  if (log_densities && settings.update_noise) {
    throw std::invalid_argument("update_noise must be false with log_densities: there is no noise to fit");
  }
}

}  // namespace moefast
