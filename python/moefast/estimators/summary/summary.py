"""The summary of a fitted model: the object that ``model.summary()`` returns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from html import escape
from importlib.util import find_spec
from typing import TYPE_CHECKING

from moefast._typing import Floats
from moefast.bad_columns import listed
from moefast.estimators.summary.errors import INTERCEPT, SIGMA, Inference, errors_by_name
from moefast.estimators.summary.membership import Membership
from moefast.estimators.summary.names import coefficients_in_words, feature_names, response_names
from moefast.estimators.summary.tables import Coefficients, GateTable
from moefast.estimators.summary.text import summary_text
from moefast.families import GAUSSIAN
from moefast.validation import check_choice

if TYPE_CHECKING:
    import pandas as pd

    from moefast.estimators.base import MixtureEstimator

__all__ = ["Summary"]

_WIDTH = 80
_TABLES = ("coefficients", "rows", "fit")


@dataclass(frozen=True, eq=False, repr=False)
class Summary:
    """What a fitted model says of itself; ``print`` shows it, 80 columns wide.

    Attributes
    ----------
    model : str
        "Mixture of 3 linear experts".
    target : str or None
        The name of y.
    figures : dict of str to float
        "n" (rows of positive weight), "df" (free parameters), "log-likelihood", "AIC", "BIC", "ICL" (BIC plus
        twice the entropy), "entropy" (of the responsibilities), and "weight", the sum of the weights, where it is
        not n: it is the n of BIC and ICL then.
    experts : Coefficients
    gates : tuple of Coefficients
        Log-odds; empty for one expert.
    membership : Membership
        For each expert its prior, the rows assigned to it, and those that might be its own.
    shares : ndarray of shape (k,)
        The mean responsibilities, ``shares_``.
    notes : tuple of str
        Whether the fit converged, which experts collapsed, which gates are separated, and how it was searched for.

    Examples
    --------
    >>> from moefast import MixtureOfExpertsRegressor
    >>> from moefast.datasets import make_moe
    >>> X, y, _ = make_moe(500, 2, 2, random_state=0)
    >>> summary = MixtureOfExpertsRegressor(2, random_state=0).fit(X, y).summary()
    >>> estimates = summary.to_frame()["estimate"]
    >>> estimates["experts", "expert 0"].round(1)[["x0", "x1", "sigma"]].tolist()
    [0.7, -0.7, 0.1]
    """

    model: str
    target: str | None
    figures: Mapping[str, float]
    experts: Coefficients
    gates: tuple[Coefficients, ...]
    membership: Membership
    shares: Floats
    notes: tuple[str, ...]

    @classmethod
    def of(
        cls,
        model: MixtureEstimator,
        experts: Sequence[str],
        gates: Sequence[GateTable],
        inference: Inference | None = None,
    ) -> Summary:
        """Return the summary of a fitted model.

        Parameters
        ----------
        model : MixtureEstimator
        experts : sequence of str
            What to call each expert.
        gates : sequence of GateTable
        inference : Inference, optional
            Of the same fit.
        """
        names = feature_names(model)
        law = _law(model)
        laws = _laws(model, names)
        of_gates: Sequence[int] = range(len(names))
        if model.gate_basis_ is not None:  # experts do not see its functions, gates nothing else of their columns
            laws = {name: law_of for name, law_of in laws.items() if name not in model.gate_basis_.names}
            of_gates = model.gate_basis_.gate_columns
        family, dispersions = model.mixture_.family, {}
        if family.has_covariance:
            dispersions = _of_covariances(model)
        elif family.has_scale:
            dispersions[SIGMA] = model.sigma_
        if family.shape_name is not None:
            dispersions[family.shape_name] = model.mixture_.shape
        laws |= dispersions
        errors = None if inference is None else errors_by_name(inference, len(experts), list(dispersions))
        tables = [Coefficients.of("experts", law, laws, experts, errors)]
        separated = frozenset((experts[i], [*names, INTERCEPT][j]) for i, j in model.separated_gates_ or ())
        for gate in gates:  # the last child is what the log-odds are against
            log_odds = {names[j]: gate.coef[:-1, j] for j in of_gates} | {INTERCEPT: gate.intercept[:-1]}
            table = Coefficients.of("gates", gate.title, log_odds, gate.children[:-1], errors)
            tables.append(replace(table, separated=separated))
        return cls(
            _kind(model),
            getattr(model, "target_name_", None),
            _figures(model),
            tables[0],
            tuple(tables[1:]),
            model.membership_,
            model.shares_,
            (*_notes_of_inference(inference), *_notes(model, experts)),
        )

    @property
    def has_errors(self) -> bool:
        """Whether the coefficients have standard errors."""
        return self.experts.errors is not None

    def to_text(self, width: int = _WIDTH) -> str:
        """Return what ``print`` shows, in lines of another width: tables too wide for it are cut in several."""
        return summary_text(self, width)

    def __str__(self) -> str:
        return self.to_text()

    __repr__ = __str__

    def to_frame(self, table: str = "coefficients") -> pd.DataFrame:
        """Return one of the tables as a data frame.

        Parameters
        ----------
        table : {"coefficients", "rows", "fit"}
            All coefficients of experts and gates, a row for each, by block, component and term, with standard
            error, z and p value where the summary has them; the table of rows by expert; the figures of the fit.

        Returns
        -------
        pandas.DataFrame
        """
        import pandas as pd  # for who wants frames

        check_choice("table", table, _TABLES)
        if table == "coefficients":
            return pd.concat([part.to_frame() for part in (self.experts, *self.gates)])
        if table == "fit":
            return pd.DataFrame({"value": dict(self.figures)})
        membership = self.membership
        columns = {
            "prior": membership.prior,
            "posterior": self.shares,
            "size": membership.size,
            "post>0": membership.support,
            "ratio": membership.ratio,
        }
        return pd.DataFrame(columns, index=pd.Index(self.experts.components, name="component"))

    def _titled_frames(self) -> list[tuple[str, pd.DataFrame]]:
        """Return the tables for pages: coefficients side by side, or with errors one below another."""
        frames = [(self._title, self.to_frame("fit").T), ("Rows", self.to_frame("rows"))]
        for table in (self.experts, *(gate for gate in self.gates if gate.terms)):
            frame = table.to_frame().droplevel("block")
            if not self.has_errors:
                frame = frame["estimate"].unstack("component").loc[list(table.terms), list(table.components)]
            frames.append((table.title, frame.rename_axis(columns=None)))
        return frames

    @property
    def _title(self) -> str:
        return self.model if self.target is None else f"{self.model} for {self.target}"

    def _repr_html_(self) -> str:
        """Return what notebooks show."""
        parts = [
            f"<h4>{escape(title)}</h4>\n{frame.to_html(float_format='{:.4g}'.format, na_rep='')}"
            for title, frame in self._titled_frames()
        ]
        return "\n".join([*parts, *(f"<p>{escape(note)}</p>" for note in self.notes)])

    def to_latex(self) -> str:
        """Return the tables for LaTeX (with its package booktabs), one after another, each with a caption.

        Raises
        ------
        ImportError
            When jinja2, which pandas needs for it, is not installed.
        """
        if find_spec("jinja2") is None:
            raise ImportError("tables for LaTeX are written by pandas with jinja2: pip install jinja2")
        return "\n".join(
            frame.to_latex(float_format="{:.4g}".format, na_rep="", escape=True, caption=_for_latex(title))
            for title, frame in self._titled_frames()
        )


def _for_latex(text: str) -> str:
    """Return text with the characters that LaTeX reads as commands escaped."""
    special = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def _laws(model: MixtureEstimator, names: Sequence[str]) -> dict[str, Floats]:
    """Return the experts' coefficients by name, those of several predictors by class, or response, too."""
    if model.coef_.ndim == 2:
        return dict(zip(names, model.coef_.T, strict=True)) | {INTERCEPT: model.intercept_}
    labels = list(getattr(model, "classes_", range(1 + model.coef_.shape[1])))[1:]
    if model.mixture_.family.has_covariance:
        labels = response_names(model)
    laws: dict[str, Floats] = {}
    for a, label in enumerate(labels):
        laws |= {f"{name} [{label}]": model.coef_[:, a, j] for j, name in enumerate(names)}
        laws[f"{INTERCEPT} [{label}]"] = model.intercept_[:, a]
    return laws


