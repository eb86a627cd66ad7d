"""The options of `moefast fit` that say which model is to be fitted, and the fit by them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import click

from moefast.cli.options import Option, gathered
from moefast.estimators.flat import MixtureOfExpertsRegressor
from moefast.families import FAMILIES
from moefast.links import LINKS
from moefast.selection.n_experts import select_n_experts
from moefast.selection.result import NExpertsSelection

__all__ = ["ModelOptions", "model_options"]


class _Counts(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """A number such as 3, or a range such as 1-6."""

    name = "k or k-k"

    def convert(self, value: Any, param: Any, ctx: Any) -> tuple[int, ...]:
        if isinstance(value, tuple):
            return value
        first, _, last = str(value).partition("-")
        try:
            low, high = int(first), int(last or first)
        except ValueError:
            self.fail(f"{value!r} is neither a number such as 3 nor a range such as 1-6.", param, ctx)
        if not 1 <= low <= high:
            self.fail(f"{value!r} must go from 1 or more upwards.", param, ctx)
        return tuple(range(low, high + 1))


class _Ridge(click.ParamType):  # type: ignore[type-arg]  # generic only in newer versions
    """A number not below 0, or "auto"; what is out of range the estimator says."""

    name = "auto or number"

    def convert(self, value: Any, param: Any, ctx: Any) -> Any:
        if value == "auto" or isinstance(value, float):
            return value
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is neither 'auto' nor a number.", param, ctx)


@dataclass(frozen=True)
class ModelOptions:
    """What the options say.

    Attributes
    ----------
    experts : tuple of int
        One number of experts, or several to choose from.
    criterion : str or None
        By which to choose; None is BIC.
    formula, noise, family, link, expert_features, gate_features, gate_alpha, time_budget, seed, threads
        Parameters of the estimator. Without columns named, experts and gates see all.
    constant_gates : bool
        Gates see no column.
    errors : str or None
        Which standard errors the summary is to show; None is none.
    """

    experts: tuple[int, ...]
    criterion: Any
    formula: str | None
    noise: Any
    family: str
    link: str
    expert_features: tuple[str, ...]
    gate_features: tuple[str, ...]
    constant_gates: bool
    gate_alpha: Any
    time_budget: float | None
    errors: Any
    seed: int
    threads: int | None

    def __post_init__(self) -> None:
        if self.constant_gates and self.gate_features:
            raise ValueError("--constant-gates leaves no column for --gate-features; give one of them")
        if self.formula is not None and (self.constant_gates or self.gate_features or self.expert_features):
            raise ValueError(
                "--formula says which columns experts and gates see; leave --expert-features, --gate-features and "
                "--constant-gates out"
            )
        if self.criterion is not None and len(self.experts) == 1:
            raise ValueError("--criterion chooses among several numbers of experts; give a range: --experts 1-6")

    def fit(
        self, X: Any, y: Any, rows: dict[str, Any]
    ) -> tuple[MixtureOfExpertsRegressor, NExpertsSelection | None]:
        """Return the fitted model, and how its number of experts was chosen where there was a choice.

        `rows` are the arguments of `fit` that say more of each row, such as `sample_weight`.
        """
        if len(self.experts) == 1:
            return self.estimator().fit(X, y, **rows), None
        criterion: Any = self.criterion or "bic"
        selection = select_n_experts(
            X,
            y,
            self.experts,
            criterion=criterion,
            n_folds=5 if criterion == "cv" else None,
            **rows,
            **self._parameters,
        )
        return selection.best_estimator, selection

    def estimator(self) -> MixtureOfExpertsRegressor:
        """Return the model that is to be fitted, where its number of experts is given."""
        if len(self.experts) > 1:
            raise ValueError("--experts must be one number for files that are read batch by batch, not a range")
        return MixtureOfExpertsRegressor(self.experts[0], **self._parameters)

    @property
    def _parameters(self) -> dict[str, Any]:
        """The parameters of the estimator besides the number of experts."""
        return {
            "formula": self.formula,
            "noise": self.noise,
            "family": self.family,
            "link": self.link,
            "expert_features": list(self.expert_features) or None,
            "gate_features": [] if self.constant_gates else list(self.gate_features) or None,
            "gate_alpha": self.gate_alpha,
            "time_budget": self.time_budget,
            "random_state": self.seed,
            "n_threads": self.threads,
            "verbose": 1,
        }


def _columns(name: str, who: str) -> Option:
    text = f"A column that {who} see. May be repeated. Default: all."
    return click.option(name, multiple=True, metavar="COLUMN", help=text)


model_options = gathered(
    ModelOptions,
    "wanted",
    [
        click.option(
            "--experts",
            type=_Counts(),
            default="2",
            show_default=True,
            help="How many experts; of a range such as 1-6 the best.",
        ),
        click.option("--criterion", type=click.Choice(["bic", "cv", "icl"]), help="For a range. Default: bic."),
        click.option(
            "--formula",
            metavar="'y ~ a + C(b) | c'",
            help="Response, terms of the experts, of the gates; in place of --target. Columns may hold words.",
        ),
        _columns("--expert-features", "the experts"),
        _columns("--gate-features", "the gates"),
        click.option("--constant-gates", is_flag=True, help="Gates see no column: a mixture of regressions."),
        click.option(
            "--family",
            type=click.Choice(list(FAMILIES)),
            default="gaussian",
            show_default=True,
            help="The law of the response; tobit: censored at 0; binomial: successes, see --trials.",
        ),
        click.option("--link", type=click.Choice(list(LINKS)), default="linear", show_default=True),
        click.option(
            "--noise", type=click.Choice(["per_expert", "shared"]), default="per_expert", show_default=True
        ),
        click.option(
            "--gate-alpha", type=_Ridge(), default="auto", show_default=True, help="Ridge of the gates: a number."
        ),
        click.option(
            "--time-budget",
            type=click.FloatRange(min=0, min_open=True),
            help="Seconds of search for each fit. Default: until it is done.",
        ),
        click.option(
            "--errors",
            type=click.Choice(["robust", "nonrobust"]),
            help="Show standard errors, z and p values of the coefficients.",
        ),
        click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True),
        click.option("--threads", type=click.IntRange(min=1), help="Default: the CPUs this process may use."),
    ],
)
"""Adds the options of the model; the command gets them as `wanted`."""
