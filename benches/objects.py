"""What it costs to write and to read a million small objects, next to pickle and, where it is installed, cloudpickle.

    python benches/objects.py [--count N] [--repeat N] [--check]

The best of some runs in one process, by turns, with the collector off, and with what it takes to let everything go.
`--check` holds the sums against what they must reach.
"""

import argparse
import gc
import pickle
import sys
import time

from pyteleport import _native, graph, modules

try:
    import cloudpickle
except ImportError:
    cloudpickle = None


class Open:
    def __init__(self, number):
        self.name, self.value, self.parts = f"thing {number}", number * 1.5, None


class Slim:
    __slots__ = ("name", "value")

    def __init__(self, number):
        self.name, self.value = f"thing {number}", number * 1.5


def linked(count):
    head = None
    for number in range(count):
        head = [number, head]
    return head


# How many objects each of these makes, and how.
KINDS = {
    "numbers": (1, lambda n: n + 1000),
    "strings": (1, lambda n: f"text {n}"),
    "tuples": (3, lambda n: (n + 1000, n * 1.5)),
    "lists": (3, lambda n: [n + 1000, f"text {n}", None]),
    "dicts": (4, lambda n: {"id": n + 1000, "name": f"text {n}", "value": n * 1.5}),
    "instances": (3, Open),
    "slots": (3, Slim),
    "mixed": (
        12,
        lambda n: {
            "id": n,
            "tags": [f"a{n}", f"b{n}", "all"],
            "at": (n / 2, n / 3),
            "thing": Open(n),
            3: {n},
        },
    ),
}
WITHIN = 1.2


class Nothing:
    """A stack without frames."""

    objects, running, live_frames, codes = [], {}, {}, []


def write(thing):
    found = modules.Modules()
    found.by_value.clear()
    encoder = graph.new_encoder(graph.Asker(found, Nothing))
    encoder.write(thing)
    return encoder.taken()


def read(written):
    return _native.GraphDecoder(*written).read(modules.Finder().persistent_load)


WAYS = {"pickle": (lambda thing: pickle.dumps(thing, 5), pickle.loads), "ours": (write, read)}
if cloudpickle is not None:
    WAYS["cloudpickle"] = (lambda thing: cloudpickle.dumps(thing, 5), pickle.loads)


def timed(do, thing):
    """(seconds with letting go, size) of writing; (seconds, None) of reading."""
    start = time.perf_counter()
    made = do(thing)
    return time.perf_counter() - start, made


def measure(thing, repeat):
    """way → (seconds to write, seconds to read, bytes), the best of each."""
    best = {way: [9e9, 9e9, 0] for way in WAYS}
    for _ in range(repeat):
        for way, (writes, reads) in WAYS.items():
            seconds, written = timed(writes, thing)
            best[way][0] = min(best[way][0], seconds)
            best[way][2] = len(written[0] if type(written) is tuple else written)
            seconds, again = timed(reads, written)
            best[way][1] = min(best[way][1], seconds)
            del again, written
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    broken = []
    print("CPython", sys.version.split()[0], "-", options.count, "objects, best of", options.repeat)
    print(
        f"{'':>12}"
        + "".join(f"{way + what:>20}" for way in WAYS for what in (" write ms", " read ms", " MB"))
    )
    gc.disable()
    for kind, (number, make) in KINDS.items():
        thing = [make(n) for n in range(options.count // number)]
        best = measure(thing, options.repeat)
        shown = "".join(
            f"{w * 1000:>20.0f}{r * 1000:>20.0f}{size / 1e6:>20.1f}" for w, r, size in best.values()
        )
        ours, theirs = best["ours"], best["pickle"]
        ratios = [mine / other for mine, other in zip(ours, theirs)]
        print(f"{kind:>12}{shown}   ours/pickle: {ratios[0]:.2f} {ratios[1]:.2f} {ratios[2]:.2f}", flush=True)
        for ratio, what in zip(ratios, ("write", "read")):
            if ratio > WITHIN:
                broken.append(
                    f"{kind}: to {what} them takes {ratio:.2f} times as long as with pickle, not {WITHIN}"
                )
    if options.check and broken:
        sys.exit("\n".join(["beyond the limits:", *broken]))


if __name__ == "__main__":
    sys.modules["objects_bench"] = sys.modules["__main__"]
    for cls in (Open, Slim):
        cls.__module__ = "objects_bench"
    main()
