"""The state of the process that belongs to the program, its open files, and its standard streams."""

import os

import pytest


def test_interpreter_settings_and_generators_of_numbers(same):
    same("""
        import decimal, gc, random, sys, warnings
        random.seed(3)
        numbers = random.Random(4)
        from random import gauss
        gauss(0, 1)
        decimal.getcontext().prec = 7
        decimal.getcontext().traps[decimal.Inexact] = False
        here = decimal.getcontext()
        sys.setswitchinterval(0.01)
        sys.setrecursionlimit(3000)
        gc.set_threshold(500, 5, 5)
        gc.disable()
        warnings.simplefilter("error", UserWarning)
        warnings.filterwarnings("ignore", message="quiet.*")
        hop()
        print(random.random(), gauss(0, 1), numbers.random(), decimal.Decimal(1) / 3, decimal.getcontext() is here)
        print(sys.getswitchinterval(), sys.getrecursionlimit(), gc.get_threshold(), gc.isenabled())
        warnings.warn("quiet please")
        try:
            warnings.warn("loud")
        except UserWarning as warning:
            print("raised", warning)
        with decimal.localcontext() as inner:
            inner.prec = 3
            hop()
            print(decimal.Decimal(1) / 3, decimal.getcontext() is inner)
        print(decimal.Decimal(1) / 3, decimal.getcontext() is here)
    """)


def test_settings_that_are_as_usual_are_so_there_too(same):
    same("""
        import _locale, logging, sys, warnings
        sys.dont_write_bytecode = not sys.dont_write_bytecode
        sys.setrecursionlimit(500)
        logging.addLevelName(logging.WARNING, "LOUD")
        def place(name=None):
            import locale
            return locale.setlocale(locale.LC_ALL, name)
        place("C")
        hop()
        hop()
        print(sys.dont_write_bytecode, sys.getrecursionlimit(), logging.getLevelName(30), logging.getLevelName("LOUD"))
        print(_locale.setlocale(_locale.LC_ALL, None), place())
    """)


def test_numpy_goes_on_with_its_numbers(same):
    pytest.importorskip("numpy")
    same("""
        import numpy as np
        np.random.seed(3)
        np.random.normal()
        fresh = np.random.default_rng(5)
        fresh.random()
        hop()
        print(np.random.normal(), np.random.randint(1000), fresh.random())
    """)


def test_context_variables(same):
    same("""
        import contextvars
        first = contextvars.ContextVar("first", default="d")
        second = contextvars.ContextVar("second")
        second.set([1])
        copy = contextvars.copy_context()
        value = second.get()
        hop()
        print(first.get(), second.get() is value, copy[second] is value, first.name, copy.run(second.get))
        try:
            contextvars.ContextVar("other").get()
        except LookupError:
            print("unset")
    """)


def test_environment_arguments_and_paths_are_the_same_objects(same):
    same(
        """
        import os, sys, time
        env, args, path = os.environ, sys.argv, sys.path
        env["NEW"], env["CHANGED"] = "1", "2"
        env.pop("GONE")
        env["TZ"] = "Pacific/Apia"
        time.tzset()
        args.append("x")
        path.append("/more")
        before = list(path)
        hop()
        print(env is os.environ, env["NEW"], env["CHANGED"], "GONE" in env, os.environb[b"NEW"], os.popen("echo $NEW").read())
        print(args is sys.argv, args[1:], path is sys.path, path == before, time.tzname)
    """,
        env={"GONE": "x", "CHANGED": "x"},
    )


