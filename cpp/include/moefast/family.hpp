// Families: the law f(y | eta) of a response around the predictor eta = a.x + b + offset of an expert.
//
// Normal responses have none: the kernel of the E-step knows them (EmSettings::family is null then).
#pragma once

#include <memory>
#include <optional>

#include "moefast/types.hpp"

namespace moefast {

// What a family knows of an expert besides its predictor.
struct Dispersion {
  double variance = 1;  // s^2; 1 for families without a scale
  double shape = 1;     // of the gamma, size of the negative binomial, degrees of freedom of Student's t
  // q x q, row-major, lower triangular L with L L' the covariance of q responses; null where there is one.
  const double* cholesky = nullptr;
};

// Rows of the samples; y fits the family. Not owned.
struct ResponseRows {
  index_t n = 0;
  const double* y = nullptr;
  const double* trials = nullptr;  // of the binomial; null: 1
  // What log f has of the row alone, see each family; null: 0.
  const double* row_term = nullptr;
  index_t stride = 0;  // of several responses, each a row of y: from one to the next
};

// What the E-step and the M-step need of one expert: arrays of n numbers. The scale is taken out of the
// second and the third, as it cancels in the step of an expert:
//
//     slope = s^2 d log f / d eta,   weight >= 0: s^2 times minus the second derivative, or what EM or Fisher
//     scoring puts in its place where that is negative
//
// `square` (families with a scale) has the mean s^2 given the weights where d log-likelihood / d log s = 0:
// d log f / d log s = square / s^2 - 1. `shape_slope` and `shape_curvature` (families with a shape) are the
// derivatives of log f by the logarithm of the shape.
//
// With several predictors eta_a an expert, `eta` and `slope` have a row for each, `stride` numbers apart, and
// `weight` is that of all: the second derivatives are about -weight M for a fixed matrix M, whose inverse
// Family::precondition applies. With several responses the covariance is what is taken out of slopes, M is
// its inverse and `square` is not written: the residuals, which the slopes are, say what it has.
struct FamilyTerms {
  index_t stride = 0;
  double *log_density = nullptr, *slope = nullptr, *weight = nullptr;
  double *square = nullptr, *shape_slope = nullptr, *shape_curvature = nullptr;
};

// First and second derivatives of log f by eta, l = log s and h = log shape, arrays of n numbers: what
// standard errors are made of. Those by l, or h, are written by families with a scale, or a shape; the arrays
// of all are there to be worked in. With several predictors eta_a there are rows of them, of `eta` and of
// `eta_eta` `stride` numbers apart, the latter for every pair a <= b, sorted by b then a; `log_density` is
// then an array of its own. Those with n_scales numbers in place of log s have rows of `l`; of `l_l` for
// every pair a <= b, likewise; and of `eta_l` at a n_scales + b for predictor a and number b.
struct FamilyDerivatives {
  index_t stride = 0;
  double *log_density = nullptr, *eta = nullptr, *eta_eta = nullptr;
  double *l = nullptr, *l_l = nullptr, *eta_l = nullptr;
  double *h = nullptr, *h_h = nullptr, *eta_h = nullptr, *l_h = nullptr;
};

class Family {
 public:
  virtual ~Family() = default;

  // Linear forms of an expert.
  virtual index_t n_predictors() const { return 1; }
  // Whether responses are n_predictors() to a row, a predictor each, with a covariance; then it is the scale.
  virtual bool has_covariance() const { return false; }
  virtual bool diagonal_covariance() const { return false; }
  index_t n_responses() const { return has_covariance() ? n_predictors() : 1; }
  // Numbers that stand for the scale: those of a covariance are in em/covariance.hpp.
  index_t n_scales() const {
    const index_t q = n_responses();
    return diagonal_covariance() ? q : q * (q + 1) / 2;
  }
  // v becomes M^-1 v, for one number a predictor.
  virtual void precondition(double*) const {}

  // Whether s^2 and the shape are fitted.
  virtual bool has_scale() const { return false; }
  virtual bool has_shape() const { return false; }
  // Where the shape may lie.
  virtual double least_shape() const { return 0; }
  virtual double largest_shape() const { return 0; }

  // `eta` may be out.log_density: whoever writes the latter has read the former.
  virtual void terms(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
                     const FamilyTerms& out) const = 0;
  virtual void derivatives(const ResponseRows& rows, const Dispersion& dispersion, const double* eta,
                           const FamilyDerivatives& out) const = 0;

  // Whether both may be called from any thread; `log_density` may be the array of `eta` in both.
  virtual bool any_thread() const { return true; }
};

// Calls see(number, row, column) for the numbers of a covariance of q responses: of the lower triangle, row
// by row, or of the diagonal.
template <class See>
void for_covariance(index_t q, bool diagonal, const See& see) {
  index_t number = 0;
  for (index_t r = 0; r < q; ++r)
    for (index_t c = diagonal ? r : 0; c <= r; ++c) see(number++, r, c);
}

// log mean = eta; row_term: -log y!
std::shared_ptr<const Family> poisson_family();
// y successes of `trials`, log odds = eta; row_term: log of the binomial coefficient
std::shared_ptr<const Family> binomial_family();
// y is a class, 0 .. n_classes - 1: eta_a is the log odds of class a + 1 against class 0
std::shared_ptr<const Family> multinomial_family(index_t n_classes);
// log mean = eta, variance = mean^2 / shape; row_term: log y
std::shared_ptr<const Family> gamma_family();
// log mean = eta, variance = mean + mean^2 / shape; row_term: -log y!
std::shared_ptr<const Family> negative_binomial_family();
// (y - eta) / s has Student's t distribution; its degrees of freedom are the shape unless they are given
std::shared_ptr<const Family> student_t_family(std::optional<double> degrees_of_freedom);
// n_responses >= 1 responses around as many predictors, normal with a covariance, which is diagonal or any
std::shared_ptr<const Family> multivariate_normal_family(index_t n_responses, bool diagonal);
// N(eta, s^2), of which nothing below `lower` nor above `upper` is seen: y is then at the limit
std::shared_ptr<const Family> tobit_family(double lower, double upper);

}  // namespace moefast
