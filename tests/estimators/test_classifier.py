"""The classifier: scikit-learn's contract, labels, statistical truth."""

import pickle

import numpy as np
import pytest
from scipy.special import expit
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.utils.estimator_checks import (
    check_methods_sample_order_invariance,
    check_methods_subset_invariance,
    parametrize_with_checks,
)

from moefast import MixtureOfExpertsClassifier
from moefast.em.options import EmOptions
from moefast.em.problem import EmProblem
from moefast.families import BERNOULLI, Multinomial
from moefast.mixture import Mixture
from moefast.samples import Samples

rng = np.random.default_rng(11)
X = rng.normal(size=(1500, 3))
UPPER = rng.uniform(size=1500) < expit(3 * X[:, 0])
PROBABILITY = np.where(UPPER, expit(2.5 * X[:, 1]), expit(0.5 - 2.5 * X[:, 1]))
BINARY = np.where(rng.uniform(size=1500) < PROBABILITY, "yes", "no")
THREE = np.where(np.abs(X[:, 2]) > 1.2, "far", BINARY)

# The checks fit 10 to 50 rows: the two warnings that are ignored are for such data.
OF_EACH_ROW = (check_methods_sample_order_invariance, check_methods_subset_invariance)


# On 15 rows and 30 columns the likelihood is flat over a wide region, and EM ends where rounding leads it; the
# same on rows enough is tested below.
FLAT = "check_sample_weight_equivalence_on_dense_data"


def expected_failures(estimator):
    of_rows = {check.__name__: "score_samples(X, y) needs y" for check in OF_EACH_ROW}
    return of_rows | ({FLAT: "the optimum is flat"} if estimator.n_experts > 1 else {})


@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [MixtureOfExpertsClassifier(2), MixtureOfExpertsClassifier(1, alpha=1.0)],
    expected_failed_checks=expected_failures,
)
def test_scikit_learn(estimator, check):
    check(estimator)


class WithoutY(MixtureOfExpertsClassifier):
    """With a score_samples that finds its own classes, row by row."""

    def score_samples(self, X):
        return super().score_samples(X, self.classes_[(X.sum(axis=1) > 0).astype(int)])


@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("check", OF_EACH_ROW)
def test_methods_work_row_by_row(check):
    check("WithoutY", WithoutY(2))


@pytest.mark.parametrize("y", [BINARY, THREE], ids=["two", "three"])
def test_what_it_answers(y):
    model = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y)
    p = model.predict_proba(X)
    assert (model.classes_ == np.unique(y)).all()
    np.testing.assert_allclose(p.sum(axis=1), 1.0, rtol=1e-12)
    assert (model.predict(X) == model.classes_[p.argmax(axis=1)]).all()
    np.testing.assert_allclose(model.predict_log_proba(X), np.log(p), rtol=1e-12)
    experts, gates = model.predict_experts(X), model.predict_gates(X)
    np.testing.assert_allclose(np.einsum("nk,nkc->nc", gates, experts), p, rtol=1e-10)
    column = np.searchsorted(model.classes_, y)
    np.testing.assert_allclose(model.score_samples(X, y), np.log(p[np.arange(len(y)), column]), rtol=1e-9)
    assert model.log_likelihood_ == pytest.approx(model.log_likelihood(X, y), rel=1e-9)
    decision = model.decision_function(X)
    if len(model.classes_) == 2:
        np.testing.assert_allclose(decision, np.log(p[:, 1] / p[:, 0]), rtol=1e-9, atol=1e-12)
        assert model.coef_.shape == (2, 3)
    else:
        np.testing.assert_allclose(np.exp(decision), p, rtol=1e-12)
        assert model.coef_.shape == (2, 2, 3)
    assert set(model.sample(X, random_state=0)) == set(model.classes_)
    assert model.n_parameters_ == 2 * (len(model.classes_) - 1) * 4 + 4
    again = pickle.loads(pickle.dumps(model))
    assert (again.predict_proba(X) == p).all()
    summary = str(model.summary())
    others = [str(label) for label in model.classes_[1:]]
    assert f"{1 + len(others)} classes: {model.classes_[0]}, {', '.join(others)}" in summary
    of = f" of {others[0]}" if len(others) == 1 else ""
    assert f"Experts: log odds{of} against {model.classes_[0]} = a.x + b" in summary
    assert ("x0 [no]" in summary) == (len(model.classes_) == 3)


def test_one_expert_is_logistic_regression():
    for y in (BINARY, THREE):
        model = MixtureOfExpertsClassifier(1, alpha=0.0, tol=1e-13).fit(X, y)
        other = LogisticRegression(C=1e10, tol=1e-10, max_iter=1000).fit(X, y)
        np.testing.assert_allclose(model.predict_proba(X), other.predict_proba(X), atol=2e-5)


