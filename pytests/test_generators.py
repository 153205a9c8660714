"""Generators: suspended ones anywhere among the objects, and running ones on the stack."""

import sys

import pytest


def test_half_used_generator_goes_on_where_it_stopped(same):
    same("""
        squares = (n * n for n in range(4))
        seen = [next(squares), next(squares)]
        hop()
        print(seen + list(squares))
    """)


def test_generator_in_every_state(same):
    same("""
        import inspect
        def count(n):
            for i in range(n):
                got = yield i
                if got:
                    print("got", got)
            return "done"
        fresh, started, over = count(3), count(3), count(0)
        next(started)
        list(over)
        hop()
        print([inspect.getgeneratorstate(g) for g in (fresh, started, over)])
        print(next(fresh), started.send("hello"), list(started), list(over), list(fresh))
    """)


def test_generators_anywhere_among_the_objects(same):
    same("""
        class Holder:
            def __init__(self):
                self.source = self.numbers()
                next(self.source)
            def numbers(self):
                for i in range(5):
                    yield i, self is holder
        def ones():
            while True:
                yield 1
        holder = None
        holder = Holder()
        g = ones()
        nest = {"a": [g, (g, holder.source)], 1: (x for x in "abc")}
        hop()
        print(next(nest["a"][0]), nest["a"][0] is g, next(nest["a"][1][1]), "".join(nest[1]), list(holder.source))
    """)


def test_a_chain_of_generators_that_feed_each_other(same):
    same("""
        def numbers():
            n = 0
            while True:
                yield n
                n += 1
        def evens(source):
            for n in source:
                if n % 2 == 0:
                    yield n
        def pairs(source):
            for n in source:
                yield n, next(source)
        stream = pairs(evens(numbers()))
        print(next(stream))
        hop()
        print(next(stream), next(stream))
    """)


def test_suspended_in_blocks_and_handlers(same):
    same("""
        import sys
        def g():
            try:
                with open("/dev/null"):
                    pass
                for i in range(2):
                    try:
                        raise KeyError(i)
                    except KeyError:
                        yield repr(sys.exc_info()[1])
                        yield repr(sys.exc_info()[1])
                    finally:
                        print("inner")
            except GeneratorExit:
                print("closed")
                raise
            finally:
                print("last")
        one, two = g(), g()
        next(one), next(two)
        hop()
        print(list(one))
        hop()
        two.close()
        print(sys.exc_info())
    """)


def test_throw_into_a_moved_generator(same):
    same("""
        def g():
            while True:
                try:
                    yield "waiting"
                except ValueError as error:
                    yield "caught %s" % error
        it = g()
        next(it)
        hop()
        print(it.throw(ValueError("v")), next(it))
        try:
            it.throw(KeyError("k"))
        except KeyError as error:
            print(repr(error), list(it))
    """)


def test_running_generator_under_a_for(same):
    same("""
        def g(n):
            total = 0
            for i in range(n):
                total += hop(i)
                yield total
            return "end"
        def f():
            seen = []
            for value in g(4):
                seen.append(value)
                hop()
            else:
                seen.append("else")
            return seen
        print(f())
    """)


def test_running_generators_under_generators(same):
    same("""
        def inner(n):
            for i in range(n):
                yield hop(i)
        def middle(n):
            for value in inner(n):
                yield value * 10
        def outer(n):
            for value in middle(n):
                try:
                    yield value
                finally:
                    print("after", value)
        for value in outer(3):
            print(value)
    """)


def test_running_generator_reachable_by_name(same):
    same("""
        import inspect
        def g():
            print(inspect.getgeneratorstate(self))
            yield 1
            hop()
            print(inspect.getgeneratorstate(self), self.gi_running)
            try:
                next(self)
            except ValueError as error:
                print(error)
            yield 2
        self = g()
        for value in self:
            print(value)
        print(inspect.getgeneratorstate(self))
    """)


def test_yield_from(same):
    same("""
        def leaf(n):
            for i in range(n):
                got = yield hop(i)
                if got:
                    print("leaf got", got)
            return "leaf result"
        def branch(n):
            result = yield from leaf(n)
            print(result)
            yield from "ab"
            yield from [hop("c")]
            return "branch result"
        def root():
            print((yield from branch(3)))
        for value in root():
            print(value)
        paused = root()
        print(next(paused), next(paused))
        hop()
        print(paused.send("moved"), [value for value in paused])
    """)


@pytest.mark.parametrize("call", ["next(g)", "g.send(None)", "g.__next__()", "next(g, 'default')"])
def test_generator_entered_by_a_call(same, call):
    same(f"""
        def numbers():
            for i in range(3):
                got = yield hop(i)
        g = numbers()
        print([{call}, {call}], 5 + {call})
    """)


def test_throw_and_close_that_run_code_of_the_generator(same):
    same("""
        def g():
            try:
                yield 1
            except KeyError as error:
                yield hop(repr(error))
        it = g()
        next(it)
        print(it.throw(KeyError("k")))
    """)


