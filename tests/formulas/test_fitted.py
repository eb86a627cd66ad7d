"""Design matrices of formulas against those built by hand, on the data of the fit and on others."""

import numpy as np
import pandas as pd
import polars
import pyarrow
import pytest
from formula_data import table
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import BSpline

from moefast.formulas import FittedFormula
from moefast.formulas.table import some_rows, table_of

DATA = table()


def learn(text, data=DATA):
    return FittedFormula.learn(text, data)


def dummies(column, levels):
    return [(DATA[column] == level).to_numpy(float) for level in levels]


def test_the_union_of_both_parts_with_each_column_once():
    fitted = learn("log(y) ~ x + C(word) + x:size | z + x + flag")
    assert fitted.expert_names == ("x", "C(word)[T.b]", "C(word)[T.c]", "x:size[T.large]")
    assert fitted.gate_names == ("z", "x", "flag")
    x, z = DATA["x"].to_numpy(), DATA["z"].to_numpy()
    b, c = dummies("word", "bc")
    (large,) = dummies("size", ["large"])
    expected = np.column_stack([x, b, c, x * large, z, DATA["flag"].to_numpy(float)])
    matrix = fitted.matrix(DATA)
    assert list(matrix.columns) == list(fitted.names) == [*fitted.expert_names, "z", "flag"]
    np.testing.assert_array_equal(matrix.to_numpy(), expected)
    np.testing.assert_array_equal(fitted.response(DATA), np.log(DATA["y"]))
    assert fitted.response_name == "log(y)"
    assert fitted.settings == {
        "expert_columns": (0, 1, 2, 3),
        "gate_columns": (4, 0, 5),
        "fit_intercept": True,
        "fit_gate_intercept": True,
    }


def test_a_part_without_intercept_has_all_levels():
    fitted = learn("y ~ word - 1 | code + C(code) - 1")
    assert fitted.expert_names == ("word[a]", "word[b]", "word[c]")
    assert fitted.gate_names == ("code", "C(code)[1]", "C(code)[2]", "C(code)[3]")
    codes = [DATA["code"].to_numpy(float), *dummies("code", (1, 2, 3))]
    np.testing.assert_array_equal(fitted.matrix(DATA), np.column_stack([*dummies("word", "abc"), *codes]))


def test_all_columns_and_constant_gates():
    assert learn("y ~ x + z").settings["expert_columns"] is None
    assert learn("y ~ x + z").settings["gate_columns"] is None
    constant = learn("y ~ x + z | 1").settings
    assert (constant["expert_columns"], constant["gate_columns"], constant["fit_gate_intercept"]) == (
        None,
        (),
        True,
    )
    assert learn("y ~ x | 0").settings["fit_gate_intercept"] is False
    assert learn("y ~ 1 | x").settings["expert_columns"] == ()


def test_levels_have_the_order_of_the_categories_and_those_that_do_not_occur_are_left_out():
    assert learn("y ~ size").expert_names == ("size[T.large]",)
    turned = DATA.assign(size=DATA["size"].cat.reorder_categories(["large", "huge", "small"]))
    assert learn("y ~ size", turned).expert_names == ("size[T.small]",)
    assert learn("y ~ C(word, contr.treatment('c'))").levels == {"C(word, contr.treatment('c'))": ("a", "b", "c")}


def test_contrasts():
    matrix = learn("y ~ C(word, contr.sum) | 1").matrix(DATA).to_numpy()
    a, b, c = dummies("word", "abc")
    np.testing.assert_array_equal(matrix, np.column_stack([a - c, b - c]))


def test_splines_are_those_of_scipy_on_the_knots_of_the_fit():
    fitted = learn("y ~ bs(x, df=6)")
    knots = np.array(fitted.state["bs(x, df=6)"]["knots"])
    inner = np.quantile(DATA["x"], [0.25, 0.5, 0.75])
    np.testing.assert_allclose(np.unique(knots), [DATA["x"].min(), *inner, DATA["x"].max()])
    for rows in (DATA, DATA.iloc[5:9]):
        expected = BSpline.design_matrix(rows["x"].to_numpy(), knots, 3).toarray()[:, 1:]
        np.testing.assert_allclose(fitted.matrix(rows), expected, atol=1e-14)


STATEFUL = [
    "center(x)",
    "scale(z)",
    "standardize(x)",
    "poly(x, 3)",
    "cr(x, df=3)",
    "bs(z, df=5)",
    "C(code)",
    "word",
]


@pytest.mark.parametrize("term", STATEFUL)
def test_new_rows_get_what_the_fit_has_learnt(term):
    """A few rows alone have other means, knots and levels than all."""
    fitted = learn(f"y ~ {term} | 1")
    whole = fitted.matrix(DATA).to_numpy()
    for rows in (slice(0, 3), slice(100, 101)):
        np.testing.assert_allclose(fitted.matrix(DATA.iloc[rows]), whole[rows], rtol=1e-12, atol=1e-14)


