"""Exceptions and tracebacks: what is being handled, what is in flight, and what is raised after the move."""

import pytest

PRINTER = """
import sys, traceback
def text(error=None, file=__file__):
    "The traceback as it is printed, without the folder that the program lies in."
    error = error or sys.exc_info()[1]
    lines = traceback.format_exception(type(error), error, error.__traceback__)
    return "".join(lines).replace(file, "program.py")
def places(error):
    found, entry = [], error.__traceback__
    while entry is not None:
        found.append((entry.tb_frame.f_code.co_name, entry.tb_lineno))
        entry = entry.tb_next
    return found
"""


def with_printer(source):
    return "\n" + PRINTER.strip() + source


def test_traceback_of_dead_frames_prints_the_same(same):
    same(
        with_printer("""
def leaf(n):
    table = {"a": [1, 2, {"b": None}]}
    return (1 + table["a"][2]["b"]["c"] +
            n)
def middle(n):
    return [leaf(n) for n in range(3)]
def outer():
    try:
        middle(2)
    except TypeError as error:
        raise ValueError("outer") from error
kept = None
try:
    outer()
except ValueError as error:
    kept = error
    print(text(), places(error), places(error.__cause__))
    hop()
    print(text(), places(error), places(error.__cause__))
hop()
print(text(kept), sys.exc_info())
print([entry.line for entry in traceback.extract_tb(kept.__traceback__)])
summary = traceback.TracebackException.from_exception(kept, capture_locals=False)
hop()
print("".join(summary.format()).replace(__file__, "program.py"))
""")
    )


def test_exception_raised_after_the_move_has_the_right_traceback(same):
    same(
        with_printer("""
class Manager:
    def __enter__(self):
        return self
    def __exit__(self, kind, error, entry):
        print("exit", repr(error), [place for place in places(error)])
        hop()
        return False
def leaf():
    return len([hop(1),
                hop(2)]) + (hop(3) or 1) / 0
def middle():
    with Manager():
        try:
            return leaf()
        finally:
            hop()
            print("finally", sys.exc_info()[0])
def outer():
    for n in range(1):
        try:
            middle()
        except ZeroDivisionError as error:
            print(text(), places(error))
            hop()
            raise LookupError("outer") from None
try:
    outer()
except LookupError as error:
    print(text(), places(error), places(error.__context__), error.__suppress_context__)
""")
    )


def test_nested_handlers_and_bare_raise(same):
    same(
        with_printer("""
def f():
    try:
        raise KeyError("one")
    except KeyError:
        try:
            hop()
            raise ValueError("two")
        except ValueError:
            try:
                hop()
                raise OSError("three")
            except OSError as error:
                hop()
                print(repr(error.__context__), repr(error.__context__.__context__))
            hop()
            print(repr(sys.exc_info()[1]))
            try:
                raise
            except ValueError as error:
                print(text())
        hop()
        print(repr(sys.exc_info()[1]))
        raise
try:
    f()
except KeyError as error:
    print(text(), places(error))
print(sys.exc_info())
""")
    )


@pytest.mark.parametrize(
    "leave", ["return", "break", "continue", "raise", "fall", "return in finally", "break in finally"]
)
def test_finally_with_all_ways_to_leave(same, leave):
    body = {
        "return": "return 'body'",
        "break": "break",
        "continue": "continue",
        "raise": "raise KeyError('body')",
    }
    final = {"return in finally": "return 'finally'", "break in finally": "break"}
    inner = body.get(leave, "raise LookupError('lost')" if leave in final else "pass")
    same(
        with_printer(f"""
def f():
    for n in range(3):
        try:
            try:
                hop()
                {inner}
            finally:
                print("inner", n, sys.exc_info()[0])
                hop()
                print("inner again", n, sys.exc_info()[0])
        finally:
            hop()
            print("outer", n, sys.exc_info()[0])
            {final.get(leave, "pass")}
    else:
        print("else")
    return "end"
try:
    print(f())
except KeyError as error:
    print(text(), places(error))
print(sys.exc_info())
"""),
        env={"PYTHONWARNINGS": "ignore::SyntaxWarning"},  # of a return in a finally
    )


