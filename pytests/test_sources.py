"""C code that collects from iterators of the program's, `map` or `filter`, and what `reduce` comes to."""

import sys

import harness
import pytest

SOURCES = """
        import collections, csv, functools, itertools, operator

        class Counting:
            def __init__(self, n):
                self.i, self.n = 0, n
            def __iter__(self):
                hop("iter")
                return self
            def __next__(self):
                if self.i == self.n:
                    hop("end")
                    raise StopIteration
                self.i += 1
                self = hop(self)
                return self.i
            def __length_hint__(self):
                print("asked how many")
                return 2

        class Quiet:
            def __init__(self, n):
                self.items = range(n).__iter__()
            def __iter__(self):
                return self
            def __next__(self):
                return hop(next(self.items))

        def ten(x, *others):
            return hop(x) * 10

        def is_odd(x):
            return hop(x) % 2

        def until_two(x):
            if hop(x) == 2:
                raise StopIteration
            return x

        def numbers(n):
            for i in range(n):
                yield hop(i)

        class Telling(Quiet):
            def __init__(self):
                super().__init__(3)
            def __len__(self):
                return 3

        class Iterating:
            def __init__(self, items):
                self.items = iter(items)
            def __iter__(self):
                hop("iter")
                return self
            def __next__(self):
                return next(self.items)

        class Times:
            def __init__(self, k):
                self.k = k
            def of(self, x):
                return hop(x) * self.k
            def plus(self, a, b):
                return hop(a) * self.k + b
            def __call__(self, x):
                return [hop(self).k, x]
"""

COLLECTED = {
    "list": "list(Counting(3))",
    "tuple": "tuple(Counting(3))",
    "sum": "sum(Counting(4), 0.5)",
    "set": "sorted(set(Counting(3)))",
    "sorted": "sorted(Counting(3), key=lambda x: -x)",
    "max": "max(Counting(3))",
    "deque": "collections.deque(map(ten, range(4)), 2)",
    "a target each": "[(a, b, c) for a, b, c in [Quiet(3)]]",
    "targets with a star": "[(a, b) for a, *b in [Quiet(4)]]",
    "one after the other": "[list(Counting(2)), list(Counting(3)), sum(Counting(2))]",
    "list of map": "list(map(ten, [1, 2, 3]))",
    "sum of map": "sum(map(ten, (1, 2, 3)))",
    "set of map": "sorted(set(map(ten, {1: 0, 2: 0})))",
    "dict of map": "dict(map(lambda x: (hop(x), x + 1), [1, 2, 3]))",
    "join of map": "'-'.join(map(lambda x: str(hop(x)), range(4)))",
    "targets of map": "[(a, b) for a, *b in [map(ten, [1, 2, 3])]]",
    "map of several": "list(map(lambda *xs: hop(xs), [1, 2, 3], 'abc'))",
    "map of a method": "list(map(Times(3).of, [1, 2, 3]))",
    "map of a callable object": "list(map(Times(3), [1, 2]))",
    "map of a partial function": "list(map(functools.partial(ten, 5), 'ab'))",
    "map over a generator": "list(map(ten, numbers(3)))",
    "map of a function in C over a generator": "list(map(str, numbers(3)))",
    "map of map": "list(map(ten, map(lambda x: x + 1, [1, 2])))",
    "filter": "list(filter(is_odd, [1, 2, 3, 4, 5]))",
    "filter over a generator": "list(filter(is_odd, numbers(4)))",
    "filter without a function": "list(filter(None, numbers(4)))",
    "filter by a lambda": "tuple(filter(lambda x: [] if hop(x) < 2 else 'yes', [1, 2, 3]))",
    "map that its function ends": "(lambda m: [list(m), list(m)])(map(until_two, [1, 2, 3]))",
    "filter that its function ends": "[sum(filter(until_two, [1, 2, 3]), 10)]",
    "nested": "list(map(lambda n: sum(map(ten, range(n))), [1, 2, 3]))",
    "recursive": "(lambda f: f(f, 3))(lambda f, n: [hop(n), *list(map(lambda m: f(f, m), range(n)))])",
}

REDUCED = {
    "reduce": "functools.reduce(lambda a, b: [hop(a), b], [1, 2, 3, 4])",
    "reduce from a start": "functools.reduce(lambda a, b: a + [hop(b)], (1, 2, 3), [])",
    "reduce by a method": "functools.reduce(Times(2).plus, range(3, 9, 2))",
    "reduce by a partial function": "functools.reduce(functools.partial(lambda c, a, b: hop(a) + b + c, 1), [1, 2, 3])",
    "reduce of a range": "functools.reduce(add, range(10, 2, -3), 100)",
    "reduce of one item and a start": "functools.reduce(add, [7], 3)",
    "reduce of text": "functools.reduce(lambda a, b: hop(a) + '-' + b, 'abc')",
    "reduce of a dictionary": "functools.reduce(add, {1: 'a', 2: 'b', 3: 'c'})",
    "reduce of an iterator": "functools.reduce(add, iter([1, 2, 3]))",
    "reduce over a generator": "functools.reduce(add, (x * x for x in range(4)))",
    "reduce over map": "functools.reduce(add, map(lambda x: x + 1, [1, 2, 3]))",
    "reduce over zip": "functools.reduce(add, zip([1, 2], 'ab', (3, 4)))",
    "reduce over a chain": "functools.reduce(add, itertools.chain([1], (x * x for x in range(3))), 5)",
    "reduce over what is sliced": "functools.reduce(add, itertools.islice(map(int, '12345'), 1, 4))",
    "reduce in reduce": "functools.reduce(lambda a, b: functools.reduce(add, [a, b, 1]), [1, 2, 3])",
    "where the sum's name is bound anew": "functools.reduce(rebinding, [1, 2, 3, 4])",
}

