"""What cannot move: the words of the refusal, and the program going on at home."""

import re

import pytest

# C functions with work of their own left: how a program gets called by each, and the name in the refusal
# `iter` keeps the compiler (3.14 and later) from making a loop of `tuple` and `list`.
INSIDE = {
    "sorted": "sorted([3, 1, 2], key=callee)",
    "sort": "(lambda l: l.sort(key=callee) or l)([3, 1, 2])",
    "min": "min([3, 1, 2], key=callee)",
    "max": "max([3, 1, 2], key=callee)",
    "map": "list(map(callee, [1, 2]))",
    "sum": "sum(callee(n) for n in [1, 2])",
    "list": "list(iter(callee(n) for n in [1, 2]))",
    "tuple": "tuple(iter(callee(n) for n in [1, 2]))",
    "join": "''.join(str(callee(n)) for n in [1, 2])",
    "sub": "re.sub('[ab]', lambda m: str(callee(m.group())), 'aXb')",
    "reduce": "functools.reduce(lambda a, b: a + callee(b), [1, 2, 3])",
    "dict": "dict((n, callee(n)) for n in [1, 2])",
    "sorted with __lt__": "[x.n for x in sorted([Less(2), Less(1)])]",
    "dumps": "json.dumps([Less(1)], default=lambda x: callee(x.n))",
}


# What the recording mode can follow: test_recording.py.
FOLLOWED = {"sum", "list", "tuple", "join", "dict"}

ARMED = [(name, ()) for name in INSIDE]
RECORDING = [(name, ("-X", "teleport")) for name in INSIDE if name not in FOLLOWED]


@pytest.mark.parametrize(("name", "hook"), ARMED + RECORDING)
def test_c_function_with_work_left_is_refused_and_the_program_goes_on(move, name, hook):
    source = f"""
        import functools, json, re, sys
        refusals = []
        class Less:
            def __init__(self, n):
                self.n = n
            def __lt__(self, other):
                return callee(self.n) < other.n
        def callee(n):
            try:
                teleport()
            except BoundaryError as refusal:
                refusals.append(str(refusal))
            trail("refused")
            return n
        def caller():
            return {INSIDE[name]}
        print(caller())
        print(*sorted(set(refusals)), sep="\\n", file=sys.stderr)
    """
    straight = move.straight(source)
    run = move(source, flags=hook)
    assert run.returncode == 0, run.stderr
    assert run.stdout == straight.stdout
    assert run.ended_in == "home"
    refusal = run.stderr.splitlines()[0]
    function = {"map": "list"}.get(name, name.split()[0])  # what the instruction calls is named
    if function != "dumps":  # json calls back from its encoder, which is C or Python by release and arguments
        assert re.search(rf"\b{function}\b", refusal), run.stderr
    lines = source.splitlines()
    caller = next(i for i, line in enumerate(lines, 1) if "return " + INSIDE[name] in line)
    if function not in ("dumps",):
        assert re.search(rf"\b{caller}\b", refusal), f"line {caller} of the caller: {refusal}"
    assert "callee" in refusal or "genexpr" in refusal or "lambda" in refusal or "__lt__" in refusal, refusal


def test_both_lines_are_named(move):
    run = move("""
        def key(n):
            try:
                teleport()
            except BoundaryError as refusal:
                print(refusal)
            return -n

        def arrange(items):
            return sorted(items, key=key)

        print(arrange([1, 2]))
    """)
    first, second, last = run.stdout.splitlines()
    assert first == second
    assert last == "[2, 1]"
    assert "sorted" in first
    assert "key" in first
    assert "arrange" in first
    assert re.search(r"\b4\b", first), first
    assert re.search(r"\b10\b", first), first
    assert run.ended_in == "home"


def test_refused_inside_goes_through_outside(move):
    run = move("""
        def key(n):
            try:
                teleport()
            except TeleportError:
                trail("refused")
            return -n
        print(sorted([1, 2], key=key))
        hop()
        print("moved")
    """)
    assert run.stdout == "[2, 1]\nmoved\n"
    assert run.returncode == 0, run.stderr
    assert run.ended_in == "peer"


@pytest.mark.parametrize(
    "body",
    {
        "finaliser": """
        class Thing:
            def __del__(self):
                attempt()
        def f():
            thing = Thing()
            thing = None
            return "gone on"
        """,
        "finaliser during a call": """
        class Thing:
            def __del__(self):
                attempt()
        def take(thing):
            return "gone on"
        def f():
            return (lambda: take(Thing()))()
        """,
        "signal handler": """
        import signal
        signal.signal(signal.SIGUSR1, lambda number, frame: attempt())
        def f():
            import os
            os.kill(os.getpid(), signal.SIGUSR1)
            return [n for n in range(1000)][-1]
        """,
        "weakref callback": """
        import weakref
        class Thing:
            pass
        def f():
            thing = Thing()
            ref = weakref.ref(thing, lambda r: attempt())
            del thing
            return "gone on"
        """,
        "trace function": """
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
        "garbage collection": """
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
    }.items(),
    ids=lambda item: item[0],
)
def test_a_callee_that_no_instruction_called_is_refused(move, body):
    """CPython runs these between instructions, or inside one that says nothing of them."""
    source = f"""
        refused = []
        def attempt():
            try:
                teleport()
            except CaptureError as refusal:
                refused.append(type(refusal).__name__)
            trail("attempt")
{body[1]}
        print(f())
        import sys
        print(refused, file=sys.stderr)
    """
    straight = move.straight(source)
    run = move(source)
    assert run.returncode == 0, run.stderr
    assert run.stdout == straight.stdout
    assert run.ended_in == "home"
    assert "Error" in run.stderr


