"""The hook: installing, removing, what it says of itself, other evaluators, and starting with Python."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import harness
import pyteleport
import pytest

PROGRAMS = sorted(
    p for p in (Path(__file__).parent / "programs").glob("*.py") if not p.stem.startswith("py3")
)


@pytest.fixture(scope="session")
def passer(tmp_path_factory):
    return str(harness.build_passer(tmp_path_factory.mktemp("passer")))


def python(*argv, **env):
    """(status, stdout, stderr) of this environment's Python."""
    process = harness.spawn([sys.executable, *argv], env=harness.environment(**env))
    out, err = harness.finish(process)
    return process.returncode, out.decode(), err.decode()


def run(code, *flags, **env):
    """stdout of a piece of Python that ends well and says nothing on stderr."""
    import textwrap

    status, out, err = python(*flags, "-c", textwrap.dedent(code), **env)
    assert (status, err) == (0, ""), err
    return out


PASSER = """
        import ctypes
        ctypes.passer = ctypes.PyDLL({library!r})  # in a module that goes by name: it cannot move itself
        ctypes.passer.current.restype = ctypes.c_void_p
        ctypes.passer.calls.restype = ctypes.c_uint64
"""


# ---- install, uninstall, status ---------------------------------------------------------------------------


def test_armed_until_installed_and_again_after(passer):
    assert (
        run(f"""{PASSER.format(library=passer)}
        original = ctypes.passer.current()
        from pyteleport import hook_status, install_hook, uninstall_hook
        seen = [(hook_status(), ctypes.passer.current() == original)]
        install_hook()
        seen.append((hook_status(), ctypes.passer.current() == original))
        install_hook()
        seen.append((hook_status(), ctypes.passer.current() == original))
        uninstall_hook()
        seen.append((hook_status(), ctypes.passer.current() == original))
        uninstall_hook()
        seen.append((hook_status(), ctypes.passer.current() == original))
        print(seen)
        """)
        == "[('armed', True), ('recording', False), ('recording', False), ('armed', True), ('armed', True)]\n"
    )


def test_a_capture_without_the_hook_leaves_no_evaluator_behind(passer):
    assert (
        run(f"""{PASSER.format(library=passer)}
        original = ctypes.passer.current()
        import io
        from pyteleport import dump, hook_status
        def f():
            return dump(io.BytesIO())
        print(f(), ctypes.passer.current() == original, hook_status())
        """)
        == "None True armed\n"
    )


def test_frames_entered_before_and_left_after(passer):
    assert (
        run("""
        from pyteleport import hook_status, install_hook, uninstall_hook
        def g():
            yield hook_status()
            install_hook()
            yield hook_status()
            uninstall_hook()
            yield hook_status()
        def deep(n):
            if n == 0:
                install_hook()
                return deep(-1)
            if n == -10:
                uninstall_hook()
                return []
            return deep(n - 1) + [n]
        print(list(g()), deep(3), hook_status())
        """)
        == "['armed', 'recording', 'armed'] "
        "[-9, -8, -7, -6, -5, -4, -3, -2, -1, 1, 2, 3] armed\n"
    )


def test_another_evaluator_is_called_through_and_put_back(passer):
    out = run(f"""{PASSER.format(library=passer)}
        from pyteleport import hook_status, install_hook, uninstall_hook
        ctypes.passer.set_counting()
        foreign = ctypes.passer.current()
        def f(n):
            return n and f(n - 1)
        install_hook()
        print(hook_status())
        before = ctypes.passer.calls()
        f(100)
        print(ctypes.passer.calls() - before >= 100)
        uninstall_hook()
        print(ctypes.passer.current() == foreign, hook_status())
        before = ctypes.passer.calls()
        f(100)
        print(ctypes.passer.calls() - before >= 100)
        ctypes.passer.set_default()
    """)
    first, *rest = out.splitlines()
    assert first.startswith("recording")
    assert "evaluator" in first
    assert rest == ["True", "True armed", "True"]


def test_a_program_with_another_evaluator_moves_and_keeps_going(move, passer):
    """The other evaluator belongs to the process, not to the program: it is called through here, and absent there."""
    run = move(f"""{PASSER.format(library=passer)}
        ctypes.passer.set_counting()
        install_hook()
        def f(n):
            return n and 1 + f(n - 1) or hop(0)
        print(f(20))
    """)
    assert run.stdout == "20\n", run.stderr
    assert run.ended_in == "peer"


