"""Iterators in C between C code that collects and what they ask of the program: `list(zip(generator(), …))`."""

import sys

import harness
import pytest

SOURCES = """
        import collections, functools, itertools, operator
        from itertools import *

        def numbers(n):
            for i in range(n):
                yield hop(i)

        def passed_on(items):
            yield from items

        def lists(n):
            for i in range(n):
                yield [hop(i), i]

        def failing():
            yield 1
            yield hop(2)
            raise ValueError("three")

        class Counting:
            def __init__(self, n):
                self.i, self.n = 0, n
            def __iter__(self):
                return self
            def __next__(self):
                if self.i == self.n:
                    raise StopIteration
                self.i += 1
                return hop(self.i)

        class Sequence:
            def __init__(self, n):
                self.n = n
            def __len__(self):
                return self.n
            def __getitem__(self, i):
                if i >= self.n:
                    raise IndexError(i)
                return hop(i) * 10

        class Blocks:
            def __init__(self, *blocks):
                self.blocks = list(blocks)
            def read(self):
                return hop(self.blocks.pop(0)) if self.blocks else ""

        class Made:
            def __init__(self, n):
                self.n = n
            def __iter__(self):
                return zip(numbers(self.n), "abc")

        def ten(x, *others):
            return hop(x) * 10

        def is_odd(x):
            return hop(x) % 2

        def below(n):
            return lambda x: x < n

        def attempt(work):
            try:
                return work()
            except (TypeError, ValueError, StopIteration) as error:
                return repr(error)
"""

COLLECTED = {
    "zip": "list(zip(numbers(3), 'abc'))",
    "zip of what the program's __next__ gives": "list(zip(Counting(3), 'abcd'))",
    "the second of zip": "dict(zip('abc', numbers(3)))",
    "both of zip": "list(zip(numbers(3), numbers(4)))",
    "all of zip": "list(zip(Counting(3), 'abc', numbers(4), enumerate(numbers(5)), Counting(5)))",
    "zip of one generator": "(lambda it: [list(zip(it, it, it)), list(it)])(numbers(8))",
    "zip of tee": "list(zip(*tee(numbers(3))))",
    "zip of two of a class": "list(zip(Counting(3), Counting(2)))",
    "the second of zip, to targets": "[(a, b) for a, *b in [zip('abc', numbers(3))]]",
    "zip of zip": "list(zip('ab', zip(numbers(2), 'xyz')))",
    "what is left behind zip": "(lambda a, b: [list(zip(a, b)), next(a), list(b)])(iter('abcd'), numbers(2))",
    "zip to a dictionary": "dict(zip(numbers(3), 'abc'))",
    "zip to targets": "[(a, b) for a, b in [zip(numbers(2), 'ab')]]",
    "zip to targets with a star": "[(a, b) for a, *b in [zip(numbers(3), 'abc')]]",
    "enumerate": "list(enumerate(numbers(3), 5))",
    "enumerate to a dictionary": "dict(enumerate(numbers(3)))",
    "enumerate of more than fit": "list(enumerate(numbers(3), 1 << 70))",
    "islice": "sum(islice(numbers(9), 5))",
    "islice with steps": "list(islice(numbers(9), 1, 8, 3))",
    "chain": "list(chain([1, 2], numbers(2), 'ab', numbers(2)))",
    "chain of few and of many": "[list(chain('ab', Counting(2))), list(chain('a', 'b', {1}, {2: 3}, range(1), numbers(2)))]",
    "chain of what a generator gives": "sorted(chain.from_iterable(lists(3)))",
    "chain of generators": "list(chain.from_iterable(numbers(n) for n in [1, 0, 2]))",
    "starmap": "list(starmap(ten, [(1, 2), (3, 4)]))",
    "starmap over a generator": "list(starmap(pow, lists(3)))",
    "accumulate": "list(accumulate(numbers(4)))",
    "takewhile": "list(takewhile(below(3), numbers(9)))",
    "dropwhile": "list(dropwhile(below(3), numbers(6)))",
    "filterfalse": "list(filterfalse(is_odd, [1, 2, 3, 4]))",
    "filterfalse over a generator": "sum(filterfalse(None, numbers(3)))",
    "compress": "list(compress(numbers(4), [1, 0, 1, 1]))",
    "tee": "(lambda a, b: [list(a), list(b)])(*tee(numbers(3)))",
    "reversed": "list(reversed(Sequence(3)))",
    "a sequence's iterator": "sum(iter(Sequence(3)))",
    "until a value comes": "'-'.join(iter(Blocks('a', 'b', 'c').read, ''))",
    "map of a function in C over zip": "list(map(operator.add, zip(numbers(3)), repeat((1,))))",
    "zip_longest": "list(zip_longest(numbers(3), 'a'))",
    "one in the other": "list(enumerate(zip(chain(numbers(2), 'x'), islice(count(), 9))))",
    "enumerate in zip": "list(zip(enumerate(numbers(2)), 'ab'))",
    "one after the other": "[list(zip(numbers(2), 'ab')), list(enumerate(numbers(2))), sum(chain(numbers(2)))]",
    "collecting while collecting": "list(map(lambda n: sum(islice(numbers(9), n)), [1, 2, 3]))",
    "one that fails": "(lambda it: [attempt(lambda: list(it)), list(it)])(enumerate(failing()))",
    "one that was begun": "(lambda it: [next(it), list(it)])(zip(numbers(4), 'abcd'))",
    "one that is shorter": "(lambda it: [list(zip(it, 'ab')), list(it)])(numbers(5))",
    "one that is too long": "[attempt(lambda: [(a, b) for a, b in [enumerate(numbers(n))]]) for n in [3, 2, 1]]",
}

