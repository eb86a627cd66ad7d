"""Moments, tensors and the methods of the papers on anything."""

import numpy as np
import strategies as some
from fuzz_oracle import assert_finite, attempt
from hypothesis import given, settings
from hypothesis import strategies as st

from moefast import MomentAccumulator
from moefast.baselines import fit_gradient_descent, fit_joint_em
from moefast.datasets import make_moe
from moefast.diagnostics import diagnose
from moefast.em import fit_em
from moefast.gating import fit_gates
from moefast.l4 import recover_experts as recover_by_l4
from moefast.spectral import recover_experts
from moefast.tensors import SymmetricTensor, power_iteration
from moefast.transforms import PolynomialTransform

OF_ACCUMULATORS = {
    "order": st.sampled_from([2, 3, 4]),
    "dtype": st.sampled_from(["float64", "float32", np.float64]),
    "n_threads": st.sampled_from([None, 1, 2]),
    "transform": some.mostly(
        st.none(),
        st.sampled_from([PolynomialTransform((0.0, 1.0), 0.0, 2), PolynomialTransform((1e300,), 1.0, 3)]),
        4,
    ),
}


@given(st.data())
@settings(max_examples=40)
def test_accumulators(data):
    X = data.draw(some.tables())
    width = data.draw(some.mostly(st.just(X.shape[1]), some.odd_values, 20))
    arguments = data.draw(some.parameters(OF_ACCUMULATORS))
    accumulator = attempt("moments.new", lambda: MomentAccumulator(width, **arguments))
    if accumulator is None:
        return
    for _ in range(2):
        rows = data.draw(some.rows())
        table = X if data.draw(st.integers(0, 3)) else rows.X
        y = data.draw(some.disguised(data.draw(some.columns(len(X)))))
        weights = rows.more.get("sample_weight")
        before = accumulator.to_bytes()
        if attempt("moments.update", lambda t=table, y=y, w=weights: accumulator.update(t, y, w)) is None:
            assert accumulator.to_bytes() == before
    other = MomentAccumulator.from_bytes(accumulator.to_bytes())
    attempt("moments.merge", lambda: other.merge(accumulator))
    order, power = (data.draw(some.mostly(st.integers(0, 4), some.odd_values, 6)) for _ in range(2))
    for name in ("raw_moment", "central_moment"):
        moment = attempt(f"moments.{name}", lambda n=name: getattr(accumulator, n)(order, power))
        if moment is not None:
            assert_finite(name, moment, (width,) * order)
    scores = attempt("moments.score_moments", accumulator.score_moments)
    if scores is not None:
        tensor = attempt(
            "moments.score_tensor",
            lambda: scores.score_tensor(
                data.draw(st.sampled_from([2, 3, 4])), PolynomialTransform((0.0, 1.0), 0.0, 2)
            ),
        )
        assert tensor is None or np.isfinite(tensor).all()


OF_TENSORS = ("apply", "value", "project", "pair_value", "pair_gradient", "to_dense", "to_canonical")


@given(st.data())
@settings(max_examples=50)
def test_tensors(data):
    d, order = data.draw(st.integers(1, 5)), data.draw(st.sampled_from([3, 4]))
    size = SymmetricTensor.from_dense(np.zeros((d,) * order)).to_canonical().size
    values = data.draw(some.disguised(data.draw(some.columns(size))))
    shape = data.draw(some.mostly(st.just((d, order)), st.tuples(some.odd_values, some.odd_values), 20))
    tensor = attempt("tensors.new", lambda: SymmetricTensor.from_canonical(values, *shape))
    dense = data.draw(some.columns(d**order)).reshape((d,) * order)
    attempt("tensors.from_dense", lambda: SymmetricTensor.from_dense(data.draw(some.disguised(dense))))
    if tensor is None:
        return
    U, V = (data.draw(some.disguised(data.draw(some.columns(2 * d)).reshape(2, d))) for _ in range(2))
    name = data.draw(st.sampled_from(OF_TENSORS))
    arguments = {"apply": (U,), "value": (U,), "project": (U,), "pair_value": (U, V), "pair_gradient": (U, V)}
    attempt(f"tensors.{name}", lambda: getattr(tensor, name)(*arguments.get(name, ())))
    k = data.draw(some.mostly(st.integers(1, d), some.odd_values))
    pairs = attempt(
        "tensors.power_iteration", lambda: power_iteration(tensor, k, n_restarts=2, max_iter=20, random_state=0)
    )
    if pairs is not None:
        assert_finite("vectors", pairs.vectors)


OF_SPECTRAL = {
    "link": some.mostly(st.just("linear"), st.sampled_from(some.LINKS), 3),
    "transform": some.mostly(st.just("polynomial"), st.sampled_from(["optimal", "cubic"]), 4),
    "x_distribution": some.mostly(st.just("gaussian"), some.odd_values, 12),
    "strategy": st.sampled_from(["auto", "one_pass", "two_pass"]),
    "random_state": st.just(0),
}
OF_L4 = {
    "link": some.mostly(st.just("linear"), st.sampled_from(some.LINKS), 3),
    "solver": st.sampled_from(["tensor", "sgd"]),
    "n_starts": st.integers(1, 3),
    "n_epochs": st.just(3),
    "mu": some.mostly(st.just("auto"), some.odd_values, 6),
    "batch_size": some.mostly(st.just("auto"), some.odd_values, 6),
    "learning_rate": some.mostly(st.just("auto"), some.odd_values, 6),
    "random_state": st.just(0),
}


@given(st.data())
@settings(max_examples=30)
def test_methods_of_the_papers(data):
    rows = data.draw(some.rows())
    X, y, weights = rows.X, rows.y, rows.more.get("sample_weight")
    d = X.shape[1] if isinstance(X, np.ndarray) and X.ndim == 2 and X.shape[1] else 2
    truth = make_moe(5, d, 2, random_state=0)[2]
    k = data.draw(some.mostly(st.integers(1, 3), some.odd_values))
    name = data.draw(st.sampled_from(["spectral", "l4", "gates", "em", "joint EM", "gradient", "diagnose"]))
    options = {}
    if name in ("spectral", "l4"):
        options = data.draw(some.parameters(OF_SPECTRAL if name == "spectral" else OF_L4))
    call = {
        "spectral": lambda: recover_experts(X, y, k, sample_weight=weights, **options),
        "l4": lambda: recover_by_l4(X, y, k, sample_weight=weights, **options),
        "gates": lambda: fit_gates(X, y, truth, sigma=0.3, sample_weight=weights),
        "em": lambda: fit_em(X, y, truth, sample_weight=weights),
        "joint EM": lambda: fit_joint_em(X, y, k, random_state=0),
        "gradient": lambda: fit_gradient_descent(X, y, k, random_state=0),
        "diagnose": lambda: diagnose(X, y, truth),
    }[name]
    found = attempt(name, call)
    if name in ("spectral", "l4") and found is not None:
        assert_finite("coef", found.coef)
