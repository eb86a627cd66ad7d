"""Work in forked children, which may be limited, killed, or run out of what they need."""

import contextlib
import multiprocessing
import os
import signal
import time
import warnings

import pytest

posix = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods() or not hasattr(os, "WIFSIGNALED"),
    reason="needs fork and limits of POSIX",
)


def _start(target, *arguments):
    process = multiprocessing.get_context("fork").Process(target=target, args=arguments, daemon=True)
    with warnings.catch_warnings():  # that a process with threads forks is what is tried here
        warnings.simplefilter("ignore", DeprecationWarning)
        process.start()
    return process


def _answer(connection, work, limits):
    import resource

    for name, value in limits.items():
        kind = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(kind, (value, resource.getrlimit(kind)[1]))
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        answer = "returned", work()
    except BaseException as error:
        answer = type(error).__name__, str(error)
    for name in limits:  # the answer needs some memory, too
        kind = getattr(resource, f"RLIMIT_{name}")
        resource.setrlimit(kind, (resource.getrlimit(kind)[1],) * 2)
    connection.send(answer)
    connection.close()


def outcome(work, **limits):
    """Return ("returned", value) or (name of the error, message) of work in a child under limits of resources."""
    receiver, sender = multiprocessing.get_context("fork").Pipe(duplex=False)
    child = _start(_answer, sender, work, limits)
    sender.close()
    try:
        assert receiver.poll(300), "the child hangs"
        return receiver.recv()
    except EOFError:
        child.join()
        return "died", child.exitcode
    finally:
        receiver.close()
        child.kill()
        child.join()


def killed(work, seconds):
    """Let a child do the work again and again, and kill it after some time."""

    def forever():
        with contextlib.suppress(KeyboardInterrupt):
            while True:
                work()

    child = _start(forever)
    time.sleep(seconds)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL
