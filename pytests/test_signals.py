"""Moves from inside a signal's handler: wherever CPython has run it between two instructions of a frame."""

import sys
import textwrap

import pytest

# A signal arrives where C code calls `trip`: CPython notes it, and looks at its next chance. Everything here is in
# C, so that this is not before the instruction is over that has led to it.
ARRIVALS = """
    import _thread, functools, itertools, operator, signal
    trip = _thread.interrupt_main
    def arriving():
        # Once, with None for its only item.
        return itertools.starmap(trip, [()])
    def number(*counted):
        # What gives the number of Nones when it is called; with one that is counted, or for one argument.
        return staticmethod(functools.partial(operator.countOf, arriving(), *counted))
    def passing():
        # From 3.11 on there may not have been a chance yet.
        return "passed"
    def handler(number, frame):
        where = frame.f_code.co_name, frame.f_lineno
        hop()
        print("arrived", number, where == (frame.f_code.co_name, frame.f_lineno))
    signal.signal(signal.SIGINT, handler)
"""

KINDS = {
    "call": "x = [1, trip(), 2]",
    "call with unpacked arguments": "x = [1, trip(*(), **{}), 2]",
    "method": "x = [1]; x.extend(arriving()); x.append(2)",
    "operator": "Thing.__add__ = number(); x = [1, Thing() + None, 2]",
    "operator in place": "Thing.__iadd__ = number(); x = Thing(); x += None",
    "comparison": "Thing.__lt__ = number(); x = [1, Thing() < None, 2]",
    "negation": "Thing.__neg__ = number(None); x = [1, -Thing(), 2]",
    "subscript": "Thing.__getitem__ = number(); x = [1, Thing()[None], 2]",
    "attribute": "Thing.__getattr__ = number(); x = [1, Thing().name, 2]",
    "key": "Thing.__hash__ = number(None); x = list({Thing(): 2}.values())",
    "membership": "Thing.__contains__ = number(); x = [1, None in Thing(), 2]",
    "unpacking": "x, = arriving(); x = [x]",
    "filling": "x = [1, *arriving(), 2]",
    "true if": "Thing.__len__ = number(None)\nif Thing(): x = 1\nelse: x = 2",
    "false if": "Thing.__len__ = number(1)\nif Thing(): x = 1\nelse: x = 2",
    "true if not": "Thing.__len__ = number(None)\nif not Thing(): x = 1\nelse: x = 2",
    "false if not": "Thing.__len__ = number(1)\nif not Thing(): x = 1\nelse: x = 2",
    "true and": "Thing.__len__ = number(None); x = [0, Thing() and 1, 2]",
    "false or": "Thing.__len__ = number(1); x = [0, Thing() or 1, 2]",
    "true or": "Thing.__len__ = number(None); x = [0, type(Thing() or 1).__name__, 2]",
    "false and": "Thing.__len__ = number(1); x = [0, type(Thing() and 1).__name__, 2]",
    "false not": "Thing.__len__ = number(1); x = [0, not Thing(), 2]",
    "while": "Thing.__len__ = number(None)\nx = 0\nwhile Thing(): x += 1",
    "item of a loop": "x = []\nfor y in arriving(): x.append(y)",
    "end of a loop": "x = 1\nfor y in iter(trip, None): x = 2",
    "end of a loop with else": "x = 1\nfor y in iter(trip, None): x = 2\nelse: x = 3",
    "exception": "try: x = [1, next(iter(trip, None)), 2]\nexcept StopIteration as e: x = [3, type(e)]",
    "exception, finally": "try:\n try: x = next(iter(trip, None))\n finally: x = 3\nexcept StopIteration: x += 1",
    "while an exception is handled": "try: 1 / 0\nexcept ZeroDivisionError as e: x = [trip(), str(e)]",
    "with": """
        import contextlib
        with contextlib.suppress(StopIteration):
            next(iter(trip, None))
        x = 1
    """,
    "generator": """
        def count():
            yield 1
            yield [2, trip()]
            yield 3
        x = [y for y in count()]
    """,
    "generator that is asked": """
        def count():
            yield 1
            yield [2, trip()]
        g = count()
        x = [next(g), g.send(None)]
    """,
    "__init__": """
        class Made:
            def __init__(self):
                self.x = [1, trip()]
                self.y = 2
        x = vars(Made())
    """,
    "comprehension": "x = [[y, trip()] for y in range(3)]",
    "class": """
        class Made:
            x = [1, trip()]
            y = 2
        x = [Made.x, Made.y]
    """,
    "coroutine": """
        async def asked():
            return [1, trip()]
        async def asks():
            return [await asked(), 2]
        try:
            asks().send(None)
        except StopIteration as stop:
            x = stop.value
    """,
}