def test_stateful_terms_of_the_response():
    fitted = learn("scale(y) ~ x")
    expected = (DATA["y"] - DATA["y"].mean()) / DATA["y"].std()
    np.testing.assert_allclose(fitted.response(DATA.iloc[:4]), expected[:4])


@given(st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=12))
@settings(max_examples=20, deadline=None)
def test_rows_with_some_of_the_levels(words):
    new = pd.DataFrame({"word": words})
    expected = np.column_stack([(new["word"] == level).to_numpy(float) for level in "bc"])
    np.testing.assert_array_equal(learn("y ~ word").matrix(new), expected)


@pytest.mark.parametrize("term", ["word", "C(word)", "C(word, contr.sum)", "x:word"])
def test_levels_that_the_fit_has_not_seen(term):
    new = DATA.assign(word=["a", "new", "newer"] + ["b"] * (len(DATA) - 3))
    message = (
        r"word.* has levels in X that it had not at the fit: 'new', 'newer' \(2 of 240 rows\); known are 'a', 'b'"
    )
    with pytest.raises(ValueError, match=message):
        learn(f"y ~ {term}").matrix(new)


def test_levels_given_must_be_all_that_occur():
    with pytest.raises(ValueError, match="'c'"):
        learn("y ~ C(word, levels=['a', 'b'])").matrix(DATA)


def test_an_unseen_level_of_a_category():
    huge = DATA.assign(size=pd.Categorical(["huge"] * len(DATA), categories=["small", "large", "huge"]))
    with pytest.raises(ValueError, match=r"'huge' \(240 of 240 rows\)"):
        learn("y ~ size").matrix(huge)


def test_codes_may_come_back_as_floats():
    fitted = learn("y ~ C(code)")
    np.testing.assert_array_equal(fitted.matrix(DATA.astype({"code": float})), fitted.matrix(DATA))


# ---- tables ------------------------------------------------------------------------------------------

SIMPLE = DATA.drop(columns=["size"])
TABLES = {
    "nullable": lambda d: d.convert_dtypes(),
    "arrow types": lambda d: d.convert_dtypes(dtype_backend="pyarrow"),
    "objects": lambda d: d.astype(object),
    "other index": lambda d: d.set_axis(range(1000, 1000 + len(d))).sample(frac=1.0, random_state=0).sort_index(),
    "one index": lambda d: d.set_axis([0] * len(d)),
    "polars": lambda d: polars.DataFrame(d.to_dict("list")),
    "arrow": lambda d: pyarrow.table(d.to_dict("list")),
    "categories": lambda d: d.astype({"word": "category"}),
}


@pytest.mark.parametrize("kind", TABLES)
def test_tables_of_all_kinds_give_the_same_matrix(kind):
    text = "y ~ x + word + C(code) + flag + code | log(`my col`)"
    expected, other = learn(text, SIMPLE), TABLES[kind](SIMPLE)
    fitted = learn(text, other)
    assert (fitted.names, fitted.levels) == (expected.names, expected.levels)
    np.testing.assert_array_equal(fitted.matrix(other), expected.matrix(SIMPLE))
    np.testing.assert_array_equal(fitted.response(other), SIMPLE["y"])


def test_small_numbers_do_not_wrap_around():
    data = pd.DataFrame({"y": [1.0, 2.0], "a": np.array([1, 200], np.uint8), "b": np.array([3, 100], np.int8)})
    for of in (data, data.astype({"a": "UInt8", "b": "Int8"})):
        matrix = learn("y ~ {a - b} + {a**2} + a:b + C(b)", of).matrix(of)
        np.testing.assert_array_equal(matrix.to_numpy(), [[-2, 1, 0, 3], [100, 40000, 1, 20000]])
        assert "C(b)[T.100]" in matrix.columns


@pytest.mark.parametrize("kind", [polars.DataFrame, pyarrow.table])
def test_rows_of_other_tables(kind):
    rows = np.arange(240) % 3 == 1
    data = some_rows(kind(SIMPLE.to_dict("list")), rows)
    np.testing.assert_array_equal(learn("y ~ x", data).matrix(data)["x"], SIMPLE["x"][rows])


def test_rows_are_counted_from_zero():
    found = table_of(DATA[10:12], ["x"], "y ~ x")
    assert list(found.index) == list(learn("y ~ x").matrix(DATA[10:12]).index) == [0, 1]


def test_data_are_not_changed():
    data, before = table(), table()
    learn("log(y) ~ center(x) + size + word", data).matrix(data)
    pd.testing.assert_frame_equal(data, before)