ADD = """
        def add(a, b):
            return hop(a) + b

        def freezing(a, b):
            __import__("gc").freeze()
            return hop(a) + b

        def rebinding(a, b):
            a = hop(a) + b
            b = None
            return hop(a)
"""


@pytest.mark.parametrize("expression", COLLECTED.values(), ids=COLLECTED)
def test_what_is_collected_from_a_source(same, expression):
    same(
        f"""{SOURCES}
        def f():
            return ["before", ({expression}), "after"]
        print(f())
        hop()
    """,
        hooks=("recording",),
    )


@pytest.mark.parametrize("expression", REDUCED.values(), ids=REDUCED)
def test_reduce_goes_on_from_what_it_has(same, expression):
    same(f"""{SOURCES}{ADD}
        def f():
            return ["before", ({expression}), "after"]
        print(f())
        hop()
    """)


@pytest.mark.parametrize(
    "statement",
    [
        "found.extend(map(until_two, [1, 2]))",
        "found = [*found, *map(until_two, [1, 2, 3])]" if sys.version_info >= (3, 9) else "found",
        "found.extend(map(ten, [1, 2, 3]))",
        "found.extend(filter(is_odd, [1, 2, 3]))",
    ],
)
def test_what_was_added_to_a_list_stays_there(same, statement):
    same(f"""{SOURCES}
        def f(found):
            {statement}
            return found
        print(f(["first"]))
        hop()
    """)


REFUSED = {
    "which of two iterators over a list": "(lambda xs, i: functools.reduce(add, xs))(*[(x, iter(x)) for x in [[1, 2]]][0])",
    "reduce after the collector was told to leave out all": "functools.reduce(freezing, [1, 2, 3])",
    "reduce by what map calls as well": "functools.reduce(add, map(add, [1, 2], [3, 4]))",
    "reduce by what map in a chain calls as well": "functools.reduce(add, itertools.chain.from_iterable([map(add, [1, 2], [3, 4])]))",
    "reduce by what is called until a value comes": "functools.reduce(add, itertools.islice(iter(functools.partial(add, 1, 1), 3), 1))",
    "map by what a reader's map calls as well": "list(map(ten, csv.reader(map(ten, 'ab'))))",
    "reduce over a generator that hops": "functools.reduce(operator.add, numbers(3))",
    "sorted by a key": "sorted([3, 1, 2], key=ten)",
    "max by a key": "max([3, 1, 2], key=ten)",
    "map of map by the same": "list(map(ten, map(ten, [1])))",
    "which time targets with a star ask for the iterator": "(lambda: [(a, b) for *a, b in [Iterating([1, 2])]])()",
    "targets with a star, of what tells its length": "[(a, b) for a, *b in [Telling()]]",
    "map in zip": "list(zip(map(ten, [1, 2])))",
    "the second iterator of a map": "list(map(operator.add, [1, 2], numbers(2)))",
}


@pytest.mark.parametrize("expression", REFUSED.values(), ids=REFUSED)
def test_what_is_in_c_alone_is_refused(move, expression):
    run = move(
        f"""{SOURCES}{ADD}{harness.REFUSING}
        print({expression})
    """,
        flags=("-X", "teleport"),
    )
    assert run.returncode == 0, run.stderr
    assert {what for what, _ in run.trail} == {"start", "refused", "end"}


def test_an_iterator_that_was_given_up_is_not_taken_for_another(move):
    """The next one has the same address, and is asked by the same instruction."""
    source = f"""{SOURCES}
        def pair(n):
            try:
                a, b = map(ten, range(n))
                c, d = Quiet(n)
                return a, b, c, d
            except ValueError as error:
                return str(error)
        for n in [3, 2, 4, 2, 0, 2]:
            print(pair(n))
    """
    straight = move.straight(source)
    moved = move(source, flags=("-X", "teleport"))
    assert moved.stdout == straight.stdout, moved.stderr


def test_a_reduce_that_moves_many_times(same):
    """What it goes through does not grow with each move."""
    same(
        """
        import functools, gc, itertools
        def add(a, b):
            hop()
            chains = sum(type(thing) is itertools.chain for thing in gc.get_objects())
            return a + b + (chains > 3)
        print(functools.reduce(add, iter(range(80))))
        """,
        hooks=("armed",),
        patience=120,
    )
