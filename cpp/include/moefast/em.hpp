// EM for the mixture of experts
//
//     P(y | x) = sum_i p_i(x) N(y | g(a_i.x + b_i), s_i^2),   p(x) = softmax(W x + c),   last gate row = 0
//
// or with the law f(y | a_i.x + b_i) of another family (family.hpp) in place of N; of several responses y
// with N_q(y | A_i x + b_i, Sigma_i).
//
// One pass over the samples, the E-step, gives every statistic of an iteration (e_step.cpp), and the M-step
// makes new parameters of them (m_step.cpp); an iteration accepts these or holds them back (iteration.cpp),
// and a run repeats iterations (em_run.cpp). Experts are linear in u = (x, 1) and gates in v = (x, 1), each
// with the columns of X that they see, the constant last.
#pragma once

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "moefast/family.hpp"
#include "moefast/link.hpp"
#include "moefast/types.hpp"

namespace moefast {

// Below this many rows a pass runs on one thread: starting threads costs more than it brings.
constexpr index_t kRowsForThreads = 8192;

struct EmSettings;

// One column of X: 64-bit or 32-bit numbers, n of them beside each other. One of the two is set.
struct Column {
  const double* values = nullptr;
  const float* values32 = nullptr;
};

// Not owned. Rows of weight zero are allowed and count for nothing. Experts may be frozen: at most one of the
// last two is set, experts are then neither read nor updated, and their sums stay 0.
struct EmData {
  const double* X = nullptr;           // n x d, row-major
  const float* X32 = nullptr;          // the same in place of X
  std::vector<Column> by_column = {};  // or d columns in their place, for rows that are not in groups
  // d: where both are set, x in what follows is (X - centre) * inverse_scale, made as rows are read.
  const double* centre = nullptr;
  const double* inverse_scale = nullptr;
  const double* y = nullptr;  // n, or n_responses x n: a row each
  const double* w = nullptr;  // n
  // n each, read where there is a family: what is added to the predictors of all experts (null: 0); what
  // ResponseRows says; and the predictor that would fit y alone, less the offset, from which the first step
  // of a run from an assignment is taken.
  const double *offset = nullptr, *trials = nullptr, *row_term = nullptr, *first_predictor = nullptr;
  // n x k: predictions of experts with normal noise, of any link; the noise is theirs and may be updated.
  const double* means = nullptr;
  // n x k: log f_i(y_n | x_n) of any laws; there is no noise to update, y and variance are not read.
  const double* log_densities = nullptr;
  index_t n = 0;
  index_t d = 0;
  index_t n_responses = 1;
  // n_groups + 1, from 0 to n, increasing, or null: rows group_starts[g] .. group_starts[g + 1] - 1 share one
  // expert, of whom the gates say p_i(v) at the first of them; their weights are the same, that of the group:
  // L = sum_g w_g log sum_i p_i(v_g) prod_n f_i(y_n | x_n). See em/grouped_e_step.hpp.
  const index_t* group_starts = nullptr;
  index_t n_groups = 0;
  // The columns of X that experts and gates see, increasing; none: all.
  std::optional<std::vector<index_t>> expert_columns, gate_columns;
  index_t expert_dim() const {
    return 1 + (expert_columns ? static_cast<index_t>(expert_columns->size()) : d);
  }
  index_t gate_dim() const { return 1 + (gate_columns ? static_cast<index_t>(gate_columns->size()) : d); }
  // Whether u = v: both have the same columns, and the same rows.
  bool one_design() const {
    return !grouped() && expert_dim() == gate_dim() &&
           (expert_dim() == d + 1 || expert_columns == gate_columns);
  }
  // Whether the gates are intercepts alone: then their M-step is in closed form and needs no products.
  bool constant_gates() const { return gate_dim() == 1; }
  bool frozen() const { return means || log_densities; }
  bool grouped() const { return group_starts != nullptr; }
  void check(const EmSettings& settings) const;  // throws std::invalid_argument
  void check_columns() const;                    // likewise
  void check_groups() const;                     // likewise
};

struct MixtureParameters {
  index_t k = 0;
  index_t expert_dim = 0, gate_dim = 0;  // of u and v
  std::vector<double> experts;           // k q x expert_dim: a_i, b_i, of q predictors a row each
  std::vector<double> gates;             // k x gate_dim: W_i, c_i; the last row stays 0
  std::vector<double> variance;          // k: s_i^2, 1 for families without a scale
  std::vector<double> shape = {};  // k: of families that have one, else 1; without a family none will do
  index_t n_predictors = 1;        // q, of an expert; see Family
  // k x q x q, of several responses: lower triangular L_i, L_i L_i' = Sigma_i; the variances are 1 then.
  std::vector<double> cholesky = {};

