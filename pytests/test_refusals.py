"""Code of the program that CPython calls on occasion: moved exactly, or refused; and the program unharmed."""

import sys

import pytest

# Who calls: the program, in which attempt() tries to move, and what the refusal names; None where it moves.
CALLERS = {
    "__del__ of a local": (
        """
class Thing:
    def __del__(self):
        attempt()
def f():
    thing = Thing()
    thing = None
    return "gone on"
""",
        "STORE_FAST",
    ),
    "__del__ at a return": (
        """
class Thing:
    def __del__(self):
        attempt()
def inner():
    thing = Thing()
    return 1
def f():
    return inner() + 1
""",
        "",
    ),
    "__del__ in a del statement": (
        """
class Thing:
    def __del__(self):
        attempt()
def f():
    held = [Thing()]
    del held[0]
    return "gone on"
""",
        "delete_subscr",
    ),
    "__del__ in a C call": (
        """
class Thing:
    def __del__(self):
        attempt()
def f():
    held = [Thing(), 1]
    held.clear()
    return len(held)
""",
        "clear",
    ),
    "__del__ during a call": (
        """
class Thing:
    def __del__(self):
        attempt()
def take(thing):
    return "gone on"
def f():
    return (lambda: take(Thing()))()
""",
        "",
    ),
    "weakref callback": (
        """
import weakref
class Thing:
    pass
def f():
    thing = Thing()
    ref = weakref.ref(thing, lambda ref: attempt())
    del thing
    return "gone on"
""",
        "DELETE_FAST",
    ),
    "weakref.finalize": (
        """
import weakref
class Thing:
    pass
def f():
    thing = Thing()
    weakref.finalize(thing, attempt)
    del thing
    return "gone on"
""",
        "DELETE_FAST",
    ),
    "gc callback": (
        """
import gc
def called(phase, info):
    if phase == "start":
        attempt()
def f():
    gc.callbacks.append(called)
    gc.collect()
    gc.callbacks.remove(called)
    return "gone on"
""",
        "gc.collect",
    ),
    "gc of a cycle": (
        """
import gc
class Thing:
    def __del__(self):
        attempt()
def f():
    thing = Thing()
    thing.me = thing
    del thing
    gc.collect()
    return "gone on"
""",
        "gc.collect",
    ),
    "trace function, call": (
        """
import sys
def tracer(frame, event, arg):
    if event == "call" and frame.f_code.co_name == "traced":
        attempt()
def traced():
    return "gone on"
def f():
    sys.settrace(tracer)
    try:
        return traced()
    finally:
        sys.settrace(None)
""",
        "",
    ),
    "trace function, line": (
        """
import sys
def tracer(frame, event, arg):
    if event == "line" and frame.f_code.co_name == "traced":
        attempt()
    return tracer
def traced():
    n = 1
    return n
def f():
    sys.settrace(tracer)
    try:
        return traced()
    finally:
        sys.settrace(None)
""",
        "",
    ),
    "trace function, return": (
        """
import sys
def tracer(frame, event, arg):
    if event == "return" and frame.f_code.co_name == "traced":
        attempt()
    return tracer
def traced():
    return 1
def f():
    sys.settrace(tracer)
    try:
        return traced() + 1
    finally:
        sys.settrace(None)
""",
        "",
    ),
    "trace function, exception": (
        """
import sys
def tracer(frame, event, arg):
    if event == "exception" and frame.f_code.co_name == "traced":
        attempt()
    return tracer
def traced():
    try:
        raise KeyError("k")
    except KeyError as error:
        return repr(error)
def f():
    sys.settrace(tracer)
    try:
        return traced()
    finally:
        sys.settrace(None)
""",
        "",
    ),
    "profile function": (
        """
import sys
def profiler(frame, event, arg):
    if event == "call" and frame.f_code.co_name == "profiled":
        attempt()
def profiled():
    return "gone on"
def f():
    sys.setprofile(profiler)
    try:
        return profiled()
    finally:
        sys.setprofile(None)
""",
        "",
    ),
    "profile function, C call": (
        """
import sys
def profiler(frame, event, arg):
    if event == "c_call" and arg is len:
        attempt()
def f():
    sys.setprofile(profiler)
    try:
        return len("abc")
    finally:
        sys.setprofile(None)
""",
        "len",
    ),
    "unraisable hook": (
        """
import sys
class Thing:
    def __del__(self):
        raise KeyError("in __del__")
def hook(unraisable):
    attempt()
def f():
    sys.unraisablehook = hook
    thing = Thing()
    del thing
    sys.unraisablehook = sys.__unraisablehook__
    return "gone on"
""",
        "DELETE_FAST",
    ),
    "audit hook": (
        """
import sys
active = [True]
def hook(event, args):
    if event == "program.event" and active:
        active.clear()
        attempt()
def f():
    sys.addaudithook(hook)
    sys.audit("program.event", 1)
    return "gone on"
""",
        "sys.audit",
    ),
    "generator closed by its end": (
        """
def g():
    try:
        yield 1
    finally:
        attempt()
def f():
    it = g()
    next(it)
    it = None
    return "gone on"
""",
        "STORE_FAST",
    ),
    "codec error handler": (
        """
import codecs
def handler(error):
    attempt()
    return "?", error.end
codecs.register_error("attempt", handler)
def f():
    return b"a\\xffb".decode("ascii", "attempt")
""",
        "decode",
    ),
}

