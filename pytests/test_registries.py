"""What a program has registered with installed modules, and settings that only functions tell."""

import pytest


def test_reducers_and_codecs(same):
    same("""
        import codecs, copy, copyreg, pickle
        class Pair:
            def __init__(self, x):
                self.x = x
        copyreg.pickle(Pair, lambda pair: (Pair, (pair.x + 1,)))
        copyreg.add_extension("__main__", "Pair", 241)
        def find(name):
            if name == "mine":
                return codecs.CodecInfo(lambda text, errors="": (b"e" + text.encode(), 1), lambda data, errors="": ("d", 1), name="mine")
        def handler(error):
            return "?!", error.end
        codecs.register(find)
        codecs.register_error("own", handler)
        for turn in range(2):
            hop()
            print(copy.copy(Pair(1)).x, Pair in copyreg.dispatch_table, len(pickle.dumps(Pair, 2)))
            print("x".encode("mine"), b"x".decode("mine"), "\\xe9".encode("ascii", "own"), codecs.lookup_error("own") is handler)
    """)


def test_csv_sockets_and_decimal(same):
    same("""
        import csv, decimal, socket, threading
        csv.register_dialect("mine", delimiter=";")
        csv.field_size_limit(99)
        socket.setdefaulttimeout(3.5)
        threading.stack_size(1 << 20)
        decimal.DefaultContext.prec, decimal.DefaultContext.traps[decimal.Inexact] = 5, True
        decimal.getcontext().prec = 9
        hop()
        print(csv.list_dialects()[-1], csv.get_dialect("mine").delimiter, csv.field_size_limit(), next(csv.reader(["a;b"], "mine")))
        print(socket.getdefaulttimeout(), threading.stack_size())
        print(decimal.getcontext().prec, decimal.DefaultContext.prec, decimal.DefaultContext.traps[decimal.Inexact])
    """)


def test_the_collector_and_tracemalloc(same):
    same("""
        import gc, tracemalloc
        phases = []
        def told(phase, info):
            phases.append(phase)
        gc.callbacks.append(told)
        gc.garbage.append("kept")
        gc.set_threshold(111, 5, 6)
        tracemalloc.start(5)
        hop()
        del phases[:]
        gc.collect()
        print(gc.callbacks.count(told), phases, gc.garbage, gc.get_threshold())
        print(tracemalloc.is_tracing(), tracemalloc.get_traceback_limit())
    """)


def test_how_processes_are_started(same):
    same("""
        import multiprocessing
        multiprocessing.set_start_method("spawn")
        hop()
        print(multiprocessing.get_start_method())
    """)


def test_warnings_that_were_shown_are_not_shown_again(same):
    same("""
        import sys, warnings
        warnings.simplefilter("default")
        sys.stderr = sys.stdout
        warnings.formatwarning = lambda message, *more, **options: "shown: %s\\n" % message
        def warn(text):
            warnings.warn(text)
        warn("first")
        for turn in range(2):
            hop()
            warn("first")
            warn("second")
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            warn("first")
            hop()
            warn("first")
        print(len(caught))
        warn("first")
    """)


def test_timers_and_signals_that_are_held_back(same):
    same("""
        import os, signal, time
        got = []
        signal.signal(signal.SIGALRM, lambda number, frame: got.append(number))
        signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
        signal.setitimer(signal.ITIMER_REAL, 2, 0.05)
        hop()
        left, interval = signal.getitimer(signal.ITIMER_REAL)
        print(0 < left <= 2, interval)
        while got.count(signal.SIGALRM) < 3:
            signal.pause()
        signal.setitimer(signal.ITIMER_REAL, 0)
        os.kill(os.getpid(), signal.SIGUSR1)
        print(signal.SIGUSR1 in got, signal.SIGUSR1 in signal.sigpending())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGUSR1])
        print(signal.SIGUSR1 in got, signal.pthread_sigmask(signal.SIG_BLOCK, []))
    """)