def _of_covariances(model: MixtureEstimator) -> dict[str, Floats]:
    """Return the standard deviations of several responses, and their correlations, by name."""
    sigma, covariance, names = model.sigma_, model.covariance_, response_names(model)
    assert covariance is not None
    found = {f"{SIGMA} [{name}]": sigma[:, a] for a, name in enumerate(names)}
    for b, of_b in enumerate(names):
        for a, of_a in enumerate(names[:b]):
            found[f"corr [{of_a}, {of_b}]"] = covariance[:, a, b] / (sigma[:, a] * sigma[:, b])
    return found


def _law(model: MixtureEstimator) -> str:
    """Say what the coefficients of experts are of, and which class the first is, that others are held against."""
    if not model.mixture_.link.is_linear:
        return "Experts"
    predicts = model.mixture_.family.predicts
    if hasattr(model, "classes_"):
        first, *others = map(str, model.classes_)
        predicts += f" of {others[0]} against {first}" if len(others) == 1 else f" against {first}"
    return f"Experts: {predicts} = a.x + b"


def _kind(model: MixtureEstimator) -> str:
    """Say what was fitted in a few words."""
    link, k = model.mixture_.link, len(model.coef_)
    branches = getattr(model, "branches_", None)
    shape = str(k) if branches is None else " x ".join(map(str, branches))
    experts = f"{shape} {'linear ' if link.is_linear else ''}expert{'' if k == 1 else 's'}"
    kind = "Mixture" if branches is None else "Hierarchical mixture"
    family = model.mixture_.family
    law = "" if family == GAUSSIAN else f", {family.in_words}"
    if hasattr(model, "classes_"):
        law = f", {len(model.classes_)} classes: {listed(list(map(str, model.classes_)))}"
    return f"{kind} of {experts}" + ("" if link.is_linear else f" with the link {link.name}") + law


