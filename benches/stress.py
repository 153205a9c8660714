"""A program with many threads and tasks that moves very often: nothing may be lost, done twice or stuck.

    python benches/stress.py [--moves 200] [--threads 20] [--tasks 200]

Half of the threads compute, the others hand items on through queues, under locks and conditions; half of the tasks sleep, the
others hand items on. The program moves from inside a coroutine, and prints what each thread and task has counted. The same
program that does not move has to print the same. The exit status tells.
"""

import argparse
import subprocess
import sys
import time

PROGRAM = """
import asyncio, os, queue, sys, threading
moves, threads, tasks = map(int, sys.argv[1:4])
is_moving = sys.argv[4] == "moving"
if is_moving:
    from pyteleport import teleport
seen = {os.getpid()}
over = threading.Event()
counted, lock, changed = {}, threading.RLock(), threading.Condition()

def computes(number):
    value, rounds = number, 0
    while rounds < 200 or not over.is_set():
        for n in range(50):
            value = (n + value * 31) % 1000003
        if rounds < 200:
            with lock:
                counted[number] = counted.get(number, 0) + value
        rounds += 1

def hands_on(number, source, sink):
    while True:
        item = source.get()
        if item is None:
            break
        with lock, lock:
            counted[number] = counted.get(number, 0) + item
        sink.put(item + 1)
        with changed:
            changed.notify_all()

async def sleeps(number):
    for turn in range(20):
        await asyncio.sleep(0.01)
        counted["task", number] = counted.get(("task", number), 0) + turn

async def passes_on(number, source, sink):
    async for item in source:
        counted["task", number] = counted.get(("task", number), 0) + item
        await sink.put(item + 1)

async def items(channel, count):
    for _ in range(count):
        yield await channel.get()

async def main():
    chain = [queue.Queue() for _ in range(threads // 2 + 1)]
    workers = [threading.Thread(target=computes, args=(n,)) for n in range(threads // 2)]
    workers += [
        threading.Thread(target=hands_on, args=(threads + n, chain[n], chain[n + 1])) for n in range(threads // 2)
    ]
    for worker in workers:
        worker.start()
    pipes = [asyncio.Queue() for _ in range(tasks // 2 + 1)]
    running = [asyncio.ensure_future(sleeps(n)) for n in range(tasks // 2)]
    running += [
        asyncio.ensure_future(passes_on(tasks + n, items(pipes[n], moves), pipes[n + 1])) for n in range(tasks // 2)
    ]
    for move in range(moves):
        chain[0].put(move)
        await pipes[0].put(move)
        await asyncio.sleep(0)
        if is_moving:
            teleport(timeout=20)
            seen.add(os.getpid())
    await asyncio.gather(*running)
    over.set()
    with changed:
        changed.wait_for(lambda: chain[-1].qsize() == moves)
    for link in chain[:-1]:
        link.put(None)
    for worker in workers:
        worker.join()
    print(sorted(counted.items(), key=repr))
    print([chain[-1].get() for _ in range(moves)], [pipes[-1].get_nowait() for _ in range(moves)])
    if is_moving:
        print(len(seen) - 1, "moves", file=sys.stderr)

asyncio.run(main())
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--moves", type=int, default=200)
    parser.add_argument("--threads", type=int, default=20)
    parser.add_argument("--tasks", type=int, default=200)
    options = parser.parse_args()
    counts = [str(count) for count in (options.moves, options.threads, options.tasks)]

    def run(how):
        command = [sys.executable, "-c", PROGRAM, *counts, how]
        return subprocess.run(command, stdout=subprocess.PIPE, check=False)

    straight, began = run("staying"), time.monotonic()
    moved = run("moving")
    same = (straight.returncode, straight.stdout) == (moved.returncode, moved.stdout) and not moved.returncode
    print(
        f"{' '.join(counts)}: {'the same' if same else 'NOT THE SAME'} after {time.monotonic() - began:.1f} s"
    )
    if not same:
        print(straight.stdout.decode()[-500:], moved.stdout.decode()[-500:], sep="\n---\n")
    return not same


if __name__ == "__main__":
    sys.exit(main())