def indented(text, indent):
    return textwrap.indent(textwrap.dedent(text).strip(), " " * indent)


@pytest.mark.parametrize("kind", KINDS)
def test_a_signal_behind(same, kind):
    program = f"""
{ARRIVALS}
    class Thing:
        pass
    def f():
{indented(KINDS[kind], 8)}
        return x, passing()
    print(f())
    print(f())
"""
    same(program)


def test_a_signal_at_a_comparison_that_jumps_back(same):
    """On 3.11 it is one instruction with the jump, once it has run often enough."""
    same(f"""
{ARRIVALS}
    def count(n, comes=()):
        k = 0
        while k < n:
            k += 1
            for item in comes:
                pass
        return k
    print([count(100) for again in range(20)][-1])
    print(count(5, arriving()), passing())
""")


HANDLERS = {
    "function": "handle = handler",
    "lambda": "handle = lambda number, frame: handler(number, frame)",
    "method": """
        class Handlers:
            name = "Handlers"
            def handle(self, number, frame):
                handler(number, frame)
                print(self.name)
        handle = Handlers().handle
    """,
    "object": """
        class Handlers:
            def __call__(self, number, frame):
                handler(number, frame)
        handle = Handlers()
    """,
    "partial": """
        def handle(what, number, frame, more):
            handler(number, frame)
            print(what, more)
        handle = functools.partial(handle, "partial", more=1)
    """,
    "with a variable of its own": """
        def handle(number, frame):
            handler(number, frame)
            print((lambda: number)())
    """,
}


@pytest.mark.parametrize("kind", HANDLERS)
def test_handlers(same, kind):
    program = f"""
{ARRIVALS}
{indented(HANDLERS[kind], 4)}
    signal.signal(signal.SIGINT, handle)
    def f():
        return [1, trip(), 2], passing()
    print(f())
    print(f())
"""
    same(program, singles=True)


def test_a_handler_that_sets_another_one_in_its_place(same):
    """Up to 3.13 the C stack tells; later on the frame does, but not that it is a handler that was called."""
    program = f"""
{ARRIVALS}
    def handle(number, frame):
        signal.signal(number, signal.SIG_IGN)
        hop()
        print("handled")
    def other(number, frame):
        number = frame = None
        signal.signal(signal.SIGINT, handle)
        hop()
        print("handled by the other")
    def f(handle):
        signal.signal(signal.SIGINT, handle)
        return [1, trip(), 2], passing()
    print(f(handle))
    print(f(other))
"""
    if sys.version_info < (3, 14):
        same(program)


def test_a_signal_in_a_handler(same):
    program = f"""
{ARRIVALS}
    depth = 0
    def handle(number, frame):
        global depth
        depth += 1
        print("in", depth, frame.f_code.co_name)
        x = [hop(depth)]
        if depth < 4:
            x.append(trip())
            passing()
        x.append(hop(depth))
        depth -= 1
        print("out", x)
    signal.signal(signal.SIGINT, handle)
    def f():
        return [1, trip(), 2], passing()
    print(f())
"""
    same(program)


def test_a_handler_called_just_before_a_signal_comes(same):
    """What is left of a call's operands, behind it, is not taken for the call that has led to the handler."""
    program = f"""
{ARRIVALS}
    calls = 0
    def handle(number, frame):
        global calls
        calls += 1
        if calls % 2:
            return ["called", trip]
        hop()
        return "arrived"
    signal.signal(signal.SIGINT, handle)
    def f():
        x = [handle(2, None)[1](), 3]
        y = [handle(2, None), trip(), 4][1:]
        return x, y, passing()
    print(f())
    print(f())
"""
    same(program)


IN_C = {
    "a call": ("x = ''.join(map(str, arriving()))", "str.join"),
    "a conversion": ("x = f'{thing!r}'", "Thing"),
    "an operator": ("x = '%s' % thing", "str"),
}


