"""moefast beside R's flexmix, as a statistician compares them: likelihood, coefficients, standard errors, time.

The data are those that R's packages carry (NPreg and NregFix of flexmix; NOdata, CO2data and tonedata of mixtools;
mcycle, geyser and Boston of MASS; faithful and quakes), scikit-learn's diabetes table, and, where a folder is
given, concrete.csv, airfoil.csv and power_plant.csv of UCI. Tables of four features and more are divided by their
population standard deviation after centring, without which flexmix's gates hardly converge. Gates have all
features, or none ("constant", flexmix's default).

*From the same optimum*: our default fit goes on by EM until nothing is left to gain, and flexmix starts at its
responsibilities (tolerance 1e-10). flexmix's EM divides the variance by n - p; its refit() maximises the
likelihood itself and gives the parameters and standard errors that ours are held against. "agree" is the relative
difference; that of a parameter is relative to its standard error where that is larger. "Without ridge" is the same
for our EM with gate_alpha=0, "as it is" that of the standard errors of refit() with its own steps, 0.001 in the
units of the data, which are too long here and there. A steep gate (norm on features of standard deviation 1) has
no finite estimate, or hardly one.

*Cold*: our default fit, and ten random starts of flexmix, of which the best counts; CPU time, one thread.

    python bench/beside_flexmix.py [FOLDER] [--only NAME ...] [--experts 2 3] [--starts 10] [--summary]
                                   [--gate-alpha A]

R is optional: without Rscript or the packages it says what is missing, and prints our side.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

import one_thread

one_thread.pin()
# ruff: noqa: E402 - the threads have to be pinned first

import numpy as np
import pandas as pd
from sklearn.datasets import load_diabetes
from tabulate import tabulate

from moefast import MixtureOfExpertsRegressor
from moefast.mixture import Mixture
from real_data import flexmix, run_flexmix
from search_targets import RESPONSES, standard_table

R_CODE = Path(__file__).with_suffix(".R")
INSTALL = "apt-get install --no-install-recommends r-base-core r-cran-flexmix r-cran-mixtools r-cran-mass"
# Numbers of experts that textbooks take.
EXPERTS = {
    "NPreg": (2,),
    "NregFix": (2, 3),
    "NOdata": (2,),
    "CO2data": (2,),
    "tonedata": (2,),
    "mcycle": (2, 3, 4),
    "geyser": (2,),
    "faithful": (2,),
    "quakes": (2, 3),
    "Boston": (2, 3),
    "diabetes": (2,),
    **dict.fromkeys(RESPONSES, (2, 3)),
}
PACKAGES = {"NPreg": "flexmix", "NregFix": "flexmix", "mcycle": "MASS", "geyser": "MASS", "Boston": "MASS"}
PACKAGES |= dict.fromkeys(("NOdata", "CO2data", "tonedata"), "mixtools")


@dataclass(frozen=True)
class Parameters:
    """Log-likelihood, parameters and their standard errors of one program."""

    log_likelihood: float
    values: np.ndarray
    errors: np.ndarray


@dataclass
class Comparison:
    """All that is found out about one model of one table."""

    data: str
    table: pd.DataFrame
    k: int
    gates: str
    cold: float = np.nan
    cpu: float = np.nan
    ours: Parameters | None = None
    em: Parameters | None = None
    refit: Parameters | None = None
    left_to_gain: float = np.nan
    mixtools: float = np.nan
    without_ridge: np.ndarray | None = None
    plain_errors: np.ndarray | None = None
    messages: tuple[str, ...] = ()
    starts: np.ndarray = field(default_factory=lambda: np.empty((0, 2)))

    @property
    def title(self):
        """What the rows of the tables are called."""
        n, columns = self.table.shape
        return [self.data, n, columns - 1, self.k, self.gates]

    @property
    def steepest_gate(self):
        """The largest norm of a difference of two gates' coefficients, on features of standard deviation 1."""
        W = from_flexmix_order(self, self.ours.values).gate_coef * self.table.iloc[:, :-1].std(ddof=0).to_numpy()
        return np.linalg.norm(W[:, None] - W, axis=-1).max()

    @property
    def agreement(self):
        """The worst of the parameters, and of those of our EM without the ridge."""
        theirs, floor = self.refit.values, self.refit.errors
        return [worst(relative(ours, theirs, floor)) for ours in (self.ours.values, self.without_ridge)]

    @property
    def names(self):
        """The parameters in flexmix's order; the components are our experts, the last of them first."""
        features = ["(Intercept)", *self.table.columns[:-1]]
        experts = [[f"expert {i}: {name}" for name in [*features, "log sigma"]] for i in range(self.k)[::-1]]
        of_gates = features if self.gates == "features" else features[:1]
        gates = [[f"gate {i} against {self.k - 1}: {name}" for name in of_gates] for i in range(self.k - 1)[::-1]]
        return [*chain.from_iterable(experts + gates)]


