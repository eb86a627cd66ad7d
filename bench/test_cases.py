"""pytest-benchmark over the comparisons of cases.py: every route, ours and the others', checks its answer.

pytest bench --benchmark-group-by=group
pytest bench --benchmark-disable          # small n, answers only
"""

from dataclasses import replace

import pytest

import baselines
import case as parts
import cases
import cases_moments
import compare
import peak_share

ROUTES = [(case, route) for case in cases.CASES for route in (case.ours, *case.against)]


@pytest.mark.parametrize(("case", "route"), ROUTES, ids=[f"{c.name}-{r.name}" for c, r in ROUTES])
def test_case(request, case, route):
    mode = "test" if request.config.getoption("benchmark_disable") else "full"
    n = case.size(route, mode)
    try:
        prepared = route.prepare(case.make(n))
    except parts.NotInstalled as missing:
        if route.optional:
            pytest.skip(f"not installed: {missing}")
        raise
    benchmark = request.getfixturevalue("benchmark")
    benchmark.group = f"{case.table}: {case.name}"
    benchmark.extra_info.update(n=n, unit=case.unit, parts=case.parts, flops_a_sample=case.flops)
    benchmark.extra_info["note"] = prepared.note
    answer = benchmark.pedantic(prepared.call, rounds=route.repeats)
    if route.own_time:
        benchmark.extra_info["seconds"], answer = answer
    prepared.check(answer)


@pytest.mark.parametrize(("order", "d", "n", "shift"), cases_moments.float32_data("test"))
def test_float32_error(order, d, n, shift):
    assert cases_moments.float32_error(order, d, n, shift) <= cases_moments.float32_bound(n)


@pytest.fixture
def small():
    return next(c for c in cases.CASES if c.name == "order 3, 4 channels, d=10")


def test_tables(small):
    lines = []
    assert compare.show_tables(compare.measure("test", small.name), lines.append)
    assert any(f"| {small.name} | 300 " in line for line in lines)
    assert len(compare.machine()) == 4


def test_both_blas_side_by_side(small):
    row, own = compare.measure("test", small.name)
    second = replace(own, ratio=1234.0, against="another chunk size")
    lines = []
    assert compare.show_both([row, own], [second], "Haswell", lines.append)
    assert "1234" in lines[1]
    assert "does not use it" in lines[1]
    assert not compare.show_both([row, own], [replace(second, right=False)], "Haswell", lines.append)
    assert "WRONG" in lines[3]


def test_only_what_uses_blas(small):
    assert [row.label for row in compare.measure("test", small.name, blas_only=True)] == [
        "unique-pair GEMM, channel by channel"
    ]


def test_wrong_answers_are_told(small):
    def prepare(data):
        zeros = 0 * baselines.unique_pair_gemm(data.X, data.t, data.order, 50)
        return replace(small.against[1].prepare(data), call=lambda: [zeros] * 4)

    wrong = replace(small, against=(replace(small.against[1], prepare=prepare),))
    (row,) = compare.rows(wrong, *compare.compare(wrong, "test"), "avx2")
    assert row.theirs.startswith("WRONG")
    assert row.ratio is None
    assert not compare.show_tables([row], lambda _: None)


def test_share_is_the_median_over_turns(small):
    peak = replace(small.against[0], share=True)
    ours = compare.Timing(small.ours, 300, small.ours.prepare(small.make(300)), seconds=[2.0, 4.0, 2.0])
    other = compare.Timing(peak, 300, seconds=[1.0, 1.0, 3.0], ours_after=[2.0, 4.0, 6.0])
    assert compare.ratio(small, ours, other) == 0.5
    assert next(compare.rows(small, ours, [other], "avx2")).shown(0.5) == "50 %"


def test_timed_moments_leave_no_rows_waiting():
    with pytest.raises(ValueError, match="whole blocks"):
        cases_moments.sizes(10_000)


def test_peak_share(monkeypatch):
    monkeypatch.setattr(peak_share, "WORK", 1.0)
    n, *figures = peak_share.measure(order=3, d=5, turns=1)
    assert n == 4096
    assert min(figures) > 0
