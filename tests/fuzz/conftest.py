"""How many inputs are tried: a few, always the same ones, in the suite; MOEFAST_FUZZ=N tries N new ones a test."""

import os

import fuzz_oracle
import pytest
from hypothesis import HealthCheck, Phase, settings

SLOW_INPUTS = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much)
LONG = os.environ.get("MOEFAST_FUZZ")


def pytest_itemcollected(item):
    """Give every property of this folder the number of inputs: its own few, or those asked for."""
    function = getattr(item, "function", None)
    if "fuzz" not in item.nodeid or not hasattr(function, "hypothesis"):
        return
    few = getattr(function, "_hypothesis_internal_use_settings", settings.default).max_examples
    function._hypothesis_internal_use_settings = settings(
        max_examples=int(LONG) if LONG else few,
        derandomize=not LONG,
        database=None,
        deadline=None,
        suppress_health_check=SLOW_INPUTS,
        phases=[Phase.explicit, Phase.generate, Phase.shrink] if LONG else [Phase.explicit, Phase.generate],
        print_blob=bool(LONG),
    )


def pytest_terminal_summary(terminalreporter):
    """Say how many inputs were tried and what became of them."""
    if LONG and fuzz_oracle.TRIED:
        terminalreporter.section("fuzzing")
        for (area, outcome), count in sorted(fuzz_oracle.TRIED.items()):
            terminalreporter.write_line(f"{area:20} {outcome:10} {count}")


@pytest.fixture(autouse=True)
def _no_hang():
    """End what runs for longer than any input may, by the processor's time."""
    with fuzz_oracle.limited():
        yield