def test_generator_ends_with_an_exception_after_the_hop(same):
    same("""
        def g():
            yield 1
            hop()
            raise LookupError("from the generator")
        try:
            for value in g():
                print(value)
        except LookupError as error:
            print(repr(error), error.__context__)
        def returns():
            yield 1
            return hop("value")
        it = returns()
        next(it)
        try:
            next(it)
        except StopIteration as stop:
            print(stop.value)
    """)


def test_generator_handling_an_exception_under_a_handler(same):
    same("""
        import sys
        def g():
            try:
                raise KeyError("in the generator")
            except KeyError:
                yield 1
                hop()
                yield repr(sys.exc_info()[1])
                try:
                    raise
                except KeyError as error:
                    yield repr(error), repr(error.__context__)
        try:
            raise ValueError("outside")
        except ValueError:
            for value in g():
                print(value, repr(sys.exc_info()[1]))
                hop()
        print(sys.exc_info())
    """)


def test_generator_is_closed_once_when_the_loop_is_left(same):
    same("""
        def g():
            try:
                for i in range(5):
                    yield i
            finally:
                print("closed")
        def f():
            for value in g():
                hop()
                if value == 2:
                    return value
        print(f())
    """)


def test_suspended_coroutine(same):
    same("""
        import types
        @types.coroutine
        def pause(value):
            return (yield value)
        async def work(n):
            total = 0
            for i in range(n):
                total += await pause(i)
            return total
        async def outer():
            return 1 + await work(2)
        coro = outer()
        print(coro.send(None))
        hop()
        print(coro.send(10))
        hop()
        try:
            coro.send(20)
        except StopIteration as stop:
            print(stop.value)
    """)


def test_suspended_async_generator(same):
    same("""
        import types
        @types.coroutine
        def pause(value):
            return (yield value)
        async def ticks():
            for i in range(3):
                await pause(("pause", i))
                yield i
        def one(awaitable):
            seen = []
            while True:
                try:
                    seen.append(awaitable.send(None))
                except StopIteration as stop:
                    return seen, stop.value
        them = ticks()
        print(one(them.__anext__()))
        hop()
        print(one(them.__anext__()))
        async def rest():
            return [i async for i in them]
        print(one(rest()))
    """)


def test_generator_expression_over_closures(same):
    same("""
        def f(k):
            cells = (lambda j=j: j + k for j in range(3))
            first = next(cells)
            k = 100
            hop()
            return [first()] + [c() for c in cells]
        print(f(1))
    """)


def test_generator_methods_and_names_are_kept(same):
    same("""
        def named():
            yield 1
        g = named()
        g.__name__ = "other"
        next(g)
        hop()
        print(g.__name__, g.__qualname__, g.gi_code is named.__code__, g.gi_frame.f_lineno - named.__code__.co_firstlineno)
    """)


# Objects whose `__iter__` is a generator function: it has been called, and what runs is what it made.
TREE = """
        class Tree:
            def __init__(self, *parts):
                self.parts = parts
            def __iter__(self):
                for part in self.parts:
                    if type(part) is Tree:
                        yield from part
                    else:
                        yield HOP(part)
        it = Tree(Tree(3, 1), 2, Tree(), Tree(Tree(5)))
        print({})
"""

# The generator is in C alone, and so is what it has given, unless that is noted.
COLLECTED = ["list(it)", "sum(it)", "sorted(it)", "max(it)"]
UNPACKED = ["[*it]", "{*it}"]


@pytest.mark.parametrize("expression", COLLECTED if sys.version_info >= (3, 9) else COLLECTED + UNPACKED)
def test_an_iterables_generator_that_is_in_c_alone(refused, expression):
    refused(TREE.format(expression).replace("HOP", "attempt"))


@pytest.mark.parametrize("hook", [(), ("-X", "teleport")], ids=["armed", "recording"])
def test_an_iterables_generator_that_gives_arguments(refused, hook):
    refused(TREE.format("print(*it)").replace("HOP", "attempt"), flags=hook)


@pytest.mark.parametrize("expression", COLLECTED)
def test_an_iterables_generator_of_which_all_is_noted(same, expression):
    same(TREE.format(expression).replace("HOP", "hop") + "        hop()\n", hooks=("recording",))


@pytest.mark.parametrize(
    "expression", ["list.extend([], it)", *(UNPACKED if sys.version_info >= (3, 9) else [])]
)
def test_an_iterables_generator_that_fills(same, expression):
    same(TREE.format(expression).replace("HOP", "hop") + "        hop()\n")


@pytest.mark.parametrize(
    "expression",
    [
        "[n for n in it]",
        "any(n > 9 for n in it)",
        "(lambda items: items.extend(iter(it)) or items)([])",
        "next(iter(it))",
    ],
)
def test_an_iterables_generator_that_is_at_hand(same, expression):
    same(TREE.format(expression).replace("HOP", "hop") + "        hop()\n")
