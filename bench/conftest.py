"""One thread for everything, before anything imports numpy."""

import one_thread

one_thread.pin()

import pytest  # noqa: E402
from threadpoolctl import threadpool_limits  # noqa: E402


@pytest.fixture(autouse=True)
def _one_thread():
    """For libraries that were loaded earlier all the same."""
    with threadpool_limits(limits=1):
        yield
