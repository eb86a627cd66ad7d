"""Too little memory is a MemoryError, for one thread and for several: never the end of the process.

Each case runs in an interpreter of its own, whose limits are set when libraries have what they take once.
"""

import subprocess
import sys
import textwrap

import pytest
from forked import posix

pytestmark = posix

SCRIPT = """
import resource, warnings
import numpy as np
import moefast
from moefast import MixtureOfExpertsClassifier, MixtureOfExpertsRegressor, MomentAccumulator

warnings.simplefilter("ignore")
rng = np.random.default_rng(0)
X = rng.normal(size=(20_000, 30))
y = X[:, 0] * np.sign(X[:, 1])
few = dict(n_init=1, max_iter=3, start="random", random_state=0, n_threads={n_threads})

def limited(call, room):
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + room, resource.RLIM_INFINITY))
    try:
        call()
        print("returned")
    except MemoryError:
        print("MemoryError")
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)

model = MixtureOfExpertsRegressor(3, **few)
small = MixtureOfExpertsRegressor(2, **few).fit(X[:500, :3], y[:500])
calls = [
    lambda: MomentAccumulator(30, 4, n_threads={n_threads}).update(X, y).score_moments(),
    lambda: model.fit(X, y),
    lambda: MixtureOfExpertsClassifier(3, **few).fit(X, y > 0),
    lambda: small.inference(X[:500, :3], y[:500]).bootstrap(5, n_threads={n_threads}),
    lambda: small.predict_quantile(np.tile(X[:, :3], (20, 1)), [0.1, 0.5, 0.9]),
]
for room in (2**17, 2**22, 2**25):
    for call in calls:
        limited(call, room)
assert not hasattr(model, "coef_") or np.isfinite(model.coef_).all()
model.fit(X, y)  # with enough memory the same process goes on
print("done")
"""


@pytest.mark.parametrize("n_threads", [1, 4])
def test_too_little_memory_is_an_error(n_threads):
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(SCRIPT).replace("{n_threads}", str(n_threads))],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    *outcomes, last = done.stdout.split()
    assert last == "done"
    assert set(outcomes) <= {"MemoryError", "returned"}
    assert "MemoryError" in outcomes