@pytest.mark.parametrize("kind", IN_C)
def test_a_handler_in_the_middle_of_c_code(refused, kind):
    """`repr` looks for signals; the refusal names who has called it, and the program is unharmed."""
    statement, named = IN_C[kind]
    program = f"""
{ARRIVALS}
    def handler(number, frame):
        attempt()
        print("handled")
    signal.signal(signal.SIGINT, handler)
    class Thing:
        pass
    def f():
        thing = Thing()
        Thing.__repr__ = staticmethod(functools.partial("".join, map(str, arriving())))
        {statement}
        return x, passing()
    print(f())
"""
    for flags in ((), ("-X", "teleport")):
        for text in refused(program, flags=flags):
            assert named in text


def test_other_signals_are_told_of_meanwhile(move):
    """Whoever is told of signals by a descriptor still is, and of no others; nothing else of signals changes."""
    run = move(f"""
{ARRIVALS}
    import os, socket
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    def handler(number, frame):
        attempt()
    signal.signal(signal.SIGINT, handler)
    signal.signal(signal.SIGUSR1, lambda number, frame: None)
    signal.set_wakeup_fd(theirs.fileno())
    def f():
        return [1, trip(), 2], passing()
    f()
    os.kill(os.getpid(), signal.SIGUSR1)
    passing()
    told = ours.recv(100)
    print(told.count(signal.SIGUSR1), set(told) <= {{signal.SIGINT, signal.SIGUSR1}})
    print(signal.set_wakeup_fd(-1) == theirs.fileno())
    rest = [signal.getsignal(n) for n in range(signal.SIGRTMIN, signal.SIGRTMAX + 1)]
    print(set(rest) == {{signal.SIG_DFL}})
    print(signal.pthread_sigmask(signal.SIG_BLOCK, []))
""")
    assert run.stdout == "1 True\nTrue\nTrue\nset()\n", run.stderr
    assert [text for what, text in run.told if what == "refused"], run.trail


# The timer's signal comes wherever it comes; what is computed must not tell.
TIMED = """
    import signal
    N = 6
    moved = []
    class Point:
        def __init__(self, x):
            self.x = x
            self.items = []
        def grow(self, by):
            self.x += by
            self.items.append(self.x % 7)
            return self
    def handler(number, frame):
        moved.append(number)
        hop()
        if len(moved) < N:
            arm()
    def arm():
        signal.setitimer(signal.ITIMER_REAL, 0.0005 + 0.0003 * len(moved))
    signal.signal(signal.SIGALRM, handler)
    def numbers(n):
        for i in range(n):
            if i % 3 == 0:
                continue
            yield i
    total = 0
    def work():
        global total
        point = Point(0)
        for i in numbers(9):
            point.grow(i)
            if point.x > 5 and i or not i:
                total += point.x
            try:
                if i % 4 == 1:
                    raise KeyError(i)
                x = [point.items[k] for k in range(2)]
                total += sum(x[:1])
            except KeyError as error:
                total -= error.args[0]
            except IndexError:
                total += 1
            finally:
                total += 1
        k = 0
        while k < 5:
            k += 1
            total ^= k
        a, *b = {"a": k, "b": total}
        return (lambda *args, **more: (len(args), more))(*b, a=a)
    def run():
        global total
        arm()
        seen = set()
        while len(moved) < N:
            for again in range(20):
                total = 0
                count, names = work()
                seen.add((count, *names.items(), total))
        signal.setitimer(signal.ITIMER_REAL, 0)
        return seen
    print(run())
    print(len(moved))
"""


@pytest.mark.parametrize("flags", [(), ("-X", "teleport")], ids=["armed", "recording"])
def test_a_timer_wherever_it_falls(move, flags):
    straight = move.straight(TIMED)
    assert straight.returncode == 0, straight.stderr
    moved = move(TIMED, flags=flags)
    assert (moved.stdout, moved.returncode) == (straight.stdout, 0), moved.stderr
    assert moved.moves == 6
    assert moved.ended_in == "peer"


SEVERAL = """
    import _thread, collections, itertools, os, signal, sys
    def passing():
        return "passed"
    def come(*numbers):
        # C code that looks for none of them, so that all wait.
        if sys.version_info < (3, 10):
            return collections.deque(map(os.kill, itertools.repeat(os.getpid()), numbers), 0)
        return collections.deque(map(_thread.interrupt_main, numbers), 0)
    NUMBERS = signal.SIGINT, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTERM
    depth = 0
    def handler(number, frame):
        global depth
        depth += 1
        print("in", depth, number, frame.f_code.co_name, frame.f_lineno)
        hop()
        passing()
        depth -= 1
        print("out", depth, number)
    for number in NUMBERS:
        signal.signal(number, handler)
"""


