"""What is taken off the log-likelihood for the coefficients of experts and of gates, by its formula."""

import numpy as np


def penalty(mixture, options, weight_per_row=1.0):
    """Of a mixture in standard units."""
    coef = mixture.coef.reshape(mixture.n_experts, -1)
    precision = 1 / mixture.sigma**2
    alpha, ratio = options.alpha, options.l1_ratio
    if options.alpha_towards == "mean":
        apart = coef - np.average(coef, axis=0, weights=precision)
        total = alpha / 2 * (apart**2).sum(axis=1) @ precision
        if mixture.family.may_be_sure:
            total += 1e-6 * weight_per_row / 2 * (coef**2).sum(axis=1) @ precision
    else:
        total = alpha * (1 - ratio) / 2 * (coef**2).sum(axis=1) @ precision
        total += alpha * ratio * np.abs(coef).sum(axis=1) @ precision
    gates = mixture.gate_coef - mixture.gate_coef.mean(axis=0)
    return total + options.gate_ridge / 2 * (gates**2).sum()


def objective(problem, mixture):
    """The log-likelihood of a problem's rows less the penalties."""
    rows = mixture.log_density(problem.Z, problem.t, problem.response.terms)
    return problem.sample_weight @ rows - penalty(mixture, problem.options, problem.weight_per_row)
