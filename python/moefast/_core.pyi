from collections.abc import Callable, Sequence
from typing import Literal, TypedDict

import numpy as np
from numpy.typing import NDArray

__version__: str

_Floats = NDArray[np.float64]
_Features = NDArray[np.float64 | np.float32]

class _BuildInfo(TypedDict):
    version: str
    compiler: str
    openmp: bool
    eigen: str
    instruction_set: str
    instruction_sets: list[str]
    super_block_rows: int

class _RowStatistics(TypedDict):
    log_likelihood: float
    totals: _Floats
    squares: _Floats
    residuals: _Floats
    gate_slope: _Floats
    shape_slopes: _Floats
    shape_curvatures: _Floats
    products: _Floats
    gate_products: _Floats

class _EmStatistics(_RowStatistics, total=False):
    group_totals: _Floats  # with groups

# experts, gates, dispersion, responsibilities, labels
_EmStart = tuple[_Floats, _Floats, _Floats, _Floats | None, NDArray[np.int32] | None]

class _RunResult(TypedDict):
    experts: _Floats
    gates: _Floats
    variance: _Floats
    shape: _Floats
    totals: _Floats
    log_likelihood: float
    trace: _Floats
    n_iter: int
    n_before: int
    gradient: float
    status: str

class _EmResult(_RunResult, total=False):
    cholesky: _Floats  # of several responses

class _NewtonResult(_EmResult):
    decrement: float
    curvature: str
    n_passes: int
    n_derivatives: int

# experts, gates, and the dispersion: variances (k,), or with shapes (k, 2), or of q responses the Cholesky factors
# of their covariances (k, q, q)
_Parameters = tuple[_Floats, _Floats, _Floats]

def build_info() -> _BuildInfo: ...
def use_instruction_set(name: str) -> None: ...
def fma_peak(dtype: str, n_steps: int) -> float: ...

class EmSettings:
    # Besides these, link: a name, or a function of t to g and g', or a pair of it and one to g''; and family: a
    # name and what it has to be told, or a function of y and eta.
    @property
    def shape_bounds(self) -> tuple[float, float]: ...
    def __init__(self, **settings: object) -> None: ...
    def but(self, **settings: object) -> EmSettings: ...
    def values(self) -> dict[str, int | float | bool | list[int] | list[float]]: ...

class EmData:
    def __init__(
        self,
        X: _Features | tuple[_Features, ...],
        y: _Floats,
        w: _Floats,
        means: _Floats | None = None,
        log_densities: _Floats | None = None,
        expert_columns: Sequence[int] | NDArray[np.intp] | None = None,
        gate_columns: Sequence[int] | NDArray[np.intp] | None = None,
        centre: _Floats | None = None,
        inverse_scale: _Floats | None = None,
        offset: _Floats | None = None,
        trials: _Floats | None = None,
        row_term: _Floats | None = None,
        first_predictor: _Floats | None = None,
        group_starts: NDArray[np.int64] | None = None,
    ) -> None: ...

class RowStream:
    def __init__(
        self,
        pass_: Callable[[_Parameters, str], _EmStatistics],
        weight: float,
        n_rows: int,
        n_features: int,
        expert_columns: Sequence[int] | NDArray[np.intp] | None = None,
        gate_columns: Sequence[int] | NDArray[np.intp] | None = None,
        n_responses: int = 1,
    ) -> None: ...

