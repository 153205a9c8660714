"""Programs that nobody wrote for us: benchmarks of pyperformance, moved at functions, lines and turns of loops.

What they print comes from our stand-in for pyperf: the results, and all that their globals hold.
"""

import bz2
import hashlib
import importlib.metadata
import importlib.util
import re
import shutil
from pathlib import Path

import chain
import harness
import pytest

STAND_INS = Path(__file__).resolve().parent / "stand_ins"
# In one mode, armed or recording by turns; in the other one so many, as a sample.
MOVES, FEWER_MOVES = 20, 5

TEXT = b"What is packed, is unpacked as well. " * 20

# What makes each of them small: what stands in its source, and what instead.
SMALLER = {
    "async_generators": [("range(100000)", "range(60)")],
    "chaos": [("= 256", "= 40"), ("DEFAULT_ITERATIONS = 5000", "DEFAULT_ITERATIONS = 20")],
    "comprehensions": [],
    "coroutines": [("fibonacci(25)", "fibonacci(9)")],
    "crypto_pyaes": [("* 500", "* 2")],
    "deepcopy": [("range(30)", "range(2)")],
    "deltablue": [("n = 100", "n = 8")],
    "fannkuch": [("DEFAULT_ARG = 9", "DEFAULT_ARG = 5")],
    "float": [("POINTS = 100000", "POINTS = 40")],
    "generators": [("range(100000)", "range(200)")],
    "go": [("GAMES = 200", "GAMES = 1")],
    "hexiom": [("DEFAULT_LEVEL = 25", "DEFAULT_LEVEL = 2")],
    "json_dumps": [("2000)", "5)"), (", 1000)", ", 5)"), ("* 1000, 1)", "* 5, 1)")],
    "logging": [],
    "mdp": [
        ("(59, ", "(9, "),
        ("fixed, 59,", "fixed, 9,"),
        ("(63, ", "(9, "),
        ("fixed, 63,", "fixed, 9,"),
        ("1e-6", "1"),
    ],
    "meteor_contest": [("SOLVE_ARG = 60", "SOLVE_ARG = 1"), ("solutions != SOLUTIONS", "not solutions")],
    "nbody": [("DEFAULT_ITERATIONS = 20000", "DEFAULT_ITERATIONS = 20")],
    "nqueens": [("queen_count = 8", "queen_count = 4")],
    "pidigits": [
        ("DEFAULT_DIGITS = 2000", "DEFAULT_DIGITS = 100"),
        # All that it does is inside of list(), and an islice cannot be followed there.
        ("list(islice(gen_pi_digits(), n))", "[digit for digit in islice(gen_pi_digits(), n)]"),
    ],
    "pyflate": [("afa004a630fe072901b1d9628b960974", hashlib.md5(TEXT).hexdigest())],
    "raytrace": [("= 100", "= 6")],
    "regex_compile": [],
    "richards": [("I_IDLE, 1, 10000", "I_IDLE, 1, 100")],
    "scimark": [
        ("bench_SOR, 100, 10", "bench_SOR, 8, 2"),
        ("bench_SparseMatMult, 1000, 50 * 1000", "bench_SparseMatMult, 10, 50"),
        ("bench_MonteCarlo, 100 * 1000", "bench_MonteCarlo, 20"),
        ("bench_LU, 100", "bench_LU, 5"),
        ("bench_FFT, 1024, 50", "bench_FFT, 16, 2"),
    ],
    "spectral_norm": [("DEFAULT_N = 130", "DEFAULT_N = 5")],
    "telco": [("range(5000)", "range(50)")],
    "typing_runtime_protocols": [],
    "unpack_sequence": [],
}


def small(name, folder):
    """A benchmark in a folder of its own, with a small problem."""
    distribution = importlib.metadata.distribution("pyperformance")
    source = distribution.locate_file(f"pyperformance/data-files/benchmarks/bm_{name}")
    copy = folder / f"bm_{name}"
    shutil.copytree(source, copy)
    script = copy / "run_benchmark.py"
    text = script.read_text()
    for large, little in SMALLER[name]:
        assert large in text, f"{name} has no {large}"
        text = text.replace(large, little)
    script.write_text(text)
    if name == "pyflate":
        (copy / "data" / "interpreter.tar.bz2").write_bytes(bz2.compress(TEXT))
    elif name == "crypto_pyaes":  # as a part of the program
        shutil.copytree(Path(importlib.util.find_spec("pyaes").origin).parent, copy / "pyaes")
    return script


# C code that has work of its own left, in a process that records nothing at least.
WORK_LEFT = re.compile(r" was called by (list|sum|sorted|max|min|dict|set|tuple|str\.join)\b")


def counted(move, script, at, env):
    """A run that counts the points, and the environment in which the benchmark comes by enough of them."""
    repeats = 1
    while True:
        env = {**env, "REPEATS": str(repeats)}
        run = chain.run_points(move, script, at=at, env=env)
        points = chain.points_of(run)
        if points >= MOVES:
            return run, env
        repeats *= -(-MOVES // points)


@pytest.mark.parametrize("at", chain.AT)
@pytest.mark.parametrize("name", SMALLER)
def test_a_chain_prints_the_same(move, tmp_path, name, at):
    script = small(name, tmp_path)
    env = harness.environment(PYTHONPATH=str(STAND_INS), PYTHONHASHSEED="0")
    points, env = counted(move, script, at, env)
    straight = chain.run_straight(move, script, env=env)
    assert straight.returncode == 0, straight.stderr
    recording_first = (list(SMALLER).index(name) + chain.AT.index(at)) % 2 == 1
    moved = 0
    for hook in (recording_first, not recording_first):
        # Where it was refused in one mode, the other one has to come up for it.
        moves = FEWER_MOVES if moved >= MOVES else MOVES
        known = {"at": at, "hook": hook, "env": env, "straight": straight, "counted": points}
        found = chain.chain(move, script, moves=moves, **known)
        if 0 < found.moves < moves:  # some are refused
            moves += 2 * (moves - found.moves)
            found = chain.chain(move, script, moves=moves, **known)
        assert not found.differences, str(found)
        refused = sum(found.refused.values())
        assert found.moves + refused == found.points // found.every >= moves, str(found)
        assert not [text for text in found.refused if not WORK_LEFT.search(text)], str(found)
        moved = max(moved, found.moves)
    assert moved >= MOVES, str(found)
