"""The tool that moves any script in chains: what it counts, what it compares, and how it ends."""

import os
import re
import subprocess
import sys
from pathlib import Path

import chain
import harness
import pytest

TOOL = Path(chain.__file__)

PARTS = '''\
"""A module of the program."""
from __future__ import annotations
def double(n):
    """Twice as much."""
    return [n + n for _ in range(1)][0]
class Pair:
    size = 2
    def __init__(self, first, second):
        self.both = first, second
'''

PROGRAM = """\
import sys
from parts import Pair, double
def main(n):
    total = 0
    for k in range(n):
        total += double(k)
    while total > 100:
        total -= 7
    either = lambda a, b: a if a < b else b
    return total, either(n, total), Pair(n, total).both, {k: k for k in range(3)}
if __name__ == "__main__":
    print(__file__ == sys.argv[0], sys.argv[1:], *main(int(sys.argv[1])))
    sys.exit(5)
"""


def tool(folder, text, *flags, args=(), **modules):
    """(status, what it printed) of the tool on a script."""
    for name, source in modules.items():
        (folder / f"{name}.py").write_text(source)
    script = folder / "script.py"
    script.write_text(text)
    process = harness.spawn([sys.executable, TOOL, *flags, script, *args])
    out, err = harness.finish(process)
    assert not err, err.decode()
    return process.returncode, out.decode()


@pytest.mark.parametrize("hook", [(), ("--hook",)], ids=["armed", "recording"])
@pytest.mark.parametrize(("at", "points"), [("function", 23), ("line", 96), ("loop", 83)])
def test_each_point_of_a_script_and_its_module_moves(tmp_path, at, points, hook):
    status, out = tool(tmp_path, PROGRAM, "--at", at, "--every", "1", *hook, args=["20"], parts=PARTS)
    told = re.match(r"(\d+) points, 1 in 1 moves: (\d+) moves, (\d+) refused\n", out)
    found, moves, refused = (int(number) for number in told.groups())
    assert found == points == moves + refused, out
    # a module that is being imported
    assert refused <= (4 if at == "line" else 0), out
    assert status == 0, out


def test_a_number_of_moves_is_spread_evenly(tmp_path):
    status, out = tool(tmp_path, PROGRAM, "--moves", "4", args=["20"], parts=PARTS)
    assert (status, out) == (0, "23 points, 1 in 5 moves: 4 moves, 0 refused\n")


def test_what_differs_is_shown(tmp_path):
    text = """\
import os
def f():
    print("the same")
    print(os.getpid() == start)
start = os.getpid()
f()
"""
    status, out = tool(tmp_path, text)
    assert status == 1
    assert out.splitlines() == [
        "1 points, 1 in 1 moves: 1 moves, 0 refused",
        "--- stdout",
        "+++ stdout moving",
        "@@ -1,2 +1,2 @@",
        " the same",
        "-True",
        "+False",
    ]


def test_an_exit_status_that_differs_is_told(tmp_path):
    text = "import os, sys\ndef f():\n    return os.getpid()\nsys.exit(3 if os.getpid() == f() else 4)\n"
    status, out = tool(tmp_path, text)
    assert (status, out.splitlines()[1:]) == (1, ["exit status 4 moving, not 3"])


def test_refusals_are_counted_and_told_by_their_place(tmp_path):
    text = "def key(n):\n    return -n\nprint(sorted([1, 3, 2], key=key))\n"
    status, out = tool(tmp_path, text)
    first, second = out.splitlines()
    assert first == "3 points, 1 in 1 moves: 0 moves, 3 refused"
    assert second.startswith(f"refused 3 times: BoundaryError: key() ({tmp_path / 'script.py'}, line 2)")
    assert "sorted" in second
    assert status == 3


def test_a_script_that_fails_fails_with_the_same_traceback(tmp_path):
    text = "def f(n):\n    return 1 / n + (f(n - 1)\n        if n else 0)\nf(3)\n"
    status, out = tool(tmp_path, text)
    assert (status, out) == (0, "4 points, 1 in 1 moves: 4 moves, 0 refused\n")


def test_there_must_be_a_script(tmp_path):
    words = [sys.executable, TOOL, tmp_path / "none.py"]
    done = subprocess.run(words, env=dict(os.environ), capture_output=True)
    assert done.returncode == 2
    assert b"there is no script" in done.stderr
