"""Times our route of a case and the others in alternation and makes the rows of the tables."""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from statistics import median

import numpy as np
from tabulate import tabulate
from threadpoolctl import threadpool_info

import case as parts
import cases
import cases_moments
import moefast

LEAST_SECONDS = {"full": 0.2, "quick": 0.05, "test": 0.0}


@dataclass
class Timing:
    """The times of one route, for the n it ran on, in CPU seconds; of ours also those right after it."""

    route: parts.Route
    n: int
    prepared: parts.Prepared | None = None
    missing: str = ""
    failure: str = ""
    seconds: list[float] = field(default_factory=list)
    ours_after: list[float] = field(default_factory=list)

    @property
    def best(self):
        """The least time."""
        return min(self.seconds, default=np.inf)

    @property
    def usable(self):
        """Whether it is there and its answer right."""
        return not (self.missing or self.failure)

    def enough(self, least_seconds):
        """Whether it was timed often and long enough."""
        repeated = len(self.seconds) >= self.route.repeats
        return repeated and (sum(self.seconds) >= least_seconds or self.route.own_time)

    def once(self):
        """Time the work once and return the seconds; the first answer is checked."""
        start = time.process_time()
        answer = self.prepared.call()
        seconds = time.process_time() - start
        if self.route.own_time:
            seconds, answer = answer
        self.seconds.append(seconds)
        if len(self.seconds) == 1:
            try:
                self.prepared.check(answer)
            except AssertionError as error:
                self.failure = " ".join(str(error).split()) or "assertion"
        return seconds


def prepare(case, route, mode):
    timing = Timing(route, case.size(route, mode))
    try:
        timing.prepared = route.prepare(case.make(timing.n))
    except parts.NotInstalled as missing:
        timing.missing = str(missing)
    return timing


def compare(case, mode, blas_only=False):
    """Time all routes of a case round by round, ours right after each other one, until each has enough."""
    others = [prepare(case, route, mode) for route in case.against if route.blas or not blas_only]
    ours = prepare(case, case.ours, mode)
    least = LEAST_SECONDS[mode]
    while waiting := [t for t in (ours, *others) if t.usable and not t.enough(least)]:
        for timing in others:
            if timing in waiting:
                timing.once()
                if ours.usable:
                    timing.ours_after.append(ours.once())
        if ours in waiting and not any(t in waiting for t in others):
            ours.once()
    return ours, others


def ratio(case, ours, other):
    """Return their time to ours for the same n, None where one has none; a share as :class:`Route` says."""
    if not (ours.usable and other.usable):
        return None
    if not other.route.share:
        return other.best / other.n / (ours.best / ours.n)
    peaks = np.array(other.seconds)
    around = np.append(peaks[:-1] + peaks[1:], 2 * peaks[-1]) / 2
    return median(around / other.ours_after)


@dataclass(frozen=True)
class Row:
    """One line of the tables; times in ms for the n and a part of the case, or why there is none.

    `label` is the name of the other route without what its preparation found, `against` has that, too.
    """

    table: str
    unit: str
    work: str
    n: int
    ours: str
    our_rate: str
    label: str
    against: str
    other_n: int
    theirs: str
    their_rate: str
    ratio: float | None
    asked: float | None
    share: bool
    right: bool

    def shown(self, value: float | None) -> str:
        """Show a ratio, or a share in percent."""
        if value is None:
            return ""
        return f"{100 * value:.0f} %" if self.share else _significant(value)

    @property
    def reached(self) -> str:
        """Tell whether the ratio is what was asked for."""
        if self.asked is None:
            return ""
        return "-" if self.ratio is None else "yes" if self.ratio >= self.asked else "no"


def rows(case, ours, others, isa):
    """Return the rows of a case."""
    n = ours.n
    for other in others:
        mine, theirs = (t.best / case.parts * (n / t.n) for t in (ours, other))
        route, note = other.route, other.prepared.note if other.prepared else ""
        yield Row(
            table=case.table,
            unit=case.unit,
            work=case.name,
            n=n,
            ours=_or_reason(ours, _significant(1e3 * mine)),
            our_rate=_rate(case, n, mine, ours),
            label=route.name,
            against=f"{route.name} ({note})" if note else route.name,
            other_n=other.n,
            theirs=_or_reason(other, _significant(1e3 * theirs)),
            their_rate=_rate(case, n, theirs, other),
            ratio=ratio(case, ours, other),
            asked=route.asked.get(isa) if isinstance(route.asked, dict) else route.asked,
            share=route.share,
            right=not (ours.failure or other.failure),
        )


