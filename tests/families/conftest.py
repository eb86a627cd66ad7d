"""Instruction sets for the tests of families."""

import pytest

from moefast import _core, build_info


@pytest.fixture(params=build_info()["instruction_sets"])
def instruction_set(request):
    """Each that this processor has."""
    before = build_info()["instruction_set"]
    _core.use_instruction_set(request.param)
    yield request.param
    _core.use_instruction_set(before)
