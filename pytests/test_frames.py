"""Functions, closures, recursion, locals and cells, and the value stack in the middle of expressions."""

import pytest


def test_locals_of_every_frame_come_along(same):
    same("""
        def outer(a, *rest, key=3, **more):
            total = a + key
            def inner(b):
                c = [b, total]
                hop()
                return c, rest, more
            return inner(total), a, key
        print(outer(1, 2, 3, key=5, z=9))
    """)


def test_module_level_code_goes_on_after_the_hop(same):
    same("""
        first = 1
        hop()
        second = first + 1
        print(first, second, sorted(k for k in globals() if k in ("first", "second")))
        third = [hop(second), first]
        print(third)
    """)


def test_hop_in_the_middle_of_an_expression(same):
    same("""
        def c():
            return "hello" + hop(" world")
        def b():
            return len(c()) + float("3.5")
        def a():
            return 5 * (3 + b())
        print(a())
    """)


@pytest.mark.parametrize(
    "expression",
    [
        "1 + hop(2) * 3",
        "[1, 2, hop(3), 4]",
        "(1, hop((2, 3)), 4)",
        "{1, 2} | {hop(3)}",
        "{'a': 1, hop('b'): hop(2), **{'c': hop(3)}}",
        "[*range(2), *hop([5, 6]), hop(7)]",
        "f'{hop(1)!r:>4}|{hop(2):{hop(5)}}|'",
        "hop([1, 2, 3])[hop(1)]",
        "hop('abcdef')[hop(1):hop(5):hop(2)]",
        "1 < hop(2) < hop(3) < 4",
        "1 < hop(0) < hop(3)",
        "hop(0) or hop('') or hop('x')",
        "hop(1) and hop(2)",
        "'yes' if hop(True) else 'no'",
        "not hop(False)",
        "-hop(3) + ~hop(4)",
        "2 in hop([1, 2]) and hop(3) not in [1]",
        "print('in', hop('side'), sep=hop('-'), end=hop('!'))",
        "max(hop(1), hop(5), key=hop(lambda n: -n))",
        "(lambda a, b=2, *, c=3: (a, b, c))(hop(1), c=hop(4))",
        "(lambda *a, **k: (a, k))(*hop([1, 2]), 3, **hop({'x': 1}))",
        "str(hop(5)).join(hop(['a', 'b']))",
        "(n := hop(4)) + n",
        "hop(hop(hop(1)) + 1) + 1",
        "'%s-%s' % (hop(1), hop(2))",
        "(lambda: (yield hop(1)))().send(None)",
        "hop(print)(hop('called'))",
        "hop(2) ** hop(10) % hop(1000) @ hop(Matrix())",
    ],
)
def test_value_stack_is_exact(same, expression):
    same(f"""
        class Matrix:
            def __rmatmul__(self, other):
                return ("matmul", other)
        def f(before, after):
            return before, {expression}, after
        print(f("before", "after"))
        print([0, {expression}, 1])
    """)


def test_statements_with_values_on_the_stack(same):
    same("""
        def f():
            box = {}
            box[hop("k")] = hop("v")
            box["n"] = 1
            box[hop("n")] += hop(4)
            class Thing: pass
            thing = Thing()
            thing.a = [1]
            thing.a += hop([2])
            thing.b = thing.c = hop(7)
            del box[hop("k")]
            a, (b, *c), d = 1, (hop(2), 3, hop(4)), hop(5)
            assert hop(True), hop("never")
            return box, thing.__dict__, a, b, c, d
        print(f())
    """)


def test_unbound_locals_stay_unbound(same):
    same("""
        def f():
            a, b, c = 1, 2, 3
            del b
            hop()
            try:
                b
            except UnboundLocalError as error:
                a = str(error)
            def g():
                return later
            try:
                hop()
                g()
            except NameError as error:
                c = str(error)
            later = 4
            return a, c, g()
        print(f())
    """)


def test_closures_share_their_cells_with_the_frame(same):
    same("""
        def counter():
            n = 0
            def up():
                nonlocal n
                n += 1
                hop()
                n += 10
                return n
            def read():
                return n
            print(up(), read(), n)
            n += 100
            hop()
            print(up(), read(), n)
            return up, read
        up, read = counter()
        print(up(), read())
        hop()
        print(up(), read(), up.__closure__[0] is read.__closure__[0])
    """)


