"""How long it takes to stop busy threads for a capture: `python benches/stop_threads.py [THREADS] [CAPTURES]`."""

import io
import sys
import threading

from pyteleport import _native, dump

THREADS = int(sys.argv[1]) if len(sys.argv) > 1 else 64
CAPTURES = int(sys.argv[2]) if len(sys.argv) > 2 else 5

done = []
begun = threading.Barrier(THREADS + 1)


def busy():
    value = 0
    begun.wait()
    while not done:
        value = (value * 31 + 7) % 1000003


def main():
    dump(io.BytesIO())  # imports what a capture needs
    threads = [threading.Thread(target=busy) for _ in range(THREADS)]
    for thread in threads:
        thread.start()
    begun.wait()
    times = []
    for _ in range(CAPTURES):
        dump(io.BytesIO())
        times.append(_native.last_move_times()["stop"] * 1e3)
    done.append(True)
    for thread in threads:
        thread.join()
    text = ", ".join("%.1f" % each for each in times)
    print("%s: %d busy threads stopped in %s ms" % (sys.version.split()[0], THREADS, text))


main()
