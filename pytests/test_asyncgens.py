"""Async generators: suspended, on the stack, and what their methods give."""

import harness
import pytest

HELPERS = """
def state(it):
    if sys.version_info >= (3, 12):
        return inspect.getasyncgenstate(it)
    return it.ag_frame and it.ag_frame.f_lasti >= 0
def tell(*them):
    for it in them:
        inner = None if it.ag_running else it.ag_await
        print(it.__name__, state(it), it.ag_running, it.ag_frame and it.ag_frame.f_lineno,
              getattr(inner, "__name__", type(inner).__name__))
async def numbers(n=3):
    try:
        for i in range(n):
            hop()
            got = await pause(("pause", i))
            hop()
            answer = yield i, got
            hop()
            if answer:
                print("answer", answer)
    except KeyError as error:
        hop()
        await pause("handler")
        hop()
        yield repr(error)
    finally:
        hop()
        await pause("finally")
        hop()
        print("numbers' end", sys.exc_info()[0])
"""


def with_driver(source):
    return harness.DRIVER + HELPERS.strip() + source


def test_async_for(same):
    same(
        with_driver("""
async def main():
    async for value in numbers():
        hop()
        print(value, await pause("body"))
    else:
        print("else")
    async for value in doubled(numbers(1)):
        if value:
            continue
    print([value async for value in numbers(2)], {k async for k, _ in numbers(2)})
    print({k: v async for k, v in numbers(2) if hop(True)}, [v async for v in doubled(numbers(2))])
    source = ((value, await pause("genexp")) async for value in numbers(2))
    print([x async for x in source])
async def doubled(source):
    async for value in source:
        hop()
        yield value * 2
print(drive(main()))
""")
    )


@pytest.mark.parametrize(
    "call",
    [
        "__anext__()",
        "asend('answer')",
        "athrow(KeyError('k'))",
        "athrow(KeyError, KeyError('k'), None)",
        "aclose()",
    ],
)
@pytest.mark.parametrize("awaited", [False, True])
def test_what_the_methods_give_on_the_stack(same, call, awaited):
    same(
        with_driver(f"""
async def wait(it):
    return await it
import warnings
warnings.simplefilter("ignore", DeprecationWarning)  # of three arguments
def enter(it):
    return drive(wait(it) if {awaited} else it)
them = numbers()
print(enter(them.__anext__()))
hop()
try:
    print(enter(them.{call}))
    tell(them)
    print(enter(them.__anext__()))
    print(enter(them.aclose()))
except BaseException as error:
    print(repr(error))
tell(them)
""")
    )


@pytest.mark.parametrize("call", ["__anext__()", "asend('answer')", "athrow(KeyError('k'))", "aclose()"])
@pytest.mark.parametrize("steps", [0, 1])
@pytest.mark.parametrize("started", [0, 1])
def test_what_the_methods_give_suspended(same, call, steps, started):
    same(
        with_driver(f"""
async def outer(it):
    return await it
them, others = numbers(), numbers()
for it in them, others:
    for n in range({started}):
        drive(it.__anext__())
step = them.{call}
coro = outer(others.{call})
for it in step, coro:
    try:
        for n in range({steps}):
            print(it.send(None))
    except BaseException as error:
        print(repr(error))
hop()
tell(them, others)
for it in step, coro:
    try:
        print(type(it).__name__, drive(it))
    except BaseException as error:
        print(repr(error))
for it in step, coro:
    try:
        it.send(None)
    except BaseException as error:
        print(repr(error))
tell(them, others)
for it in them, others:
    print(drive(it.aclose()))
""")
    )


def test_async_generator_in_every_state(same):
    same(
        with_driver("""
fresh, started, over, closed = numbers(1), numbers(1), numbers(0), numbers(1)
drive(started.__anext__())
for it in over, closed:
    try:
        drive(it.__anext__())
        drive(closed.aclose())
    except StopAsyncIteration:
        pass
hop()
tell(fresh, started, over, closed)
for it in fresh, started, over, closed:
    try:
        while True:
            print(drive(it.__anext__()))
    except StopAsyncIteration as end:
        print(repr(end))
    print(drive(it.aclose()))
tell(fresh, started, over, closed)
""")
    )


