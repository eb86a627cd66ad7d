"""EM with families: an iteration beside that of normal responses, and of R's flexmix for Poisson."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from case import Case, NotInstalled, Prepared, Route
from cases_em import EM_ITERATIONS
from moefast.datasets import make_moe
from moefast.em import EmOptions, EmProblem
from moefast.families import GAUSSIAN, get_family
from moefast.samples import NO_TERMS, RowTerms, Samples

# Norms of experts that give responses of some spread, and shapes.
NORMS = {"poisson": 0.6, "negative_binomial": 0.6, "gamma": 0.8, "bernoulli": 2.0}
SHAPES = {"student_t": 4.0, "negative_binomial": 4.0, "gamma": 5.0}
# What the ratio of a normal iteration to one of the family is to be at least: as EM of Poisson is to take no more
# than 1.5 times as long.
ASKED = {"poisson": 1 / 1.5}


@dataclass(frozen=True)
class FamilyData:
    """Data of a family, and normal ones of the same rows: of each a problem, and a start near the truth."""

    X: np.ndarray
    y: np.ndarray
    problems: dict[str, EmProblem]
    starts: dict[str, Any]


@lru_cache(maxsize=2)
def family_data(n, name):
    X, _, truth = make_moe(n, 10, 3, random_state=0)
    rng, problems, starts = np.random.default_rng(1), {}, {}
    for family in (get_family(name), GAUSSIAN):
        terms = RowTerms(None, np.full(n, 10.0)) if family.name == "binomial" else NO_TERMS
        mixture = replace(
            truth,
            family=family,
            coef=NORMS.get(family.name, 1.0) * truth.coef,
            sigma=np.full(3, 0.3 if family.has_scale else 1.0),
            shape=np.full(3, SHAPES.get(family.name, 1.0)),
        )
        y = mixture.draw(X, rng, terms)
        options = EmOptions(accelerate=False, tol=0.0, n_threads=1)
        problem = EmProblem(Samples(X, y, np.ones(n), None, terms), options, family=family)
        start = mixture.to_standard(problem.standardisation)
        starts[family.name] = replace(start, coef=start.coef + 0.1 * rng.normal(size=start.coef.shape))
        problems[family.name] = problem
        if family.name == name:
            responses = y
    return FamilyData(X, responses, problems, starts)


def em_of(data, name):
    """A run whose likelihood is that of the mixture's own density, and whose objective does not fall."""
    problem, start = data.problems[name], data.starts[name]

    def check(fit):
        assert fit.n_iter == EM_ITERATIONS
        assert (np.diff(fit.trace) >= -1e-9 * abs(fit.trace[-1])).all()
        terms = problem.response.terms
        own = fit.mixture.log_density(problem.Z, problem.t, terms).sum()
        np.testing.assert_allclose(fit.log_likelihood, own, rtol=1e-9)

    return Prepared(lambda: problem.run(start, max_iter=EM_ITERATIONS), check)


FLEXMIX = r"""
suppressMessages(library(flexmix))
M <- read.csv(commandArgs(TRUE)[1])
xs <- grep("^x", names(M), value = TRUE)
run <- function(iterations) {
  start <- proc.time()
  m <- flexmix(reformulate(xs, "response"), data = M, k = 3, cluster = as.matrix(M[grep("^c", names(M))]),
               model = FLXMRglm(family = "poisson"), concomitant = FLXPmultinom(reformulate(xs)),
               control = list(iter.max = iterations, minprior = 0, tolerance = 1e-15, verbose = 0))
  spent <- proc.time() - start
  c(sum(spent[c("user.self", "sys.self")]), as.numeric(logLik(m)), m@iter)
}
short <- run(2); long <- run(5)
cat(sprintf("%.17g", c((long[1] - short[1]) / (long[3] - short[3]), long[2])), "\n")
"""


def flexmix_poisson(data):
    """R's flexmix from the responsibilities of our start: (5 iterations less 2) / 3; user and system time."""
    if shutil.which("Rscript") is None:
        raise NotInstalled("Rscript")
    if subprocess.run(["Rscript", "-e", "library(flexmix)"], capture_output=True).returncode != 0:
        raise NotInstalled("R's flexmix")
    problem, start = data.problems["poisson"], data.starts["poisson"]

    def call():
        with tempfile.TemporaryDirectory() as folder:
            table, script = Path(folder) / "data.csv", Path(folder) / "flexmix.R"
            columns = [f"x{j}" for j in range(data.X.shape[1])] + ["response", "c1", "c2", "c3"]
            rows = np.column_stack([data.X, data.y, problem.responsibilities(start)])
            np.savetxt(table, rows, delimiter=",", header=",".join(columns), comments="", fmt="%.17g")
            script.write_text(FLEXMIX)
            out = subprocess.run(["Rscript", str(script), str(table)], capture_output=True, text=True, check=True)
        seconds, log_likelihood = map(float, out.stdout.split())
        return seconds * (EM_ITERATIONS + 1), log_likelihood  # the case divides by its passes

    def check(log_likelihood):
        fit = problem.run(start, max_iter=5)
        assert abs(log_likelihood - fit.log_likelihood) < 0.01 * len(data.y)

    return Prepared(call, check)


def family_cases():
    beside = Route(
        "R flexmix (an iteration holds a whole multinomial fit)",
        flexmix_poisson,
        100,
        most=30_000,
        repeats=1,
        own_time=True,
        optional="R with flexmix",
    )
    for name in ("poisson", "binomial", "gamma", "negative_binomial", "student_t", "tobit"):
        yield Case(
            f"EM with families: {EM_ITERATIONS} iterations, divided by their {EM_ITERATIONS + 1} passes",
            f"one EM iteration, {name}, d=10, k=3",
            {"full": 100_000, "quick": 100_000, "test": 2000},
            partial(family_data, name=name),
            Route("moefast", partial(em_of, name=name)),
            (
                Route("moefast, normal responses", partial(em_of, name="gaussian"), ASKED.get(name)),
                *([beside] if name == "poisson" else []),
            ),
            parts=EM_ITERATIONS + 1,
        )
