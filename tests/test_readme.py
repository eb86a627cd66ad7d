"""The README's example runs as printed and prints what it says."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


def test_example_prints_what_the_readme_shows(capsys):
    text = README.read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)```", text, re.S)[1]
    shown = re.search(r"```text\n(.*?)```", text, re.S)[1]
    exec(compile(code, "README.md", "exec"), {})
    printed = capsys.readouterr().out
    # These depend on the machine and the compiler's rounding; so does which of the starts that tie is called best.
    varying = re.compile(r"(?<=gradient )\S+|(?<=the best: )[^)]+|\d+(?= EM iterations)|\S+(?= s of CPU time)")
    printed, shown = (varying.sub("some", " ".join(text.split())) for text in (printed, shown))
    number = re.compile(r"-?\d+\.?\d*(?:e-?\d+)?")
    assert number.sub("#", printed).split() == number.sub("#", shown).split()
    # printed to 4 digits: the last may differ between compilers
    found = [float(n) for n in number.findall(printed)]
    assert found == pytest.approx([float(n) for n in number.findall(shown)], rel=2e-3)
