"""pytest-benchmark over the comparisons of cases.py: every route, ours and the others', checks its answer.

pytest bench --benchmark-group-by=group
pytest bench --benchmark-disable          # small n, answers only
"""

import pytest

import baselines
import cases
import compare

ROUTES = [(case, route) for case in cases.CASES for route in (case.ours, *case.against)]


@pytest.mark.parametrize(("case", "route"), ROUTES, ids=[f"{c.name}-{r.name}" for c, r in ROUTES])
def test_case(request, case, route):
    mode = "test" if request.config.getoption("benchmark_disable") else "full"
    n = case.size(route, mode)
    try:
        prepared = route.prepare(case.make(n))
    except cases.Missing as missing:
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


@pytest.mark.parametrize(("order", "d", "n", "shift"), cases.FLOAT32_ERRORS)
def test_float32_error(order, d, n, shift):
    assert cases.float32_errors(order, d, n, shift) <= cases.float32_bound(n)


def test_report_makes_tables():
    lines = []
    assert compare.report("test", "order 3, 4 channels, d=10", lines.append)
    text = "\n".join(lines)
    assert "processor: " in text
    assert "| order 3, 4 channels, d=10 | 300 " in text
    assert "WRONG" not in text


def test_report_tells_wrong_answers():
    case = next(c for c in cases.CASES if c.name == "order 3, 4 channels, d=10")
    data = case.make(50)
    wrong = cases.numpy_moment(baselines.unique_pair_gemm, lambda total, index: 0.0, data)
    timing = compare.Timing(case.ours, 50, wrong)
    timing.once()
    assert timing.failure