def test_operands_that_an_instruction_has_given_up_are_not_followed(move):
    """A finalizer runs while the operands go: those before it are gone, and their memory may be in use."""
    source = """
        import sys
        refused = []
        class Thing:
            def __del__(self):
                try:
                    teleport()
                except CaptureError as refusal:
                    refused.append(type(refusal).__name__)
                trail("attempt")
        def call(*args, **kwargs):
            pass
        class Called:
            def method(self, *args, **kwargs):
                pass
        def f(n):
            kept = Called()
            for i in range(3):
                call(n * 10**20, Thing(), n * 10**21)
                call(Thing(), str(n) * 3, n * 10**21)
                kept.method(float(n), Thing(), str(n) * 5)
                Called().method(float(n), Thing(), str(n) * 5)
                max(n * 10**22, Thing(), key=lambda x: 1)
                call(a=n * 10**20, b=Thing(), c=n * 10**21)
                call(*[n * 10**20, Thing()], **{str(n): Thing()})
                (n * 1.5, Thing()) + (n * 2.5,)
                [n * 1.5, Thing()] == [n * 2.5]
                str(n * 5) + str(n * 6) in {str(n): Thing()}
                f"{n * 1000!r:>4}{[Thing()]!r:.0}"
                (n * 10**20, [Thing()])[n - 7]
        f(7)
        import gc
        gc.collect()
        print("gone on")
        print(len(refused), set(refused) <= {"CaptureError", "BoundaryError"}, file=sys.stderr)
    """
    run = move(source, env={"PYTHONMALLOC": "debug"})
    assert run.returncode == 0, run.stderr
    assert run.stdout == "gone on\n"
    assert run.stderr == "39 True\n"
    assert move(source).stdout == "gone on\n"


def test_thread_of_its_own_is_refused_by_name(move):
    run = move("""
        import threading
        go = threading.Event()
        thread = threading.Thread(target=go.wait, name="collector")
        thread.start()
        try:
            teleport()
        except TeleportError as refusal:
            print(refusal)
        trail("refused")
        go.set()
        thread.join()
        print("both done")
    """)
    assert "collector" in run.stdout
    assert run.stdout.endswith("both done\n")
    assert run.ended_in == "home"


def test_teleport_in_another_thread_is_refused(move):
    run = move("""
        import threading
        def work():
            try:
                teleport()
            except TeleportError as refusal:
                print("refused", bool(str(refusal)))
            trail("refused")
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        print("done")
    """)
    assert run.stdout == "refused True\ndone\n"
    assert run.ended_in == "home"


def test_every_unmovable_object_is_listed_with_its_path(move):
    run = move("""
        import socket, threading
        class Job:
            pass
        def main():
            job = Job()
            job.conn = socket.socket()
            held = {"lock": [threading.Lock()]}
            held["lock"][0].acquire()
            try:
                teleport()
            except UnmovableError as refusal:
                print(refusal)
            trail("refused")
            job.conn.close()
        main()
        print("gone on")
    """)
    assert run.returncode == 0, run.stderr
    assert "main() → job.conn" in run.stdout
    assert "socket.socket" in run.stdout
    assert "main() → held['lock'][0]" in run.stdout
    assert run.stdout.endswith("gone on\n")
    assert run.ended_in == "home"


def test_error_classes_are_a_family():
    import pyteleport as p

    for error in (p.CaptureError, p.PayloadError, p.TransportError, p.ResumeError):
        assert issubclass(error, p.TeleportError)
    assert issubclass(p.BoundaryError, p.CaptureError)
    assert issubclass(p.UnmovableError, p.CaptureError)
    assert issubclass(p.TeleportError, Exception)


def test_a_failed_capture_changes_nothing(move):
    source = """
        import gc, socket, sys
        def g():
            yield 1
            yield 2
        def main(*args, key=1, **more):
            it = g()
            next(it)
            sock = socket.socket()
            try:
                raise KeyError("k")
            except KeyError:
                for i in range(3):
                    try:
                        teleport()
                    except UnmovableError:
                        trail("refused")
                    print(i, repr(sys.exc_info()[1]), sys.gettrace(), args, key, more, sys.getrecursionlimit())
            sock.close()
            return list(it)
        print(main(1, 2, z=3))
    """
    straight = move.straight(source)
    run = move(source)
    assert run.stdout == straight.stdout
    assert run.stderr == ""
    assert run.ended_in == "home"


@pytest.mark.parametrize("hook", [(), ("-X", "teleport")], ids=["armed", "recording"])
def test_an_instance_that_its_init_lets_go_is_known_to_the_hook_alone(move, hook):
    run = move(
        """
        class Thing:
            def __init__(self, n):
                me, self = self, None
                me.n = n
                try:
                    teleport()
                except CaptureError as refusal:
                    print("install_hook" in str(refusal))
                trail("hop")
        print(Thing(3).n)
    """,
        flags=hook,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == ("3\n" if hook else "True\n3\n")
    assert run.ended_in == ("peer" if hook else "home")