def _figures(model: MixtureEstimator) -> dict[str, float]:
    figures = {
        "n": model.n_samples_fit_,
        "df": model.n_parameters_,
        "log-likelihood": model.log_likelihood_,
        "AIC": model.aic_,
        "BIC": model.bic_,
        "ICL": model.icl_,
        "entropy": model.entropy_,
    }
    return figures | ({} if model.training_weight_ == model.n_samples_fit_ else {"weight": model.training_weight_})


def _notes_of_inference(inference: Inference | None) -> tuple[str, ...]:
    """Say what the standard errors are, and what to know before they are used."""
    if inference is None:
        return ()
    kinds = {
        "robust": "robust (sandwich)",
        "nonrobust": "from the observed information",
        "cluster": "clustered (sandwich over groups)",
    }
    return (f"Standard errors: {kinds.get(inference.cov_type, inference.cov_type)}.", *inference.messages)


def _notes(model: MixtureEstimator, experts: Sequence[str]) -> tuple[str, ...]:
    """Say how the fit ended and how it was searched for."""
    report = model.fit_report_
    iterations = f"{model.n_iter_} EM iteration{'s' * (model.n_iter_ != 1)}"
    ended = f"{'Converged' if model.converged_ else 'NOT converged'} after {iterations}"
    if report.gradient is not None:
        ended += f", gradient {report.gradient:.1e}"
    notes = [f"{ended}."]
    if report.collapsed:
        who = ", ".join(experts[i] for i in report.collapsed)
        notes.append(f"Collapsed (noise at its floor, or too few different rows): {who}.")
    if model.separated_gates_:
        where = coefficients_in_words(model.separated_gates_, experts, feature_names(model))
        notes.append(
            f"* Separated gates, whose probabilities are 0 or 1: the coefficients of {where} have no finite "
            "estimate; only the ridge gate_alpha holds them."
        )
    if len(experts) > 1 or not model.mixture_.link.is_linear:
        notes.append(report.in_words())
    return tuple(notes)
