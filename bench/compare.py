"""Times our route of a case and the others in alternation and makes the rows of the tables."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate
from threadpoolctl import threadpool_info

import cases
import moefast

LEAST_SECONDS = {"full": 0.2, "quick": 0.05, "test": 0.0}
COLUMNS = ("work", "n", "ours (ms)", "GF/s", "against", "n", "theirs (ms)", "GF/s", "ratio", "asked", "reached")


@dataclass
class Timing:
    """The times of one route, for the n it ran on, in CPU seconds."""

    route: cases.Route
    n: int
    prepared: cases.Prepared | None = None
    missing: str = ""
    failure: str = ""
    best: float = np.inf
    total: float = 0.0
    repeats: int = 0

    @property
    def usable(self):
        """Whether it is there and its answer right."""
        return not (self.missing or self.failure)

    def enough(self, least_seconds):
        """Whether it was timed often and long enough."""
        return self.repeats >= self.route.repeats and (self.total >= least_seconds or self.route.own_time)

    def once(self):
        """Time the work once; the first answer is checked."""
        start = time.process_time()
        answer = self.prepared.call()
        seconds = time.process_time() - start
        if self.route.own_time:
            seconds, answer = answer
        self.best, self.total, self.repeats = min(self.best, seconds), self.total + seconds, self.repeats + 1
        if self.repeats == 1:
            try:
                self.prepared.check(answer)
            except AssertionError as error:
                self.failure = " ".join(str(error).split())


def prepare(case, route, mode):
    timing = Timing(route, case.size(route, mode))
    try:
        timing.prepared = route.prepare(case.make(timing.n))
    except cases.Missing as missing:
        timing.missing = str(missing)
    return timing


def compare(case, mode):
    """Time all routes of a case round by round, ours in every round, until each has enough."""
    ours, *others = timings = [prepare(case, route, mode) for route in (case.ours, *case.against)]
    least = LEAST_SECONDS[mode]
    while waiting := [t for t in timings if t.usable and not t.enough(least)]:
        for timing in others:
            if timing in waiting:
                timing.once()
                if ours.usable:
                    ours.once()
        if ours in waiting and not any(t in waiting for t in others):
            ours.once()
    return ours, others


def rows(case, ours, others, isa):
    """Return the table's rows, times for the n and a part of the case."""
    n = ours.n
    table = []
    for other in others:
        mine, theirs = (t.best / case.parts * (n / t.n) for t in (ours, other))
        asked = other.route.asked.get(isa) if isinstance(other.route.asked, dict) else other.route.asked
        ratio = theirs / mine if ours.usable and other.usable else None
        table.append(
            [
                case.name,
                n,
                _or_reason(ours, _significant(1e3 * mine)),
                _rate(case, n, mine, ours),
                other.route.name + (f" ({other.prepared.note})" if other.prepared and other.prepared.note else ""),
                other.n,
                _or_reason(other, _significant(1e3 * theirs)),
                _rate(case, n, theirs, other),
                _significant(ratio),
                _significant(asked),
                "" if asked is None else "-" if ratio is None else "yes" if ratio >= asked else "no",
            ]
        )
    return table


def _or_reason(timing, text):
    if timing.missing:
        return f"missing: {timing.missing}"
    return f"WRONG: {timing.failure}" if timing.failure else text


def _rate(case, n, seconds, timing):
    return _significant(case.flops * n / seconds / 1e9) if case.flops and timing.usable else ""


def _significant(value):
    if value is None:
        return ""
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


def float32_rows(only=""):
    """Return the float32 error of every n, or nothing when the filter leaves it out."""
    table = []
    for order, d, n, shift in cases.FLOAT32_ERRORS:
        name = f"T{order} d={d}, float32 error"
        if only not in name:
            continue
        try:
            error = cases.float32_errors(order, d, n, shift)
        except cases.Missing as missing:
            table.append([name, n, shift, f"missing: {missing}", cases.float32_bound(n), "-"])
            continue
        bound = cases.float32_bound(n)
        table.append([name, n, shift, f"{error:.1e}", f"{bound:.0e}", "yes" if error <= bound else "no"])
    return table


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


def report(mode, only, show=print):
    """Run the cases whose table or name contains `only` and show the tables; tell whether answers are right."""
    isa = moefast.build_info()["instruction_set"]
    for line in machine():
        show(f"- {line}")
    right, tables = True, {}
    for case in cases.CASES:
        if only in f"{case.table}: {case.name}":
            ours, others = compare(case, mode)
            right &= not any(t.failure for t in (ours, *others))
            tables.setdefault((case.table, case.unit), []).extend(rows(case, ours, others, isa))
            last = [c for c in cases.CASES if c.table == case.table and only in f"{c.table}: {c.name}"][-1]
            if case is last:
                names = [case.unit if c == "n" else c for c in COLUMNS]
                show(f"\n**{case.table}**\n")
                show(tabulate(tables[case.table, case.unit], names, tablefmt="github", disable_numparse=True))
    errors = float32_rows(only)
    if errors:
        names = ["work", "n", "mean of x", "largest error / sum of absolute terms", "at most", "reached"]
        show("\n**float32, accuracy**\n")
        show(tabulate(errors, names, tablefmt="github", disable_numparse=True))
    return right
