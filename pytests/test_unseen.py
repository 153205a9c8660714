"""What a program can look at and not tell whether it is recorded: each one runs with the hook and without."""

import sys
import textwrap

import harness
import pytest
from test_hook import python, run

WITH_HOOK = ("-X", "teleport")


@pytest.fixture(scope="session")
def passer(tmp_path_factory):
    return str(harness.build_passer(tmp_path_factory.mktemp("passer")))


LOOKS = {
    "traceback": """
        class Guard:
            def __enter__(self): return self
            def __exit__(self, *args): return False
        class Made:
            def __init__(self, n):
                self.n = next(numbers(n)) + [deep(k) for k in range(n)][0]
        def numbers(n):
            with Guard():
                yield from (1 // k for k in range(n))
        def deep(n):
            try:
                return Made(3) if n == 0 else deep(n - 1)
            except ZeroDivisionError as error:
                raise KeyError(n) from error
        deep(3)
    """,
    "traceback of an endless recursion": """
        def endless(n):
            return endless(n + 1)
        endless(0)
    """,
    "sys._getframe": """
        import sys
        def chain():
            frame, seen = sys._getframe(), []
            while frame:
                seen.append((frame.f_code.co_name, frame.f_lineno, sorted(frame.f_locals)[:3]))
                frame = frame.f_back
            return seen
        class Made:
            def __init__(self): self.seen = sorted([chain], key=lambda f: f())[0]()
        def gen():
            yield Made().seen
        async def task():
            return next(gen())
        try:
            task().send(None)
        except StopIteration as end:
            print(end.value)
        class Body:
            print(chain())
        print(list(map(lambda _: chain(), [0])))
    """,
    "inspect.stack": """
        import inspect
        def f(n):
            return f(n - 1) if n else [(s.function, s.lineno, s.index) for s in inspect.stack()]
        class Made:
            def __init__(self): self.seen = f(3)
        print(Made().seen, [s for s in map(f, range(3))])
    """,
    "faulthandler": """
        import faulthandler, sys, threading
        def f(n):
            if n: return f(n - 1)
            faulthandler.dump_traceback(sys.stdout, all_threads=False)
        class Made:
            def __init__(self): f(3)
        Made(); list(map(f, [2])); next(f(k) for k in [1])
        thread = threading.Thread(target=Made); thread.start(); thread.join()
    """,
    "warnings": """
        import warnings
        def warn(level):
            warnings.warn("told at %d" % level, stacklevel=level)
        class Made:
            def __init__(self, level): warn(level)
        def gen(level):
            yield Made(level)
        for level in range(1, 6):
            list(map(lambda k: next(gen(k)), [level]))
    """,
    "objects of the collector": """
        import gc
        def gen(n):
            yield from range(n)
        class Made:
            def __init__(self, n): self.n = [n, Made(n - 1) if n else None]
        def work():
            kept = [Made(5), gen(3), [lambda: kept for _ in range(3)]]
            next(kept[1])
            return kept
        work(); gc.collect(); gc.collect(); gc.disable()
        before = len(gc.get_objects())
        kept = [work() for _ in range(20)]
        print(len(gc.get_objects()) - before)
        del kept
        print(gc.collect(), len(gc.get_objects()) - before)
    """,
    "signals": """
        import os, signal, sys, threading
        seen = []
        def handler(number, frame):
            seen.append((number, frame.f_code.co_name, [f for f in names(sys._getframe())]))
        def names(frame):
            while frame:
                yield frame.f_code.co_name
                frame = frame.f_back
        def f(n):
            if n: return f(n - 1)
            os.kill(os.getpid(), signal.SIGUSR1)
            return len(seen)
        signal.signal(signal.SIGUSR1, handler)
        class Made:
            def __init__(self): self.n = f(2)
        print(Made().n, seen)
        def interrupted():
            try:
                os.kill(os.getpid(), signal.SIGINT)
                for _ in range(10**7): pass
            finally:
                print("finally")
        signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            interrupted()
        except KeyboardInterrupt as error:
            print(error.__traceback__.tb_next.tb_frame.f_code.co_name, error.__context__)
        interrupted()
    """,
    "fork": """
        import os
        class Made:
            def __init__(self, n):
                self.n = n
                if n: Made(n - 1)
                else:
                    child = os.fork()
                    if not child:
                        print("child", [k for k in gen(5)], flush=True); os._exit(3)
                    print(os.waitpid(child, 0)[1] >> 8, flush=True)
        def gen(n):
            yield from range(n)
        Made(3)
    """,
    "exit from deep inside": """
        import atexit, sys
        atexit.register(print, "atexit")
        def f(n):
            try:
                return f(n - 1) if n else sys.exit(4)
            finally:
                if n % 20 == 0: print(n)
        f(60)
    """,
    "threads at the exit": """
        import threading, time
        started = threading.Event()
        def f(n):
            if n: return f(n - 1)
            started.set()
            while True: time.sleep(0.001)
        threading.Thread(target=f, args=(200,), daemon=True).start()
        started.wait()
        print("end")
    """,
    "exceptions handled": """
        import sys
        def handled(): return repr(sys.exc_info()[1])
        def gen():
            try: raise KeyError(1)
            except KeyError: yield handled()
            yield handled()
        class Made:
            def __init__(self):
                try: raise ValueError(2)
                except ValueError: self.seen = [*gen(), handled(), *map(lambda _: handled(), [0])]
        print(Made().seen, handled())
    """,
    "calls of a profile": """
        import cProfile, io, pstats
        def fib(n): return n if n < 2 else fib(n - 1) + fib(n - 2)
        def gen(n): yield from range(n)
        class Made:
            def __init__(self, n): self.n = list(map(fib, gen(n)))
            def __getattr__(self, name): return fib(4)
        def work(): return [Made(4).other for _ in range(3)]
        profile = cProfile.Profile()
        profile.runcall(work)
        stats = pstats.Stats(profile).stats
        for (file, line, name), (primitive, calls, _, _, callers) in sorted(stats.items()):
            if file == "<string>":
                print(line, name, primitive, calls, sorted((c[2], n[:2]) for c, n in callers.items()))
    """,
}