def relative(ours, theirs, floor=0.0):
    """Difference relative to the larger of both, or to `floor` where that is larger still."""
    return np.abs(ours - theirs) / np.maximum(np.maximum(np.abs(ours), np.abs(theirs)), floor)


def in_flexmix_order(c, m, log_sigma):
    """Return what belongs to the parameters of a mixture in the order of :attr:`Comparison.names`."""
    experts = np.column_stack([m.intercept, m.coef, log_sigma])
    gates = np.column_stack([m.gate_intercept, m.gate_coef])[:-1, : 1 if c.gates == "constant" else None]
    return np.concatenate([experts[::-1].ravel(), gates[::-1].ravel()])


def from_flexmix_order(c, values):
    """Return the mixture that :func:`in_flexmix_order` came from, or one of flexmix's."""
    split = c.k * (c.table.shape[1] + 1)
    experts, gates = values[:split].reshape(c.k, -1)[::-1], np.zeros((c.k, c.table.shape[1]))
    free = values[split:].reshape(c.k - 1, -1)[::-1]
    gates[:-1, : free.shape[1]] = free
    return Mixture(experts[:, 1:-1], experts[:, 0], gates[:, 1:], gates[:, 0], np.exp(experts[:, -1]))


def our_side(c, gate_alpha):
    """Set what the fit finds, and the same optimum by EM until nothing is left to gain.

    Returns the responsibilities there, with the last expert, to which gates refer, first.
    """
    X, y = c.table.drop(columns="response"), c.table["response"]
    model = MixtureOfExpertsRegressor(c.k, gate_alpha=gate_alpha, random_state=0, n_threads=1)
    model.set_params(gate_features=[] if c.gates == "constant" else None)
    begun = time.process_time()
    model.fit(X, y)
    c.cpu, c.cold = time.process_time() - begun, model.log_likelihood_
    to_the_end = {**model.get_params(deep=False), "tol": 0.0, "max_iter": 10_000}
    exact = MixtureOfExpertsRegressor(**{**to_the_end, "start": model.mixture_}).fit(X, y)
    values = in_flexmix_order(c, exact.mixture_, np.log(exact.sigma_))
    c.ours = Parameters(exact.log_likelihood_, values, our_errors(c, exact, X, y))
    free = MixtureOfExpertsRegressor(**{**to_the_end, "start": exact.mixture_, "gate_alpha": 0.0}).fit(X, y)
    c.without_ridge = in_flexmix_order(c, free.mixture_, np.log(free.sigma_))
    return exact.responsibilities(X, y)[:, ::-1]


def our_errors(c, model, X, y):
    """Standard errors of the observed information, which refit() has, and what is said of them."""
    found = model.inference(X, y, cov_type="nonrobust").with_reference(c.k - 1)
    c.messages = found.messages
    table = found.table(found.bse)
    return in_flexmix_order(c, table, table.log_sigma)


