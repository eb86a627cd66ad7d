"""Mixtures of Poisson, binomial and gamma laws beside R's flexmix, at the same optimum.

Both start at the responsibilities of our optimum, without ridges of the gates, and end where they settle: the
log-likelihoods and coefficients are to agree to four digits. flexmix's own gamma law has the inverse link and
estimates the shape from the deviance; here it has the log link and the shape of largest likelihood, as ours.

    python bench/families_beside_flexmix.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

import one_thread

one_thread.pin()
# ruff: noqa: E402 - the threads have to be pinned first

import numpy as np

from cases_families import NORMS, SHAPES
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.families import get_family
from moefast.mixture import Mixture
from moefast.samples import NO_TERMS, RowTerms, Samples

R_CODE = r"""
suppressMessages(library(flexmix))
options(digits = 15)
arguments <- commandArgs(TRUE)
M <- read.csv(arguments[1])
family <- arguments[2]
xs <- grep("^x", names(M), value = TRUE)
ml_shape <- function(y, mu, w) {
  q <- y / mu
  target <- sum(w * (q - 1 - log(q))) / sum(w)
  uniroot(function(a) log(a) - digamma(a) - target, c(1e-3, 1e6), tol = 1e-12)$root
}
text <- deparse(FLXMRglm)
text <- gsub('get(family, mode = "function")()', 'Gamma(link = "log")', text, fixed = TRUE)
text <- gsub("family = Gamma()", 'family = Gamma(link = "log")', text, fixed = TRUE)
text <- gsub("sum(fit$prior.weights)/fit$deviance", "ml_shape(y, fitted(fit), w)", text, fixed = TRUE)
log_gamma <- eval(parse(text = text))
environment(log_gamma) <- list2env(list(ml_shape = ml_shape), parent = asNamespace("flexmix"))
model <- if (family == "gamma") log_gamma(family = "Gamma") else FLXMRglm(family = family)
response <- if (family == "binomial") "cbind(response, 10 - response)" else "response"
m <- flexmix(as.formula(paste(response, "~", paste(xs, collapse = " + "))), data = M, k = 2, model = model,
             cluster = as.matrix(M[grep("^c", names(M))]), concomitant = FLXPmultinom(reformulate(xs)),
             control = list(iter.max = 2000, minprior = 0, tolerance = 1e-10))
cat(logLik(m), m@iter, "\n", parameters(m), "\n")
"""


def our_optimum(name, n, seed):
    """Data of two experts, our optimum, and its responsibilities."""
    X, _, truth = make_moe(n, 2, 2, expert_intercept=0.5, random_state=seed)
    family = get_family(name)
    terms = RowTerms(None, np.full(n, 10.0)) if name == "binomial" else NO_TERMS
    shape = np.full(2, SHAPES.get(name, 1.0))
    truth = Mixture(
        NORMS.get(name, 1.0) * truth.coef,
        truth.intercept,
        truth.gate_coef,
        truth.gate_intercept,
        np.ones(2),
        family=family,
        shape=shape,
    )
    y = truth.draw(X, np.random.default_rng(seed), terms)
    options = EmOptions(gate_alpha=0.0, tol=1e-15, max_iter=10_000, n_threads=1)
    problem = EmProblem(Samples(X, y, np.ones(n), None, terms), options, family=family)
    fit = problem.to_units(problem.run(truth.to_standard(problem.standardisation)))
    return X, y, fit, fit.mixture.responsibilities(X, y, terms)


def flexmix(name, X, y, responsibilities):
    """Log-likelihood, iterations and parameters of flexmix from there."""
    with tempfile.TemporaryDirectory() as folder:
        table, script = Path(folder) / "data.csv", Path(folder) / "flexmix.R"
        names = [f"x{j}" for j in range(X.shape[1])] + ["response", "c1", "c2"]
        rows = np.column_stack([X, y, responsibilities])
        np.savetxt(table, rows, delimiter=",", header=",".join(names), comments="", fmt="%.17g")
        script.write_text(R_CODE)
        out = subprocess.run(["Rscript", str(script), str(table), name], capture_output=True, text=True)
    if out.returncode != 0:
        sys.exit(f"R with flexmix is needed: {out.stderr}")
    first, parameters = out.stdout.strip().split("\n")
    return *map(float, first.split()), np.array(parameters.split(), dtype=float)


def main():
    for name in ("poisson", "binomial", "gamma"):
        for seed in range(3):
            X, y, fit, responsibilities = our_optimum(name, 4000, seed)
            log_likelihood, iterations, theirs = flexmix(name, X, y, responsibilities)
            m = fit.mixture
            ours = np.column_stack([m.intercept, m.coef, *([m.shape] if name == "gamma" else [])]).ravel()
            apart = np.max(np.abs(ours - theirs) / np.maximum(np.abs(theirs), 1.0))
            print(
                f"{name:9} seed {seed}: log-likelihood {fit.log_likelihood:.5f}, flexmix {log_likelihood:.5f} in "
                f"{iterations:.0f} iterations; coefficients differ by {apart:.1e} of max(1, size)"
            )
            assert abs(log_likelihood - fit.log_likelihood) < 1e-4 * abs(log_likelihood)
            assert apart < 1e-4


if __name__ == "__main__":
    main()