def test_a_folder_that_the_peer_lacks_is_a_warning(move, tmp_path):
    (tmp_path / "there").mkdir()
    run = move(f"""
        import os
        os.chdir({str(tmp_path / "there")!r})
        os.rmdir(os.getcwd())
        before = os.stat(".").st_ino
        teleport(cwd="/")
        trail("there")
        print(os.getcwd())
    """)
    assert (run.stdout, run.stderr, run.ended_in) == ("/\n", "", "peer")
    run = move(f"""
        import os
        os.mkdir({str(tmp_path / "state")!r})
        os.chdir({str(tmp_path / "state")!r})
        if not dump({str(tmp_path / "s-1.tp")!r}):
            os.rmdir(os.getcwd())
            os.execv({os.sys.executable!r}, [{os.sys.executable!r}, {str(tmp_path / "s-1.tp")!r}])
        print("went on")
    """)
    assert run.stdout == "went on\n"
    assert run.stderr == f"pyteleport: cannot go to {tmp_path / 'state'}: No such file or directory\n"


def test_what_lies_in_the_working_directory_is_not_imported(same, tmp_path):
    for name in ("pickle", "json", "copyreg", "pyteleport", "threading", "logging"):
        (tmp_path / "cwd").mkdir(exist_ok=True)
        (tmp_path / "cwd" / f"{name}.py").write_text("raise SystemExit(__file__)")
    same(
        """
        import sys
        before = list(sys.path)
        hop()
        import logging
        print(sys.path == before, sys.modules["logging"] is logging)
    """,
        cwd=tmp_path / "cwd",
    )


def test_options_of_the_move_come_on_top(move, tmp_path):
    run = move(
        f"""
        import os
        teleport(env={{"MINE": "new", "ADDED": "1"}}, cwd={str(tmp_path)!r})
        trail("there")
        print(os.environ["MINE"], os.environ["ADDED"], os.environ["KEPT"], os.getcwd() == {str(tmp_path)!r})
    """,
        env={"MINE": "old", "KEPT": "k"},
    )
    assert run.stdout == "new 1 k True\n", run.stderr


def test_signal_handlers_and_hooks(same):
    same("""
        import os, signal, sys, threading
        def handler(number, frame):
            print("got", signal.Signals(number).name, frame.f_code.co_name)
        signal.signal(signal.SIGUSR1, handler)
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        sys.displayhook = lambda value: print("shown", value)
        sys.unraisablehook = lambda problem: print("unraisable", problem.exc_type.__name__)
        threading.excepthook = handler
        class Bad:
            def __del__(self):
                raise LookupError
        def f():
            hop()
            os.kill(os.getpid(), signal.SIGUSR1)
            os.kill(os.getpid(), signal.SIGUSR2)
        f()
        print(signal.getsignal(signal.SIGUSR1) is handler, signal.getsignal(signal.SIGPIPE), threading.excepthook is handler)
        print(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        sys.displayhook(5)
        Bad()
    """)


def test_callbacks_at_exit_run_once_in_their_order(same):
    same("""
        import atexit, logging
        class Thing:
            def close(self, how):
                print("closed", how)
        atexit.register(print, "first registered", end="!\\n")
        atexit.register(Thing().close, how="well")
        @atexit.register
        def last():
            print("last registered")
        gone = atexit.register(lambda: print("never"))
        atexit.unregister(gone)
        hop()
        hop()
        print("end")
    """)


def test_finalizers_that_nobody_holds(same):
    same("""
        import weakref
        class Thing: pass
        thing, other = Thing(), Thing()
        weakref.finalize(thing, print, "thing is gone")
        weakref.finalize(other, print, "other is gone")
        weakref.finalize(other, print, "not at the end").atexit = False
        hop()
        del thing
        print("end")
    """)


def test_logging_goes_on_as_it_was_set_up(same, tmp_path):
    same(f"""
        import logging, sys
        class Loud(logging.Filter):
            def filter(self, record):
                record.msg = record.msg.upper()
                return True
        class Kind(logging.Logger):
            def louder(self):
                self.warning("louder")
        logging.basicConfig(level=logging.INFO, format="%(levelname)s:%(name)s:%(message)s", stream=sys.stdout)
        logging.addLevelName(25, "NOTICE")
        logging.setLoggerClass(Kind)
        log, quiet, own = logging.getLogger("a.b"), logging.getLogger("quiet"), logging.getLogger("own")
        to_file = logging.FileHandler({str(tmp_path / "log")!r}, "w")
        to_file.set_name("file")
        own.addHandler(to_file)
        own.propagate = False
        log.addFilter(Loud())
        quiet.setLevel(logging.ERROR)
        log.info("before")
        own.info("kept")
        hop()
        log.info("after")
        quiet.info("never")
        log.log(25, "notice")
        own.louder()
        logging.debug("too low")
        to_file.close()
        print(open(to_file.baseFilename).read().split(), type(own) is Kind, logging.root.handlers[0].stream is sys.stdout)
    """)