def test_what_the_main_thread_keeps_for_itself(same):
    same("""
        import random, threading
        plain = threading.local()
        plain.items = items = [1]
        plain.itself = plain
        class Own(threading.local):
            kind = "class"
            def __init__(self, first, *, second):
                self.first, self.second = first, second
        own = Own(5, second=6)
        own.second, own.third = 7, items
        system = random.SystemRandom()
        hop()
        print(plain.items is items is own.third, plain.itself is plain, own.first, own.second, own.kind, sorted(vars(own)))
        seen = []
        thread = threading.Thread(target=lambda: seen.extend([hasattr(plain, "items"), own.second, vars(own)]))
        thread.start()
        thread.join()
        del thread
        print(seen, 0 <= system.random() < 1)
        plain.more = 1
        hop()
        print(plain.more, own.second)
    """)


def test_context_variables_are_put_back(same):
    same("""
        import contextvars
        variable, other = contextvars.ContextVar("variable"), contextvars.ContextVar("other", default=0)
        first = variable.set(1)
        used = other.set(3)
        other.reset(used)
        second, third = variable.set([2]), other.set(4)
        inner = contextvars.copy_context()
        kept = inner.run(variable.set, 9)
        hop()
        print(first.old_value is contextvars.Token.MISSING, second.old_value, second.var is variable, kept.old_value)
        print(variable.get(), other.get(), inner[variable])
        inner.run(variable.reset, kept)
        variable.reset(second)
        other.reset(third)
        print(variable.get(), other.get(), inner[variable], used.old_value is contextvars.Token.MISSING)
        try:
            other.reset(used)
        except RuntimeError as error:
            print(str(error).split(" has ")[1])
        hop()
        variable.reset(first)
        print(variable.get("none"))
    """)


def test_past_the_environment_and_logging(same):
    same("""
        import logging, os, sys
        os.putenv("ONLY_C", "1")
        os.environ["GONE"] = "1"
        os.unsetenv("GONE")
        sys.pycache_prefix, sys.tracebacklimit = "/tmp/nowhere", 3
        logging.lastResort.setLevel(40)
        hop()
        print(os.environ.get("ONLY_C"), os.environ["GONE"], os.popen("echo $ONLY_C.$GONE.").read())
        print(sys.pycache_prefix, sys.tracebacklimit)
        logging.getLogger("none").warning("quiet")
        logging.lastResort = None
        hop()
        logging.raiseExceptions = False
        logging.getLogger("none").error("quiet, too")
        print(logging.lastResort)
    """)


def test_sources_of_code_that_was_made(same):
    same("""
        import inspect, linecache
        text = "def f():\\n    return 1  # mark\\n"
        linecache.cache["<made>"] = (len(text), None, text.splitlines(True), "<made>")
        exec(compile(text, "<made>", "exec"))
        for turn in range(2):
            hop()
            print(inspect.getsource(f))
    """)


def test_decoders_of_json(same):
    same("""
        import json
        decoder = json.JSONDecoder(object_hook=lambda found: sorted(found), parse_float=str)
        hop()
        print(decoder.decode('[{"b": 1, "a": 2}, 1.50]'), decoder.scan_once('"x"', 0), decoder.raw_decode("5 6"))
    """)


@pytest.mark.parametrize("setter", ["settrace", "setprofile"])
def test_a_function_that_follows_the_program_is_refused(move, setter):
    run = move(f"""
        import sys
        def follow(frame, event, what):
            return None
        sys.{setter}(follow)
        try:
            teleport()
        except UnmovableError as error:
            print(str(error).split("(pyteleport")[0], sys.{setter.replace("set", "get")}() is follow)
        sys.{setter}(None)
        teleport()
        trail("there")
    """)
    assert run.stdout == f"sys.{setter.replace('set', 'get')}()  True\n", run.stderr
    assert run.ended_in == "peer"
