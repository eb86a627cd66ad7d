"""Errors for missing values and categories name all columns to blame, with what to do."""

import re

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from moefast import MixtureOfExpertsRegressor
from moefast.spectral import recover_experts
from moefast.validation import check_features, check_response, check_samples


@given(arrays.arrays(bool, st.tuples(st.integers(1, 12), st.integers(1, 6))), st.booleans())
@settings(max_examples=60, deadline=None)
def test_missing_values_are_counted_by_column(missing, named):
    X = np.where(missing, np.nan, 1.0)
    names = [f"c {j}" for j in range(X.shape[1])]
    data = pd.DataFrame(X, columns=names) if named else X
    if not missing.any():
        np.testing.assert_array_equal(check_features(data), X)
        return
    with pytest.raises(ValueError, match="missing values") as error:
        check_features(data)
    text = str(error.value)
    counts = re.findall(r"(\d+) in (?:'c (\d)'|column (\d))", text)
    expected = [(int(n), j) for j, n in enumerate(missing.sum(axis=0)) if n]
    assert [(int(n), int(by_name or by_number)) for n, by_name, by_number in counts] == expected
    bad = missing.any(axis=1)
    assert f"({bad.sum()} of {len(X)} rows, first at row {bad.argmax()})" in text
    assert "data.dropna()" in text
    assert "SimpleImputer" in text


def test_many_columns_are_cut_short():
    with pytest.raises(ValueError, match=r"2 in column 7 and 22 more \(2 of 2 rows"):
        check_features(np.full((2, 30), np.nan))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
@pytest.mark.parametrize("kind", [object, "Float64"])
def test_missing_values_of_all_kinds(missing, kind):
    column = pd.Series([1.0, missing, 3.0], dtype=kind)
    with pytest.raises(
        ValueError, match=r"^X has missing values \(NaN\): 1 in 'b' \(1 of 3 rows, first at row 1\)"
    ):
        check_features(pd.DataFrame({"a": [1.0, 2.0, 3.0], "b": column}))


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_words_come_before_missing_values(missing):
    with pytest.raises(ValueError, match=r"^X column 'b' is not numeric \(such as 'u'\)"):
        check_features(pd.DataFrame({"a": [1.0, np.nan], "b": [missing, "u"]}))


def test_y_and_infinity():
    with pytest.raises(ValueError, match=r"^y has missing values \(NaN\): 2 of 3 rows, first at row 1; remove"):
        check_response([1.0, np.nan, np.nan], 3)
    with pytest.raises(ValueError, match=r"^Input y contains infinity \(1 bad value\(s\), first at row 2\)"):
        check_response([1.0, 2.0, np.inf], 3)
    with pytest.raises(ValueError, match=r"^Input X in 'b'|^Input X in column 'b' contains infinity"):
        check_features(pd.DataFrame({"a": [1.0], "b": [np.inf]}))
    with pytest.raises(ValueError, match="1 in column 0 "):  # missing values before infinity
        check_features(np.array([[np.nan, np.inf]]))


TABLE = pd.DataFrame(
    {
        "age": [30.0, 40.0, 50.0, 60.0],
        "sex": ["f", "m", "m", "f"],
        "site": pd.Categorical(["a", "b", "c", "a"]),
        "code": pd.Categorical([1, 2, 2, 1]),
    }
)
Y = np.arange(4.0)


@pytest.mark.parametrize(
    "use",
    [
        lambda X: MixtureOfExpertsRegressor().fit(X, Y),
        lambda X: check_samples(X, Y),
        lambda X: recover_experts(X, Y, 2),
    ],
)
def test_words_are_named_together_with_both_recipes(use):
    with pytest.raises(ValueError, match="columns") as error:
        use(TABLE[["age", "sex"]].assign(town=["Rome", "Oslo", "Oslo", "Rome"]))
    assert str(error.value).startswith("X columns 'sex' (such as 'f'), 'town' (such as 'Rome') are not numeric: ")
    assert "formula='y ~ age + C(sex)'" in str(error.value)
    assert "make_column_transformer((OneHotEncoder(drop='first'), ['sex', 'town'])" in str(error.value)


def test_categories_are_no_numbers_even_where_they_look_so():
    with pytest.raises(
        ValueError, match=r"^X column 'code' is not numeric \(categories 1, 2\); name them in a form"
    ):
        check_features(TABLE[["age", "code"]])
    with pytest.raises(
        ValueError, match=r"^X columns 'site' \(categories 'a', 'b', 'c'\), 'code' \(categories 1, 2\)"
    ):
        check_features(TABLE)
    model = MixtureOfExpertsRegressor(1).fit(TABLE[["age"]], Y**2)
    with pytest.raises(ValueError, match="'age' is not numeric"):
        model.predict(TABLE[["age"]].astype("category"))


def test_columns_of_arrays_go_by_position():
    with pytest.raises(ValueError, match=r"^X column 1 is not numeric: could not convert"):
        check_features(TABLE[["age", "sex"]].to_numpy())


def test_what_is_neither_number_nor_text_has_no_recipe():
    with pytest.raises(TypeError, match=r"^X column 'b' is not numeric: .*dict.*") as error:
        check_features(pd.DataFrame({"a": [1.0], "b": [{}]}))
    assert "OneHotEncoder" not in str(error.value)