def test_an_evaluator_set_over_ours_is_not_thrown_out(passer):
    out = run(f"""{PASSER.format(library=passer)}
        from pyteleport import TeleportError, hook_status, install_hook, uninstall_hook
        install_hook()
        ctypes.passer.set_counting()
        foreign = ctypes.passer.current()
        try:
            uninstall_hook()
        except TeleportError as refusal:
            assert "another eval-frame function" in str(refusal)
        print(ctypes.passer.current() == foreign)
        ctypes.passer.set_default()
        print(sum([n for n in range(5)]))
    """)
    assert out == "True\n10\n"


# ---- it changes nothing -----------------------------------------------------------------------------------


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: p.stem)
def test_recording_changes_no_program(move, program):
    straight = move.straight(program)
    recording = move(program, moves=[], flags=("-X", "teleport"))
    assert (recording.stdout, recording.stderr) == (straight.stdout, straight.stderr)


RECURSION = """
        import sys
        def depth(n=0):
            try:
                return depth(n + 1)
            except RecursionError:
                return n
        class Deep:
            def __init__(self, n):
                try:
                    self.n = Deep(n + 1).n
                except RecursionError:
                    self.n = n
            def __add__(self, n):
                try:
                    return self + (n + 1)
                except RecursionError:
                    return n
        def gen(n):
            try:
                yield from gen(n + 1)
            except RecursionError:
                yield n
        print(depth(), Deep(0).n, Deep.__add__(Deep.__new__(Deep), 0), next(gen(0)))
        sys.setrecursionlimit(8000)  # what CPython 3.9's own C stack holds
        print(depth())
"""


def test_recording_changes_no_recursion_depth():
    recording, straight = (
        [int(depth) for depth in run(RECURSION, *flags).split()] for flags in (["-X", "teleport"], [])
    )
    # Functions that call themselves are as deep as the recursion limit says. For the others CPython itself counts
    # how it happens to make a call: through C (3.12: a budget of 1,500 in its first micro releases), or by a frame
    # more for an `__init__` that it has specialized (3.13 and later). Recording takes nothing of it away.
    assert (recording[0], recording[-1]) == (straight[0], straight[-1])
    assert all(ours >= theirs for ours, theirs in zip(recording, straight)), (recording, straight)


def test_recording_changes_nothing_that_tracers_see():
    code = """
        import sys
        seen = []
        def tracer(frame, event, arg):
            seen.append((event, frame.f_code.co_name, frame.f_lineno, frame.f_back.f_code.co_name))
            return tracer
        def g():
            yield 1
            raise KeyError
        class A:
            def __init__(self):
                self.a = [n for n in g()]
        def f():
            try:
                A()
            except KeyError:
                return 1
        sys.settrace(tracer); f(); sys.settrace(None)
        sys.setprofile(lambda frame, event, arg: seen.append((event, frame.f_code.co_name))); f(); sys.setprofile(None)
        print(seen)
    """
    assert run(code, "-X", "teleport") == run(code)


def test_recording_in_threads():
    code = """
        import threading
        results = []
        def fib(n):
            return n if n < 2 else fib(n - 1) + fib(n - 2)
        def work(n):
            for _ in range(5):
                results.append(fib(n))
        threads = [threading.Thread(target=work, args=(10 + n,)) for n in range(8)]
        for thread in threads: thread.start()
        for thread in threads: thread.join()
        print(sorted(results))
    """
    assert run(code, "-X", "teleport") == run(code)


def test_install_and_uninstall_while_threads_run():
    assert (
        run("""
        import threading
        from pyteleport import install_hook, uninstall_hook
        stop, errors = False, []
        def fib(n):
            return n if n < 2 else fib(n - 1) + fib(n - 2)
        def work():
            while not stop:
                if fib(8) != 21:
                    errors.append("wrong")
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads: thread.start()
        for _ in range(200):
            install_hook()
            fib(5)
            uninstall_hook()
        stop = True
        for thread in threads: thread.join()
        print(errors)
        """)
        == "[]\n"
    )


# ---- starting with Python ---------------------------------------------------------------------------------

STATUS = """
        import sys
        before = "pyteleport" in sys.modules
        from pyteleport import hook_status
        print(before, hook_status())
"""


@pytest.mark.parametrize(
    ("flags", "env", "expected"),
    [
        ((), {}, "False armed\n"),
        (("-X", "teleport"), {}, "True recording\n"),
        ((), {"PYTELEPORT": "1"}, "True recording\n"),
        ((), {"PYTELEPORT": "0"}, "False armed\n"),
        ((), {"PYTELEPORT": ""}, "False armed\n"),
        (("-E",), {"PYTELEPORT": "1"}, "False armed\n"),
        (("-X", "teleport", "-E"), {"PYTELEPORT": "0"}, "True recording\n"),
        (("-X", "importtime"), {"PYTELEPORT": "0"}, None),
    ],
)
def test_startup(flags, env, expected):
    if expected is None:
        status, out, err = python(*flags, "-c", "pass", **env)
        assert (status, out) == (0, "")
        assert "pyteleport" not in err
    else:
        assert run(STATUS, *flags, **env) == expected