def test_streams_that_stand_in_for_the_standard_ones(same):
    same("""
        import io, sys, contextlib
        sys.stdout.write("before, ")
        memory = io.StringIO()
        real = sys.stdout
        with contextlib.redirect_stdout(memory):
            print("into memory")
            hop()
            print("and more", sys.stdout is memory)
        print(memory.getvalue(), sys.stdout is real is sys.__stdout__)
        sys.stdout.reconfigure(errors="backslashreplace", line_buffering=True)
        sys.stdout = io.TextIOWrapper(sys.stdout.buffer, "ascii", "backslashreplace", newline="\\r\\n", write_through=True)
        sys.stdin.close()
        hop()
        print("h\\xe9", sys.stdout.encoding, sys.__stdout__.errors, sys.__stdout__.line_buffering, sys.stdin.closed)
    """)


LINES = "".join(f"line {n} é\r\n" for n in range(2000)).encode()


@pytest.mark.parametrize(
    "read",
    [
        "sys.stdin.readline()",
        "next(sys.stdin)",
        "sys.stdin.read(7)",
        "sys.stdin.buffer.readline()",
        "sys.stdin.buffer.read1(3)",
        "sys.stdin.buffer.raw.read(5)",
        "input()",
        "[sys.stdin.buffer.peek(1)[:3], sys.stdin.buffer.read(1)]",
        "None",
    ],
)
@pytest.mark.parametrize("way", ["local", "bash"])
def test_input_goes_on_to_the_byte(same, read, way):
    same(
        f"""
        import hashlib, sys
        for n in range(3):
            print(ascii({read}))
            hop()
        rest = sys.stdin.read()
        print(len(rest), hashlib.sha1(rest.encode()).hexdigest(), ascii(rest[:30]))
    """,
        stdin=LINES,
        ways=(way,),
    )


def test_input_from_a_file_goes_on_to_the_byte(move, tmp_path):
    source = tmp_path / "input"
    source.write_bytes(LINES)
    import subprocess

    import harness

    for moves in ("none", "all"):
        program = move.write("""
        import sys
        print(ascii(sys.stdin.readline()), ascii(next(sys.stdin)))
        hop()
        print(ascii(sys.stdin.readline()))
        hop()
        print(len(sys.stdin.read()))
        """)
        _trail, plan = move.plan(moves, "local")
        with open(source, "rb") as stdin:
            process = harness.spawn(
                [os.sys.executable, program], stdin=stdin, env=harness.environment(PYTELEPORT_TEST_PLAN=plan)
            )
            out, err = harness.finish(process)
        assert err == b""
        if moves == "none":
            straight = out
    assert out == straight
    assert subprocess


FILES = """
        import io, os
        path = {path!r}
        with open(path, "wb") as file:
            file.write({contents!r})
"""
CONTENTS = "".join(f"{n} zeilen größer\r\nzweite\n" for n in range(1500)).encode()