@pytest.mark.parametrize("code", LOOKS.values(), ids=LOOKS)
def test_it_sees_nothing_of_the_hook(code):
    code = textwrap.dedent(code)
    straight = python("-c", code)
    assert python(*WITH_HOOK, "-c", code) == straight
    assert straight[1] or straight[2]
    assert straight[0] >= -2, straight  # it ended by itself, or by SIGINT


# What CPython itself does otherwise with any evaluator but its own, from 3.11 on: it calls Python functions
# through C then.
LIKE_ANY = {
    "last instructions": """
        import sys
        def f(n): return f(n - 1) if n else (sys._getframe().f_lasti, sys._getframe(1).f_lasti)
        print(f(3), sys._getframe().f_lasti)
    """,
    "finalizers and weak references": """
        import weakref
        class Made:
            def __init__(self, name): self.name = name
            def __del__(self): print("gone", self.name)
        def f(made):
            other = Made("other")
            print("in f")
            return weakref.ref(made)
        r = f(Made("argument"))
        print(r())
        r = f(made=Made("keyword"))
        print(r())
        [Made(k) for k in range(2)]
        def g():
            local = Made("of a generator")
            yield 1
        next(g())
        print("end")
    """,
    "sys.monitoring": """
        import sys
        tool, events, seen = sys.monitoring.PROFILER_ID, sys.monitoring.events, []
        sys.monitoring.use_tool_id(tool, "test")
        def watch(name):
            def told(code, *rest):
                if code.co_filename == "<string>":
                    seen.append((name, code.co_name, *[r if isinstance(r, int) else getattr(r, "__name__", "-") for r in rest]))
            return told
        ones = [n for n in dir(events) if n.isupper() and n != "NO_EVENTS"]
        own = [n for n in ones if n not in ("BRANCH", "C_RAISE", "C_RETURN")]
        for name in ones:
            sys.monitoring.register_callback(tool, getattr(events, name), watch(name))
        def gen(n):
            for k in range(n):
                yield k
        class Made:
            def __init__(self, n):
                self.n = sum(gen(n))
            def __add__(self, other):
                return Made(other)
        def f(n):
            try:
                return (Made(n) + n).n // (n - 2)
            except ZeroDivisionError:
                return sorted([3, 1], key=lambda k: -k)
        sys.monitoring.set_events(tool, sum(getattr(events, n) for n in own))
        f(1); f(2)
        sys.monitoring.set_events(tool, 0)
        print(len(seen)); print(*seen, sep="\\n")
    """,
}
if sys.version_info < (3, 12):
    del LIKE_ANY["sys.monitoring"]


