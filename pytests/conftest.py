"""The fixtures: `move` runs a program that moves, `same` and `refused` compare it with itself not moving; `way`
and `cutter` are how it gets to its peer."""

import functools
import os
import signal
import sys
import zlib

import harness
import pytest
from hosts import hosts as hosts
from hosts import namespaces as namespaces
from sshd import keys as keys
from sshd import sshd as sshd
from trips import alike as alike
from trips import place as place
from trips import trip as trip


def pytest_configure():
    """Whoever runs the tests may ignore signals, as a shell in the background does, and so would all programs."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    for number in (signal.SIGQUIT, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


def pytest_collection_modifyitems(config, items):
    """A quick run has each test on every fourth release, but for those that are for one release alone."""
    if "PYTELEPORT_TEST_QUICK" not in os.environ:
        return

    def is_due(item):
        number = zlib.crc32(item.nodeid.encode()) + sys.version_info[1]
        return number % 4 == 0 or item.path.stem == "test_elsewhere"

    left_out = [item for item in items if not is_due(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if is_due(item)]


@pytest.fixture
def move(tmp_path):
    """move(source, moves="all", way="local", ...) runs a program in a real process: a `harness.Run`."""
    return harness.Runner(tmp_path)


@pytest.fixture
def same(move):
    """same(source, ...) runs a program straight and moving, and asserts that one can't tell."""
    return functools.partial(harness.same, move)


@pytest.fixture
def refused(move):
    """refused(source, ...) asserts that attempt() changes nothing in a program, and gives what refusals say."""
    return functools.partial(harness.refused, move)


@pytest.fixture
def cutter(tmp_path):
    """cutter(when, whom="peer"): the environment for a program whose peer is killed on the way."""
    script = tmp_path / "python-behind-pipes"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {harness.HERE / "cutter.py"} "$@"\n')
    script.chmod(0o755)

    def environment(when="never", whom="peer"):
        return {"CUTTER": str(script), "CUT_PYTHON": sys.executable, "CUT_WHEN": when, "CUT_WHOM": str(whom)}

    return environment


@pytest.fixture(params=harness.WAYS)
def way(request, cutter):
    """(statement, environment) for each way to a peer."""
    return harness.WAYS[request.param], cutter()
