"""The differential test: every program, moved every way, prints what it prints when it stays."""

import sys
from pathlib import Path

import pytest

PROGRAMS = sorted((Path(__file__).parent / "programs").glob("*.py"))


def needs(program):
    """The release in the name of a program whose syntax is newer than ours: py310_match.py."""
    head = program.stem.partition("_")[0]
    return (3, int(head[3:])) if head.startswith("py3") else (3, 8)


# What an older release cannot parse is not a program there: not collected, rather than skipped.
PROGRAMS = [p for p in PROGRAMS if needs(p) <= sys.version_info[:2]]


@pytest.mark.parametrize("hook", ["armed", "recording"])
@pytest.mark.parametrize("way", ["local", "bash", "dump"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_moving_at_every_hop(same, program, way, hook):
    same(program, ways=(way,), hooks=(hook,))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_moving_once_at_each_hop(same, program):
    same(program, hooks=("armed",), singles=True)
