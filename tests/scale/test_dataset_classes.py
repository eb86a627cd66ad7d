"""A classifier is fitted to files as in memory, whatever labels are; labels that are none are named."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from moefast import MixtureOfExpertsClassifier
from moefast.sources import SourceError
from oracles.row_files import table_of, write_parquet

LABELS = {
    "texts": np.array(["no", "perhaps", "yes"]),
    "numbers": np.array([3, 7, 12]),
    "truth": np.array([False, True]),
}


def rows(n=6000, n_classes=3):
    """Classes that follow one column, in a direction that another one makes likely."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 3))
    up = rng.uniform(size=(n, 1)) < 1.0 / (1.0 + np.exp(-2.0 * X[:, :1]))
    eta = np.where(up, X[:, 1:2], -X[:, 1:2]) * 2.0 * np.arange(n_classes)
    return X, (eta + rng.gumbel(size=(n, n_classes))).argmax(axis=1)


def fit(data, **options):
    return MixtureOfExpertsClassifier(2, random_state=0).fit_dataset(data, "y", sample_rows=2500, **options)


@pytest.mark.parametrize("kind", LABELS)
def test_it_ends_where_a_fit_in_memory_does(kind, tmp_path):
    labels = LABELS[kind]
    X, codes = rows(n_classes=len(labels))
    y = labels[codes]
    write_parquet(tmp_path, table_of(X, pa.array(y).dictionary_encode() if kind == "texts" else y), 3)
    model = fit(str(tmp_path / "*.parquet"), checkpoint=tmp_path / "c")
    frame = pd.DataFrame(X, columns=["x0", "x1", "x2"])
    memory = MixtureOfExpertsClassifier(2, start=model, tol=1e-13).fit(frame, y)
    np.testing.assert_array_equal(model.classes_, memory.classes_)
    assert model.classes_.dtype.kind == labels.dtype.kind
    assert model.converged_
    assert abs(memory.log_likelihood_ - model.log_likelihood_) < 0.02
    np.testing.assert_allclose(model.log_likelihood_, model.log_likelihood(frame, y), rtol=1e-11)
    again = fit(str(tmp_path / "*.parquet"), checkpoint=tmp_path / "c")
    np.testing.assert_array_equal(again.coef_, model.coef_)
    assert again.fit_report_ == model.fit_report_


@pytest.mark.skipif(not hasattr(pa, "string_view"), reason="this pyarrow has no texts by reference")
@pytest.mark.filterwarnings("ignore:the fit did not settle")
def test_texts_by_reference_are_labels_too():
    X, codes = rows(600)
    texts = LABELS["texts"][codes].tolist()
    found = []
    for kind in (pa.string(), pa.string_view()):
        table = table_of(X, pa.array(texts, kind))
        model = MixtureOfExpertsClassifier(2, n_init=1, max_iter=5, tol=1.0, random_state=0)
        found.append(model.fit_dataset(lambda table=table: [table], "y", max_passes=1))
    assert found[1].classes_.tolist() == ["no", "perhaps", "yes"]
    np.testing.assert_array_equal(found[1].coef_, found[0].coef_)


