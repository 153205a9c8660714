"""Code that ran long enough for the interpreter to have specialised it, and where there is a JIT, to have compiled it."""

import sys

import pytest

JIT = getattr(sys, "_jit", None)
MODES = ["0", "1"] if JIT is not None and JIT.is_available() else ["0"]

PROGRAM = """
        import sys

        class Meets:
            def __init__(self, value):
                self.value = value
            def __add__(self, other):
                if other in at:
                    {move}
                self.value += other
                return self
            def __getitem__(self, key):
                if key in at:
                    {move}
                return key * 2
            def __contains__(self, key):
                if key in at:
                    {move}
                return key % 3 == 0
            @property
            def double(self):
                if self.value in at:
                    {move}
                return self.value * 2
            def __iter__(self):
                for i in range(n):
                    if i in at:
                        {move}
                    yield i
            def __call__(self, x):
                if x in at:
                    {move}
                return x + 1

        def added():
            it = Meets(0)
            for i in range(n):
                it = it + i
            return it.value
        def subscripts():
            it, total = Meets(0), 0
            for i in range(n):
                total += it[i] - i
            return total
        def members():
            it = Meets(0)
            return sum([1 for i in range(n) if i in it])
        def attributes():
            it, total = Meets(0), 0
            while it.value < n:
                total ^= it.double
                it.value += 1
            return total
        def generator():
            total = 0
            for i in Meets(0):
                total = (total * 31 + i) % 1000003
            return total
        def calls():
            it, x = Meets(0), 0
            while x < n:
                x = it(x)
            return x
        def nested(depth=3):
            total = 0
            for i in range(n // 10):
                if depth:
                    if i % 500 == 0:
                        total += nested(depth - 1)
                elif i in at:
                    {move}
                total += i & 7
            return total

        n = 10000
        at = {{4000, 7777}}
        for each in (added, subscripts, members, attributes, generator, calls, nested):
            print(each.__name__, each())
"""


@pytest.mark.parametrize("jit", MODES)
@pytest.mark.parametrize("hook", ["armed", "recording"])
def test_moving_out_of_hot_loops(same, hook, jit):
    same(PROGRAM.format(move="hop()"), hooks=(hook,), env={"PYTHON_JIT": jit})


def test_a_function_in_c_that_was_called_often(same):
    """A call of its own kind of instruction, or at the one before the call (3.11)."""
    same("""
        class Thing:
            @property
            def part(self):
                return hop(1) if hot else 0
        hot = False
        thing = Thing()
        def f():
            return [thing, getattr(thing, "part"), isinstance(thing, Thing), hasattr(thing, "part")][1:]
        for n in range(100):
            f()
        hot = True
        print(f(), f())
    """)
