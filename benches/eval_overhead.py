"""What the hook costs: armed and recording, next to no hook at all and to an evaluator that does nothing.

    python benches/eval_overhead.py [--rounds N] [--processes N] [--check] [workload ...]

Each way runs in a process of its own; the processes take turns, a workload at a time, so that whatever
else the machine does hits all of them. What is shown is the median of the ratios of neighbours, each the
quickest of its turn. `--check` fails when armed is not within 2 % of nothing, or recording more than 3 % over
the do-nothing evaluator.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

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
    def __init__(self, way, passer):
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--worker", way, passer],
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


def measure(names, processes, rounds):
    """{workload: {way: seconds of each turn}}, turns of all ways side by side."""
    sys.path.insert(0, str(HERE.parent / "pytests"))
    import harness

    with tempfile.TemporaryDirectory() as folder:
        passer = str(harness.build_passer(folder))
        times = {name: {way: [] for way in WAYS} for name in names}
        for generation in range(processes):
            order = WAYS[generation % len(WAYS) :] + WAYS[: generation % len(WAYS)]
            workers = {way: Worker(way, passer) for way in order}
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


def main():
    sys.path.insert(0, str(HERE))
    import workloads

    known = [workload.__name__ for workload in workloads.ALL]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("workloads", nargs="*", metavar="workload", help=", ".join(known))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--processes", type=int, default=6)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--json", action="store_true", help="the ratios as JSON")
    options = parser.parse_args()
    names = options.workloads or known
    times = measure(names, options.processes, options.rounds)
    rows = {
        name: {
            "ms": 1000 * median(t["none"]),
            "armed": ratio(t, "armed", "none"),
            "recording": ratio(t, "recording", "none"),
            "do-nothing": ratio(t, "nothing", "none"),
            "recording / do-nothing": ratio(t, "recording", "nothing"),
        }
        for name, t in times.items()
    }
    if options.json:
        print(json.dumps(rows, indent=1))
    else:
        print("CPython", sys.version.split()[0])
        print(
            f"{'':12}{'no hook':>10}{'armed':>9}{'recording':>11}{'do-nothing':>12}{'recording / do-nothing':>24}"
        )
        for name, row in rows.items():
            print(
                f"{name:12}{row['ms']:8.2f}ms{row['armed']:9.3f}{row['recording']:11.3f}{row['do-nothing']:12.3f}"
                f"{row['recording / do-nothing']:24.3f}"
            )
    if options.check:
        beyond = [
            n for n, r in rows.items() if abs(r["armed"] - 1) > 0.02 or r["recording / do-nothing"] > 1.03
        ]
        sys.exit(f"beyond the limits: {', '.join(beyond)}" if beyond else 0)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        worker(*sys.argv[2:])
    else:
        main()
