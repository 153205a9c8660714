"""A long chain of moves: whether the last ones are as quick as the first, and what comes out of a program that writes all the while.

    python benches/chain.py [--moves N] [--megabytes N] [--repeat N] [--check]

"first" and "last" are the medians of 20 moves at the ends of a chain (or of a third of it), from the call to what follows it in the
other process. Then the program writes through a pipe, in blocks between the moves and one that a move finds in its buffer, and what comes
out is compared, byte for byte, with what the same program writes that does not move. The rate is that of the writing,
without the moves. `--check` holds the figures against what they must reach.
"""

import argparse
import hashlib
import json
import subprocess
import sys
from statistics import median

TIMES = """
import json, sys, time
from pyteleport import teleport
clock = lambda: time.clock_gettime(time.CLOCK_MONOTONIC)
times = []
for turn in range(int(sys.argv[1])):
    began = clock()
    teleport()
    times.append(clock() - began)
print(json.dumps(times))
"""

# Each block has numbers of its own, so that none can take the place of another.
WRITES = """
import json, sys, time
moves, size = int(sys.argv[1]), int(sys.argv[2])
if sys.argv[3] == "moving":
    from pyteleport import teleport
else:
    def teleport():
        pass
clock = lambda: time.clock_gettime(time.CLOCK_MONOTONIC)
seconds, number = 0, 0
for turn in range(moves):
    began, end = clock(), size * (turn + 1) // moves
    while number < end:
        sys.stdout.buffer.write(b"%015d\\n" % number * 64)
        number += 1
    seconds += clock() - began
    teleport()
sys.stdout.flush()
print(seconds, file=sys.stderr)
"""
LINES = 1024  # bytes of each number


def times(moves):
    done = subprocess.run([sys.executable, "-c", TIMES, str(moves)], stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def written(moves, size, how):
    """(digest of what it wrote, its length, bytes a second)."""
    command = [sys.executable, "-c", WRITES, str(moves), str(size // LINES), how]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    digest, length = hashlib.sha256(), 0
    for block in iter(lambda: process.stdout.read(1 << 20), b""):
        digest.update(block)
        length += len(block)
    errors = process.stderr.read().decode()
    if process.wait():
        sys.exit(f"the program ended with status {process.returncode}\n{errors}")
    return digest.hexdigest(), length, length / float(errors)


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--moves", type=int, default=100)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    broken = []

    chains = [times(options.moves) for _ in range(options.repeat)]
    ends = min(20, max(1, options.moves // 3))
    first = median(median(chain[:ends]) for chain in chains)
    last = median(median(chain[-ends:]) for chain in chains)
    # of each chain by itself: what else the machine does meanwhile changes less within one
    ratio = median(median(chain[-ends:]) / median(chain[:ends]) for chain in chains)
    print(f"{options.moves} moves: {1000 * first:.1f} ms first, {1000 * last:.1f} ms last, {ratio:.2f}x")
    if ratio > 1.15:
        broken.append(f"the last moves of a chain took {ratio:.2f} times the first, not 1.15")

    size = options.megabytes << 20
    *straight, plain = written(options.moves, size, "straight")
    *moving, rate = written(options.moves, size, "moving")
    same = moving == straight and straight[1] == size
    verdict = (
        "as without a move" if same else f"NOT what it writes without a move, {straight[1] / 1e6:.1f} MB"
    )
    print(
        f"{moving[1] / 1e6:.1f} MB came out, {verdict}; {rate / 1e6:.0f} MB/s, {plain / 1e6:.0f} without a move"
    )
    if not same:
        sys.exit("what came out of a chain of moves is not what the program wrote")
    if options.check and broken:
        sys.exit("\n".join(["beyond the limits:", *broken]))


if __name__ == "__main__":
    main()