def _or_reason(timing, text):
    if timing.missing:
        return f"not installed: {timing.missing}"
    return f"WRONG: {timing.failure}" if timing.failure else text


def _rate(case, n, seconds, timing):
    return _significant(case.flops * n / seconds / 1e9) if case.flops and timing.usable else ""


def _significant(value):
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def measure(mode: str, only: str = "", blas_only: bool = False) -> Iterator[Row]:
    """Run the cases whose table or name contains `only`; `blas_only` leaves out what does not use numpy's BLAS."""
    isa = moefast.build_info()["instruction_set"]
    for case in cases.CASES:
        if only in f"{case.table}: {case.name}" and (not blas_only or any(r.blas for r in case.against)):
            yield from rows(case, *compare(case, mode, blas_only), isa)


def show_tables(measured: Iterable[Row], show: Callable[[str], object] = print) -> bool:
    """Show the tables, each as soon as it is complete; tell whether all answers are right."""
    right = True
    for (table, unit), group in groupby(measured, lambda row: (row.table, row.unit)):
        lines = []
        for r in group:
            right &= r.right
            ours = (r.work, r.n, r.ours, r.our_rate)
            theirs = (r.against, r.other_n, r.theirs, r.their_rate)
            lines.append((*ours, *theirs, r.shown(r.ratio), r.shown(r.asked), r.reached))
        names = [
            "work",
            unit,
            "ours (ms)",
            "GF/s",
            "against",
            unit,
            "theirs (ms)",
            "GF/s",
            "ratio",
            "aim",
            "reached",
        ]
        _show_table(table, names, lines, show)
    return right


def show_both(best: Iterable[Row], other: Iterable[Row], name: str, show: Callable[[str], object] = print) -> bool:
    """Show the ratios with the best BLAS kernels beside those with the kernels `name`; tell if all is right."""
    seconds = {(r.table, r.work, r.label): r for r in other}
    right = all(r.right for r in seconds.values())
    for (table, unit), group in groupby(best, lambda row: (row.table, row.unit)):
        lines = []
        for r in group:
            right &= r.right
            second = seconds.get((r.table, r.work, r.label))
            ratios = [r.shown(r.ratio), r.shown(second.ratio) if second else "does not use it"]
            reached = [r.reached, second.reached if second else ""]
            wrong = [] if r.right and (second is None or second.right) else ["WRONG"]
            lines.append(
                (r.work, r.n, r.ours, r.label, r.shown(r.asked), *ratios, ", ".join(filter(None, reached + wrong)))
            )
        names = [
            "work",
            unit,
            "ours (ms)",
            "against",
            "aim",
            "ratio, best BLAS",
            f"ratio, {name} BLAS",
            "reached, each",
        ]
        _show_table(table, names, lines, show)
    return right


def show_float32(mode: str, only: str = "", show: Callable[[str], object] = print) -> None:
    """Show the largest float32 errors of the moments whose name contains `only`."""
    lines = []
    for order, d, n, shift in cases_moments.float32_data(mode):
        name = f"T{order} d={d}, float32 error"
        if only in name:
            error = cases_moments.float32_error(order, d, n, shift)
            bound = cases_moments.float32_bound(n)
            reached = "yes" if error <= bound else "no"
            lines.append([name, n, shift, f"{error:.1e}", f"{bound:.0e}", reached])
    names = [
        "work",
        "n",
        "mean of x",
        "largest error / sum of absolute terms",
        "aim",
        "reached",
    ]
    if lines:
        _show_table("float32, accuracy", names, lines, show)


def _show_table(title, names, lines, show):
    show(f"\n**{title}**\n")
    show(tabulate(lines, names, tablefmt="github", disable_numparse=True))


def machine():
    """Describe the processor, the build and numpy's BLAS."""
    info = moefast.build_info()
    blas = ", ".join(
        f"{p['internal_api']} {p['version']} ({p.get('architecture', '?')} kernels, {p['num_threads']} thread)"
        for p in sorted(threadpool_info(), key=lambda p: "numpy" not in p["filepath"])
        if p["user_api"] == "blas"
    )
    return [
        f"processor: {_processor()}",
        f"moefast {info['version']}: {info['compiler']}, {info['instruction_set']} kernels",
        f"numpy {np.__version__}, BLAS of numpy and scipy: {blas}",
        f"Python {platform.python_version()}, {platform.system()}",
    ]


def _processor():
    cpuinfo = Path("/proc/cpuinfo")
    fields = {}
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            fields.setdefault(name.strip(), value.strip())
    name = fields.get("model name") or platform.processor() or platform.machine()
    return f"{name}, family {fields['cpu family']}" if "cpu family" in fields else name