  bool several_responses() const { return !cholesky.empty(); }
  const double* cholesky_of(index_t i) const {
    return several_responses() ? cholesky.data() + i * n_predictors * n_predictors : nullptr;
  }
  // Sums of squares an expert: of all pairs of responses.
  index_t n_squares() const { return several_responses() ? n_predictors * (n_predictors + 1) / 2 : 1; }
};

// Who is responsible for each sample, in place of the posterior; not owned. At most one of the two is set.
struct Assignment {
  const double* responsibilities = nullptr;  // n x k
  const std::int32_t* labels = nullptr;      // n: one expert, 0 .. k - 1, takes the whole sample; checked
  // Of rows in groups the first of each speaks for all.
  // The experts are still to be made, and are 0: with a family, the statistics are those that lead to them.
  bool experts_unknown = false;
  explicit operator bool() const { return responsibilities || labels; }
};

struct EmSettings {
  int max_iter = 1000;
  double tol = 1e-8;  // on the change of the mean log-likelihood, relative to max(1, |mean|)
  double gradient_tol = std::numeric_limits<double>::infinity();  // on EmResult::gradient, besides tol
  bool fit_intercept = true;
  bool fit_gate_intercept = true;
  bool update_noise = true;
  bool shared_noise = false;  // s_1 = ... = s_k
  // Columns of u, increasing, whose coefficients all experts have in common; not with a link. The starts'
  // have to be equal.
  std::vector<index_t> common_columns;
  double variance_floor = 0;  // smallest s_i^2
  // Of q responses, q x q: the eigenvalues of Sigma_i in its units are not below 1.
  std::vector<double> least_covariance = {};
  double alpha = 0;       // expert ridge: alpha ||a_i||^2 / (2 s_i^2) is taken off
  double alpha_mean = 0;  // alpha_mean ||a_i - mean of a||^2 / (2 s_i^2) too; see em/expert_ridge.hpp
  double alpha_l1 = 0;    // and alpha_l1 ||a_i||_1 / s_i^2: the lasso; not of several predictors
  double gate_alpha = 0;  // gate ridge: gate_alpha / 2 sum_i ||W_i - mean W||^2 is taken off, c is free
  // Give up (Status::beaten) once gains fall and several times what they lead to stays below this.
  double to_beat = -std::numeric_limits<double>::infinity();
  // beta, 0 < beta <= 1. Below 1 responsibilities are in proportion to (p_i N_i)^beta, and what EM climbs is
  // sum_n w log(sum_i (p_i N_i)^beta) / beta in place of the log-likelihood: deterministic annealing.
  double inverse_temperature = 1;
  bool accelerate = true;  // Anderson acceleration of the tail, see iteration.cpp
  int n_threads = 1;
  std::shared_ptr<const Link> link;      // g; null: linear
  std::shared_ptr<const Family> family;  // of the response, without a link; null: normal
  // How many threads may run: one where the link or the family is bound to its own.
  int usable_threads() const {
    const bool bound = (link && !link->any_thread()) || (family && !family->any_thread());
    return bound ? 1 : n_threads;
  }
  // Whether variances and shapes are fitted.
  bool fits_scale() const { return update_noise && (!family || family->has_scale()); }
  bool fits_shape() const { return update_noise && family && family->has_shape(); }
  void check() const;  // throws std::invalid_argument
  bool several_responses() const { return family && family->has_covariance(); }
  // Likewise unless there are as many predictors an expert, and responses a row, as the family has.
  void check_predictors(const EmData& data, const MixtureParameters& parameters) const;
};

// Which sums a pass makes; each holds those before it. The products cost most, those of gates most of all:
// there are k (k - 1) / 2 of them beside the k of experts.
enum class PassSums {
  gradient,  // log-likelihood, totals, squares, residuals, gate_slope
  experts,   // and the products of experts
  all        // and those of gates
};

// What one pass at fixed parameters yields. r: responsibilities, p: gates, e = y - g(t), t = a_i.x + b_i, g'
// the slope of the link at t: 1 for linear experts. With a family its slope stands in place of g' e, its
// weight in place of g'^2, and its square in place of e^2; see FamilyTerms.
struct EmStatistics {
  PassSums sums = PassSums::all;   // which of them the pass has made
  double log_likelihood = 0;       // sum_n w log P(y | x); see EmSettings::inverse_temperature
  std::vector<double> totals;      // k: N_i = sum_n w r_i
  std::vector<double> squares;     // k: sum_n w r_i e_i^2; k x pairs: of responses a <= b, sorted by b then a
  std::vector<double> residuals;   // k q x expert_dim: sum_n w r_i g'_i e_i u
  std::vector<double> gate_slope;  // k x gate_dim: sum_n w (r_i - p_i) v
  // k each, of families with a shape: sum_n w r_i times the derivatives by log shape.
  std::vector<double> shape_slopes, shape_curvatures;
  // A row for every pair a <= b, sorted by b then a: sum_n w r_i g'_i^2 u_a u_b for the k experts. Where u =
  // v the columns of gate_products follow in the same rows: one sweep makes both. Products that were not
  // asked for (see PassSums) have no columns.
  std::vector<double> products;
  // Where u differs from v, likewise: sum_n w p_i (delta_ij - p_j) v_a v_b for every pair i <= j < k - 1 of
  // gates; none for constant gates.
  std::vector<double> gate_products;
  // Where rows are in groups, k: sum_g w r_i, and gate_slope and gate_products are sums over groups too; else
  // empty.
  std::vector<double> group_totals;
};

// The E-step and the statistics of the M-step, in one pass. `assignment` replaces the posterior
// when given. The result does not depend on n_threads.
EmStatistics e_step(const EmData& data, const MixtureParameters& parameters, const EmSettings& settings,
                    const Assignment& assignment, const Poll& poll, PassSums sums = PassSums::all);

struct EmResult {
  MixtureParameters parameters;
  double log_likelihood = 0;
  std::vector<double> trace;   // log-likelihood less the ridges, before the first update and after each
  std::vector<double> totals;  // k: sum_n w r_i at the result
  // Largest component of the gradient of the mean objective at the result, by a_i / s_i, W and log s_i.
  double gradient = 0;
  int n_iter = 0;
  int n_before = 0;  // of the stages before the run (em_batch.hpp), the pass at the start of each counted
  Status status = Status::iteration_limit;
};

// EM from given parameters until the mean log-likelihood settles. Expert M-step: weighted least squares; with
// a link, one weighted Gauss-Newton step, damped (Levenberg-Marquardt) until the likelihood does not fall;
// with a family, one Newton step, halved likewise together with all others. Gate M-step: one Newton step of
// the weighted multinomial logistic regression, halved until the (penalised) log-likelihood does not fall.
// When `assignment` is given, the first M-step uses it and only `gates` of the start matter. A run goes on
// from where it stopped when started from its result; the metric of the gates' steps (em/gate_metric.hpp) is
// then made anew, so not as the one run would have.
EmResult em_run(const EmData& data, MixtureParameters start, const EmSettings& settings,
                const Assignment& assignment, const Poll& poll);

// Rows that nobody holds at once: a pass over them is the caller's affair, who reads them batch by batch, or
// has them read on other machines, and adds up what e_step says of each.
struct RowStream {
  EmData rows;        // n and d, and which columns experts and gates see; no data, no groups
  double weight = 0;  // sum_n w
  std::function<EmStatistics(const MixtureParameters&, PassSums)> pass;
};

// The same of a stream.
EmResult em_run(const RowStream& stream, MixtureParameters start, const EmSettings& settings,
                const Poll& poll);

}  // namespace moefast