@pytest.mark.parametrize(
    ("opened", "used"),
    [
        ('"r"', "file.readline()"),
        ('"r"', "next(file)"),
        ('"r"', "file.read(11)"),
        ('"r", newline=""', "next(file)"),
        ('"r", newline="\\n"', "file.readline()"),
        ('"r", newline="\\r\\n"', "next(file)"),
        ('"r", encoding="latin-1", buffering=16', "next(file)"),
        ('"r", encoding="utf-16-le", errors="replace"', "file.read(3)"),
        ('"r", encoding="utf-8-sig"', "next(file)"),
        ('"r+"', "next(file)"),
        ('"rb"', "file.readline()"),
        ('"rb", buffering=0', "file.read(5)"),
        ('"r+"', "file.readline()"),
        ('"r+b"', "(file.read(3), file.write(b'xyz'), file.tell())"),
        ('"a"', "(file.write('added é\\n'), file.tell())"),
        ('"a+b"', "(file.seek(0, 2), file.write(b'added'), file.flush(), file.seek(3), file.read(4))"),
        ('"w"', "(file.write('new é\\n'), file.tell())"),
        ('"w+", newline="\\r\\n"', "(file.write('new\\n'), file.tell())"),
        ('"wb"', "file.write(b'bytes')"),
        ('"wb", buffering=0', "file.write(b'bytes')"),
        ('"w", encoding="utf-16"', "file.write('bom once')"),
        ('path_is_gone, "x"', "file.write('exclusive')"),
    ],
)
def test_open_files_go_on_where_they_stood(same, tmp_path, opened, used):
    opened = opened.replace("path_is_gone, ", "")
    same(
        FILES.format(path=str(tmp_path / "data"), contents=CONTENTS)
        + f"""
        if "x" in {opened.split(",")[0]}:
            os.remove(path)
        file = open(path, {opened})
        for n in range(3):
            print(ascii({used}))
            hop()
        facts = [file.name == path, file.mode, getattr(file, "encoding", None), getattr(file, "newlines", None)]
        try:
            print(ascii(file.tell()))
        except OSError as error:
            print("no tell")
        print(facts, ascii(file.read())[:80] if file.readable() else None)
        file.close()
        print(hash(bytes) and len(open(path, "rb").read()), ascii(open(path, "rb").read()[-40:]))
        """
    )


def test_layers_of_one_file_stay_its_layers(same, tmp_path):
    same(
        FILES.format(path=str(tmp_path / "data"), contents=b"abc\ndef\n" * 10)
        + """
        file = open(path)
        buffer, raw = file.buffer, file.buffer.raw
        line, closed = file.readline, open(path, "w+")
        closed.write("kept\\n" * 3)
        closed.close()
        text = io.TextIOWrapper(io.BytesIO(b"x\\ny\\nz"))
        next(text)
        hop()
        print(file.buffer is buffer, buffer.raw is raw, raw.name == path, line() == file.readline())
        print(closed.closed, closed.mode, closed.buffer.closed, os.path.getsize(path), text.read().split())
        try:
            closed.read()
        except ValueError as error:
            print(error)
        """
    )


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("os.rename(path, path + '2')", "No such file"),
        ("open(path, 'ab').write(b'more')", "4 bytes"),
        ("open(path, 'r+b').write(b'X')", "contents"),
    ],
)
def test_a_file_that_differs_there_is_refused_by_name(move, tmp_path, change, words):
    state = tmp_path / "state.tp"
    run = move(
        FILES.format(path=str(tmp_path / "data"), contents=b"abc\ndef\n")
        + f"""
        file = open(path)
        file.readline()
        if not dump({str(state)!r}):
            {change}
            os.execv({os.sys.executable!r}, [{os.sys.executable!r}, {str(state)!r}])
        print("went on")
        """
    )
    assert "went on" not in run.stdout
    assert run.returncode == 1
    assert str(tmp_path / "data") in run.stderr
    assert words in run.stderr or "has 12 bytes" in run.stderr


def test_inspect_and_linecache_find_the_source(move):
    run = move("""
        import os
        def f(a):
            "text"
            return a  # a comment
        hop()
        os.rename(__file__, __file__ + ".gone")
        hop()
        import inspect, linecache
        print(inspect.getsource(f), linecache.getline(__file__, 2).strip())
    """)
    assert run.stdout == 'def f(a):\n    "text"\n    return a  # a comment\n import os\n', run.stderr


def test_what_is_imported_later_is_what_it_was(same):
    same("""
        import random
        random.seed(1)
        del random
        def f():
            hop()
            import random
            return random.random()
        print(f())
    """)
