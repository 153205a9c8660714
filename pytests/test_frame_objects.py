"""Frame objects that the program keeps: of running functions, of generators, and of functions that are over."""

import textwrap

import pytest

KEPT = {
    "in a variable": "kept = sys._getframe(); get = lambda: kept",
    "in a tuple": "kept = (1, sys._getframe()); get = lambda: kept[1]",
    "in a list": "kept = [sys._getframe()]; get = lambda: kept[0]",
    "in a dictionary": "kept = {'frame': sys._getframe()}; get = lambda: kept['frame']",
    "in an object": "kept = types.SimpleNamespace(frame=sys._getframe()); get = lambda: kept.frame",
    "in a closure": "kept = sys._getframe(); get = (lambda kept: lambda: kept)(kept)",
    "in a global": "globals()['kept'] = sys._getframe(); get = lambda: globals()['kept']",
    "in a traceback": """
        try:
            1 / 0
        except ZeroDivisionError as error:
            kept = error
        get = lambda: kept.__traceback__.tb_frame
    """,
}

LOOK = """
    import sys, types, inspect, gc
    def look(frame):
        names = [name for name in frame.f_locals if not name.startswith("__")]
        names = names if frame.f_code.co_name != "<module>" else "a module's"
        back = frame.f_back and frame.f_back.f_code.co_name
        return frame.f_code.co_name, frame.f_lineno, names, back
"""


def indented(text, indent):
    return textwrap.indent(textwrap.dedent(text).strip(), " " * indent)


@pytest.mark.parametrize("kind", KEPT)
def test_a_frame_that_is_kept(same, kind):
    # Of what is over, a traceback keeps the place, but not the variables.
    has_variables = kind != "in a traceback"
    same(f"""
{LOOK}
    if not {has_variables}:
        def look(frame):
            return frame.f_code.co_name, frame.f_lineno
    def f(argument):
        local = [argument]
{indented(KEPT[kind], 8)}
        hop()
        print(get() is sys._getframe(), look(get()))
        local.append(2)
        print(get().f_locals["local"] is local)
        hop()
        print(get() is sys._getframe(), get().f_back is sys._getframe().f_back)
        return get
    def g():
        get = f(1)
        hop()
        print(look(get()), {has_variables} and get().f_locals["local"])
        hop()
        return get
    get = g()
    print(get().f_code is f.__code__, get().f_lineno)
    hop()
    print(look(get()), {has_variables} and get().f_locals["argument"])
    get().clear()
    print(get().f_locals)
    globals().pop("kept", None)
    get = None
    gc.collect()
""")


def test_the_stack_that_is_kept(same):
    same(f"""
{LOOK}
    def where(hops):
        found = inspect.stack(0)
        if hops:
            hop()
            frame = sys._getframe()
            for entry in found:
                print(entry.frame is frame, look(entry.frame))
                frame = frame.f_back
        return found
    class Made:
        def __init__(self):
            self.found = where(True)
        def __getitem__(self, key):
            return where(True)
        @property
        def attribute(self):
            return where(True)
    def f():
        made = Made()
        hop()
        print([look(entry.frame) for entry in made.found])
        print([look(entry.frame) for entry in made[1]])
        print([look(entry.frame) for entry in made.attribute])
        class Body:
            found = where(True)
        print([look(entry.frame)[:2] for entry in Body.found])
        exec("found = where(True)", globals())
        print([look(entry.frame)[:2] for entry in globals()["found"]])
    f()
    hop()
    print([look(entry.frame) for entry in where(False)])
    found = None
""")


def test_frames_of_generators(same):
    same(f"""
{LOOK}
    def count(n):
        me = [sys._getframe()]
        for k in range(n):
            yield k
            hop()
            print(me[0] is sys._getframe(), look(me[0]))
    def delegating(n):
        yield from count(n)
    one = delegating(2)
    frame = one.gi_frame
    print(look(frame))
    hop()
    print(frame is one.gi_frame, look(frame))
    for item in one:
        print(item, frame is one.gi_frame, look(frame))
        inner = [one.gi_yieldfrom.gi_frame]
        hop()
        print(inner[0] is one.gi_yieldfrom.gi_frame, look(inner[0]))
    hop()
    print(one.gi_frame, look(frame), look(inner[0]))
    async def waits():
        me = {{"frame": sys._getframe()}}
        await asks()
        print(me["frame"] is sys._getframe())
    @types.coroutine
    def asks():
        hop()
        yield
        hop()
    coroutine = waits()
    kept = [coroutine.cr_frame]
    coroutine.send(None)
    hop()
    print(kept[0] is coroutine.cr_frame, look(kept[0]))
    try:
        coroutine.send(None)
    except StopIteration:
        print(look(kept[0]))
""")


def test_many_frames_that_refer_to_each_other(same):
    same(f"""
{LOOK}
    def down(n, frames):
        frames.append((n, sys._getframe()))
        if n:
            result = down(n - 1, frames)
        else:
            hop()
            result = 0
        if n % 10 == 0:
            hop()
        print(frames[-1 - n][1] is sys._getframe(), end=" ")
        return result + 1
    frames = []
    print(down(40, frames))
    hop()
    print([look(frame) for n, frame in frames[::7]])
    print(frames[3][1].f_back is frames[2][1], frames[0][1].f_back is sys._getframe())
""")


def test_a_class_body_and_a_module_that_are_over(same):
    same(f"""
{LOOK}
    class Body:
        x = 1
        frame = sys._getframe()
    namespace = {{"sys": sys}}
    exec("y = 2; frame = sys._getframe()", namespace)
    hop()
    print(look(Body.frame), Body.frame.f_locals["x"], Body.frame.f_back is sys._getframe())
    print(namespace["frame"].f_locals is namespace, namespace["frame"].f_globals is namespace)
    hop()
    print(look(Body.frame))
""")


def test_a_handler_that_is_given_everything_in_a_tuple(same):
    same(f"""
{LOOK}
    import signal, _thread
    signal.signal(signal.SIGINT, lambda *arguments: print(hop(arguments[0]), look(arguments[1])[0]))
    def passing():
        return "passed"
    def f():
        return [1, _thread.interrupt_main(), 2], passing()
    print(f())
    def handler(*arguments, **more):
        def inner():
            hop()
            return look(arguments[-1])[0]
        print(inner(), arguments[1] is sys._getframe().f_back)
    signal.signal(signal.SIGINT, handler)
    print(f())
""")


def test_a_frame_that_runs_elsewhere(move):
    """One of pyteleport's own, say."""
    run = move("""
    import sys, pyteleport
    from pyteleport import api
    kept = []
    def profiler(frame, event, argument):
        if frame.f_globals["__name__"].startswith("pyteleport") and not kept:
            kept.append(frame)
            sys.setprofile(None)
    sys.setprofile(profiler)
    try:
        pyteleport.teleport()
    except pyteleport.UnmovableError as error:
        print(str(error).split(":")[0])
    """)
    assert run.stdout == "<module> → kept[0] (frame) cannot move\n" or "kept[0]" in run.stdout, run.stderr