def same_optimum(c, responsibilities):
    """Set what flexmix finds from there."""
    names = [f"cluster_{i}" for i in range(c.k)]
    table = pd.concat([c.table, pd.DataFrame(responsibilities, columns=names)], axis=1)
    script = R_CODE.read_text() + "same_optimum(M, xs, k, model, gates)\n"
    head, em, values, errors, plain = run_flexmix(script, table, c.k, 0, "per_expert", c.gates)
    c.em = Parameters(head[0], np.array(em), np.full(len(em), np.nan))
    c.refit = Parameters(head[3], np.array(values), np.array(errors))
    c.left_to_gain, c.mixtools, c.plain_errors = *head[4:], np.array(plain)
    y = c.table["response"].to_numpy()
    check = from_flexmix_order(c, c.em.values).log_density(c.table.drop(columns="response").to_numpy(), y).sum()
    same = np.isclose(check, head[1], rtol=1e-10)
    assert same or np.isnan(head[1]), "the programs mean different likelihoods"  # NaN: flexmix's gates overflow


def textbook_tables():
    """Read the tables of R's packages, by name; those that are not there are missing."""
    with tempfile.TemporaryDirectory() as folder:
        call = f'source("{R_CODE}"); write_textbook_data("{folder}"); versions()'
        done = subprocess.run(["Rscript", "-e", call], capture_output=True, text=True, check=True)
        return {file.stem: pd.read_csv(file) for file in sorted(Path(folder).glob("*.csv"))}, done.stdout


def warm_up():
    """Fit once, so that no timed fit pays for imports; loading flexmix is not timed either."""
    rng = np.random.default_rng(0)
    MixtureOfExpertsRegressor(2, random_state=0, n_threads=1).fit(rng.normal(size=(200, 1)), rng.normal(size=200))


def tables(folder):
    """All tables by name, whether flexmix is there, and what there is to say about R."""
    found, said, has_flexmix = {}, [], False
    if shutil.which("Rscript") is None:
        said.append(f"Rscript is not installed, so flexmix and the data of R's packages are left out: {INSTALL}")
    else:
        found, versions = textbook_tables()
        has_flexmix = " flexmix " in versions
        said.append(versions)
        missing = sorted({package for package in PACKAGES.values() if f" {package} " not in versions})
        if missing:
            said.append(f"R packages that are not installed, and left out: {', '.join(missing)}: {INSTALL}")
    diabetes = load_diabetes(as_frame=True, scaled=False).frame
    found["diabetes"] = diabetes.rename(columns={"target": "response"})
    for name, table in found.items():
        if table.shape[1] > 4:
            found[name] = (table - table.mean()) / table.std(ddof=0)
    if folder is None:
        said.append(
            "No folder with concrete.csv, airfoil.csv and power_plant.csv is given: UCI's tables are left out"
        )
    else:
        found |= {data: standard_table(folder, data) for data in RESPONSES}
    return found, has_flexmix, said


def detail(c):
    """Print the parameters of both programs side by side."""
    print(f"\n**{c.data}, k = {c.k}, gates: {c.gates}**\n")
    columns = {"parameter": c.names, "moefast": c.ours.values}
    with_errors = np.isfinite(c.ours.errors).any()
    if with_errors:
        columns["its error"] = c.ours.errors
    if c.refit is not None:
        columns["flexmix, refit"] = c.refit.values
        columns["agree"] = relative(c.ours.values, c.refit.values, c.refit.errors)
        columns["its error "] = c.refit.errors
        if with_errors:
            columns["agree "] = relative(c.ours.errors, c.refit.errors)
        columns["flexmix, EM"] = c.em.values
    formats = [".1e" if name.strip() == "agree" else ".5g" for name in columns]
    print(tabulate(columns, headers="keys", tablefmt="github", floatfmt=formats, missingval="none"))
    print("".join(f"\n- moefast: {message}" for message in c.messages))


def worst(values):
    """The largest number, NaN without any."""
    finite = values[np.isfinite(values)]
    return finite.max() if len(finite) else np.nan