def test_several_signals_at_once(same):
    """The handlers of those that came together are called one after the other, wherever the first one has moved to."""
    same(
        f"""
{SEVERAL}
    def f():
        return [1, len(come(*NUMBERS)), 2], passing()
    print(f())
    print([f() for again in range(2)])
    def numbers():
        yield 1
        yield len(come(*NUMBERS[::2]))
    for item in numbers():
        print(item)
""",
        singles=True,
    )


def test_several_signals_of_which_one_raises(same):
    same(f"""
{SEVERAL}
    class Stop(Exception):
        pass
    def raises(number, frame):
        hop()
        raise Stop(number)
    signal.signal(signal.SIGUSR1, raises)
    def f():
        try:
            return [1, len(come(*NUMBERS)), 2], passing()
        except Stop as stop:
            passing()
            print("stopped by", stop)
        return passing()
    print(f())
    print(f())
""")


def test_several_signals_of_which_one_is_given_up(same):
    """The handler of the first changes what the others have."""
    same(f"""
{SEVERAL}
    def changes(number, frame):
        signal.signal(signal.SIGUSR1, lambda number, frame: print("changed"))
        hop()
        print("first")
    signal.signal(signal.SIGINT, changes)
    def f():
        return [1, len(come(*NUMBERS)), 2], passing()
    print(f())
""")


def test_signals_that_are_held_back(same):
    """What the program holds back comes when it lets it."""
    same("""
    import os, signal
    def handler(number, frame):
        print("arrived", number)
    held = signal.SIGUSR1, signal.SIGALRM, signal.SIGCHLD, signal.SIGTSTP
    for number in held:
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    for number in held:
        os.kill(os.getpid(), number)
    print(sorted(signal.sigpending()))
    hop()
    print(sorted(signal.sigpending()))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
    print(signal.sigpending())
    hop()
    signal.pthread_sigmask(signal.SIG_BLOCK, held)
    signal.setitimer(signal.ITIMER_REAL, 0.0001)
    while not signal.sigpending():
        pass
    hop()
    print(sorted(signal.sigpending()))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, held)
    print(signal.sigpending())
    """)


# The peer sends home a signal while it takes the program in.
MEANWHILE = """
    import os, signal, sys
    came = []
    class Sends:
        def __init__(self, *times):
            self.times = times
        def __reduce__(self):
            return send, (os.getpid(), self.times)
    def send(home, times):
        for number in times:
            if os.getpid() != home:
                os.kill(home, number)
        return Sends()
    def wait(home):
        # Until home has given up: then this end of the way is no more.
        import time
        time.sleep(3600)
    class Hangs:
        def __reduce__(self):
            return wait, (os.getpid(),)
"""


def test_a_signal_that_comes_while_the_peer_takes_the_program_in(move):
    run = move(
        MEANWHILE
        + """
    signal.signal(signal.SIGUSR1, lambda number, frame: came.append((number == signal.SIGUSR1, os.getpid())))
    sends = Sends(signal.SIGUSR1)
    home = os.getpid()
    teleport()
    while not came:
        pass
    trail("there")
    print(len(came), came[0][0], os.getpid() != home)
    """
    )
    assert run.stdout == "1 True True\n", run.stderr
    assert run.ended_in == "peer"


def test_a_handler_that_raises_while_the_peer_takes_the_program_in(move):
    run = move(
        MEANWHILE
        + """
    def handler(number, frame):
        raise KeyError("handler")
    signal.signal(signal.SIGUSR1, handler)
    sends = Sends(signal.SIGUSR1)
    hangs = Hangs()
    try:
        teleport()
    except KeyError as error:
        print(error)
    """
    )
    assert run.stdout == "'handler'\n", run.stderr
    assert run.ended_in == "home"


def test_ctrl_c_once_handlers_wait(move):
    """A handler has run, so the move has begun anew, and handlers wait; Ctrl-C still gives it up."""
    run = move(
        MEANWHILE
        + """
    signal.signal(signal.SIGUSR1, lambda number, frame: came.append(number))
    class SendsMore(Sends):
        def __reduce__(self):
            return send, (os.getpid(), (signal.SIGUSR1, signal.SIGINT) if came else (signal.SIGUSR1,))
    hangs = [SendsMore(), Hangs()]
    try:
        teleport()
    except KeyboardInterrupt:
        while len(came) < 2:
            pass
        print("interrupted")
    """
    )
    assert run.stdout == "interrupted\n", run.stderr
    assert run.ended_in == "home"
