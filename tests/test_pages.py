"""The code of the documentation's pages runs, prints what they show and draws the pictures they have."""

import importlib.util
import re
from pathlib import Path

import matplotlib
import pytest

ROOT = Path(__file__).parents[1]
PAGES = [
    "boosting.md",
    "classification.md",
    "coming_from.md",
    "deployment.md",
    "families.md",
    "formulas.md",
    "groups.md",
    "idea.md",
    "inference.md",
    "pictures.md",
    "responses.md",
    "scale.md",
    "selection.md",
    "summary.md",
    "tutorial.md",
]
# These depend on the machine and on the compiler's rounding.
VARYING = re.compile(
    r"(?<=gradient )\S+|(?<=the best: )[^)]+|\d+(?= EM iterations)|\S+(?= s of CPU time)|(?<=after )\d+(?= EM)"
)
NUMBER = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")


def load_tool():
    spec = importlib.util.spec_from_file_location("run_page", ROOT / "tools" / "run_page.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", PAGES)
def test_pages_run_and_print_what_they_show(name, tmp_path):
    matplotlib.use("Agg")
    from matplotlib import pyplot

    page = ROOT / "docs" / name
    (tmp_path / "pictures").mkdir()
    try:
        results = load_tool().run_page(page, tmp_path)
    finally:
        pyplot.close("all")
    assert len(results) > 1
    for shown, printed in results:
        printed, shown = (VARYING.sub("some", " ".join((text or "").split())) for text in (printed, shown))
        assert NUMBER.sub("#", printed) == NUMBER.sub("#", shown)
        found, expected = (list(map(float, NUMBER.findall(text))) for text in (printed, shown))
        assert found == pytest.approx(expected, rel=2e-3)
    drawn = {path.name for path in (tmp_path / "pictures").iterdir()}
    assert drawn == set(re.findall(r"\]\(pictures/(.*?)\)", page.read_text(encoding="utf-8")))
    for picture in drawn:
        assert 0 < (ROOT / "docs" / "pictures" / picture).stat().st_size < 60_000