@pytest.mark.parametrize("code", LIKE_ANY.values(), ids=LIKE_ANY)
def test_it_sees_what_it_would_with_any_evaluator(passer, code):
    code = textwrap.dedent(code)
    call = f"__import__('ctypes').PyDLL({passer!r}).%s()"
    assert run(call % "current" + code, *WITH_HOOK) == run(call % "set_passing" + code)


# ---- the C stack ------------------------------------------------------------------------------------------

THREAD = """
import sys, threading
def depth(n): return 0 if n == 0 else 1 + depth(n - 1)
def in_thread(work, size):
    results = []
    threading.stack_size(size)
    thread = threading.Thread(target=lambda: results.append(work()))
    thread.start(); thread.join()
    return results
"""


@pytest.mark.parametrize("size", [64 << 10, 128 << 10, 256 << 10, 1 << 20])
def test_threads_with_small_stacks_go_as_deep_as_any(size):
    """Where calls take nothing of the C stack without the hook, they do without it (3.11 and later)."""
    code = f"{THREAD}\nprint(in_thread(lambda: depth(900), {size}))"
    assert run(code, *WITH_HOOK) == "[900]\n"


def test_threads_with_small_stacks_take_turns():
    code = f"""{THREAD}
sys.setswitchinterval(1e-5)
class Made:
    def __init__(self, n): self.n = [Made(n - 1).n if n else 0, depth(n)][1]
def gen(n):
    if n: yield from gen(n - 1)
    yield n
def work(n): results.append((n, Made(n).n, sum(gen(n)), depth(700)))
threading.stack_size(1 << 16)
results = []
for _ in range(10):
    threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
print(sorted(results) == sorted((n, n, n * (n + 1) // 2, 700) for n in range(16) for _ in range(10)))
"""
    assert run(code, *WITH_HOOK) == "True\n"


@pytest.mark.parametrize("frames", [30_000, 200_000])
def test_deep_recursion_in_a_thread(frames):
    """As deep as the recursion limit says, on any release; without the hook the first ones crash here."""
    code = f"{THREAD}\nsys.setrecursionlimit(10**6)\nprint(in_thread(lambda: depth({frames}), 8 << 20))"
    assert run(code, *WITH_HOOK) == f"[{frames}]\n"


def test_deep_recursion_of_generators_and_instances_in_a_thread():
    code = f"""{THREAD}
def gen(n):
    try:
        yield from gen(n + 1)
    except RecursionError:
        yield n
class Made:
    def __init__(self, n):
        try: self.n = Made(n + 1).n
        except RecursionError: self.n = n
for limit in (1000, 3000):
    sys.setrecursionlimit(limit)
    print(*in_thread(lambda: next(gen(0)), 8 << 20), *in_thread(lambda: Made(0).n, 8 << 20))
"""
    recording, straight = ([int(n) for n in run(code, *flags).split()] for flags in (WITH_HOOK, ()))
    assert all(ours >= theirs for ours, theirs in zip(recording, straight)), (recording, straight)


AT_DEPTH = f"""{THREAD}
sys.setrecursionlimit(20_000)
nested = []
for _ in range(400): nested = [nested]
def at(n, work): return work() if n == 0 else at(n - 1, work)
def failing(): raise KeyError
"""


