"""What the evaluator's cost is measured on: small programs of the kinds that pyperformance has."""

import json
import random
import re


def calls(n=25):
    """Plain recursion: nothing but calls."""

    def fib(n):
        return n if n < 2 else fib(n - 1) + fib(n - 2)

    return fib(n)


class Vector:
    def __init__(self, x, y):
        self.x, self.y = x, y

    def __add__(self, other):
        return Vector(self.x + other.x, self.y + other.y)

    def scaled(self, factor):
        return Vector(self.x * factor, self.y * factor)

    @property
    def norm(self):
        return self.x * self.x + self.y * self.y


def methods(n=15000):
    """Objects, operators and properties, as in raytrace and chaos."""
    at, total = Vector(0.0, 0.0), 0.0
    for i in range(n):
        at = at + Vector(i, 1.0).scaled(0.5)
        total += at.norm
    return total


def tree(n=14):
    """Recursive generators."""

    def nodes(depth):
        if depth:
            yield from nodes(depth - 1)
            yield depth
            yield from nodes(depth - 1)

    return sum(nodes(n))


def walk(n=14):
    """The same, gone through by a loop."""

    def nodes(depth):
        if depth:
            yield from nodes(depth - 1)
            yield depth
            yield from nodes(depth - 1)

    total = 0
    for depth in nodes(n):
        total += depth
    return total


def queens(n=7):
    """Generators, comprehensions and sets, as in nqueens."""

    def permutations(items):
        if len(items) < 2:
            yield items
            return
        for i in range(len(items)):
            for rest in permutations(items[:i] + items[i + 1 :]):
                yield items[i : i + 1] + rest

    cols = range(n)
    return len(
        [
            p
            for p in permutations(tuple(cols))
            if n == len({p[i] + i for i in cols}) == len({p[i] - i for i in cols})
        ]
    )


def nbody(n=3000):
    """Floats in lists, no calls."""
    bodies = [[0.0, 0.1 * k, 0.2 * k, 0.01 * k, -0.02, 1.0 + k] for k in range(5)]
    for _ in range(n):
        for i in range(5):
            for j in range(i):
                a, b = bodies[i], bodies[j]
                dx, dy = a[0] - b[0], a[1] - b[1]
                pull = 0.001 / (dx * dx + dy * dy + 0.1) ** 1.5
                a[3] -= dx * b[5] * pull
                b[3] += dx * a[5] * pull
                a[4] -= dy * b[5] * pull
                b[4] += dy * a[5] * pull
        for body in bodies:
            body[0] += 0.001 * body[3]
            body[1] += 0.001 * body[4]
    return bodies[0][0]


def fannkuch(n=7):
    """Lists turned around, no calls of Python."""
    count, most, perm = list(range(1, n + 1)), 0, list(range(n))
    rest = n
    while True:
        while rest > 1:
            count[rest - 1] = rest
            rest -= 1
        p, flips = perm[:], 0
        while p[0]:
            k = p[0]
            p[: k + 1] = p[k::-1]
            flips += 1
        most = max(most, flips)
        while True:
            if rest == n:
                return most
            first = perm[0]
            perm[:rest] = perm[1 : rest + 1]
            perm[rest] = first
            count[rest] -= 1
            if count[rest] > 0:
                break
            rest += 1
        rest += 0 if rest else 1


def callbacks(n=30000):
    """Python called from C: sorted, map, re.sub."""
    rnd = random.Random(1)
    numbers = [rnd.random() for _ in range(n)]
    ordered = sorted(numbers, key=lambda x: -x)
    squares = sum(map(lambda x: x * x, ordered))
    return squares, len(re.sub("[aeiou]", lambda m: m.group().upper(), "the quick brown fox " * 100))


def exceptions(n=16000):
    """Raised, caught, and gone through finally and with."""

    class Guard:
        def __enter__(self):
            return self

        def __exit__(self, *args):
            return False

    def fail(i):
        try:
            with Guard():
                if i % 3:
                    raise KeyError(i)
        finally:
            i += 1
        return i

    total = 0
    for i in range(n):
        try:
            total += fail(i)
        except KeyError:
            total -= 1
    return total


def closures(n=100000):
    """Decorators, partial applications, keyword and star arguments."""

    def decorate(function):
        def wrapper(*args, **kwargs):
            return function(*args, **kwargs)

        return wrapper

    @decorate
    def add(a, b=1, *, c=0):
        return a + b + c

    total = 0
    for i in range(n // 4):
        total += add(i, c=2) + add(i, 3)
    return total


def words(n=4000):
    """Strings and dicts."""
    counts = {}
    for i in range(n):
        for word in f"the {i} wind that {i % 7} wanders {i % 3} where it {i} will".split():
            counts[word] = counts.get(word, 0) + len(word.upper())
    return len(counts), json.loads(json.dumps(counts)) == counts


def sieve(n=1000000):
    """One flat loop in C and one in Python."""
    marks = bytearray([1]) * n
    for i in range(2, int(n**0.5) + 1):
        if marks[i]:
            marks[i * i :: i] = bytes(len(range(i * i, n, i)))
    return sum(marks)


ALL = [calls, methods, tree, walk, queens, nbody, fannkuch, callbacks, exceptions, closures, words, sieve]
