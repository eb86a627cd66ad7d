"""Reading formulas: parts, intercepts, and what may not stand in one."""

import sys

import pytest
from formula_data import table
from hypothesis import given, settings
from hypothesis import strategies as st

from moefast.formulas import FittedFormula, Formula
from moefast.formulas.expression import variables_of


def terms(part):
    return [str(term) for term in part]


def test_experts_stand_before_the_bar_and_gates_behind_it():
    formula = Formula.read("y ~ x1 + C(x2) | z1")
    assert terms(formula.response) == ["y"]
    assert terms(formula.experts) == ["1", "x1", "C(x2)"]
    assert terms(formula.gates) == ["1", "z1"]
    assert formula.variables == ["x1", "x2", "z1"]
    assert formula.response_variables == ["y"]


def test_without_a_bar_gates_have_the_experts_terms():
    formula = Formula.read("log(y) ~ a * b - 1")
    assert terms(formula.gates) == terms(formula.experts) == ["a", "b", "a:b"]
    assert formula.intercepts == (False, False)


def test_a_formula_may_have_no_response():
    formula = Formula.read("~ x | z")
    assert formula.response is None
    assert formula.response_variables == []


INTERCEPTS = {
    "y ~ x": (True, True),
    "y ~ x - 1": (False, False),
    "y ~ x + 0": (False, False),
    "y ~ 0 + x": (False, False),
    "y ~ x - 1 | z": (False, True),
    "y ~ x | z - 1": (True, False),
    "y ~ x | 1": (True, True),
    "y ~ x | 0": (True, False),
    "y ~ 1 | z": (True, True),
    "y ~ 0 | z": (False, True),
}


@pytest.mark.parametrize("text", INTERCEPTS)
def test_intercepts(text):
    assert Formula.read(text).intercepts == INTERCEPTS[text]


def test_columns_whose_names_are_words_of_python():
    assert Formula.read("yield ~ class | C(Q('lambda'))").variables == ["class", "lambda"]
    with pytest.raises(ValueError, match=r"'class' is a word of Python, a column of that name is Q\('class'\)"):
        Formula.read("y ~ C(class)")


def test_columns_may_have_the_names_of_functions_that_are_not_called():
    assert Formula.read("I ~ C | log").variables == ["C", "log"]


def test_a_dot_is_all_other_columns():
    formula = Formula.read("y ~ . - x | z", ["y", "x", "z", "w"])
    assert formula.variables == ["w", "z"]


NONE = {
    "y": "must have a ~",
    "y ~ x | z | w": "has 3 parts",
    "y + w ~ x": "one response",
    "y | w ~ x": "one response",
    "1 ~ x": "one response",
    "y:w ~ x": "one response",
    "y ~ 1 | 1": "has no column",
    "y ~ 0": "has no column",
    "y ~ x ~ z": "cannot be read",
    "y ~ x +": "cannot be read",
    "y ~ (x": "cannot be read",
    "y ~ {x": "cannot be read",
    "y ~ f(": "cannot be read",
    "y ~ 'x'": "cannot be read",
    "y ~ {x +}": "no expression",
    "y ~ .": "has no column",
    "y ~ C + C(x)": "'C' is a function there; rename the column",
    "log ~ log(x)": "'log' is a function there; rename the column",
}


@pytest.mark.parametrize("text", NONE)
def test_what_is_no_formula(text):
    with pytest.raises(ValueError, match=NONE[text]):
        Formula.read(text)


@pytest.mark.parametrize("formula", [5, ["y ~ x"], b"y ~ x"])
def test_a_formula_is_a_text(formula):
    with pytest.raises(TypeError, match="formula must be a text"):
        Formula.read(formula)


# ---- what a formula may call: it may come from a file --------------------------------------------------

CALLS = {
    "log(a) + np.sqrt(`b c`)": {"a", "b c"},
    "C(a, contr.treatment('u'), levels=['u', 'v'])": {"a"},
    "C(a, contr.sum)": {"a"},
    "C(a, Sum)": {"a"},
    "bs(a, df=4, degree=2)": {"a"},
    "Q('b c')": {"b c"},
    "np.where": None,
    "I(a ** 2 > b) / -c": {"a", "b", "c"},
    "np.maximum(a, b)": {"a", "b"},
}


@pytest.mark.parametrize("expression", CALLS)
def test_what_an_expression_reads(expression):
    if CALLS[expression] is None:
        with pytest.raises(ValueError, match="may not stand"):
            variables_of(expression)
    else:
        assert variables_of(expression) == CALLS[expression]


FORGED = [
    "__import__('os').system('true')",
    "np.load('file')",
    "np.lib.format.open_memmap('file')",
    "np.log(a, a)",
    "np.log(a, out=a)",
    "log(a, a)",
    "f(a)",
    "eval('a')",
    "open('file')",
    "lag(a)",
    "hashed(a, levels=3)",
    "a.to_csv('file')",
    "a[0]",
    "[b for b in a]",
    "f'{a}'",
    "(a := 1)",
    "C(a, _state={})",
    "C(a, **b)",
    "C(*a)",
    "Q(a)",
    "Q('a', 'b')",
    'C(a, contr.treatment("x\'y"))',
    "C(a, contr.treatment('x{y}'))",
    "C(a, contr.treatment('x\\ny'))",
    "C(a, contr.__class__)",
    "contr.custom(a)",
    "C(a, {'u': b''})",
    "a if a else b",
    "bs(a)(a)",
    "(log if 1 else exp)(a)",
]


@pytest.mark.parametrize("expression", FORGED)
@pytest.mark.parametrize("form", ["y ~ {}", "{} ~ x", "y ~ x | {}", "y ~ x + log({})", "~ {{{}}}"])
def test_code_is_refused_before_anything_is_evaluated(expression, form):
    with pytest.raises(ValueError, match="formula"):
        Formula.read(form.format(expression))


@given(st.text(alphabet="ax_.(){}[]'\"`\\ ,=:+-*~|&0123 \n%<>@", max_size=25))
@settings(max_examples=300, deadline=None)
def test_any_text_is_a_formula_or_a_value_error(text):
    try:
        formula = Formula.read(f"y ~ {text}", ["y", "a", "x"])
    except ValueError as error:
        assert "formula" in str(error)  # noqa: PT017
    else:
        assert formula.variables


@pytest.mark.parametrize("expression", ["a.values", "(lambda: a)()", "a.b.c", "lambda: a"])
def test_what_is_code_in_braces_alone(expression):
    """Without them the formula's own signs stand between names, and names may have points."""
    with pytest.raises(ValueError, match=r"may not stand|no function"):
        Formula.read(f"y ~ {{{expression}}}")


def test_a_call_is_never_run(tmp_path):
    """Names of calls are looked up by the library while it reads the left side: the check comes before."""
    witness = tmp_path / "witness"
    text = f"(__import__('pathlib').Path('{witness}').touch)() ~ x"
    with pytest.raises(ValueError, match="formula"):
        Formula.read(text)
    text = f"log(__import__('pathlib').Path('{witness}').touch()) ~ x"
    with pytest.raises(ValueError, match="__import__"):
        Formula.read(text)
    assert not witness.exists()


def test_without_the_library_the_error_says_how_to_get_it(monkeypatch):
    for name in [name for name in sys.modules if name.split(".")[0] == "formulaic"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "formulaic", None)
    with pytest.raises(ImportError, match=r"pip install \"moefast\[formula\]\""):
        FittedFormula.learn("y ~ x", table())
