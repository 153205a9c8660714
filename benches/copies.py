"""What copies cost: 8 against 1, of a program with 200 MB of data, side by side.

    python benches/copies.py [--repeat N] [--check]

Times are from the call of `fork` to what follows it in the last of the copies. Memory is what copies take of it together,
with the process that they have split off from: each page is counted once, shared or not (PSS). `--check` holds
the ratios against what they must reach.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

COPIES = 8
MOST = 1.3

# The program holds its data while each copy says when it goes on, and stays until home has looked at all of them.
PROGRAM = """
import json, os, sys, time
from pyteleport import channel, fork
def now():
    return time.clock_gettime(time.CLOCK_MONOTONIC)
def shares(pid):
    with open("/proc/%d/smaps_rollup" % pid) as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Pss:"))
def parent(pid):
    with open("/proc/%d/stat" % pid) as file:
        return int(file.read().rpartition(")")[2].split()[1])
def main(make, count):
    data = make()
    started = now()
    got = fork(values=range(count))
    if isinstance(got, int):
        channel().send((now(), os.getpid(), parent(os.getpid())))
        channel().recv()
        os._exit(0)
    told = [copy.channel.recv() for copy in got]
    pids = {pid for _, *both in told for pid in both}
    pss = sum(map(shares, pids))
    for copy in got:
        copy.channel.send("enough")
    assert [copy.wait() for copy in got] == [0] * count and data is not None
    print(json.dumps({"seconds": max(when for when, *_ in told) - started, "MB": pss / 1024}))
def with_bytes():
    return os.urandom(1 << 20) * 200
def with_numpy():
    import numpy
    return numpy.arange(200 << 17)
def with_objects():
    return [{"number": n, "name": "name %d" % n} for n in range(660_000)]
main(globals()["with_" + sys.argv[1]], int(sys.argv[2]))
"""


def measured(program, data, count):
    words = [sys.executable, program, data, str(count)]
    return json.loads(subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    kinds = ["bytes", "objects"]
    try:
        import numpy  # noqa: F401
    except ImportError:
        print("no NumPy here")
    else:
        kinds.insert(1, "numpy")

    broken = []
    print("CPython", sys.version.split()[0], "- medians of", options.repeat)
    print(
        f"{'200 MB of':>12}{'1 copy ms':>12}{f'{COPIES} copies ms':>14}{'ratio':>8}{'1 copy MB':>12}{f'{COPIES} copies MB':>14}{'ratio':>8}"
    )
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "program.py"
        program.write_text(PROGRAM)
        for kind in kinds:
            pairs = [[measured(program, kind, n) for n in (1, COPIES)] for _ in range(options.repeat)]
            one, many = ({k: median(p[i][k] for p in pairs) for k in ("seconds", "MB")} for i in (0, 1))
            ratios = {k: median(p[1][k] / p[0][k] for p in pairs) for k in one}
            print(
                f"{kind:>12}{1000 * one['seconds']:>12.0f}{1000 * many['seconds']:>14.0f}{ratios['seconds']:>8.2f}"
                f"{one['MB']:>12.0f}{many['MB']:>14.0f}{ratios['MB']:>8.2f}"
            )
            for what, ratio in ratios.items():
                if ratio > MOST:
                    broken.append(
                        f"{COPIES} copies with {kind}: {ratio:.2f} times the {what} of one, not {MOST}"
                    )
    if options.check and broken:
        sys.exit("\n".join(["beyond the limits:", *broken]))


if __name__ == "__main__":
    main()