def test_names_that_are_no_identifiers():
    fitted = learn("y ~ `my col` + scale(`my col`) + Q('my col')")
    assert fitted.expert_names == ("my col", "scale(`my col`)", "Q('my col')")
    np.testing.assert_array_equal(fitted.matrix(DATA.iloc[:3])["my col"], DATA["my col"][:3])


def test_names_that_differ_in_signs_alone_cannot_both_be_transformed():
    """The library would call one of them by a random name, and not find its centre again."""
    data = DATA.assign(my_col=DATA["x"])
    with pytest.raises(ValueError, match="rename columns"):
        learn("y ~ center(`my col`) + center(my_col)", data).matrix(data)


@pytest.mark.parametrize("formula", ["y ~ word + `word[T.b]`", "y ~ word | `word[T.b]`"])
def test_two_columns_of_one_name(formula):
    with pytest.raises(ValueError, match=r"'word\[T\.b\]'.*; rename one"):
        learn(formula, DATA.assign(**{"word[T.b]": 1.0}))


def test_columns_that_are_not_there():
    with pytest.raises(ValueError, match="has the column 'age', which X has not: x, z"):
        learn("y ~ x | age")
    with pytest.raises(ValueError, match="has the column 'x', which X has not"):
        learn("y ~ x").matrix(DATA[["z"]])
    with pytest.raises(ValueError, match="has the column 'x', which X has twice"):
        learn("y ~ x", pd.concat([DATA, DATA[["x"]]], axis=1))
    assert learn("y ~ x").matrix(DATA[["x"]]).shape == (240, 1)


@pytest.mark.parametrize("data", [DATA.to_numpy(), {"x": [1.0], "y": [2.0]}, [[1.0]], None, DATA["x"]])
def test_a_formula_needs_a_data_frame(data):
    with pytest.raises(TypeError, match="X must be a data frame"):
        learn("y ~ x", data)


def test_columns_of_other_kinds():
    with pytest.raises(TypeError, match="X column 'x' holds dates"):
        learn("y ~ x", DATA.assign(x=pd.date_range("2020-01-01", periods=len(DATA))))
    with pytest.raises(TypeError, match="X column 'x' holds complex"):
        learn("y ~ x", DATA.assign(x=1j))
    with pytest.raises(ValueError, match="cannot be called 'Intercept'"):
        learn("y ~ Intercept", DATA.assign(Intercept=1.0))
    with pytest.raises(ValueError, match="x has numbers at the fit, in X it has categories"):
        learn("y ~ x").matrix(DATA.assign(x="a"))
    with pytest.raises(ValueError, match="word has levels in X that it had not at the fit: 1"):
        learn("y ~ word").matrix(DATA.assign(word=1.0))


@pytest.mark.parametrize("term", ["{'a'}", "scale(word)", "{10**400 * x}", "{x, z}", "{not flag}", "bs(x, df=2)"])
def test_terms_that_are_no_columns_of_numbers(term):
    with pytest.raises(
        ValueError, match=r"^formula .*: it(s columns are not all numbers| cannot be evaluated on X)"
    ):
        learn(f"y ~ x + {term}")


@pytest.mark.parametrize("response", ["word", "size", "C(code)", "bs(x, df=4)", "one"])
def test_the_response_is_one_number(response):
    with pytest.raises(ValueError, match=r"the response .* must be one column of numbers"):
        learn(f"{response} ~ z", DATA.assign(one="a"))


# ---- missing values ----------------------------------------------------------------------------------


def test_missing_values_are_counted_by_column_and_no_row_is_dropped():
    data = DATA.copy()
    data.loc[3:5, "word"] = None
    data.loc[5:6, "x"] = np.nan
    data.loc[9, "y"] = np.nan
    message = r"3 in 'word', 2 in 'x', 1 in 'y' \(5 of 240 rows, first at row 3\); drop these rows"
    with pytest.raises(ValueError, match=message):
        learn("y ~ x + word", data)
    fitted = learn("y ~ x + word")
    with pytest.raises(ValueError, match=r"3 in 'word', 2 in 'x' \(4 of 240 rows"):
        fitted.matrix(data)
    with pytest.raises(ValueError, match=r"1 in 'y' \(1 of 240 rows, first at row 9\)"):
        fitted.response(data)
    assert len(learn("y ~ z", data.drop(index=9)).matrix(data)) == 240


def test_a_term_that_is_not_defined_says_so():
    fitted = learn("y ~ log(x)", DATA.assign(x=DATA["x"].abs()))
    n = int((DATA["x"] < 0).sum())
    with pytest.raises(ValueError, match=rf"gives NaN: {n} in 'log\(x\)' of 240 rows"):
        fitted.matrix(DATA)
    with pytest.raises(
        ValueError, match=r"(?s)cannot be evaluated on X: .*bs\(x, df=4\).*extend beyond upper and/or lower bounds"
    ):
        learn("y ~ bs(x, df=4)").matrix(DATA.assign(x=100.0))
