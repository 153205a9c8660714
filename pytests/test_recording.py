"""What moves in the recording mode only: C code that collects what a generator gives."""

import pytest

GENERATORS = """
        import collections, itertools, operator

        def counting(n):
            for i in range(n):
                yield hop(i)

        def pairs(n):
            for i in range(n):
                yield "key %d" % hop(i), [i]

        def words(n):
            for i in range(n):
                yield str(hop(i))

        def passed_on(n):
            yield -1
            yield from counting(n)
            return "unseen"
"""

COLLECTED = {
    "list": "list(counting(4))",
    "list of an expression": "list(hop(i) * 2 for i in range(4))",
    "list of what is passed on": "list(passed_on(3))",
    "tuple": "tuple(counting(4))",
    "set": "sorted(set(counting(4)))",
    "frozenset": "sorted(frozenset(hop(c) for c in 'abca'))",
    "dict": "dict(pairs(4))",
    "dict.fromkeys": "dict.fromkeys(counting(3), 'v')",
    "sum": "sum(counting(5))",
    "sum from a start": "sum((hop(i) / 3 for i in range(5)), 0.25)",
    "sum of floats": "sum(hop(x) for x in [0.1] * 10)",
    "min": "min(hop(i) % 3 for i in range(5))",
    "max": "max(words(4))",
    "sorted": "sorted((hop(-i) for i in range(4)), key=abs, reverse=True)",
    "join": "'-'.join(words(4))",
    "join of bytes": "b'+'.join(w.encode() for w in words(3))",
    "join by the class": "str.join(', ', words(3))",
    "deque": "collections.deque(counting(4), 2)",
    "a target each": "(lambda: [(a, b, c) for a, b, c in [counting(3)]])()",
    "targets with a star": "[(a, b) for a, *b in [counting(4)]]",
    "one in the other": "sum(len(list(counting(n))) for n in counting(3))",
    "one after the other": "[list(counting(2)), list(counting(3)), sum(counting(2))]",
    "no item yet": "list(hop(i) for i in [1])",
    "a long one": "sum(hop(i) if i == 70000 else i for i in range(80000))",
    "objects": "[type(x).__name__ for x in list(object() if hop(i) else 1j for i in range(3))]",
}

# On some releases the compiler makes loops of some of these, which move without the hook.
LOOPS = ("list of an expression",)


@pytest.mark.parametrize("expression", COLLECTED.values(), ids=COLLECTED)
def test_what_is_collected_from_a_generator(same, expression):
    same(
        f"""{GENERATORS}
        def f():
            return ["before", ({expression}), "after"]
        print(f())
        hop()
    """,
        hooks=("recording",),
    )


def test_a_collected_object_is_the_same_there(same):
    same(
        """
        class Thing:
            pass
        kept = []
        def things(n):
            for i in range(n):
                kept.append(Thing())
                yield hop(kept[-1])
        made = list(things(3))
        print([a is b for a, b in zip(made, kept)], len(made))
        def until(n):
            try:
                for i in range(n):
                    yield hop(i)
            finally:
                print("ended")
        first, *rest = until(3)
        print(first, rest)
    """,
        hooks=("recording",),
    )


# `iter` keeps the compiler (3.14 and later) from making a loop of it.
REFUSED = {
    "sum of the program's numbers": ("sum", "sum((Number(hop(i)) for i in range(3)), Number(0)).n"),
    "set of the program's objects": ("set", "len(set(iter(Number(hop(i)) for i in range(3))))"),
    "max by a key": ("max", "max((hop(i) for i in range(3)), key=lambda n: -n)"),
    "the second of map": ("list", "list(map(lambda a, b: b, 'abc', (hop(i) for i in range(3))))"),
    "groups that are collected": (
        "list",
        "list(__import__('itertools').groupby(hop(i) for i in range(3)))[:0]",
    ),
}


@pytest.mark.parametrize(("named", "expression"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_collected_again_is_refused(move, named, expression):
    run = move(
        f"""
        class Number:
            def __init__(self, n):
                self.n = n
            def __add__(self, other):
                return Number(self.n + other.n)
        moved = 0
        def hop(value):
            global moved
            try:
                teleport()
            except BoundaryError as refusal:
                print("refused", "{named}" in str(refusal), __file__ in str(refusal))
            else:
                moved += 1
            trail("hop")
            return value
        print({expression}, moved)
    """,
        flags=("-X", "teleport"),
    )
    assert run.returncode == 0, run.stderr
    assert "refused True True\n" in run.stdout
    assert "False" not in run.stdout


def test_without_the_hook_it_is_refused_and_the_hook_is_named(move):
    source = """
        def items(n):
            for i in range(n):
                if i == 2:
                    try:
                        teleport()
                    except BoundaryError as refusal:
                        print("install_hook" in str(refusal), "sum" in str(refusal))
                    trail("hop")
                yield i
        print(sum(items(4)))
    """
    armed, recording = move(source), move(source, flags=("-X", "teleport"))
    assert (armed.stdout, armed.ended_in) == ("True True\n6\n", "home"), armed.stderr
    assert (recording.stdout, recording.ended_in) == ("6\n", "peer"), recording.stderr


def test_what_was_given_up_is_not_taken_for_what_is_collected_now(move):
    """The same line asks the same generator again after it has failed in the middle."""
    source = """
        def items():
            for item in [1, 2, "three", 4, 5]:
                yield item
            try:
                hop(6)
            except BoundaryError:
                trail("refused")
            yield 6
        def attempt(source):
            try:
                return sum(source)
            except TypeError:
                return "failed"
        for n in range(3):
            source = items()
            print([attempt(source), attempt(source)])
    """
    straight = move.straight(source)
    moved = move(source, flags=("-X", "teleport"))
    assert moved.stdout == straight.stdout == 3 * "['failed', 15]\n", moved.stderr


@pytest.mark.parametrize("install", ["install_hook()", "uninstall_hook(); install_hook()"])
def test_what_was_given_before_the_hook_was_there_is_missed(move, install):
    """What a generator gave unseen is not forgotten in silence: it is refused."""
    source = f"""
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
        print([list(items(6)), sum(items(6)), list(items(6))])
        source = items(6)
        next(source)
        print(list(source))
    """
    straight = move.straight(source)
    for flags in ((), ("-X", "teleport")):
        moved = move(source, flags=flags)
        assert moved.stdout == straight.stdout, moved.stderr
        assert moved.returncode == 0, moved.stderr


def test_a_generator_that_was_used_before_is_collected_from_there(same):
    same(
        """
        def items(n):
            for i in range(n):
                yield hop(i)
        def f():
            source = items(5)
            first = next(source)
            for second in source:
                break
            return first, second, sum(source), list(source)
        print(f())
    """,
        hooks=("recording",),
    )


def test_a_line_that_calls_now_this_and_now_that(move):
    """A call that collects, at a place where one that does not was seen, and hundreds of such places meanwhile."""
    many = "\n".join("                %snext(inner())" % ("", "x = ", "x = y = ")[n % 3] for n in range(400))
    source = f"""
        def apply(function, source):
            return function(source)
        def inner():
            yield 1
        def items(n):
            for i in range(n):
{many}
                if i == 3:
                    try:
                        teleport()
                    except BoundaryError:
                        trail("refused")
                yield i
        print(apply(next, inner()), apply(list, items(5)))
        print(apply(list, items(5)), apply(sum, items(6)))
    """
    straight, moved = move.straight(source), move(source, flags=("-X", "teleport"))
    assert moved.stdout == straight.stdout, moved.stderr
    assert moved.returncode == 0, moved.stderr