def test_c_code_has_room_wherever_it_is_called():
    """What CPython calls in C on a used stack: here it nests 400 deep, at every depth that a thread comes to."""
    code = f"""{AT_DEPTH}
import json
def work(): return len(repr(nested)) + len(json.dumps(nested))
print({{n for k in range(0, 9000, 300) for n in in_thread(lambda: at(k, work), 1 << 20)}})
"""
    assert run(code, *WITH_HOOK) == "{1604}\n"


def test_c_code_nests_as_deep_as_without():
    code = """
def ends(depth):
    nested, other = [], []
    for _ in range(depth): nested, other = [nested], [other]
    try: return nested != other
    except RecursionError: return True
def deepest(low, high):
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if ends(middle) else (middle, high)
    return low
print(deepest(0, 600_000))
"""
    recording, straight = (int(run(code, *flags)) for flags in (WITH_HOOK, ()))
    # from 3.12 on CPython counts C code apart, and looks at how much it has when the hook comes, which is by a few
    # calls less than at first; from 3.14 on it measures the stack, of which a call through C takes a little, and
    # the kernel some pages at random
    assert abs(recording - straight) <= max(20, straight // 200), (recording, straight)


def test_an_exception_comes_through_all_stacks():
    code = f"""{AT_DEPTH}
def count():
    try: at(15_000, failing)
    except KeyError as error:
        n, tb = 0, error.__traceback__
        while tb: n, tb = n + 1, tb.tb_next
        return n, depth(15_000)
print(in_thread(count, 1 << 18))
"""
    assert run(code, *WITH_HOOK) == "[(15003, 15000)]\n"


def test_a_process_forked_on_a_further_stack_goes_on():
    code = f"""{AT_DEPTH}
import os
def work():
    child = os.fork()
    if not child:
        print(depth(2_000), flush=True); os._exit(3)
    return os.waitpid(child, 0)[1] >> 8
print(in_thread(lambda: at(3_000, work), 1 << 18))
"""
    status, out, _ = python(*WITH_HOOK, "-c", code)  # 3.12 and later warn of forks in threads
    assert (status, out) == (0, "2000\n[3]\n")


def test_threads_on_further_stacks_at_the_exit():
    code = f"""{AT_DEPTH}
import time
started = threading.Semaphore(0)
def work():
    started.release()
    while True: depth(3)
threading.stack_size(1 << 18)
for n in (10, 3_000, 15_000):
    threading.Thread(target=at, args=(n, work), daemon=True).start()
    started.acquire()
print("end")
"""
    for _ in range(5):
        assert run(code, *WITH_HOOK) == "end\n"


def test_the_hook_comes_and_goes_on_a_further_stack():
    code = f"""{AT_DEPTH}
from pyteleport import hook_status, install_hook, uninstall_hook
install_hook()
def work():
    uninstall_hook(); inner = depth(100); install_hook()
    return inner, at(3_000, hook_status)
print(in_thread(lambda: at(3_000, work), 1 << 18), hook_status(), depth(900))
"""
    assert run(code) == "[(100, 'recording')] recording 900\n"


def test_a_capture_on_a_further_stack():
    code = f"""{AT_DEPTH}
import io, resource
from pyteleport import dump, install_hook
resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20))
install_hook()
def work():
    state = io.BytesIO()
    return dump(state), len(state.getvalue()) > 5_000
print(at(5_000, work), depth(5_000))
"""
    assert run(code) == "(None, True) 5000\n"


def test_stacks_that_a_library_moves_about_are_not_left():
    """Greenlets lay back what they set aside of a C stack: a call that would need another one is refused."""
    code = f"""{THREAD}
import types
sys.modules["greenlet"] = types.ModuleType("greenlet")
sys.setrecursionlimit(10**5)
def work():
    try: return depth(50_000)
    except RecursionError: return "refused"
print(in_thread(work, 1 << 18), in_thread(lambda: depth(100), 1 << 18))
"""
    assert run(code, *WITH_HOOK) == "['refused'] [100]\n"