def test_with_blocks_that_swallow(same):
    same(
        with_printer("""
import contextlib
class Swallows:
    def __init__(self, *kinds):
        self.kinds = kinds
    def __enter__(self):
        hop()
        return self
    def __exit__(self, kind, error, entry):
        hop()
        print("exit", repr(error), repr(sys.exc_info()[1]))
        return bool(kind and issubclass(kind, self.kinds))
def f():
    with Swallows(KeyError), Swallows(ValueError) as inner:
        hop()
        raise ValueError("v")
    with Swallows(KeyError):
        with Swallows(ValueError):
            raise KeyError(hop("k"))
    with contextlib.suppress(ZeroDivisionError):
        hop()
        1 / 0
    with Swallows(BaseException):
        for n in range(3):
            with Swallows(KeyError):
                if n == 1:
                    return "returned"
                hop()
                raise KeyError(n)
print(f(), sys.exc_info())
""")
    )


def test_exceptions_of_all_makes(same):
    same(
        with_printer("""
class Slotted(Exception):
    __slots__ = ("code", "unset")
    def __init__(self, code):
        print("made")
        super().__init__("code %s" % code)
        self.code = code
class Open(Exception):
    def __init__(self, message, *, detail):
        super().__init__(message)
        self.detail = detail
class Reduced(Exception):
    def __reduce__(self):
        print("asked")
        return Reduced, ("other",)
    def __new__(cls, *args, **options):
        print("new", args)
        return super().__new__(cls, *args)
class Texted(ValueError):
    def __str__(self):
        return "text of %r" % (self.args,)
class Group(Exception):
    def __init__(self):
        self.others = [self]
found = []
def raising(error):
    try:
        raise error
    except BaseException as caught:
        found.append(caught)
for error in (Slotted(1), Open("m", detail=[1]), Reduced("r"), Texted(1, 2), Group(), OSError(2, "text", "file"),
              UnicodeDecodeError("utf-8", b"abc", 1, 2, "reason"), StopIteration("value"), SystemExit(3),
              KeyboardInterrupt(), GeneratorExit(), ImportError("i", name="n", path="p"), AttributeError("a"),
              SyntaxError("s", ("file", 1, 2, "line")), NameError("n"), BaseException(), MemoryError()):
    raising(error)
hop()
for error in found:
    names = ("code", "unset", "detail", "others", "errno", "filename", "start", "value", "name", "path", "lineno", "text")
    shown = {name: getattr(error, name) for name in names if hasattr(error, name)}
    print(type(error).__name__, error.args, str(error),
          [(k, v[0] is error if k == "others" else v) for k, v in shown.items()])
    print(text(error))
    try:
        raise error
    except BaseException as again:
        print(again is error, places(error))
""")
    )


def test_chains_and_notes(same):
    same(
        with_printer("""
def chain(n):
    try:
        if n:
            chain(n - 1)
        else:
            raise KeyError("innermost")
    except Exception as error:
        if n % 2:
            raise ValueError(n) from error
        raise LookupError(n)
try:
    chain(4)
except Exception as error:
    kept = error
    if hasattr(error, "add_note"):
        error.add_note("first note")
        error.__context__.add_note("second note\\nof two lines")
hop()
print(text(kept))
loop = KeyError("a")
loop.__context__ = ValueError("b")
loop.__context__.__context__ = loop
hop()
print(loop.__context__.__context__ is loop, getattr(kept, "__notes__", None))
deep = None
for n in range(20000):
    error = ValueError(n)
    error.__context__, deep = deep, error
hop()
count = 0
while deep is not None:
    count, deep = count + 1, deep.__context__
print(count)
""")
    )