@pytest.mark.parametrize("kind", ["texts", "truth"])
def test_predictions_are_those_of_the_methods(kind, tmp_path):
    labels = LABELS[kind]
    X, codes = rows(800, len(labels))
    y = labels[codes]
    frame = pd.DataFrame(X, columns=["x0", "x1", "x2"])
    model = MixtureOfExpertsClassifier(2, random_state=0, alpha=1.0).fit(frame, y)
    what = ["prediction", "proba", "log_proba", "decision", "experts", "gates", "assigned"]
    with_y = ["log_density", "responsibilities"]
    model.predict_dataset(
        lambda: [table_of(X, y)], tmp_path / "o.parquet", [*what, *with_y], target="y", batch_rows=301
    )
    found = pq.read_table(tmp_path / "o.parquet").to_pandas()
    decision, experts = model.decision_function(frame), model.predict_experts(frame)
    wanted = {
        "prediction": model.predict(frame),
        **{f"probability_{c}": values for c, values in zip(labels, model.predict_proba(frame).T, strict=True)},
        **{
            f"log_probability_{c}": values
            for c, values in zip(labels, model.predict_log_proba(frame).T, strict=True)
        },
        **({"decision": decision} if decision.ndim == 1 else {}),
        **({f"decision_{c}": decision[:, i] for i, c in enumerate(labels)} if decision.ndim == 2 else {}),
        **{f"mean_{i}_{c}": experts[:, i, j] for i in range(2) for j, c in enumerate(labels)},
        **{f"gate_{i}": values for i, values in enumerate(model.predict_gates(frame).T)},
        "assigned": model.assign(frame),
        "log_density": model.score_samples(frame, y),
        **{f"responsibility_{i}": values for i, values in enumerate(model.responsibilities(frame, y).T)},
    }
    assert list(found) == list(wanted)
    for name, values in wanted.items():
        np.testing.assert_array_equal(found[name], values, err_msg=name)
    with pytest.raises(ValueError, match="quantiles are of numbers"):
        model.predict_dataset(lambda: [table_of(X, y)], tmp_path / "o.parquet", quantiles=[0.5])
    with pytest.raises(ValueError, match="n_trials are for family='binomial'"):
        model.predict_dataset(lambda: [table_of(X, y)], tmp_path / "o.parquet", n_trials="y")
    unknown = np.where(np.arange(800) == 5, "other", y.astype(str))
    with pytest.raises(SourceError, match=r"column 'y' must be one of the classes .*, got '(other|False|True)'"):
        model.predict_dataset(lambda: [table_of(X, unknown)], tmp_path / "o.parquet", with_y, target="y")


def test_what_is_no_label_is_named(tmp_path):
    X, codes = rows(600)
    texts = LABELS["texts"][codes]
    for y, match in (
        (np.where(codes == 1, None, texts), r"column 'y' has \d+ missing value"),
        (np.where(codes == 1, np.nan, codes), r"column 'y' has the label nan"),
        (X[:, 0], r"[Uu]nknown label type"),
        (np.arange(600.0), r"at least two|Unknown label"),
        (np.full(600, "a"), r"at least two classes, got one class: 'a'"),
        (codes.astype("M8[s]"), r"column 'y' must have labels, texts or whole numbers, got timestamp"),
    ):
        if match.startswith("at least two|"):
            y = np.arange(600) % 1
        with pytest.raises(ValueError, match=match):
            fit(lambda y=y: [table_of(X, pa.array(y, from_pandas=False))])
    for i, y in enumerate((codes, texts)):
        pq.write_table(table_of(X, y), tmp_path / f"{i}.parquet")
    with pytest.raises(SourceError, match="texts and numbers as labels"):
        fit(tmp_path)
    many = np.arange(1200) // 1
    with pytest.raises(SourceError, match="more than 1000 labels"):
        fit(lambda: [table_of(np.tile(X, (2, 1)), many)])
    with pytest.raises(ValueError, match="common_features are for two classes"):
        MixtureOfExpertsClassifier(common_features=["x0"]).fit_dataset(lambda: [table_of(X, codes)], "y")


def test_weights_and_offset_of_two_classes():
    X, codes = rows(4000, 2)
    rng = np.random.default_rng(1)
    w, offset = rng.integers(0, 3, size=4000).astype(float), rng.normal(size=4000)
    columns = {"weights": "w", "offset": "o"}
    frame = pd.DataFrame(X, columns=["x0", "x1", "x2"])
    for sample_rows in (2500, 4000):
        model = MixtureOfExpertsClassifier(2, random_state=0)
        model.fit_dataset(lambda: [table_of(X, codes, w=w, o=offset)], "y", **columns, sample_rows=sample_rows)
        assert list(model.feature_names_in_) == ["x0", "x1", "x2"]
        assert model.converged_
        wanted = model.log_likelihood(frame, codes, w, offset=offset)
        np.testing.assert_allclose(model.log_likelihood_, wanted, rtol=1e-11)
    memory = MixtureOfExpertsClassifier(2, start=model, tol=1e-13).fit(frame, codes, w, offset=offset)
    np.testing.assert_allclose(memory.coef_, model.coef_, atol=1e-3)
