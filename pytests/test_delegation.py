"""Generators that are sent to, thrown into and closed, with the move inside; and chains of `yield from`."""

import sys

import pytest

# What a generator that runs, or stands somewhere, is asked by programs below.
STATES = """
import inspect, sys
def tell(*them):
    for it in them:
        inner = None if it.gi_running else it.gi_yieldfrom
        print(it.__name__, inspect.getgeneratorstate(it), it.gi_running, it.gi_frame and it.gi_frame.f_lineno,
              getattr(inner, "__name__", type(inner).__name__))
"""


def with_states(source):
    return "\n" + STATES.strip() + source


def test_every_place_to_stand_suspended(same):
    same(
        """
import contextlib, inspect, sys
@contextlib.contextmanager
def manager(name):
    print("enter", name)
    try:
        yield name
    finally:
        print("exit", name, sys.exc_info()[0])
def in_try():
    try:
        yield "try"
    finally:
        yield "finally"
def in_except():
    try:
        1 / 0
    except ZeroDivisionError as error:
        yield repr(error)
        yield repr(sys.exc_info()[1]), error is sys.exc_info()[1]
    yield sys.exc_info()
def in_finally_of_an_exception():
    try:
        try:
            1 / 0
        finally:
            yield repr(sys.exc_info()[1])
    except ZeroDivisionError as error:
        yield "passed on %r" % error
def in_finally_of_a_return():
    try:
        return "returned"
    finally:
        yield "before the return"
def in_finally_of_a_break():
    for n in range(2):
        try:
            break
        finally:
            yield "before the break"
    else:
        yield "not here"
    yield "after"
def in_with():
    with manager("a") as a, manager("b") as b:
        yield a, b
        yield b, a
def in_for():
    for a in "ab":
        for b in range(2):
            yield a, b
def in_while_else():
    n = 0
    while n < 2:
        n += 1
        yield n
    else:
        yield "else"
def in_an_expression():
    got = [1, (yield "first"), {"k": (yield "second")}, *(yield from in_for())]
    yield got
def returning(value):
    return value
    yield
kinds = [in_try, in_except, in_finally_of_an_exception, in_finally_of_a_return, in_finally_of_a_break,
         in_with, in_for, in_while_else, in_an_expression]
rows = []
for kind in kinds:
    for steps in range(4):
        for end in ("list", "throw", "close"):
            it = kind()
            for _step in range(steps):
                next(it, None)
            rows.append((kind.__name__, steps, end, it))
hop()
for name, steps, end, it in rows:
    print(name, steps, end, inspect.getgeneratorstate(it), it.gi_frame and it.gi_frame.f_lineno)
    try:
        if end == "list":
            print(list(it))
        elif end == "throw":
            print(it.throw(KeyError("thrown")))
        else:
            print(it.close())
    except BaseException as error:
        print(type(error).__name__, error, repr(error.__context__))
    print(inspect.getgeneratorstate(it), sys.exc_info())
    try:
        it.close()
    except BaseException as error:
        print(type(error).__name__, error, repr(error.__context__))
"""
    )


@pytest.mark.parametrize("call", ["next(it)", "it.send('x')", "it.throw(KeyError('k'))", "it.close()"])
@pytest.mark.parametrize("depth", [1, 2, 3, 4])
def test_the_innermost_of_several_generators_moves(same, call, depth):
    """While something is thrown in, those outside of the innermost stand suspended, and are marked as running."""
    same(
        with_states(f"""
def leaf():
    try:
        got = yield "leaf"
        print("leaf got", got)
        hop()
        yield "leaf again"
    except KeyError as error:
        print("leaf caught", repr(error))
        hop()
        print(repr(sys.exc_info()[1]))
        got = yield "leaf from the handler"
        print("then", got, repr(sys.exc_info()[1]))
    finally:
        print("leaf's end", sys.exc_info()[0])
        hop()
        print("leaf's end again", sys.exc_info()[0])
    return "leaf's result"
def branch(n):
    try:
        below = leaf() if n == 1 else branch(n - 1)
        result = yield from below
        print("branch", n, result)
        hop()
        return n
    finally:
        print("branch's end", n, sys.exc_info()[0])
        hop()
def main():
    it = branch({depth})
    next(it)
    print({call})
    tell(it)
    for value in it:
        print(value)
    tell(it)
main()
""")
    )


