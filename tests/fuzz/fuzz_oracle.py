"""What any call may do with any input: a result that is finite, or an error that was meant.

An error is meant when its last frame is a ``raise`` of this package or of scikit-learn's checks, or when the core
refuses; then it is a ValueError, TypeError or one of their kind. Errors that numpy or Python raise by themselves
are accidents, and so are warnings other than the package's own, NaN, and an estimator that has changed and raised.
"""

import collections
import contextlib
import linecache
import os
import signal
import traceback
import warnings

import numpy as np
from sklearn.exceptions import ConvergenceWarning, DataConversionWarning, NotFittedError

from moefast import DegenerateDataWarning

TRIED = collections.Counter()
"""How often each area was called, by what came of it."""

MEANT = (
    ValueError,
    TypeError,
    OverflowError,
    NotImplementedError,
    NotFittedError,
    MemoryError,
    ImportError,
    OSError,
)
SECONDS = 120


class Hang(BaseException):
    """A call used more processor time than any input may."""


@contextlib.contextmanager
def limited():
    """Raise `Hang` in the block after two minutes of processor time, where the system can count them."""
    if not hasattr(signal, "SIGPROF"):
        yield
        return

    def stop(*_):
        raise Hang(f"more than {SECONDS} s of processor time")

    previous = signal.signal(signal.SIGPROF, stop)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, previous)


def _clock(seconds):
    if hasattr(signal, "setitimer"):
        signal.setitimer(signal.ITIMER_PROF, seconds)


def is_meant(error):
    """Whether the error was raised on purpose."""
    if not isinstance(error, MEANT) or not str(error).strip():
        return False
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "contextlib" not in f.filename]
    last = frames[-1]
    place = last.filename.replace(os.sep, "/")
    ours = "/moefast/" in place
    line = linecache.getline(last.filename, last.lineno).strip()
    if ours:
        return line.startswith("raise") or "_core" in line or "_core" in "".join(_statement(last))
    return "sklearn/utils" in place or "sklearn/base" in place or "formulaic" in place


def _statement(frame):
    """Return the lines of the call that ended here; the core is called with arguments on lines of their own."""
    return [
        linecache.getline(frame.filename, n) for n in range(frame.lineno, (frame.end_lineno or frame.lineno) + 1)
    ]


def attempt(area, call, *, errors=()):
    """Return what the call returns, or None after an error that was meant; raise for everything else.

    `errors` are further types of errors that the call documents.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for kind in (ConvergenceWarning, DataConversionWarning, DegenerateDataWarning):
            warnings.simplefilter("ignore", kind)
        warnings.filterwarnings(
            "ignore", ".*feature names|.*number of unique classes", UserWarning
        )  # scikit-learn's
        _clock(SECONDS)
        try:
            result = call()
        except errors:
            TRIED[area, "refused"] += 1
            return None
        except Exception as error:
            if not is_meant(error):
                raise AssertionError(f"{area}: an accident, not a refusal: {error!r}") from error
            TRIED[area, "refused"] += 1
            return None
        finally:
            _clock(0)
    TRIED[area, "answered"] += 1
    return result


def unchanged(owner, call):
    """Make the call; when it raises, what the owner holds must be the very objects it held."""

    def checked():
        before = dict(vars(owner))
        try:
            return call()
        except BaseException:
            after = vars(owner)
            changed = sorted(
                n for n in before.keys() | after.keys() if before.get(n, _NONE) is not after.get(n, _NONE)
            )
            assert not changed, f"changed before it raised: {changed}"
            raise

    return checked


_NONE = object()


def assert_finite(name, value, shape=None):
    """Hold that this is an array of finite numbers, of this shape where it is known, or several."""
    if isinstance(value, tuple):
        for part in value:
            assert_finite(name, part)
        return
    array = np.asarray(value)
    assert array.dtype.kind in "fiub", (name, array.dtype)
    assert np.isfinite(array).all(), (name, array)
    if shape is not None:
        assert array.shape == shape, (name, array.shape, shape)
