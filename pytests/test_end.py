"""The end of a moved program is a script's end, and nothing of pyteleport is seen on the way there."""

import re

import pytest


def like_straight(move, source, **options):
    """Runs a program both ways under the same name, and compares everything that comes out."""
    straight = move.straight(source, **options)
    run = move(source, **options)

    def neutral(text):
        return re.sub(r"program\d+\.py", "program.py", text)

    assert neutral(run.stdout) == neutral(straight.stdout), run.stderr
    assert neutral(run.stderr) == neutral(straight.stderr)
    assert run.returncode == straight.returncode
    assert run.moves == run.hops > 0
    return run


@pytest.mark.parametrize(
    "ending",
    [
        "sys.exit(3)",
        "sys.exit()",
        "sys.exit('last words')",
        "sys.exit(256 + 7)",
        "raise SystemExit(4)",
        "os._exit(5)",
        "raise ValueError('out')",
        "raise KeyboardInterrupt",
        "os.kill(os.getpid(), signal.SIGTERM)",
        "os.kill(os.getpid(), signal.SIGKILL)",
        "os.abort()",
        "pass",
    ],
)
def test_exit_status(move, ending):
    like_straight(
        move,
        f"""
        import os, signal, sys, faulthandler
        faulthandler.disable()
        def f():
            try:
                hop()
                print("last", flush=True)
                {ending}
            finally:
                print("finally", flush=True)
        f()
    """,
    )


def test_uncaught_exception_reads_as_at_home(move):
    run = like_straight(
        move,
        """
        def inner(n):
            hop()
            return 1 / n
        def outer():
            try:
                return inner(0)  # this comment is part of the line
            except ZeroDivisionError as error:
                raise RuntimeError("wrapped") from error
        outer()
    """,
    )
    assert "inner(0)  # this comment is part of the line" in run.stderr


def test_source_lines_come_along(move):
    run = move("""
        import os
        def inner(n):
            return 1 / n  # the line that fails
        def outer():
            hop()
            os.remove(__file__)
            hop()
            return inner(0)
        outer()
    """)
    assert run.returncode == 1
    assert "return 1 / n  # the line that fails" in run.stderr
    assert "return inner(0)" in run.stderr
    assert "pyteleport" not in run.stderr
    assert "_native" not in run.stderr
    assert run.stderr.endswith("ZeroDivisionError: division by zero\n")


def test_atexit_and_finally_run_once_and_in_order(move):
    like_straight(
        move,
        """
        import atexit, contextlib, weakref
        class Thing:
            pass
        def said(*words, **more):
            print("atexit", words, more)
        atexit.register(said, 1, key=2)
        atexit.register(said, "second")
        atexit.unregister(print)
        with contextlib.ExitStack() as stack:
            stack.callback(print, "stack")
            try:
                hop()
                atexit.register(said, "after the move")
                raise KeyError("out")
            finally:
                print("finally")
    """,
    )


def test_output_is_flushed_once(move):
    like_straight(
        move,
        """
        import sys
        sys.stdout.write("buffered before ")
        sys.stderr.write("to stderr before\\n")
        hop()
        sys.stdout.write("and after\\n")
        sys.stdout.buffer.flush()
        print("no newline at the end", end="")
    """,
    )


def test_stack_and_tracebacks_show_only_the_program(move):
    run = like_straight(
        move,
        """
        import inspect, sys, traceback, warnings
        def inner():
            teleport()
            trail("hop")
            print([(f.function, f.lineno, f.code_context) for f in inspect.stack()])
            traceback.print_stack(file=sys.stdout)
            frame, depth = sys._getframe(), 0
            while frame.f_back:
                frame, depth = frame.f_back, depth + 1
            print(depth, frame.f_code.co_name, frame.f_globals is globals(), frame.f_lineno)
            warnings.warn("look here", stacklevel=2)
            try:
                raise ValueError("v")
            except ValueError:
                print(traceback.format_exc())
        def outer():
            inner()
        outer()
        print([(f.function, f.lineno) for f in inspect.stack()])
        raise LookupError("the end")
    """,
    )
    assert "look here" in run.stderr
    assert "pyteleport" not in run.stdout + run.stderr


def test_main_looks_like_the_script(move):
    like_straight(
        move,
        """
        import sys
        def facts():
            import __main__
            return (__name__, __main__ is sys.modules["__main__"], __main__.__dict__ is globals(), __spec__,
                    __package__, __doc__, sys.argv[1:], sys.flags.optimize, sys.dont_write_bytecode,
                    type(__loader__).__name__ if "__loader__" in globals() else None,
                    __file__ == sys.argv[0], sys.path[0] == __file__.rpartition("/")[0],
                    [n for n in sorted(sys.modules) if n.startswith("__m")])
        before = facts()
        hop()
        print(facts(), facts() == before)
    """,
        args=["a", "-b"],
    )


def test_hooks_of_the_program_see_its_exception(move):
    like_straight(
        move,
        """
        import sys
        def report(kind, error, traceback):
            print("hook:", kind.__name__, error, traceback.tb_lineno)
        sys.excepthook = report
        hop()
        raise LookupError("seen")
    """,
    )


def test_objects_are_finalised_at_the_end_as_a_script_would(move):
    like_straight(
        move,
        """
        import weakref
        class Thing:
            def __init__(self, name):
                self.name = name
            def __del__(self):
                print("del", self.name)
        local = Thing("global")
        def f():
            inside = Thing("local")
            hop()
            print("leaving f")
        f()
        finaliser = weakref.finalize(local, print, "finalize")
        print("end")
    """,
    )


def test_recording_goes_on_after_the_move(move):
    run = move(
        """
        first = hook_status()
        hop()
        second = hook_status()
        print(first == second)
    """,
        flags=("-X", "teleport"),
    )
    assert run.stdout == "True\n", run.stderr


def test_globals_go_before_the_types_that_they_are_of(same):
    same("""
        import itertools
        def f():
            return pair
        pair = itertools.tee(range(300))
        print(sum(itertools.islice(pair[0], 130)))
        hop()
        print(sum(pair[1]))
    """)
