"""What the hook costs: armed and recording, next to no hook at all and to an evaluator that does nothing.

    python benches/eval_overhead.py [--rounds N] [--processes N] [--check] [--pythons PYTHON ...] [workload ...]

Each way runs in a process of its own; the processes take turns, a workload at a time, so that whatever
else the machine does hits all of them. What is shown is the median of the ratios of neighbours, each the
quickest of its turn. `--check` fails when armed is not within 2 % of nothing, or recording more than 3 % over
the do-nothing evaluator. `--pythons` are interpreters to measure instead of the one that runs this, by turns; more
than one make a table of all: the geometric means of the workloads, and the workload that costs most.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import geometric_mean, median

HERE = Path(__file__).resolve().parent
WAYS = ["none", "armed", "recording", "nothing"]
TURN = 3  # times in a row, of which the quickest counts


def worker(way, passer):
    """Runs the workloads that it is told, one at a time, and answers with seconds."""
    import workloads

    if way == "armed":
        import pyteleport
    elif way == "recording":
        import pyteleport

        pyteleport.install_hook()
    elif way == "nothing":
        import ctypes

        ctypes.PyDLL(passer).set_passing()
    for workload in workloads.ALL:
        workload()
    print("ready", flush=True)
    for line in sys.stdin:
        workload = getattr(workloads, line.strip())
        quickest = float("inf")
        for _ in range(TURN):
            start = time.process_time()
            workload()
            quickest = min(quickest, time.process_time() - start)
        print(repr(quickest), flush=True)


class Worker:
    def __init__(self, python, way, passer):
        self.process = subprocess.Popen(
            [python, __file__, "--worker", way, passer],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": "0"},
        )

    def ready(self):
        assert self.process.stdout.readline() == "ready\n"

    def seconds(self, workload):
        self.process.stdin.write(workload + "\n")
        self.process.stdin.flush()
        return float(self.process.stdout.readline())

    def end(self):
        self.process.stdin.close()
        self.process.wait()


def measure(python, names, processes, rounds, folder):
    """{workload: {way: seconds of each turn}}, turns of all ways side by side."""
    passer = str(harness.build_passer(folder, python))
    times = {name: {way: [] for way in WAYS} for name in names}
    for generation in range(processes):
        order = WAYS[generation % len(WAYS) :] + WAYS[: generation % len(WAYS)]
        workers = {way: Worker(python, way, passer) for way in order}
        for each in workers.values():
            each.ready()
        for _ in range(rounds):
            for name in names:
                for way in order:
                    times[name][way].append(workers[way].seconds(name))
            order.reverse()
        for each in workers.values():
            each.end()
    return times


def ratio(times, over, under):
    return median(a / b for a, b in zip(times[over], times[under]))


RATIOS = {
    "armed": ("armed", "none"),
    "recording": ("recording", "none"),
    "do-nothing": ("nothing", "none"),
    "recording / do-nothing": ("recording", "nothing"),
}


def show(release, rows):
    """One release, a line for each workload."""
    print("CPython", release)
    print("".join([f"{'':12}{'no hook':>10}", *(f"{column:>{len(column) + 3}}" for column in RATIOS)]))
    for name, row in rows.items():
        ratios = "".join(f"{row[column]:{len(column) + 3}.3f}" for column in RATIOS)
        print(f"{name:12}{row['ms']:8.2f}ms{ratios}", flush=True)


def show_all(table):
    """All releases, a line for each."""
    most = "the most of one workload"
    print("".join([f"{'CPython':10}", *(f"{column:>{len(column) + 3}}" for column in RATIOS), f"   {most}"]))
    for release, rows in table.items():
        means = "".join(
            f"{geometric_mean(row[column] for row in rows.values()):{len(column) + 3}.3f}"
            for column in RATIOS
        )
        name = max(rows, key=lambda name: rows[name]["recording / do-nothing"])
        print(f"{release:10}{means}   {rows[name]['recording / do-nothing']:.3f} {name}")


def main():
    known = [workload.__name__ for workload in workloads.ALL]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workloads", nargs="*", metavar="workload", help=", ".join(known))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true", help="the ratios as JSON")
    parser.add_argument("--pythons", nargs="+", default=[sys.executable], metavar="PYTHON")
    options = parser.parse_args()
    names = options.workloads or known
    table = {}
    for python in options.pythons:
        ask = "import platform; print(platform.python_version())"
        release = subprocess.run([python, "-c", ask], stdout=subprocess.PIPE, text=True, check=True)
        release = release.stdout.strip()
        with tempfile.TemporaryDirectory() as folder:
            times = measure(python, names, options.processes, options.rounds, folder)
        rows = table[release] = {
            name: {"ms": 1000 * median(t["none"]), **{c: ratio(t, *ways) for c, ways in RATIOS.items()}}
            for name, t in times.items()
        }
        if not options.json:
            show(release, rows)
    if options.json:
        print(json.dumps(table, indent=1))
    elif len(table) > 1:
        show_all(table)
    if options.check:
        beyond = [
            f"{release} {name}"
            for release, rows in table.items()
            for name, row in rows.items()
            if abs(row["armed"] - 1) > 0.02 or row["recording / do-nothing"] > 1.03
        ]
        sys.exit(f"beyond the limits: {', '.join(beyond)}" if beyond else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
    else:
        sys.path[:0] = [str(HERE), str(HERE.parent / "pytests")]
        import harness
        import workloads

        main()