def test_exceptions_that_refer_to_their_frames(same):
    same(
        with_printer("""
def raises():
    local = [1, 2]
    try:
        1 / 0
    except ZeroDivisionError as caught:
        error = caught
        hop()
        print(error.__traceback__.tb_frame is sys._getframe(), error.__traceback__.tb_frame.f_locals is not None)
        local.append(error)
        hop()
        return error
def outer():
    try:
        raise raises()
    except ZeroDivisionError as error:
        hop()
        frames = [entry.tb_frame for entry in entries(error)]
        print([frame.f_code.co_name for frame in frames], frames[-1] is sys._getframe() or frames[0] is sys._getframe())
        print(text())
        raise
def entries(error):
    entry = error.__traceback__
    while entry:
        yield entry
        entry = entry.tb_next
try:
    outer()
except ZeroDivisionError as error:
    hop()
    print(text(), places(error))
""")
    )


def test_exceptions_thrown_into_moved_generators(same):
    same(
        with_printer("""
def g():
    while True:
        try:
            yield "waiting"
        except KeyError as error:
            kept.append(error)
            yield text(error)
        finally:
            print("finally", sys.exc_info()[0])
kept = []
it = g()
next(it)
hop()
def thrower(error):
    try:
        return it.throw(error)
    except BaseException as caught:
        return text(caught)
print(thrower(KeyError("k")))
hop()
print(text(kept[0]), places(kept[0]))
next(it)
print(thrower(ValueError("v")))
""")
    )


def test_interrupts_and_exits(same):
    same(
        with_printer("""
import signal, os
def f():
    try:
        hop()
        os.kill(os.getpid(), signal.SIGINT)
        for n in range(10 ** 6):
            pass
    except KeyboardInterrupt as error:
        hop()
        print(type(error).__name__, sys.exc_info()[1] is error)
    try:
        hop()
        sys.exit("bye")
    except SystemExit as error:
        hop()
        print(repr(error.code))
    try:
        def deep(n):
            return deep(n + 1)
        deep(0)
    except RecursionError as error:
        hop()
        print(type(error).__name__)
f()
""")
    )


def test_last_exception_and_excepthook(move):
    source = with_printer("""
try:
    {}["k"]
except KeyError as error:
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, error.__traceback__
    sys.last_exc = error
hop()
print(text(sys.last_value), sys.last_exc is sys.last_value, sys.last_traceback is sys.last_exc.__traceback__)
def hook(kind, error, entry):
    print("hook", kind.__name__, text(error), entry is error.__traceback__)
sys.excepthook = hook
def f():
    hop()
    raise LookupError("the end")
f()
""")
    straight, run = move.straight(source), move(source)
    assert run.stdout == straight.stdout, run.stderr
    assert (run.returncode, run.stderr) == (straight.returncode, straight.stderr) == (1, "")
    assert run.moves == 2


def test_uncaught_exception_prints_the_same(move):
    source = """
        def leaf(n):
            hop()
            return {"a": n}["a"] + {"b": [None]}["b"][0].missing
        class Job:
            def run(self):
                try:
                    return leaf(1)
                except AttributeError as error:
                    raise RuntimeError("job") from error
        def main():
            return [Job().run() for _ in range(1)]
        main()
    """
    straight, run = move.straight(source), move(source)
    clean = lambda text: text.replace("program1", "program").replace("program2", "program")  # noqa: E731
    assert clean(run.stderr) == clean(straight.stderr)
    assert run.returncode == straight.returncode == 1
    assert run.moves == 1


def test_warnings_show_their_lines(same):
    same(
        with_printer("""
import warnings
def f():
    hop()
    warnings.warn("after the move")
    warnings.warn("two levels up", DeprecationWarning, stacklevel=2)
with warnings.catch_warnings(record=True) as seen:
    warnings.simplefilter("always")
    f()
    hop()
for w in seen:
    shown = warnings.formatwarning(w.message, w.category, w.filename, w.lineno, w.line)
    print(shown.replace(__file__, "program.py"))
""")
    )