@pytest.mark.skipif(sys.version_info[:2] != (3, 9), reason="tests what 3.9 alone refuses")
def test_thrown_through_by_c_code_on_3_9_is_refused(move):
    """CPython loses sight of the callers there, and the C stack tells those only that call `throw` themselves."""
    run = move("""
        import functools
        def inner():
            try:
                yield 1
            except KeyError:
                try:
                    teleport()
                except BoundaryError as refusal:
                    print(refusal)
                trail("refused")
                yield 2
        def outer():
            yield from inner()
        it = outer()
        next(it)
        print(functools.partial(it.throw)(KeyError("k")), list(it))
    """)
    refusal, result = run.stdout.splitlines()
    assert "throw" in refusal
    assert refusal.count(", line ") == 2, refusal
    assert result == "2 []"
    assert run.ended_in == "home"


def test_thrown_through_generators_that_handle_it(same):
    same(
        with_states("""
def leaf():
    try:
        yield 1
    except KeyError as error:
        hop()
        raise ValueError("leaf's") from error
def middle():
    try:
        yield from leaf()
    except ValueError as error:
        hop()
        print("middle", repr(error), repr(error.__cause__), repr(sys.exc_info()[1]))
        tell(root)
        yield "middle went on"
        raise
def outer():
    while True:
        try:
            print((yield from middle()))
        except ValueError as error:
            hop()
            print("outer", repr(error), repr(error.__context__), [t.tb_lineno for t in chain(error.__traceback__)])
            return "outer's result"
def chain(traceback):
    while traceback:
        yield traceback
        traceback = traceback.tb_next
root = outer()
print(next(root))
print(root.throw(KeyError("k")))
tell(root)
try:
    next(root)
except StopIteration as stop:
    print(stop.value)
""")
    )


def test_close_that_a_generator_answers_with_a_yield(same):
    same("""
        def stubborn():
            try:
                yield 1
            except GeneratorExit:
                hop()
                yield 2
        it = stubborn()
        next(it)
        try:
            it.close()
        except RuntimeError as error:
            print(error)
        def raising():
            try:
                yield 1
            finally:
                hop()
                raise LookupError("instead")
        it = raising()
        next(it)
        try:
            it.close()
        except LookupError as error:
            print(repr(error), repr(error.__context__))
    """)


def test_close_gives_back_what_is_returned(same):
    same("""
        def polite():
            try:
                yield 1
            except GeneratorExit:
                return hop("value")
        def delegating():
            result = yield from polite()
            print("not here", result)
        for kind in polite, delegating:
            it = kind()
            next(it)
            try:
                print(it.close())
            except RuntimeError as error:
                print(error)
    """)


def test_delegation_to_iterators_of_all_kinds(same):
    same("""
        class Counts:
            def __init__(self, n):
                self.n = n
            def __iter__(self):
                hop()
                return self
            def __next__(self):
                self.n -= 1
                hop()
                if self.n < 0:
                    raise StopIteration("counted")
                return self.n
            def send(self, value):
                hop()
                return "sent %s" % value
            def throw(self, kind, value=None, traceback=None):
                return "thrown %s" % (value or kind)
            def close(self):
                print("closed")
        def all_of_them():
            print((yield from Counts(2)))
            yield from map(str, Counts(2))
            yield from zip(Counts(2), "ab")
            yield from {"k": 1}
            yield from (n * n for n in Counts(2))
            yield from Counts(5)
        it = all_of_them()
        for n, value in enumerate(it):
            print(n, value)
            if n == 9:
                break
        print(it.send("x"))
        print(it.throw(KeyError("k")))
        it.close()
        print(list(it))
    """)


def test_delegation_goes_on_from_a_suspended_chain_over_c(same):
    same(
        with_states("""
def letters():
    yield from "abc"
    return "letters'"
def numbers():
    yield from map(ord, (c for c in letters()))
def both():
    yield from zip(numbers(), letters())
them = both()
print(next(them))
hop()
tell(them)
print(next(them))
hop()
print(list(them))
tell(them)
""")
    )