def test_one_already_running_says_so(same):
    same(
        with_driver("""
async def it():
    for attempt in ("__anext__", "aclose"):
        hop()
        try:
            await getattr(me, attempt)()
        except (RuntimeError, ValueError) as error:
            print(error)
    print(me.ag_running)
    yield "done"
me = it()
async def main():
    async for value in me:
        print(value, me.ag_running)
print(drive(main()))
them = numbers()
waiting = them.__anext__()
print(waiting.send(None), them.ag_running)
hop()
print(them.ag_running)
try:
    them.__anext__().send(None)
except RuntimeError as error:
    print(error)
print(drive(waiting))
print(drive(them.aclose()))
""")
    )


def test_hooks(same):
    same(
        with_driver("""
import gc
def first(it):
    hop()
    print("first of", it.__name__)
def last(it):
    print("last of", it.__name__)
    drive(it.aclose())
sys.set_asyncgen_hooks(firstiter=first, finalizer=last)
async def items():
    try:
        yield 1
        yield 2
    finally:
        await pause("cleaning")
        print("items' end")
fresh, started = items(), items()
print(drive(started.__anext__()))
hop()
print(sys.get_asyncgen_hooks().firstiter is first, sys.get_asyncgen_hooks().finalizer is last)
print(drive(started.__anext__()))
print(drive(fresh.__anext__()))
del started
print("gone")
hop()
del fresh
gc.collect()
sys.set_asyncgen_hooks(None, None)
hop()
print(tuple(sys.get_asyncgen_hooks()))
""")
    )


def test_a_hook_of_one_that_was_started_before_it_was_changed(same):
    same(
        with_driver("""
import gc
def last(it):
    print("first finalizer", it.__name__)
def other(it):
    print("other finalizer", it.__name__)
def no(it):
    print("never", it.__name__)
async def items():
    yield 1
    yield 2
sys.set_asyncgen_hooks(None, last)
one = items()
drive(one.__anext__())
sys.set_asyncgen_hooks(no, other)
hop()
print(drive(one.__anext__()))
del one
gc.collect()
""")
    )


def test_async_generator_that_raises(same):
    same(
        with_driver("""
import traceback
async def g(kind):
    await pause()
    hop()
    yield 1
    await pause()
    hop()
    raise kind("inside")
async def main(kind):
    async for value in g(kind):
        hop()
for kind in KeyError, StopAsyncIteration, StopIteration:
    try:
        drive(main(kind))
    except Exception as error:
        print(repr(error), repr(error.__cause__))
        print(traceback.format_exc().replace(__file__, "program.py"))
""")
    )


def test_iterators_written_by_hand(same):
    same(
        with_driver("""
class Source:
    def __init__(self, n):
        self.n = n
    def __aiter__(self):
        hop()
        return self
    async def __anext__(self):
        hop()
        await pause(self.n)
        hop()
        self.n -= 1
        if self.n < 0:
            raise StopAsyncIteration
        return self.n
class Plain(Source):
    def __anext__(self):
        hop()
        return super().__anext__()
async def main():
    print([n async for n in Source(2)])
    async for n in Plain(2):
        hop()
        print(n)
    else:
        print("else")
    if sys.version_info >= (3, 10):
        print(await anext(Source(1)), await anext(Source(0), "default"), await anext(numbers(0), "default"))
print(drive(main()))
""")
    )


def test_async_context_managers_of_generators(same):
    same(
        with_driver("""
import contextlib
@contextlib.asynccontextmanager
async def manager(name, swallow=False):
    hop()
    await pause("enter")
    try:
        yield hop(name)
    except LookupError as error:
        hop()
        await pause("error")
        print("manager", repr(error))
        if not swallow:
            raise
    finally:
        hop()
        await pause("exit")
        print("leaving", name)
async def main():
    async with manager("quiet") as name:
        print(name)
        hop()
    async with manager("swallowing", True):
        await pause("body")
        raise KeyError(hop("k"))
    try:
        async with manager("passing"):
            raise KeyError("k")
    except KeyError as error:
        print(repr(error))
    async with contextlib.AsyncExitStack() as stack:
        for n in range(2):
            await stack.enter_async_context(manager(n))
        hop()
    if sys.version_info >= (3, 10):
        async with contextlib.aclosing(numbers()) as them:
            async for value in them:
                break
print(drive(main()))
""")
    )
