"""The examples run and show what they say."""

import importlib.util
from pathlib import Path

import numpy as np


def load(name):
    path = Path(__file__).parents[1] / "examples" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_gated_recurrent_unit_is_recovered_from_its_inputs_and_outputs(capsys):
    """Every unit: experts within 2 %, gate within 15 %, of 10 000 samples. A GRU step is the mixture's mean."""
    rows = np.array(load("gated_recurrent_unit").main(10_000))
    assert len(rows) == 3
    assert rows[:, 1:3].max() < 0.02
    assert rows[:, 3].max() < 0.15
    np.testing.assert_allclose(rows[:, 4], 0.05, rtol=0.05)
    assert "candidate" in capsys.readouterr().out
