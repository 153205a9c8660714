"""A discrete event simulation: processes are generators in a heap, random numbers from a seed."""

import heapq
import itertools
import random

random.seed(7)
mine = random.Random(3)
order = itertools.count()
queue = []
now = 0
busy = {"left": False, "right": False}
waiting = {"left": [], "right": []}
log = []


def schedule(delay, process):
    heapq.heappush(queue, (now + delay, next(order), process))


def customer(name):
    yield random.randint(1, 5)
    gate = mine.choice(["left", "right"])
    while busy[gate]:
        waiting[gate].append(name)
        yield 1
    busy[gate] = True
    log.append((now, name, "in", gate))
    try:
        yield from serve(name)
    finally:
        busy[gate] = False
        log.append((now, name, "out", gate))


def serve(name):
    steps = random.randint(1, 3)
    for step in range(steps):
        if step == 1:
            hop()
        yield step + 1


for name in "abcdef":
    schedule(0, customer(name))
hop()
while queue:
    now, _, process = heapq.heappop(queue)
    try:
        schedule(next(process), process)
    except StopIteration:
        if len(log) % 4 == 0:
            hop()
for line in log:
    print(*line)
print({k: sorted(set(v)) for k, v in waiting.items()}, random.random(), mine.random())
