"""Programs that nobody wrote for us: benchmarks of the pyperformance package, moved in loops and functions.

A call is placed at the start of every function and every loop body in the source. A straight run counts
the calls; the moving run moves at some of them, spread evenly, and must come to the same results.
"""

import ast
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PACKAGE = "pyperformance==1.14.0"
CACHE = Path(__file__).resolve().parent.parent / ".cache" / "pyperformance"
POINTS = 6

# What to run of each, small enough, and what to print of it.
DRIVERS = {
    "richards": "print(Richards().run(1), taskWorkArea.holdCount, taskWorkArea.qpktCount)",
    "deltablue": "delta_blue(40); print(planner.current_mark)",
    "nqueens": "print([solution for solution in n_queens(7)])",
    "chaos": """
splines = [Spline([GVector(*p, 0.0) for p in line], 3, [0, 0, 0, 1, 1, 1, 2, 2, 2]) for line in [
    [(1.5, 3.3), (1.6, 1.9), (2.4, 2.8), (1.2, 2.5), (2.7, 3.1), (1.4, 2.0), (1.0, 1.5)],
    [(2.8, 2.0), (3.2, 4.1), (1.6, 2.0), (2.8, 3.5), (2.6, 3.9), (2.9, 1.0), (3.4, 2.0)]]]
Chaosgame(splines, 0.25).create_image_chaos(60, 60, 800, OUT, 1234)
print(hashlib.md5(open(OUT, "rb").read()).hexdigest())""",
    "hexiom": "main(1, 10); print('solved as expected')",
    "raytrace": "bench_raytrace(1, 24, 18, OUT); print(hashlib.md5(open(OUT, 'rb').read()).hexdigest())",
    "pyflate": "bench_pyflake(1, DATA); print('checksum as expected')",
}

COUNTER = """
import hashlib
OUT, DATA = {out!r}, {data!r}
_calls, _points = 0, {points!r}
def hop_at():
    global _calls
    _calls += 1
    if _points and _calls >= _points[0]:
        try:
            teleport()
        except BoundaryError:
            return  # inside of sum() or the like: at the next call that can
        _points.pop(0)
        trail("hop")
"""


@pytest.fixture(scope="session")
def benchmarks(tmp_path_factory):
    """The folder of the package's benchmarks, from the package registry unless it is here already."""
    CACHE.mkdir(parents=True, exist_ok=True)
    if not list(CACHE.glob("*.whl")):
        folder = tmp_path_factory.mktemp("download")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--ignore-requires-python"]
        subprocess.run([*pip, "--dest", folder, PACKAGE], check=True)
        (wheel,) = folder.glob("*.whl")
        arriving = CACHE / f"{os.getpid()}.part"  # two testers may do this at once
        arriving.write_bytes(wheel.read_bytes())
        arriving.replace(CACHE / wheel.name)
    (wheel,) = CACHE.glob("*.whl")
    unpacked = tmp_path_factory.mktemp("pyperformance")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(unpacked)
    return unpacked / "pyperformance" / "data-files" / "benchmarks"


def placed(source):
    """The source with the call at the start of every function and every loop body, and without its main part."""
    lines = source.splitlines(keepends=True)
    tree = ast.parse(source)
    firsts = set()
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.For, ast.While)):
            is_documented = isinstance(node, ast.FunctionDef) and ast.get_docstring(node) is not None
            first = node.body[is_documented]
            line = min(part.lineno for part in [first, *getattr(first, "decorator_list", ())])
            firsts.add((line - 1, first.col_offset))
    for line, column in sorted(firsts, reverse=True):
        before, rest = lines[line][:column], lines[line][column:]
        lines[line] = f"{before}hop_at()\n{before}{rest}" if before.isspace() else f"{before}hop_at(); {rest}"
    for node in tree.body:
        if isinstance(node, ast.If) and "__main__" in ast.get_source_segment(source, node.test):
            lines[node.lineno - 1 : node.end_lineno] = [""] * (node.end_lineno - node.lineno + 1)
    return "".join(lines)


def rewritten(folder, name, points, out):
    source = placed((folder / f"bm_{name}" / "run_benchmark.py").read_text())
    source = source.replace("import pyperf\n", "import time as pyperf\n")
    data = str(folder / f"bm_{name}" / "data" / "interpreter.tar.bz2")
    counter = COUNTER.format(out=str(out), data=data, points=points)
    report = "import sys as _s; _s.stderr.write('%d' % _calls)"
    return f"\n{counter}\n{source}\n{DRIVERS[name]}\n{report}\n"


@pytest.mark.parametrize("hook", ["armed", "recording"])
@pytest.mark.parametrize("name", DRIVERS)
def test_benchmark_moves_on_its_way(move, benchmarks, name, hook):
    straight = move.straight(rewritten(benchmarks, name, [], move.folder / "straight"))
    assert straight.returncode == 0, straight.stderr
    assert straight.stdout
    calls = int(straight.stderr)
    assert calls > 1000
    points = [calls * k // (POINTS + 1) for k in range(1, POINTS + 1)]
    flags = ("-X", "teleport") if hook == "recording" else ()
    run = move(rewritten(benchmarks, name, points, move.folder / "moved"), flags=flags)
    assert run.returncode == 0, run.stderr
    assert run.stdout == straight.stdout
    assert int(run.stderr) == calls
    assert run.moves >= 5
    assert run.ended_in == "peer"