if sys.version_info >= (3, 10):
    COLLECTED["pairwise"] = "list(pairwise(numbers(4)))"
    COLLECTED["a strict zip"] = (
        "[attempt(lambda: list(zip(numbers(n), 'ab', strict=True))) for n in [1, 2, 3]]"
    )


@pytest.mark.parametrize("expression", COLLECTED.values(), ids=COLLECTED)
def test_what_is_collected_through_an_iterator_in_c(same, expression):
    same(
        f"""{SOURCES}
        def f():
            return ["before", ({expression}), "after"]
        print(f())
        hop()
    """,
        hooks=("recording",),
    )


LOOPS = {
    "for": "[pair for pair in zip('abc', numbers(3))]",
    "for, and what is left": "(lambda it: [next(it), [pair for pair in it]])(zip('abc', numbers(3), numbers(9)))",
    "for, of one generator": "(lambda it: [pair for pair in zip(it, it)])(numbers(6))",
    "yield from": "[pair for pair in passed_on(zip('abc', numbers(3)))]",
    "next": "(lambda it: [next(it), next(it, 7), next(it, 7), next(it, 7)])(zip('abc', numbers(3)))",
    "extend": "(lambda found: [found.extend(zip('abc', numbers(3))), found])([])",
    "any": "any(zip('abc', numbers(3)))",
}


@pytest.mark.parametrize("expression", LOOPS.values(), ids=LOOPS)
def test_what_zip_has_taken_is_known(same, expression):
    source = f"""{SOURCES}
        print({expression})
    """
    same(source, hooks=("recording",))


def test_what_zip_longest_has_come_to_the_end_of_is_left_out(same):
    same(
        f"""{SOURCES}
        def later(n):
            yield 0
            yield from numbers(n)
        for pair in zip_longest("a", later(3)):
            print(pair)
    """
    )


AMBIGUOUS = {
    "zip of one generator": "(lambda it: [pair for pair in zip(it, it)])(numbers(4))",
    "zip of one generator behind others": "(lambda it: [pair for pair in zip(map(str, it), enumerate(it))])(numbers(4))",
    "zip of tee": "[pair for pair in zip(*tee(numbers(3)))]",
    "map of one generator": "[n for n in (lambda it: map(max, it, it))(numbers(4))]",
    "zip_longest of one generator": "[pair for pair in (lambda it: zip_longest(it, it))(numbers(5))]",
    "compress of one generator": "[pair for pair in (lambda it: compress(it, it))(numbers(4))]",
}

SIBLINGS = {
    "zip of two of a class": "[pair for pair in zip(Counting(2), Counting(2))]",
    "map of two of a class": "[n for n in map(max, Counting(2), Counting(2))]",
}


