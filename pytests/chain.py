"""Chains: a script that moves at each Nth function, line or turn of a loop prints what it prints when it stays.

    python pytests/chain.py [--every N | --moves 20] [--at function|line|loop] [--hook] SCRIPT ARGS...

The script is run as it is, and once more with moves, one fresh process after another. What it prints, its
exit status and the number of points it came by are compared. It tells how many moves were made, and how many
refused and where: there the program goes on in the process it is in.

Any script will do, with its arguments behind it; so will its own modules, which have points as it has, but not
those that are installed. It runs in this Python, which needs nothing but pyteleport:

    "$(tools/venv python3)" pytests/chain.py --moves 50 --at line path/to/script.py --its-own arguments

N is chosen for at least as many moves as are asked for. A script that comes by fewer points, as one without a
loop does with --at loop, moves at each of them. Where it reads a clock or random numbers, it is bound to differ;
the order of sets is the same in all processes.

Ends with 0 if all is the same, 1 and the difference if not, 2 if it was called wrongly, and 3 if all is
the same, but not one move was made.
"""

import argparse
import collections
import difflib
import os
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import harness

CHAINED = Path(__file__).resolve().parent / "chained.py"
AT = ("function", "line", "loop")


@dataclass
class Chain:
    """What came out."""

    straight: harness.Run
    moved: harness.Run
    every: int
    points: int
    differences: list = field(default_factory=list)  # lines

    @property
    def moves(self):
        return sum(what == "hop" for what, _ in self.moved.told)

    @property
    def refused(self):
        """How often, by what the refusal says."""
        return collections.Counter(text for what, text in self.moved.told if what == "refused")

    def lines(self):
        """What there is to tell."""
        count = sum(self.refused.values())
        yield f"{self.points} points, 1 in {self.every} moves: {self.moves} moves, {count} refused"
        for text, times in self.refused.most_common():
            yield f"refused {times} times: {text}"
        yield from self.differences

    def __str__(self):
        return "\n".join(self.lines())


def run_straight(runner, script, args=(), env=None, **options):
    """The script as it is."""
    process = harness.spawn([sys.executable, script, *args], env=env or harness.environment())
    out, err = harness.finish(process, patience=options.get("patience", harness.PATIENCE))
    out, err = (text.decode("utf-8", "replace") for text in (out, err))
    return harness.Run(out, err, process.returncode, home=process.pid)


def run_points(runner, script, args=(), at="function", every=0, hook=False, env=None, way="local", **options):
    """The script with its points, of which each Nth moves."""
    flags = ("-X", "teleport") if hook else ()
    plan = {"moves": "all" if every else "none", "way": way, "at": at, "every": every}
    env = env or harness.environment()
    return runner.follow([CHAINED, script, *args], plan, env, flags, **options)


def points_of(run):
    """How many points a run came by; None if it never came to its end."""
    return next((count for what, count in run.told if what == "points"), None)


def chain(
    runner, script, args=(), at="function", every=None, moves=20, straight=None, counted=None, **options
):
    """Runs a script straight, counting its points, and moving: a `Chain`. The first two may be done already."""
    straight = straight or run_straight(runner, script, args, **options)
    counted = counted or run_points(runner, script, args, at, **dict(options, hook=False))
    points = points_of(counted) or 0
    every = every or max(1, points // moves)
    moved = run_points(runner, script, args, at, every, **options)
    found = Chain(straight, moved, every, points)
    if counted.stdout != straight.stdout:
        found.differences += diff(
            straight.stdout, counted.stdout, "stdout", "stdout with points that do not move"
        )
    for name in ("stdout", "stderr"):
        found.differences += diff(getattr(straight, name), getattr(moved, name), name, f"{name} moving")
    if moved.returncode != straight.returncode:
        found.differences.append(f"exit status {moved.returncode} moving, not {straight.returncode}")
    if points_of(moved) != points_of(counted):
        found.differences.append(f"{points_of(moved)} points moving, not {points_of(counted)}")
    found.differences += [f"failed: {text}" for what, text in moved.told if what == "failed"]
    return found


def diff(one, other, name, other_name):
    one, other = one.splitlines(), other.splitlines()
    return list(difflib.unified_diff(one, other, name, other_name, lineterm=""))


def main():
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--every", type=int, metavar="N", help="move at each Nth point")
    which.add_argument(
        "--moves", type=int, default=20, help="choose N for this many moves, or somewhat more (20)"
    )
    parser.add_argument("--at", choices=AT, default="function", help="what has a point (function)")
    parser.add_argument("--hook", action="store_true", help="in the recording mode")
    parser.add_argument(
        "--way", choices=("local", "bash", "dump"), default="local", help="how it moves (local)"
    )
    parser.add_argument("--patience", type=float, default=600, help="seconds for one run (600)")
    parser.add_argument("script")
    parser.add_argument("args", nargs=argparse.REMAINDER)
    options = vars(parser.parse_args())
    if not os.path.isfile(options["script"]):
        parser.error(f"there is no script {options['script']}")
    if (options["every"] or 1) < 1 or options["moves"] < 1:
        parser.error("--every and --moves take a number above 0")
    # Without a seed of its own each process would have another order of sets.
    env = {"PYTHONHASHSEED": "0", **os.environ}
    with tempfile.TemporaryDirectory() as folder:
        found = chain(harness.Runner(folder), env=env, **options)
    print(found)
    sys.exit(1 if found.differences else 0 if found.moves else 3)


if __name__ == "__main__":
    main()