def test_cells_of_arguments_loops_and_lambdas(same):
    same("""
        def f(a, b):
            makers = [lambda i=i: (i, a, b) for i in range(3)]
            late = [lambda: (i, a, b) for i in range(3)]
            hop()
            a += 1
            return [m() for m in makers], [m() for m in late], [(lambda k: [k * hop(j) for j in (a, b)])(2)]
        print(f(1, 2))
    """)


def test_one_object_stays_one_object_across_frames(same):
    same("""
        shared = [0]
        loop = [shared]
        loop.append(loop)
        def inner(a, b):
            hop()
            a.append(1)
            return a is b is shared, loop[1] is loop, loop[0] is shared
        def outer(thing):
            result = inner(thing, shared)
            return result, thing is shared, thing
        print(outer(shared), shared)
    """)


def test_globals_of_functions_are_those_of_main(same):
    same("""
        import sys
        count = 0
        def bump():
            global count, fresh
            count += 1
            hop()
            count += 1
            fresh = "made there"
        bump()
        print(count, fresh)
        print(bump.__globals__ is globals() is vars(sys.modules["__main__"]), sys.modules["__main__"].count)
    """)


def test_methods_and_their_instances(same):
    same("""
        class Account:
            total = 0
            def __init__(self, owner):
                self.owner, self.balance = owner, 0
            def pay(self, amount):
                self.balance += amount
                hop()
                type(self).total += amount
                return self
            @classmethod
            def sum(cls):
                return cls.total + hop(0)
            @staticmethod
            def word(x):
                return hop(x)
        a = Account("ann")
        print(a.pay(3).pay(4).balance, Account.sum(), a.sum(), a.word("w"), Account.total, isinstance(a, Account))
    """)


def test_recursion(same):
    same("""
        def fact(n):
            if n == 0:
                return hop(1)
            return n * fact(n - 1)
        def ackermann(m, n):
            if m == 0:
                return n + 1
            if n == 0:
                return ackermann(m - 1, hop(1))
            return ackermann(m - 1, ackermann(m, n - 1))
        print(fact(30), ackermann(2, 2))
    """)


def test_900_frames_at_the_default_recursion_limit(same):
    same("""
        def down(n):
            if n == 0:
                return hop(0)
            below = down(n - 1)
            return below + 1
        print(down(900))
    """)


def test_5000_frames_with_a_raised_recursion_limit(same):
    same("""
        import sys
        sys.setrecursionlimit(20000)
        def down(n, carry):
            if n == 0:
                hop()
                return carry
            return down(n - 1, carry + [n])[1:] + [n]
        print(sum(down(5000, [])), sys.getrecursionlimit())
    """)


def test_deep_recursion_still_ends_in_a_recursion_error(same):
    same("""
        def down(n):
            if n == 100:
                hop()
            return down(n + 1)
        try:
            down(0)
        except RecursionError as error:
            print(type(error).__name__, error)
    """)


def test_comprehensions(same):
    same("""
        def f(k):
            return (
                [hop(i) + k for i in range(3)],
                {hop(i) * k for i in range(3)} == {0, 10, 20},
                {i: hop(i) for i in range(3) if hop(i)},
                [(i, j) for i in range(2) for j in range(hop(i), 3)],
                [[hop(i) * j for j in range(2)] for i in range(2)],
            )
        print(f(10))
    """)


def test_class_bodies(same):
    same("""
        def make(n):
            class Made:
                a = hop(n)
                b = [a, hop(2)]
                def method(self):
                    return self.a, self.b, __class__ is Made
                c = hop(method)
            return Made
        made = make(5)
        print(made().method(), made.c is made.__dict__["method"], made.__qualname__)
    """)


def test_wide_code_with_extended_arguments(same):
    same("""
        names = ["v%d" % i for i in range(300)]
        body = "def wide(d):\\n" + "".join("    %s = %d\\n" % (n, i) for i, n in enumerate(names))
        body += "    if d: " + "; ".join("d.a%d" % i for i in range(300)) + "\\n"
        body += "    t = hop(v299) + [%s][hop(298)]\\n" % ", ".join(names)
        body += "    v299 = hop(t) + v298\\n    return v0, v299, t\\n"
        exec(body)
        print(wide(None))
    """)


def test_del_and_rebinding_after_the_hop(same):
    same("""
        def f(x):
            y = [x]
            for name in ("a", "b"):
                hop()
                y.append(name)
            del name, x
            hop()
            return sorted(locals()), y
        print(f(1))
    """)


def test_sibling_statement_after_the_hop_is_not_run_twice(same):
    same("""
        log = []
        def f():
            log.append("before")
            hop()
            log.append("after")
        f()
        f()
        print(log)
    """)