def truth(k, n_classes, seed, norm=2.5):
    draw = np.random.default_rng(seed)
    q = n_classes - 1
    coef = draw.normal(size=(k, q, 4))
    coef *= norm / np.linalg.norm(coef, axis=2, keepdims=True)
    gates = draw.normal(size=(k, 4))
    gates *= 2.5 / np.linalg.norm(gates, axis=1, keepdims=True)
    intercept, family = 0.5 * draw.normal(size=(k, q)), Multinomial(n_classes)
    if q == 1:
        coef, intercept, family = coef[:, 0], intercept[:, 0], BERNOULLI
    mixture = Mixture(coef, intercept, gates - gates[-1], np.zeros(k), np.ones(k), family=family)
    rows = draw.normal(size=(4000, 4))
    return mixture, rows, mixture.draw(rows, draw)


@pytest.mark.parametrize(("k", "n_classes", "seeds"), [(2, 2, 2), (2, 3, 2), (2, 5, 1), (3, 3, 1)])
def test_the_default_fit_is_as_likely_as_em_from_the_truth(k, n_classes, seeds):
    for seed in range(seeds):
        mixture, rows, y = truth(k, n_classes, seed)
        problem = EmProblem(Samples(rows, y, np.ones(len(y))), EmOptions(max_iter=5000), family=mixture.family)
        oracle = problem.to_units(problem.run(mixture.to_standard(problem.standardisation)))
        model = MixtureOfExpertsClassifier(k, random_state=seed).fit(rows, y)
        assert model.converged_
        assert model.log_likelihood_ > oracle.log_likelihood - 0.05


def test_labels_weights_and_columns():
    numbers = np.where(BINARY == "yes", 7, -3)
    by_number = MixtureOfExpertsClassifier(2, random_state=0).fit(X, numbers)
    by_name = MixtureOfExpertsClassifier(2, random_state=0).fit(X, BINARY)
    assert (by_number.coef_ == by_name.coef_).all()
    assert by_number.predict(X[:5]).dtype == numbers.dtype
    weights = np.where(np.arange(1500) < 1000, 1.0, 0.0)
    part = MixtureOfExpertsClassifier(2, random_state=0).fit(X[:1000], BINARY[:1000])
    np.testing.assert_allclose(
        MixtureOfExpertsClassifier(2, random_state=0).fit(X, BINARY, weights).coef_, part.coef_, rtol=1e-6
    )
    columns = MixtureOfExpertsClassifier(2, expert_features=[1], gate_features=[0], random_state=0).fit(X, BINARY)
    assert (columns.coef_[:, [0, 2]] == 0).all()
    assert (columns.gate_coef_[:, 1:] == 0).all()
    assert np.abs(np.sort(columns.coef_[:, 1]) - [-2.5, 2.5]).max() < 0.8
    common = MixtureOfExpertsClassifier(2, common_features=[2], random_state=0).fit(X, BINARY)
    assert common.coef_[0, 2] == common.coef_[1, 2]


@pytest.mark.parametrize("y", [BINARY, THREE], ids=["two", "three"])
def test_a_weight_is_so_many_copies(y):
    weights = np.random.default_rng(0).integers(0, 4, size=1500)
    weighted = MixtureOfExpertsClassifier(2, random_state=0).fit(X, y, weights)
    copied = MixtureOfExpertsClassifier(2, random_state=0).fit(X.repeat(weights, axis=0), y.repeat(weights))
    np.testing.assert_allclose(weighted.predict_proba(X), copied.predict_proba(X), rtol=1e-5)


def test_a_formula_gives_the_columns():
    pandas = pytest.importorskip("pandas")
    data = pandas.DataFrame(X, columns=["a", "b", "c"])
    by_formula = MixtureOfExpertsClassifier(2, formula="~ b | a", random_state=0).fit(data, BINARY)
    by_hand = MixtureOfExpertsClassifier(2, expert_features=[0], gate_features=[1], random_state=0)
    by_hand.fit(data[["b", "a"]], BINARY)
    np.testing.assert_allclose(by_formula.predict_proba(data), by_hand.predict_proba(data[["b", "a"]]), rtol=1e-6)


def test_it_works_in_searches_of_scikit_learn():
    search = GridSearchCV(MixtureOfExpertsClassifier(random_state=0), {"n_experts": [1, 2]}, cv=3)
    search.fit(X, BINARY)
    assert search.best_params_ == {"n_experts": 2}
    assert cross_val_score(clone(search.best_estimator_), X, THREE, cv=3, scoring="neg_log_loss").mean() > -1.0