def show_same_optimum(compared):
    print("\n**From the same optimum**\n")
    rows = []
    for c in compared:
        row = [*c.title, c.ours.log_likelihood]
        if c.refit is not None:
            row += [c.em.log_likelihood, c.refit.log_likelihood]
            row.append(relative(c.ours.log_likelihood, c.refit.log_likelihood))
            row.append(None if np.isnan(c.mixtools) else c.mixtools)
            errors = [worst(relative(c.ours.errors, theirs)) for theirs in (c.refit.errors, c.plain_errors)]
            row += [*c.agreement, *errors, c.steepest_gate]
        rows.append(row)
    header = ["data", "n", "d", "k", "gates", "moefast", "flexmix, EM", "flexmix, refit"]
    header += ["agree", "mixtools", "parameters agree", "without ridge", "errors agree", "as it is"]
    header.append("steepest gate")
    formats = ["", "", "", "", "", ".4f", ".4f", ".4f", ".0e", ".4f", *[".0e"] * 4, ".0f"]
    print(tabulate(rows, headers=header[: max(map(len, rows))], tablefmt="github", floatfmt=formats))


def show_cold(compared):
    print("\n**Cold**\n")
    rows, behind = [], []
    for c in compared:
        row = [*c.title, c.cold, c.cpu]
        if len(c.starts):
            best, seconds = c.starts[:, 0].max(), c.starts[:, 1].sum()
            row += [best, np.median(c.starts[:, 0]), seconds, seconds / c.cpu]
            name = f"{c.data}, k = {c.k}, {c.gates} gates"
            if c.cold < best - 1e-3:
                behind.append(f"{name}: log-likelihood {c.cold:.3f}, flexmix {best:.3f}")
            if c.cpu > seconds:
                behind.append(f"{name}: {c.cpu:.2f} CPU seconds, flexmix {seconds:.2f}")
        rows.append(row)
    header = [
        "data",
        "n",
        "d",
        "k",
        "gates",
        "moefast",
        "CPU s",
        "flexmix's best",
        "its median",
        "CPU s ",
        "ratio",
    ]
    formats = ["", "", "", "", "", ".3f", ".2f", ".3f", ".3f", ".2f", ".1f"]
    print(tabulate(rows, headers=header[: max(map(len, rows))], tablefmt="github", floatfmt=formats))
    if any(len(c.starts) for c in compared):
        ours, theirs = sum(c.cpu for c in compared), sum(c.starts[:, 1].sum() for c in compared)
        print(f"\nTogether {ours:.1f} CPU seconds, flexmix {theirs:.1f}: {theirs / ours:.0f} times as long.")
        print("Where ours is not better:" if behind else "Ours is at least as likely and as fast everywhere.")
        print("\n".join(f"- {line}" for line in behind))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--only", nargs="+", choices=list(EXPERTS))
    parser.add_argument("--experts", nargs="+", type=int, help="in place of what textbooks take")
    parser.add_argument("--starts", type=int, default=10, help="of flexmix; 0 leaves the cold comparison out")
    parser.add_argument("--gate-alpha", type=float, help="of ours")
    parser.add_argument("--summary", action="store_true", help="no tables of parameters")
    arguments = parser.parse_args()
    gate_alpha = "auto" if arguments.gate_alpha is None else arguments.gate_alpha
    warnings.simplefilter("ignore")
    found, has_flexmix, said = tables(arguments.folder)
    print("\n".join(said))
    warm_up()
    compared = []
    for data in (data for data in arguments.only or EXPERTS if data in found):
        for k in arguments.experts or EXPERTS[data]:
            for gates in ("features", "constant"):
                c = Comparison(data, found[data], k, gates)
                responsibilities = our_side(c, gate_alpha)
                if has_flexmix:
                    same_optimum(c, responsibilities)
                    if arguments.starts:
                        c.starts = flexmix(c.table, k, arguments.starts, "per_expert", gates)
                compared.append(c)
                print(*c.title, f"{c.ours.log_likelihood:.4f}", file=sys.stderr)
                if not arguments.summary:
                    detail(c)
    show_same_optimum(compared)
    show_cold(compared)


if __name__ == "__main__":
    main()