def test_one_generator_entered_from_two_others(same):
    same(
        with_states("""
def source():
    n = 0
    while True:
        got = yield hop(n)
        n = n + 1 if got is None else got
def taker(name):
    for _ in range(3):
        yield name, next(shared)
    result = yield from shared
shared = source()
one, two = taker("one"), taker("two")
print(next(one), next(two), next(one), next(two))
hop()
print(next(one), shared.send(40), next(two), next(one), next(two))
tell(one, two, shared)
""")
    )


def test_generators_that_move_while_others_handle(same):
    same("""
        import sys
        def handling(name):
            try:
                raise KeyError(name)
            except KeyError:
                for n in range(2):
                    yield repr(sys.exc_info()[1])
                    hop()
        def nested():
            try:
                raise ValueError("outer")
            except ValueError:
                for a in handling("a"):
                    for b in handling("b"):
                        yield a, b, repr(sys.exc_info()[1])
                yield repr(sys.exc_info()[1])
        try:
            raise OSError("outermost")
        except OSError:
            for what in nested():
                print(what, repr(sys.exc_info()[1]))
        print(sys.exc_info())
    """)


def test_generator_that_ends_with_stop_iteration(same):
    same("""
        def g(kind):
            yield 1
            hop()
            raise kind("inside")
        def of_a_helper():
            yield 1
            hop()
            next(iter(()))
        for it in g(StopIteration), g(StopAsyncIteration), of_a_helper():
            try:
                print(next(it))
                hop()
                next(it)
            except Exception as error:
                print(type(error).__name__, error, repr(error.__cause__), error.__suppress_context__)
    """)


def test_generator_already_running_is_still_so(same):
    same("""
        def g():
            for attempt in (lambda: next(it), lambda: it.send(1), lambda: it.throw(KeyError), lambda: it.close()):
                hop()
                try:
                    attempt()
                except ValueError as error:
                    print(error)
            yield "done"
        it = g()
        print(next(it), it.gi_running)
    """)


def test_generators_in_context_managers(same):
    same("""
        import contextlib
        @contextlib.contextmanager
        def manager(name, swallow=False):
            hop()
            try:
                yield hop(name)
            except LookupError as error:
                hop()
                print("manager", repr(error))
                if not swallow:
                    raise
            finally:
                hop()
                print("leaving", name)
        with manager("quiet"):
            hop()
        with manager("swallowing", True):
            raise KeyError("swallowed")
        try:
            with manager("passing"):
                raise KeyError("passed")
        except KeyError as error:
            print(repr(error), repr(error.__context__))
        with contextlib.ExitStack() as stack:
            for n in range(3):
                stack.enter_context(manager(n))
            hop()
            with contextlib.suppress(KeyError):
                raise KeyError(hop("k"))
        with contextlib.closing(iter_ := (n for n in range(3))) as numbers:
            print(hop(next(numbers)))
        print(list(numbers))
    """)


def test_thrown_through_several_times_over(same):
    """The callers of a `throw` are below another one, and so on."""
    same(
        with_states("""
def leaf(n):
    try:
        yield n
    except KeyError as error:
        hop()
        if n:
            other = branch(n - 1)
            next(other)
            print("leaf", n, other.throw(KeyError(n)))
        else:
            hop()
        hop()
        yield "caught", n
def branch(n):
    result = yield from leaf(n)
    hop()
    return result
def outermost():
    yield from branch(3)
def throws(it, *more):
    return it.throw(KeyError(*more))
it = outermost()
print(next(it))
print(throws(it, "k"))
tell(it)
for value in it:
    print(value)
""")
    )


def test_thrown_through_by_a_context_manager(same):
    same("""
import contextlib
@contextlib.contextmanager
def manager():
    yield from inner()
def inner():
    try:
        yield 1
    except KeyError:
        hop()
        print("caught")
    hop()
with manager() as one:
    print(one)
    raise KeyError("k")
print("out")
""")
