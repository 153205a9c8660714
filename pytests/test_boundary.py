"""What cannot move: the words of the refusal, and the program going on at home."""

import re
import sys

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
    "dict": "dict((n, callee(n)) for n in [1, 2])",
    "sorted with __lt__": "[x.n for x in sorted([Less(2), Less(1)])]",
    "dumps": "json.dumps([Less(1)], default=lambda x: callee(x.n))",
}


# What the recording mode can follow: test_recording.py, test_sources.py.
FOLLOWED = {"map", "sum", "list", "tuple", "join", "dict"}

ARMED = [(name, ()) for name in INSIDE]
RECORDING = [(name, ("-X", "teleport")) for name in INSIDE if name not in FOLLOWED]


@pytest.mark.parametrize(("name", "hook"), ARMED + RECORDING)
def test_c_function_with_work_left_is_refused_and_the_program_goes_on(refused, name, hook):
    source = f"""
        import functools, json, re
        class Less:
            def __init__(self, n):
                self.n = n
            def __lt__(self, other):
                return callee(self.n) < other.n
        def callee(n):
            return attempt(n)
        def caller():
            return {INSIDE[name]}
        print(caller())
    """
    first = refused(source, flags=hook)[0]
    assert re.search("callee|genexpr|lambda|__lt__", first), first
    function = {"map": "list"}.get(name, name.split()[0])  # what the instruction calls is named
    if function != "dumps":  # json calls back from its encoder, which is C or Python by release and arguments
        assert re.search(rf"\b{function}\b", first), first
        line = 1 + source.splitlines().index(f"            return {INSIDE[name]}")
        assert re.search(rf"\b{line}\b", first), f"line {line} of the caller: {first}"


# More of the same, each with what the refusal has to name.
NAMED = {
    "subn": ("re.compile('[ab]').subn(lambda m: str(callee(m.group())), 'aXb')", "subn"),
    "object_hook": ("json.loads('{}', object_hook=lambda pairs: callee(1))", "json"),
    "object_pairs_hook": ("json.loads('{}', object_pairs_hook=lambda pairs: callee(1))", "json"),
    "parse_int": ("json.loads('[1]', parse_int=lambda text: callee(1))", "json"),
    "sqlite3": ("ask_database(callee)", "execute"),
    "ctypes": ("ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_int)(callee)(5)", "CFunctionType"),
    "ctypes qsort": ("sort_in_c(callee)", "qsort"),
    "groupby's key": ("[k for k, group in itertools.groupby([1, 1], callee)]", "FOR_ITER|groupby"),
    "groupby's key, collected": ("[k for k, group in list(itertools.groupby([1, 1], callee))]", "list"),
    "groupby": ("[k for k, group in list(itertools.groupby(numbers()))]", "list"),
    "product": ("list(itertools.product(numbers()))", "product"),
    "permutations": ("list(itertools.permutations(numbers()))", "permutations"),
    "the second of map": ("list(map(max, [1, 2], numbers()))", "list"),
    "the second of zip below another": ("list(enumerate(zip([1, 2], numbers())))", "list"),
    "accumulate, collected": ("list(itertools.accumulate([1, 2, 3], lambda a, b: callee(a)))", "list"),
    "takewhile, collected": ("list(itertools.takewhile(callee, [1, 2]))", "list"),
    "dropwhile, collected": ("list(itertools.dropwhile(callee, [0, 2]))", "list"),
    "cmp_to_key": ("sorted([3, 1], key=functools.cmp_to_key(lambda a, b: callee(a - b)))", "sorted"),
    "heapq": ("heapq.nsmallest(1, [3, 1], key=callee)", "min|nsmallest|heapq"),
    "bisect": ("bisect.bisect([Less(1), Less(2)], Less(1))", r"bisect\w*"),
    "== in a list": ("[Less(1)] == [Less(2)]", "compare_op|COMPARE_OP"),
    "in a list": ("Less(1) in [Less(2)]", "contains_op|CONTAINS_OP|COMPARE_OP|compare_op"),
    "index": ("[Less(2), same].index(same)", "index"),
}
if sys.version_info >= (3, 12):
    NAMED["batched"] = ("list(itertools.batched(numbers(), 2))", "list")


@pytest.mark.parametrize("hook", [(), ("-X", "teleport")], ids=["armed", "recording"])
@pytest.mark.parametrize("name", NAMED)
def test_what_the_refusal_names(refused, name, hook):
    expression, named = NAMED[name]
    source = f"""
        import bisect, ctypes, ctypes.util, functools, heapq, itertools, json, re, sqlite3
        class Less:
            def __init__(self, n):
                self.n = n
            def __lt__(self, other):
                return callee(self.n) < other.n
            def __eq__(self, other):
                return callee(self.n) == other.n
        same = Less(5)
        def callee(n):
            return attempt(n)
        def numbers():
            yield callee(1)
            yield callee(2)
        def ask_database(function):
            with sqlite3.connect(":memory:") as database:
                database.create_function("ask", 1, function)
                return database.execute("select ask(3)").fetchall()
        def sort_in_c(function):
            compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)(lambda a, b: function(0))
            items = (ctypes.c_int * 2)(2, 1)
            ctypes.CDLL(None).qsort(items, 2, ctypes.sizeof(ctypes.c_int), compare)
            return list(items)
        def caller():
            return {expression}
        print(caller())
    """
    first = refused(source, flags=hook)[0]
    assert re.search(rf"\b({named})\b", first), first
    assert len(re.findall(r", line \d+\)", first)) == 2, first


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


@pytest.mark.parametrize("hook", [(), ("-X", "teleport")], ids=["armed", "recording"])
def test_what_a_move_asks_of_the_program_does_not_move(move, hook):
    """Reducers are called by the capture, a key's hash by the arrival; each of them would have them called again."""
    source = """
        def attempt():
            try:
                teleport()
            except BoundaryError as refusal:
                trail("refused", str(refusal))
        class Reduced:
            def __reduce__(self):
                attempt()
                return Reduced, ()
        class Key:
            def __hash__(self):
                attempt()
                return 1
        def main():
            kept = Reduced(), {Key(): 1}
            hop()
            return type(kept[0]).__name__, list(kept[1].values())
        print(main())
    """
    moved = move(source, flags=hook)
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout == "('Reduced', [1])\n"
    assert moved.hops == 1
    assert moved.ended_in == "peer"
    first, second = dict.fromkeys(
        text for what, text in moved.told if what == "refused" and "pyteleport" in text
    )
    assert "__reduce__() (" in first
    assert "__hash__() (" in second


def test_every_unmovable_object_is_listed_with_its_path(move):
    run = move("""
        import os, socket
        class Job:
            pass
        def main():
            job = Job()
            job.conn = socket.socket()
            held = {"ends": [os.pipe(), socket.socket()]}
            try:
                teleport()
            except UnmovableError as refusal:
                print(refusal)
            trail("refused")
            job.conn.close()
            held["ends"][1].close()
        main()
        print("gone on")
    """)
    assert run.returncode == 0, run.stderr
    assert "main() → job.conn" in run.stdout
    assert "socket.socket" in run.stdout
    assert "main() → held['ends'][1]" in run.stdout
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
