"""What a local move costs: its stages, for stacks of 1 to 1,000 frames, up to 10,000 suspended generators, and
data of 1 KB to 1 GB.

    python benches/move.py [--repeat N] [--quick] [--check]

Home's stages are spawn and hello (a Python starts meanwhile), capture and encode; the peer's are decode and build.
"first" is the first capture and encode of a process, which imports and analyses what later ones find done. "all" is a whole program, from its start to its exit
status, over the time of `python -c pass`, side by side. "to the first instruction" is from the call to what follows it in the other
process, by turns a fresh one and one that has waited (`python -m pyteleport serve`, `prepare()`). `--check` holds the figures against what they must reach.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

# Two runs: one keeps its state in memory many times, which gives home's stages, the other moves once, which gives
# the peer's. Frames differ only in their locals, as those of a recursion do.
STACK = """
import io, json, sys, time
sys.setrecursionlimit(20000)
from pyteleport import dump, teleport
from pyteleport import _native
def keep():
    seen, memory = [], None
    for _ in range(int(sys.argv[3])):
        memory = io.BytesIO()
        if dump(memory):
            raise SystemExit
        times = _native.last_move_times()
        seen.append((times["capture"], times["encode"]))
    return {"size": len(memory.getvalue()), "seen": seen}
def move():
    started = time.clock_gettime(time.CLOCK_MONOTONIC)
    teleport()
    took = time.clock_gettime(time.CLOCK_MONOTONIC) - started
    return {"move": took, **_native.last_move_times()}
def down(n, carry):
    name, share, half = "local %d" % n, carry, n / 2
    if n > 1:
        return down(n - 1, carry)
    return keep() if sys.argv[2] == "keep" else move()
print(json.dumps(down(int(sys.argv[1]), [])))
"""

# As many generators, each suspended in a loop of its own.
GENERATORS = """
import io, json, sys
from pyteleport import dump, teleport
from pyteleport import _native
def counter(start):
    total = start
    while True:
        total += yield total
def main(count):
    suspended = [counter(start) for start in range(count)]
    for each in suspended:
        next(each)
    dump(memory := io.BytesIO())
    home = _native.last_move_times()
    teleport()
    assert [each.send(1) for each in suspended] == list(range(1, count + 1))
    return {**_native.last_move_times(), "size": len(memory.getvalue()), **home}
print(json.dumps(main(int(sys.argv[1]))))
"""

DATA = """
import json, sys, time
from pyteleport import teleport
def f(n):
    data = b"\x01" * n
    started = time.clock_gettime(time.CLOCK_MONOTONIC)
    teleport()
    arrived = time.clock_gettime(time.CLOCK_MONOTONIC)
    return len(data), arrived - started
n, seconds = f(int(sys.argv[1]))
from pyteleport import _native
print(json.dumps({"size": n, "move": seconds, **_native.last_move_times()}))
"""

# By turns to a fresh process, and to one that has waited; first to one that has.
TURNS = """
import sys, time
from pyteleport import prepare, teleport
def timed(target):
    started = time.clock_gettime(time.CLOCK_MONOTONIC)
    teleport(target)
    return time.clock_gettime(time.CLOCK_MONOTONIC) - started
def warm():
    if not prepare():
        sys.exit("no process waits")
    return timed(None)
first, colds, warms = warm(), [], []
for turn in range(int(sys.argv[1])):
    colds.append(timed("local:?cold"))
    warms.append(warm())
print([[first], colds, warms])
"""

TRIVIAL = "from pyteleport import teleport\nteleport()\n"
KEPT = "import sys\nfrom pyteleport import dump\ndump(sys.argv[1])\n"

# An array, and next to it as much through a bare socket, from one process's memory into another's.
ARRAY = """
import json, os, socket, sys, time
import numpy as np
from pyteleport import teleport
def bare(data):
    near, far = socket.socketpair()
    started = time.perf_counter()
    child = os.fork()
    if child == 0:
        near.close()
        there = np.empty(len(data))
        memory, at = memoryview(there).cast("B"), 0
        while at < there.nbytes:
            at += far.recv_into(memory[at : at + (1 << 20)])
        far.send(b"+")
        os._exit(0)
    far.close()
    near.sendall(memoryview(data).cast("B"))
    near.recv(1)
    took = time.perf_counter() - started
    os.waitpid(child, 0)
    return took