MONITORING = """
import sys
def called(code, *args):
    if code.co_name == "watched" and not done:
        done.append(1)
        attempt()
done = []
def watched(n):
    n += abs(1)
    return n
def f():
    sys.monitoring.use_tool_id(3, "test")
    sys.monitoring.register_callback(3, sys.monitoring.events.EVENT, called)
    sys.monitoring.set_events(3, sys.monitoring.events.EVENT)
    try:
        return watched(1)
    finally:
        sys.monitoring.set_events(3, 0)
        sys.monitoring.free_tool_id(3)
"""


def check(refused, program, named, hook):
    first = refused(
        f"""
{program}
print(f())
print("ended")
""",
        flags=hook,
    )[0]
    assert first.count(", line ") == 2, first
    assert named in first, first


@pytest.mark.parametrize("hook", [(), ("-X", "teleport")], ids=["armed", "recording"])
@pytest.mark.parametrize("name", CALLERS)
def test_what_cpython_calls_on_occasion_is_refused(refused, name, hook):
    if name == "audit hook" and hook:
        pytest.skip("an audit hook stays in its process, so it is the same")
    check(refused, *CALLERS[name], hook)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in 3.12")
@pytest.mark.parametrize("event", ["PY_START", "LINE", "INSTRUCTION", "PY_RETURN", "CALL"])
def test_monitoring_callbacks_are_refused(refused, event):
    check(refused, MONITORING.replace("EVENT", event), "", ())


def test_hop_in_excepthook(move):
    source = """
        import sys
        def hook(kind, error, entry):
            print("hook", repr(error))
            try:
                teleport()
            except CaptureError as refusal:
                print("refused", type(refusal).__name__, file=sys.stderr)
            trail("attempt")
            print("hook's end")
        sys.excepthook = hook
        def f():
            raise KeyError("k")
        f()
    """
    straight, run = move.straight(source), move(source)
    assert run.stdout == straight.stdout == "hook KeyError('k')\nhook's end\n", run.stderr
    assert run.returncode == straight.returncode == 1
    assert run.stderr == "refused BoundaryError\n"


def test_hop_in_atexit_callback(move):
    source = """
        import atexit, sys
        def last():
            print("first out")
        def callback(n):
            print("callback", n)
            try:
                teleport()
            except CaptureError as refusal:
                print("refused", type(refusal).__name__, file=sys.stderr)
            trail("attempt")
            print("callback's end")
        atexit.register(last)
        atexit.register(callback, 1)
        print("end")
    """
    straight, run = move.straight(source), move(source)
    assert run.stdout == straight.stdout == "end\ncallback 1\ncallback's end\nfirst out\n", run.stderr
    assert run.returncode == straight.returncode == 0
    assert run.stderr == "refused BoundaryError\n"