def link_values(name: str, t: _Floats) -> tuple[_Floats, _Floats, _Floats]: ...
def e_step(
    data: EmData, at: _EmStart, settings: EmSettings, sums: Literal["gradient", "experts", "all"] = "all"
) -> _EmStatistics: ...
def em_run(
    data: EmData,
    starts: Sequence[_EmStart],
    settings: EmSettings,
    before: Sequence[Sequence[tuple[int, bool, float]]] = (),
) -> list[_EmResult]: ...
def em_run_stream(stream: RowStream, start: _EmStart, settings: EmSettings) -> _EmResult: ...
def information(
    data: EmData, parameters: _Parameters, settings: EmSettings
) -> tuple[_Floats, _Floats, _Floats]: ...
def newton_run(
    data: EmData,
    start: _Parameters,
    settings: EmSettings,
    tol: float,
    max_passes: int,
    sample: EmData | None = None,
) -> _NewtonResult: ...
def newton_run_stream(
    stream: RowStream,
    start: _Parameters,
    settings: EmSettings,
    tol: float,
    max_passes: int,
    sample: EmData,
) -> _NewtonResult: ...
def row_hashes(columns: tuple[_Features, ...]) -> NDArray[np.uint64]: ...
def row_scores(data: EmData, parameters: _Parameters, settings: EmSettings) -> _Floats: ...

class SymmetricTensor:
    @staticmethod
    def from_dense(array: _Floats) -> SymmetricTensor: ...
    @staticmethod
    def from_canonical(values: _Floats, dim: int, order: int) -> SymmetricTensor: ...
    @property
    def dim(self) -> int: ...
    @property
    def order(self) -> int: ...
    def to_dense(self) -> _Floats: ...
    def to_canonical(self) -> _Floats: ...
    def apply(self, U: _Floats) -> _Floats: ...
    def value(self, U: _Floats) -> _Floats: ...
    def project(self, W: _Floats) -> _Floats: ...
    def pair_value(self, U: _Floats, V: _Floats) -> _Floats: ...
    def pair_gradient(self, U: _Floats, V: _Floats) -> _Floats: ...

def packed_position(dim: int, order: int, indices: Sequence[int]) -> int: ...
def equal_rows(X: _Features, y: _Floats) -> NDArray[np.int64] | None: ...
def spread(X: _Features, w: _Floats) -> tuple[_Floats, _Floats]: ...
def exponential(x: _Floats) -> _Floats: ...
def logarithm(x: _Floats) -> _Floats: ...
def power_iteration(
    tensor: SymmetricTensor, starts: _Floats, rank: int, max_iter: int, tolerance: float
) -> tuple[_Floats, _Floats, _Floats, list[int], list[str]]: ...

class Accumulator:
    def __init__(self, dtype: str, n_features: int, order: int, polynomial: list[float], about: float) -> None: ...
    @staticmethod
    def memory(dtype: str, n_features: int, order: int, n_terms: int, n_threads: int) -> float: ...
    @property
    def n_features(self) -> int: ...
    @property
    def order(self) -> int: ...
    @property
    def n_samples(self) -> int: ...
    def update(self, X: _Features, y: _Features, w: _Floats | None, n_threads: int) -> None: ...
    def merge(self, other: Accumulator) -> None: ...
    def snapshot(self) -> MomentSums: ...
    def get_state(self) -> tuple[int, float, _Floats, _Floats, _Floats, _Features, _Features, _Floats]: ...
    def set_state(
        self,
        count: int,
        weight: float,
        centre: _Floats,
        magnitude: _Floats,
        sums: _Floats,
        x: _Features,
        y: _Features,
        w: _Floats,
    ) -> None: ...

class MomentSums:
    @property
    def n_features(self) -> int: ...
    @property
    def order(self) -> int: ...
    @property
    def n_channels(self) -> int: ...
    @property
    def count(self) -> int: ...
    @property
    def weight(self) -> float: ...
    @property
    def centre(self) -> _Floats: ...
    def recentred(self, centre: _Floats) -> MomentSums: ...
    def contract(self, coefficients: list[float], V: _Floats) -> _Floats: ...
    def to_dense(self, coefficients: list[float]) -> _Floats: ...
    def lower_order(self, order: int, coefficients: list[float]) -> _Floats: ...

def projected_moments(
    X: _Features,
    y: _Features,
    w: _Floats | None,
    W: _Floats,
    offset: _Floats,
    order: int,
    polynomial: list[float],
    about: float,
    n_threads: int,
) -> MomentSums: ...