@pytest.mark.parametrize("expression", AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_nothing_tells_which_time_one_is_asked(move, expression):
    """Even a loop's source may ask a generator for the second time."""
    source = f"""{SOURCES}
        def numbers(n):
            for i in range(n):
                try:
                    hop()
                except BoundaryError:
                    trail("refused")
                yield i
        print({expression})
    """
    straight = move.straight(source)
    for flags in ((), ("-X", "teleport")):
        moved = move(source, flags=flags)
        assert (moved.stdout, moved.returncode) == (straight.stdout, 0), moved.stderr


@pytest.mark.parametrize("expression", SIBLINGS.values(), ids=SIBLINGS)
def test_two_iterators_of_a_class_are_told_apart(move, expression):
    source = f"""{SOURCES}{harness.REFUSING}
        print({expression})
    """
    straight, moved = move.straight(source), move(source)
    assert (moved.stdout, moved.returncode) == (straight.stdout, 0), moved.stderr
    assert {what for what, _ in moved.trail} == {"start", "moved", "refused", "end"}


FILLED = {
    "list.extend": "found.extend(zip(numbers(3), 'abc'))",
    "list.extend with starmap": "found.extend(starmap(ten, [(1, 2), (3, 4)]))",
    "set.update": "other.update(enumerate(numbers(3)))",
    "any": "found.append(any(islice(numbers(4), 2, 3)))",
}


@pytest.mark.parametrize("statement", FILLED.values(), ids=FILLED)
def test_what_is_filled_through_an_iterator_in_c(same, statement):
    same(f"""{SOURCES}
        def f(found, other):
            {statement}
            return found, sorted(other)
        print(f(["first"], set()))
        hop()
    """)


REFUSED = {
    "what map in the second of zip calls": "list(zip(iter([1, 2]), map(ten, [1, 2])))",
    "the second of zip in another": "list(enumerate(zip('abc', numbers(3))))",
    "the second of map": "list(map(operator.add, 'abc', map(str, numbers(3))))",
    "map in zip, of the same function": "list(zip(map(ten, map(ten, [1])), [1]))",
    "what takewhile calls": "list(takewhile(is_odd, [1, 3]))",
    "what accumulate calls": "list(accumulate([1, 2], ten))",
    "the second of zip_longest": "list(zip_longest('abc', numbers(3)))",
    "groupby": "[key for key, group in list(groupby(numbers(3)))]",
    "product": "list(product(numbers(3)))",
    "one that an object has made": "list(Made(2))",
}

if sys.version_info >= (3, 10):
    REFUSED["the second of a strict zip"] = "list(zip('ab', numbers(2), strict=True))"


@pytest.mark.parametrize("expression", REFUSED.values(), ids=REFUSED)
def test_what_is_in_c_alone_is_refused(move, expression):
    source = f"""{SOURCES}{harness.REFUSING}
        print({expression})
    """
    straight, moved = move.straight(source), move(source, flags=("-X", "teleport"))
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout == straight.stdout
    assert {what for what, _ in moved.trail} == {"start", "refused", "end"}


@pytest.mark.parametrize("install", ["install_hook()", "uninstall_hook(); install_hook()"])
def test_what_was_given_before_the_hook_was_there_is_missed(move, install):
    source = f"""{SOURCES}
        def items(n):
            for i in range(n):
                if i == 2:
                    {install}
                if i == 4:
                    try:
                        teleport()
                    except BoundaryError as refusal:
                        trail("refused")
                yield i
        print([list(enumerate(items(6))), dict(zip(items(6), "abcdef")), list(chain("ab", items(6)))])
        source = chain("ab", items(6))
        next(source)
        print(list(source))
    """
    straight = move.straight(source)
    for flags in ((), ("-X", "teleport")):
        moved = move(source, flags=flags)
        assert moved.stdout == straight.stdout, moved.stderr
        assert moved.returncode == 0, moved.stderr


def test_without_the_hook_it_is_refused_and_the_hook_is_named(move):
    source = f"""{SOURCES}
        def hop(value):
            try:
                teleport()
            except BoundaryError as refusal:
                trail("refused")
                print("install_hook" in str(refusal))
            return value
        print(list(zip(numbers(2), "ab")), sum(islice(numbers(9), 2)))
    """
    run = move(source)
    assert (run.stdout, run.returncode) == (4 * "True\n" + "[(0, 'a'), (1, 'b')] 1\n", 0), run.stderr
    assert run.ended_in == "home"


def test_one_that_was_given_up_is_not_taken_for_another(move):
    """The next one has the same address, and is asked by the same instruction."""
    source = f"""{SOURCES}
        def noting(n):
            for i in range(n):
                try:
                    hop(i)
                except BoundaryError:
                    trail("refused")
                yield i
        def pair(n):
            try:
                a, b = chain(range(n), noting(1))
                c, d = enumerate(noting(n))
                return a, b, c, d
            except ValueError as error:
                return str(error)
        def total(numbers):
            try:
                return sum(numbers)
            except OverflowError as error:
                return str(error)
        for n in [3, 1, 2, 1, 0, 2]:
            print(pair(n))
        def large():
            yield from [0.5, 10 ** 400, 7]
            yield from noting(3)
        for source in [large(), chain(large())]:
            for again in range(2):
                print(total(source))
    """
    straight = move.straight(source)
    moved = move(source, flags=("-X", "teleport"))
    assert moved.stdout == straight.stdout, moved.stderr
    assert moved.returncode == 0, moved.stderr


KEEPING = {
    "accumulate": "[n for n in accumulate([1, 2, 3], ten)]",
    "accumulate, from a beginning": "[n for n in accumulate([1, 2], ten, **beginning)]",
    "accumulate over a generator": "[n for n in accumulate(numbers(3), ten)]",
    "takewhile": "(lambda it: [[n for n in takewhile(is_odd, it)], list(it)])(iter([1, 3, 4, 5]))",
    "takewhile that has stopped": "(lambda it: [[n for n in it], [n for n in it], list(it)])(takewhile(is_odd, [1, 2, 3]))",
    "takewhile over a generator": "[n for n in takewhile(below_hop(2), numbers(4))]",
    "dropwhile": "[n for n in dropwhile(is_odd, [1, 3, 4, 5])]",
    "dropwhile over a generator": "[n for n in dropwhile(below_hop(1), numbers(4))]",
    "next": "(lambda it: [next(it), next(it), attempt(lambda: next(it)), list(it)])(takewhile(is_odd, [1, 3, 4, 5]))",
    "a method, an object": "[[n for n in takewhile(Below(2).check, range(5))], [n for n in dropwhile(Below(2), range(4))]]",
    "what decides is not a truth": "[[n for n in takewhile(word, ['a', '', 'b'])], [n for n in dropwhile(word, ['a', '', 'b'])]]",
    "one that fails": "(lambda it: [attempt(lambda: [n for n in it]), [n for n in it]])(accumulate([1, 2, 3, 4], fails_at_2))",
    "in one another": "[n for n in takewhile(below_hop(9), dropwhile(operator.not_, accumulate(range(6), operator.add)))]",
    "for, and what is left": "(lambda it: [[next(it), [n for n in it]]])(accumulate([1, 2, 3], ten))",
}


@pytest.mark.parametrize("expression", KEEPING.values(), ids=KEEPING)
def test_what_an_iterator_keeps_of_what_its_function_gives(same, expression):
    same(f"""{SOURCES}
        beginning = {{"initial": 5}}
        def below_hop(limit):
            def check(n):
                hop()
                return n < limit
            return check
        class Below:
            def __init__(self, limit):
                self.limit = limit
            def check(self, n):
                hop()
                return n < self.limit
            __call__ = check
        def word(text):
            hop()
            return text
        def fails_at_2(a, b):
            hop()
            if b == 3:
                raise ValueError(a, b)
            return a + b
        print({expression})
    """)


DECIDING = {
    "a method": "Below(2).check",
    "an object": "Below(2)",
    "a method of a class": "Below.smaller",
    "partial": "functools.partial(smaller, 2)",
    "partial of partial": "functools.partial(functools.partial(smallest, 2), 3)",
    "partial of a method": "functools.partial(Below(2).smallest, 3)",
    "partial of an object": "functools.partial(Below(2))",
    "a method of a partial": "types.MethodType(functools.partial(smallest, 2), 3)",
}


@pytest.mark.parametrize("callable", DECIDING.values(), ids=DECIDING)
def test_the_item_that_a_callable_decides_on(same, callable):
    """It comes behind what the callable is bound to."""
    same(f"""{SOURCES}
        import types
        class Below:
            def __init__(self, limit):
                self.limit = limit
            def check(self, n):
                hop()
                return n < self.limit
            __call__ = check
            def smallest(self, other, n):
                hop()
                return n < self.limit and n < other
            @classmethod
            def smaller(cls, n):
                hop()
                return n < 2
        def smaller(limit, n):
            hop()
            return n < limit
        def smallest(limit, other, n):
            hop()
            return n < limit and n < other
        print([n for n in filter({callable}, range(4))], [n for n in filterfalse({callable}, range(3))])
        print([n for n in takewhile({callable}, range(4))], [n for n in dropwhile({callable}, range(3))])
    """)