def move():
    data = np.ones(int(sys.argv[1]) // 8)
    started = time.clock_gettime(time.CLOCK_MONOTONIC)
    teleport()
    took = time.clock_gettime(time.CLOCK_MONOTONIC) - started
    return took, bare(data)
small = time.clock_gettime(time.CLOCK_MONOTONIC)
teleport()
small = time.clock_gettime(time.CLOCK_MONOTONIC) - small
print(json.dumps([small, *move()]))
"""


def run(*argv):
    """(stdout, seconds, peak resident MB of the biggest process on its way)."""
    start = time.perf_counter()
    process = subprocess.Popen([sys.executable, *argv], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    out = process.stdout.read()
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - start
    process.returncode = os.WEXITSTATUS(status)
    process.stdout.close()
    if status:
        sys.exit(f"a measured program ended with status {status}")
    return out.decode(), seconds, usage.ru_maxrss / 1024


@contextlib.contextmanager
def served(folder):
    """A server of processes that wait, for what is run meanwhile."""
    os.environ["XDG_RUNTIME_DIR"] = str(folder)
    words = [sys.executable, "-m", "pyteleport", "serve", "--pool", "2"]
    server = subprocess.Popen(words, stdout=subprocess.PIPE)
    try:
        server.stdout.readline()
        yield
    finally:
        server.terminate()
        server.communicate()


def stage_medians(program, repeat, *args):
    runs = [json.loads(run(program, *args)[0]) for _ in range(repeat)]
    return {name: median(r.get(name, 0) for r in runs) for name in runs[0]}


def table(title, rows):
    names = list(rows[0][1])
    print(f"\n{title:>12}" + "".join(f"{n:>12}" for n in names))
    for label, values in rows:
        print(f"{label:>12}" + "".join(f"{values[n]:>12}" for n in names))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--quick", action="store_true", help="no data beyond 64 MB")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    broken = []

    def must(holds, what):
        if not holds:
            broken.append(what)

    with tempfile.TemporaryDirectory() as folder:
        names = ("stack", "generators", "data", "trivial")
        stack, generators, data, trivial = (Path(folder) / f"{n}.py" for n in names)
        stack.write_text(STACK)
        generators.write_text(GENERATORS)
        data.write_text(DATA)
        trivial.write_text(TRIVIAL)
        print("CPython", sys.version.split()[0], "- milliseconds, medians of", options.repeat)

        rows = []
        for frames in (1, 10, 100, 1000):
            kept = json.loads(run(stack, str(frames), "keep", "30")[0])
            first, *later = kept["seen"]
            capture, encode = (median(times) for times in zip(*later))
            moved = stage_medians(stack, options.repeat, str(frames), "move")
            order = ("spawn", "hello", "decode", "build", "move")
            stages = {
                "first": sum(first),
                "capture": capture,
                "encode": encode,
                **{n: moved[n] for n in order},
            }
            rows.append((frames, {"payload KB": f"{kept['size'] / 1024:.1f}", **ms(stages)}))
            work = 1000 * (capture + encode)
            if frames == 1000:
                must(work < 10, f"1,000 frames: capture and encode in {work:.2f} ms, not 10")
            if frames == 100:
                must(work < 1, f"100 frames: capture and encode in {work:.2f} ms, not 1")
                must(
                    kept["size"] < 16 * 1024, f"100 frames: a payload of {kept['size'] / 1024:.1f} KB, not 16"
                )
        table("frames", rows)

        rows = []
        for count in (100, 1000, 10000):
            moved = stage_medians(generators, options.repeat, str(count))
            stages = {name: moved[name] for name in ("capture", "encode", "decode", "build")}
            work = sum(stages.values())
            rows.append((count, {"payload KB": f"{moved['size'] / 1024:.1f}", **ms(stages)}))
            must(count < 10000 or work < 1, f"10,000 generators: from end to end in {work:.2f} s, not 1")
        table("generators", rows)

        rows = []
        sizes = [1 << 10, 1 << 20, 64 << 20] + ([] if options.quick else [1 << 30])
        for size in sizes:
            repeat = options.repeat if size < 1 << 28 else 3
            results = [run(data, str(size)) for _ in range(repeat)]
            measured = [json.loads(out) for out, _, _ in results]
            peak = max(peak for _, _, peak in results)
            stages = {n: median(m[n] for m in measured) for n in measured[0] if n != "size"}
            speed = size / stages["move"] / 1e9
            rows.append((human(size), {"GB/s": f"{speed:.2f}", "peak MB": f"{peak:.0f}", **ms(stages)}))
            if size == 1 << 30:
                must(speed >= 1, f"1 GB moved at {speed:.2f} GB/s, not 1")
                must(peak < 1024 + 200, f"1 GB moved with a peak of {peak:.0f} MB, not data + 200")
        table("data", rows)

        (Path(folder) / "kept.py").write_text(KEPT)
        state = Path(folder) / "state.tp"
        subprocess.run(
            [sys.executable, Path(folder) / "kept.py", state], env={"PATH": os.environ["PATH"]}, check=True
        )
        kept = state.stat().st_size
        print(f"\nthe state of a trivial script: {kept} bytes")
        must(kept < 4096, f"the state of a trivial script has {kept} bytes, not 4096")

        if importlib.util.find_spec("numpy") is not None:
            (Path(folder) / "large.py").write_text(ARRAY)
            size = (64 << 20) if options.quick else (1 << 30)
            runs = [json.loads(run(Path(folder) / "large.py", str(size))[0]) for _ in range(options.repeat)]
            more = median(moved - small for small, moved, _ in runs)
            times = median((moved - small) / bare for small, moved, bare in runs)
            print(
                f"an array of {human(size)}: {1000 * more:.0f} ms more than a move without it, "
                f"{times:.2f} times what a bare socket takes for it"
            )
            must(
                times < 1.5,
                f"an array of {human(size)} took {times:.2f} times what a bare socket does, not 1.5",
            )

        pairs = [(run("-c", "pass")[1], run(trivial)[1]) for _ in range(4 * options.repeat)]
        plain, whole = median(a for a, _ in pairs), median(b for _, b in pairs)
        times = median(b / a for a, b in pairs)
        print(
            f"\nall of a trivial program: {1000 * whole:.1f} ms, python -c pass: {1000 * plain:.1f} ms: {times:.2f}x"
        )
        must(times <= 5, f"a trivial program took {times:.2f} times python -c pass, not 5")

        (Path(folder) / "turns.py").write_text(TURNS)
        with served(folder):
            rows = []
            for _ in range(options.repeat):
                time.sleep(0.3)  # until the process has started that is to wait for the one before
                rows.append(json.loads(run(Path(folder) / "turns.py", "4")[0]))
        seconds = (median(second for row in rows for second in row[kind]) for kind in range(3))
        first, cold, warm = (1000 * second for second in seconds)
        print(
            f"to the first instruction: {cold:.2f} ms in a fresh process, {warm:.2f} ms in one that has waited, "
            f"{first:.2f} ms if that is the program's first move"
        )
        for what, took in (("later", warm), ("the first", first)):
            must(took < 5, f"{what} move to a process that has waited took {took:.2f} ms, not 5")

        pairs = [(run("-c", "pass")[1], run("-c", "import pyteleport")[1]) for _ in range(4 * options.repeat)]
        extra = 1000 * median(b - a for a, b in pairs)
        print(f"import pyteleport: {extra:.1f} ms over python -c pass")
        must(extra < 10, f"import pyteleport costs {extra:.1f} ms, not 10")

        line = startup_line()
        code = f"import time; start = time.perf_counter(); exec({line!r}); print(time.perf_counter() - start)"
        seconds = median(float(run("-c", code)[0]) for _ in range(options.repeat))
        print(f"the startup line in an ordinary Python: {1000 * seconds:.3f} ms")
        must(seconds < 0.001, f"the startup line costs {1000 * seconds:.2f} ms, not 1")

    if options.check and broken:
        sys.exit("\n".join(["beyond the limits:", *broken]))


def ms(stages):
    return {name: f"{1000 * seconds:.2f}" for name, seconds in stages.items()}


def human(size):
    for unit, factor in (("GB", 1 << 30), ("MB", 1 << 20), ("KB", 1 << 10)):
        if size >= factor:
            return f"{size // factor} {unit}"
    return str(size)


def startup_line():
    import pyteleport

    return (Path(pyteleport.__file__).parent.parent / "pyteleport.pth").read_text().strip()


if __name__ == "__main__":
    main()
