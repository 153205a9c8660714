"""The fixtures: `move` runs a program that moves, `same` compares it with itself not moving."""

import functools

import harness
import pytest


@pytest.fixture
def move(tmp_path):
    """move(source, moves="all", way="local", ...) runs a program in a real process: a `harness.Run`."""
    return harness.Runner(tmp_path)


@pytest.fixture
def same(move):
    """same(source, ...) runs a program straight and moving, and asserts that one can't tell."""
    return functools.partial(harness.same, move)
