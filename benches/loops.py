"""What it costs to move an event loop in which very many tasks are asleep, and how late their timers fire after it.

    python benches/loops.py [--tasks N] [--check]

Capture and encode are home's, decode and build the peer's; all of them are what the program stands still for, beside
the start of a Python. "late" is by how much the tasks wake up later than they asked for, by the loop's own clock, which
stands still during the move: the median and the worst of them. `--check` holds the figures against what they must reach.
"""

import argparse
import json
import subprocess
import sys

PROGRAM = """
import asyncio, io, json, sys
from statistics import median
import pyteleport
from pyteleport import _native
async def sleeper(seconds, late):
    loop = asyncio.get_running_loop()
    wanted = loop.time() + seconds
    await asyncio.sleep(seconds)
    late.append(loop.time() - wanted)
async def main(count):
    loop, late = asyncio.get_running_loop(), []
    # They wake up over two seconds, the first of them when all are asleep.
    tasks = [asyncio.ensure_future(sleeper(2 + 2 * n / count, late)) for n in range(count)]
    await asyncio.sleep(0)
    if pyteleport.dump(io.BytesIO()):
        raise SystemExit
    home = _native.last_move_times()
    before = loop.time()
    await pyteleport.ateleport()
    stood_still = loop.time() - before
    times = {**_native.last_move_times(), **home}
    await asyncio.gather(*tasks)
    late.sort()
    print(json.dumps({"times": times, "stood still": stood_still, "median": median(late), "worst": late[-1],
                      "tasks": len(late)}))
asyncio.run(main(int(sys.argv[1])))
"""

STAGES = ("capture", "encode", "decode", "build")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args()
    command = [sys.executable, "-c", PROGRAM, str(options.tasks)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    found = json.loads(done.stdout)
    times = found["times"]
    total = sum(times.get(stage, 0) for stage in STAGES)
    stages = ", ".join("%s %.0f ms" % (stage, 1000 * times.get(stage, 0)) for stage in STAGES)
    print("%d tasks: %s, together %.2f s" % (found["tasks"], stages, total))
    print("late: median %.1f ms, worst %.1f ms" % (1000 * found["median"], 1000 * found["worst"]))
    if options.check and (total > 2 or found["median"] > 0.01 or found["tasks"] != options.tasks):
        sys.exit("that is too slow")


if __name__ == "__main__":
    main()
