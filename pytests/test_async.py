"""Coroutines, driven by hand: in every state, and with the move at any await."""

import harness
import pytest

# Awaitables of all kinds.
HELPERS = """
class Awaitable:
    def __init__(self, *values):
        self.values = values
    def __await__(self):
        hop()
        got = []
        for value in self.values:
            got.append((yield value))
            hop()
        return got
class Steps:
    "An awaitable whose iterator is written by hand."
    def __init__(self, n):
        self.n = n
    def __await__(self):
        return self
    def __iter__(self):
        return self
    def __next__(self):
        hop()
        self.n -= 1
        if self.n < 0:
            raise StopIteration("stepped")
        return self.n
    def send(self, value):
        hop()
        return self.__next__()
class Manager:
    def __init__(self, name, swallow=False):
        self.name, self.swallow = name, swallow
    async def __aenter__(self):
        hop()
        print("entering", self.name, await pause("enter"))
        hop()
        return self.name
    async def __aexit__(self, kind, error, traceback):
        hop()
        print("leaving", self.name, repr(error), traceback and traceback.tb_lineno, await pause("exit"))
        hop()
        return self.swallow
def tell(*them):
    for it in them:
        inner = None if it.cr_running else it.cr_await
        print(it.__name__, inspect.getcoroutinestate(it), it.cr_running, it.cr_frame and it.cr_frame.f_lineno,
              getattr(inner, "__name__", type(inner).__name__), it.cr_origin)
def print_traceback():
    print(traceback.format_exc().replace(__file__, "program.py"))
"""


def with_driver(source):
    return harness.DRIVER + HELPERS.strip() + source


def test_awaits_of_all_kinds(same):
    same(
        with_driver("""
async def leaf(n):
    hop()
    return await pause(n) or n
async def main():
    print(await leaf(1))
    print(await Awaitable(2, 3))
    print(await Steps(2))
    print(await pause(4))
    print([await leaf(n) for n in range(3)])
    print({n: await leaf(n) async for n in numbers()})
    print(await leaf(5) + await leaf(6))
    wrapped = leaf(7).__await__()
    print(await Wrapper(wrapped))
    return "end"
class Wrapper:
    def __init__(self, it):
        self.it = it
    def __await__(self):
        return self.it
async def numbers():
    for n in range(2):
        yield hop(n)
        await pause("between")
print(drive(main(), *range(100, 200)))
""")
    )


def test_async_with(same):
    same(
        with_driver("""
async def main():
    async with Manager("a") as a, Manager("b") as b:
        hop()
        print(a, b, await pause("body"))
        hop()
    async with Manager("swallowing", True):
        raise KeyError(hop("k"))
    try:
        async with Manager("passing"):
            await pause("before")
            raise KeyError(hop("k"))
    except KeyError as error:
        hop()
        print(repr(error), repr(sys.exc_info()[1]))
    for n in range(3):
        async with Manager(n):
            if n == 0:
                continue
            if n == 1:
                break
    async with Manager("returning"):
        return hop("returned")
print(drive(main()))
""")
    )


@pytest.mark.parametrize("answers", [1, 2, 3, 4, 5])
def test_suspended_coroutine_in_async_with(same, answers):
    same(
        with_driver(f"""
async def main():
    try:
        async with Manager("outer"):
            async with Manager("inner", True):
                await pause("body")
                raise KeyError("k")
    finally:
        await pause("finally")
coro, other, closed = main(), main(), main()
for it in coro, other, closed:
    for n in range({answers}):
        it.send(None)
tell(coro)
hop()
tell(coro)
print(drive(coro))
tell(coro)
try:
    print(other.throw(LookupError("thrown")))
except Exception as error:
    print(repr(error), repr(error.__context__))
tell(other)
for it in closed, other:
    try:
        print(it.close())
    except Exception as error:
        print(repr(error), repr(error.__context__))
    tell(it)
    while it.cr_frame is not None:
        try:
            drive(it)
        except BaseException as error:
            print(repr(error))
""")
    )


def test_coroutine_in_every_state(same):
    same(
        with_driver("""
import warnings
async def work(n):
    for i in range(n):
        print("got", await pause(i))
    return n
async def outer():
    return await work(2)
fresh, started, over, closed = outer(), outer(), outer(), outer()
started.send(None)
drive(over)
closed.close()
hop()
tell(fresh, started, over, closed)
for it in over, closed:
    try:
        it.send(None)
    except RuntimeError as error:
        print(error)
try:
    fresh.send(1)
except TypeError as error:
    print(error)
print(drive(fresh), drive(started))
fresh = outer()
hop()
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    del fresh
    print([str(w.message) for w in seen])
""")
    )


