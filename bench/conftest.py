"""One thread for everything, before anything imports numpy."""

import one_thread

one_thread.pin()
# ruff: noqa: E402 - the threads have to be pinned first

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True)
def _one_thread():
    """For libraries that were loaded earlier all the same."""
    with threadpool_limits(limits=1):
        yield