def test_errors_name_what_is_wrong_and_leave_an_earlier_fit():
    model = MixtureOfExpertsClassifier(2, random_state=0).fit(X, BINARY)
    before = model.predict_proba(X)
    with pytest.raises(ValueError, match="at least two classes, got one class"):
        model.fit(X, np.zeros(1500))
    with pytest.raises(ValueError, match="Unknown label type"):
        model.fit(X, X[:, 0])
    with pytest.raises(ValueError, match="n_trials is for family='binomial'"):
        model.fit(X, BINARY, n_trials=3)
    assert (model.predict_proba(X) == before).all()
    with pytest.raises(ValueError, match=r"y must be one of classes_=.*'maybe' at row 1"):
        model.score_samples(X[:2], np.array(["yes", "maybe"]))
    with pytest.raises(ValueError, match="common_features are for two classes, got 3"):
        MixtureOfExpertsClassifier(2, common_features=[0]).fit(X, THREE)


@pytest.mark.filterwarnings("ignore::moefast.DegenerateDataWarning")
def test_fitted_model_of_several_classes_is_a_start():
    model = MixtureOfExpertsClassifier(2, n_init=3, random_state=0).fit(X, THREE)
    for start in (model, model.mixture_):
        again = MixtureOfExpertsClassifier(2, start=start).fit(X, THREE)
        assert again.log_likelihood_ == pytest.approx(model.log_likelihood_, abs=1e-4)
    more = MixtureOfExpertsClassifier(3, start=model, random_state=0).fit(X, THREE)
    assert more.log_likelihood_ > model.log_likelihood_


def test_start_of_other_classes_is_refused():
    two = MixtureOfExpertsClassifier(2, n_init=2, random_state=0).fit(X, BINARY)
    three = MixtureOfExpertsClassifier(2, n_init=2, random_state=0).fit(X, THREE)
    with pytest.raises(ValueError, match=r"start must have coef of shape \(k, 2, d\).* got \(2, 3\)"):
        MixtureOfExpertsClassifier(2, start=two).fit(X, THREE)
    with pytest.raises(ValueError, match=r"start must have coef of shape \(k, d\).* got \(2, 2, 3\)"):
        MixtureOfExpertsClassifier(2, start=three).fit(X, BINARY)


def test_predictions_take_the_offset_of_the_fit():
    offset = 3.0 * X[:, 2]
    model = MixtureOfExpertsClassifier(2, n_init=3, random_state=0).fit(X, BINARY, offset=offset)
    p = model.predict_proba(X, offset=offset)
    of_class = p[np.arange(len(X)), np.searchsorted(model.classes_, BINARY)]
    assert np.log(of_class).sum() == pytest.approx(model.log_likelihood_, rel=1e-9)
    np.testing.assert_array_equal(model.predict(X, offset=offset), model.classes_[p.argmax(axis=1)])
    assert model.score(X, BINARY, offset=offset) == np.mean(model.predict(X, offset=offset) == BINARY)
    np.testing.assert_allclose(model.decision_function(X, offset=offset), np.log(p[:, 1] / p[:, 0]), rtol=1e-6)
    by_expert = model.predict_experts(X, offset=offset)
    np.testing.assert_allclose(np.einsum("nk,nkc->nc", model.predict_gates(X), by_expert), p)
    far = model.sample(X, 0, offset=1e3)
    assert set(far) == {"yes"}


def test_offset_of_several_classes_is_refused_by_predictions():
    model = MixtureOfExpertsClassifier(2, n_init=2, random_state=0).fit(X, THREE)
    with pytest.raises(ValueError, match="offset is for one predictor"):
        model.predict_proba(X, offset=1.0)


@pytest.mark.parametrize("missing", [None, np.nan])
def test_missing_labels_are_counted(missing):
    labels = BINARY.astype(object)
    labels[[3, 5]] = missing
    with pytest.raises(ValueError, match="y has missing labels: 2 of 1500 rows, first at row 3"):
        MixtureOfExpertsClassifier(2).fit(X, labels)


def test_labels_of_several_kinds_are_named():
    labels = BINARY.astype(object)
    labels[3] = 1
    with pytest.raises(TypeError, match="y must have labels of one kind, got int, str"):
        MixtureOfExpertsClassifier(2).fit(X, labels)


def test_decisions_are_finite_where_experts_are_sure():
    x = np.linspace(-1, 1, 200)[:, None]
    for labels in (x[:, 0] > 0, np.digitize(x[:, 0], [-0.3, 0.3])):
        model = MixtureOfExpertsClassifier(1, alpha=0.5).fit(x, labels)
        far = np.array([[-1e6], [1e6]])
        assert np.isfinite(model.decision_function(far)).all()