def test_startup_file_is_processed_twice_without_harm():
    """As in a virtual environment whose site-packages is added again."""
    code = (
        f"import site; site.addsitedir({str(site_packages())!r})\n"
        + "from pyteleport import hook_status; print(hook_status())"
    )
    assert python("-X", "teleport", "-c", code) == (0, "recording\n", "")


def site_packages():
    import pyteleport

    folder = Path(pyteleport.__file__).parent.parent
    assert (folder / "pyteleport.pth").exists()
    return folder


def test_startup_file_costs_an_ordinary_python_no_import():
    """It is one line, and what it imports is there already."""
    lines = (site_packages() / "pyteleport.pth").read_text().splitlines()
    assert len(lines) == 1
    loaded = json.loads(run("import json, sys; print(json.dumps(sorted(sys.modules)))"))
    assert not [name for name in loaded if name.startswith(("pyteleport", "cloudpickle"))]
    code = f"import sys; before = set(sys.modules); exec({lines[0]!r}); print(set(sys.modules) - before)"
    assert run(code, "-I") == "set()\n"


def test_a_script_under_the_hook_is_the_first_thing_that_runs(move):
    program = move.write(
        "import sys; print(sys.argv, __name__, len(__import__('inspect').stack()))", prelude=False
    )
    assert python("-X", "teleport", str(program), "a") == python(str(program), "a")


def test_import_is_light():
    """`import pyteleport` loads nothing that a program would not have: what is heavy waits for the first move."""
    new = json.loads(
        run(
            "import sys; before = set(sys.modules); import pyteleport; new = sorted(set(sys.modules) - before); "
            "import json; print(json.dumps(new))"
        )
    )
    allowed = {"_io", "os", "sys"}
    heavy = [n for n in new if not n.startswith("pyteleport") and n not in allowed]
    assert len(heavy) <= 3, heavy


def test_the_stubs_of_the_native_half_are_complete():
    stub = Path(pyteleport.__file__).with_name("_native.pyi").read_text()
    written = set(re.findall(r"^(?:def|class) (\w+)", stub, re.MULTILINE))
    assert written == {name for name in vars(pyteleport._native) if not name.startswith("_")}


# ---- refusals ---------------------------------------------------------------------------------------------


def test_subinterpreters_are_refused_clearly():
    code = """
try:
    import _interpreters as sub
except ImportError:  # before 3.13
    import _xxsubinterpreters as sub
interpreter = sub.create()
sub.run_string(interpreter, '''
try:
    import pyteleport
    pyteleport.install_hook()
except (ImportError, pyteleport.TeleportError if "pyteleport" in dir() else ImportError) as error:
    print("subinterpreter" in str(error).lower())
else:
    print("installed")
''')
sub.destroy(interpreter)
"""
    assert run(code) == "True\n"


def test_a_subinterpreter_of_a_program_that_was_started_with_the_hook_keeps_quiet():
    code = """
        try:
            import _interpreters as sub
        except ImportError:  # before 3.13
            import _xxsubinterpreters as sub
        from pyteleport import hook_status
        ask = "import sys; sys.stdout.write(str('pyteleport' in sys.modules)); sys.stdout.flush()"
        for kind in ({}, {"isolated": True}, {"isolated": False}, {"config": "isolated"}, {"config": "legacy"}):
            try:
                interpreter = sub.create(**kind)
            except TypeError:  # one of another release
                continue
            sub.run_string(interpreter, ask)
            sub.destroy(interpreter)
        print(hook_status())
    """
    assert run(code, "-X", "teleport").replace("False", "") == "recording\n"


def test_a_refusal_at_startup_is_told_and_the_program_runs(tmp_path):
    """A build that the hook was not made for: here, one whose extension module cannot be loaded."""
    broken = tmp_path / "pyteleport"
    broken.mkdir()
    real = Path(__import__("pyteleport").__file__).parent
    for source in real.glob("*.py"):
        (broken / source.name).write_text(source.read_text())
    (broken / "_native.py").write_text("raise ImportError('made for another build')\n")
    status, out, err = python("-X", "teleport", "-c", "print('runs')", PYTHONPATH=str(tmp_path))
    assert (status, out) == (0, "runs\n")
    assert err.splitlines()[-1] == "pyteleport: the hook is not installed: made for another build"


def test_clean_install_has_the_startup_file_in_its_record():
    files = subprocess.run(
        [sys.executable, "-m", "pip", "show", "--files", "pyteleport"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "pyteleport.pth" in files
    assert "py.typed" in files
    assert os.path.basename(__file__) not in files