@pytest.mark.parametrize("call", ["coro.send(None)", "coro.throw(KeyError('k'))", "coro.close()"])
@pytest.mark.parametrize("depth", [1, 2, 3])
def test_the_innermost_of_several_coroutines_moves(same, call, depth):
    same(
        with_driver(f"""
async def leaf():
    try:
        print("leaf got", await pause("leaf"))
        hop()
    except KeyError as error:
        print("leaf caught", repr(error))
        hop()
        print(repr(sys.exc_info()[1]))
        await pause("leaf's handler")
        hop()
    finally:
        hop()
        print("leaf's end", sys.exc_info()[0])
    return "leaf's result"
async def branch(n):
    try:
        print(n, await (leaf() if n == 1 else branch(n - 1)))
        hop()
        return n
    finally:
        hop()
        print("branch's end", n, sys.exc_info()[0])
def main():
    coro = branch({depth})
    coro.send(None)
    try:
        print({call})
        tell(coro)
        print(drive(coro))
    except (StopIteration, RuntimeError) as end:
        print(repr(end))
    tell(coro)
main()
""")
    )


def test_wrappers_of_coroutines(same):
    same(
        with_driver("""
async def work(n):
    try:
        got = await pause(n)
        hop()
        return got
    except KeyError as error:
        hop()
        return repr(error)
    finally:
        hop()
fresh, started = work(1).__await__(), work(2).__await__()
print(next(started))
hop()
print(type(fresh).__name__, next(fresh), drive(fresh, 1), drive(started, 2))
for call in (lambda it: it.send("sent"), lambda it: next(it), lambda it: it.throw(KeyError("k")), lambda it: it.close()):
    wrapped = work(3).__await__()
    next(wrapped)
    hop()
    try:
        print(call(wrapped))
    except StopIteration as stop:
        print(stop.value)
""")
    )


def test_generator_based_coroutines(same):
    same(
        with_driver("""
@types.coroutine
def old(n):
    got = yield from pause(n)
    hop()
    return (yield from new(got))
async def new(value):
    hop()
    return await pause(value), value
print(drive(new(1), 5))
print(drive(old(1), 6, 7))
it = old(3)
next(it)
hop()
print(inspect.isawaitable(it), drive(it, 8, 9))
""")
    )


def test_a_trampoline_of_tasks(same):
    same("""
        import collections, types
        @types.coroutine
        def switch(value=None):
            return (yield value)
        class Loop:
            def __init__(self):
                self.ready = collections.deque()
                self.waiting = {}
            def spawn(self, name, coro):
                self.ready.append((name, coro, None))
            def run(self):
                while self.ready:
                    name, coro, value = self.ready.popleft()
                    try:
                        wanted = coro.send(value)
                    except StopIteration as stop:
                        print(name, "ends with", stop.value)
                        for waiting in self.waiting.pop(name, ()):
                            self.ready.append((*waiting, stop.value))
                        continue
                    except LookupError as error:
                        print(name, "fails with", repr(error))
                        continue
                    if wanted is None:
                        self.ready.append((name, coro, name))
                    else:
                        self.waiting.setdefault(wanted, []).append((name, coro))
        async def worker(name, n):
            total = 0
            for i in range(n):
                print(name, i, await switch())
                total += hop(i)
            return total
        async def boss():
            loop.spawn("c", worker("c", 2))
            result = await switch("c")
            try:
                await failing()
            except KeyError as error:
                hop()
                raise LookupError(result) from error
        async def failing():
            await switch()
            raise KeyError(hop("k"))
        loop = Loop()
        loop.spawn("a", worker("a", 3))
        loop.spawn("b", worker("b", 1))
        loop.spawn("boss", boss())
        loop.run()
    """)


def test_origin_of_coroutines(same):
    same(
        with_driver("""
sys.set_coroutine_origin_tracking_depth(3)
async def work():
    await pause(1)
def make():
    return work()
fresh, started = make(), make()
started.send(None)
hop()
def short(origin):
    return origin and [(line, name) for _file, line, name in origin]
print(sys.get_coroutine_origin_tracking_depth(), short(fresh.cr_origin), short(started.cr_origin))
other = make()
print(short(other.cr_origin))
other.close()
sys.set_coroutine_origin_tracking_depth(0)
running = work()
print(running.cr_origin)
drive(fresh), drive(started), drive(running)
""")
    )


def test_a_coroutine_that_raises_after_the_move(same):
    same(
        with_driver("""
import traceback
async def leaf(kind):
    await pause()
    hop()
    raise kind("leaf's")
async def middle(kind):
    try:
        await leaf(kind)
    finally:
        hop()
async def main(kind):
    await middle(kind)
for kind in KeyError, StopIteration, StopAsyncIteration, GeneratorExit, KeyboardInterrupt:
    try:
        drive(main(kind))
    except BaseException as error:
        print(repr(error), repr(error.__cause__))
        print_traceback()
""")
    )


def test_await_in_handlers(same):
    same(
        with_driver("""
async def main():
    try:
        try:
            raise KeyError("k")
        except KeyError:
            await pause("handler")
            print(repr(sys.exc_info()[1]))
            hop()
            try:
                raise ValueError("v")
            except ValueError as error:
                await pause("inner handler")
                hop()
                print(repr(error.__context__), repr(sys.exc_info()[1]))
            print(repr(sys.exc_info()[1]))
            raise
        finally:
            await pause("finally")
            hop()
            print(repr(sys.exc_info()[1]))
    except KeyError as error:
        return repr(error)
try:
    raise OSError("around")
except OSError:
    print(drive(main()), repr(sys.exc_info()[1]))
""")
    )
