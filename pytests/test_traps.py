"""What went wrong before: the failures of the package of the same name up to 0.3, one test each."""

import pytest


def test_equal_values_do_not_merge(same):
    same("""
        import math
        a, b = [1], [1]
        truths = [True, 1, 1.0, False, 0, 0.0, -0.0]
        big, again = 10**20, int("1" + "0" * 20)
        keys = {1: "int"}
        def f(x, y, values):
            hop()
            return x is y, x == y, [repr(v) for v in values], math.copysign(1, values[-1])
        print(f(a, b, truths), a is b, type(list(keys)[0]).__name__, big is again)
    """)


def test_closed_file_open_for_writing_does_not_truncate_its_file(same, tmp_path):
    same(f"""
        path = {str(tmp_path / "kept.txt")!r}
        with open(path, "w") as file:
            file.write("contents")
        hop()
        print(file.closed, file.name == path, file.mode, open(path).read())
    """)


def test_open_file_keeps_its_place(same, tmp_path):
    same(f"""
        import os
        path = {str(tmp_path / "lines.txt")!r}
        with open(path, "w") as sink:
            sink.write("one\\n")
            hop()
            sink.write("two\\nthree\\n")
        with open(path) as source:
            print(next(source).strip())
            hop()
            print([line.strip() for line in source], source.mode)
        with open(path, "rb") as source:
            source.seek(4)
            hop()
            print(source.read(3), source.tell())
    """)


def test_exception_leaving_a_resumed_frame_finds_the_handlers_above(same):
    same("""
        def inner():
            hop()
            raise KeyError("k")
        def middle():
            with_finally = []
            try:
                inner()
            finally:
                with_finally.append("ran")
                print(with_finally)
        def outer():
            try:
                middle()
            except KeyError as error:
                return "handled %r" % error
        print(outer())
    """)


def test_exception_being_handled_is_kept(same):
    same("""
        import sys
        def f():
            try:
                1 / 0
            except ZeroDivisionError:
                hop()
                print(sys.exc_info()[0].__name__)
                try:
                    raise ValueError("second")
                except ValueError as error:
                    print(repr(error.__context__))
                raise
        try:
            f()
        except ZeroDivisionError as error:
            print("bare raise:", error)
    """)


@pytest.mark.parametrize("way", ["local", "bash"])
def test_exit_code_and_what_runs_at_the_end_once(move, way):
    source = """
        import atexit, sys
        class Manager:
            def __enter__(self):
                return self
            def __exit__(self, *args):
                print("exit")
        atexit.register(print, "atexit")
        try:
            with Manager():
                hop()
                sys.exit(3)
        finally:
            print("finally")
    """
    run = move(source, way=way)
    assert run.returncode == 3
    assert run.stdout == "exit\nfinally\natexit\n"
    assert run.stderr == ""


def test_output_keeps_its_order(same):
    same("""
        import sys
        for n in range(3):
            print("line", n)
            sys.stdout.write("part %d;" % n)
            hop()
        print()
    """)


def test_input_read_ahead_is_not_lost(same):
    same(
        """
        import sys
        print(input())
        hop()
        print(sys.stdin.readline().strip())
        hop()
        print(input(), sys.stdin.read().split())
    """,
        stdin=b"one\ntwo\nthree\nfour five\n",
    )


def test_state_of_the_process_is_kept(same, tmp_path):
    same(
        f"""
        import atexit, os, random, signal, sys
        random.seed(5); random.random()
        os.chdir({str(tmp_path)!r})
        os.environ["ADDED"] = "here"
        os.environ.pop("REMOVED")
        sys.argv.append("more")
        sys.path.insert(0, "/somewhere")
        sys.setrecursionlimit(2345)
        signal.signal(signal.SIGUSR1, lambda n, f: print("signal", n == signal.SIGUSR1))
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        atexit.register(print, "at exit")
        os.umask(0o027)
        hop()
        print(random.random(), os.getcwd(), os.environ["ADDED"], os.environ.get("REMOVED"), os.getenv("GIVEN"))
        print(sys.argv[1:], sys.path[0], sys.getrecursionlimit(), signal.getsignal(signal.SIGUSR2).name)
        os.kill(os.getpid(), signal.SIGUSR1)
        print(os.popen("echo $ADDED").read().strip())
    """,
        args=["first"],
        env={"REMOVED": "x", "GIVEN": "y"},
    )


def test_threads_do_not_vanish(same):
    same("""
        import threading
        go, done = threading.Event(), []
        def work():
            go.wait()
            done.append("worked")
        thread = threading.Thread(target=work)
        thread.start()
        hop()
        go.set()
        thread.join()
        print(done)
    """)


def test_free_locks_arrive_free(same):
    same("""
        import threading
        locks = [threading.Lock(), threading.RLock(), threading.Condition(), threading.Semaphore(2), threading.Event()]
        again = locks[1]
        with again:
            pass
        def f():
            hop()
            return [lock.acquire(blocking=False) for lock in locks[:4]]
        print(f(), again is locks[1], locks[4].is_set())
    """)


@pytest.mark.parametrize("frames", [51, 200, 900])
def test_more_than_50_frames(same, frames):
    same(f"""
        def down(n):
            if n:
                return down(n - 1) + 1
            return hop(0)
        print(down({frames}))
    """)


def test_more_than_100_kb_of_data(same):
    same(
        """
        numbers = list(range(200_000))
        text = "x" * 5_000_000
        def f():
            hop()
            return sum(numbers), len(text)
        print(f())
    """,
        ways=("local", "bash"),
    )


def test_second_and_third_move_keep_locals(same):
    same("""
        def f(a):
            b = a + 1
            hop()
            c = b + 1
            def g(d):
                hop()
                return [a, b, c, d, hop(e)]
            e = 5
            return g(4) + [b]
        print(f(1), f(2))
    """)


def test_started_generators_are_not_started_again(same):
    same("""
        def g():
            print("started")
            yield 1
            yield 2
        it = g()
        print(next(it))
        hop()
        print(list(it))
    """)


def test_closures_in_lambdas_and_comprehensions(same):
    same("""
        def f(k):
            add = lambda n: n + k
            table = [[add(i) * hop(j) for j in range(2)] for i in range(2)]
            hop()
            return table, add(1), [h() for h in [lambda i=i: i + k for i in range(2)]], {i: k for i in range(2)}
        print(f(10))
    """)


def test_frames_with_star_arguments_and_callers_with_star_calls(same):
    same("""
        def leaf(*args, **kwargs):
            hop()
            return args, kwargs
        def f(*args, key=0, **kwargs):
            return leaf(*args, 9, **kwargs, key=key), args, kwargs
        print(f(*[1, 2], **{"key": 3, "z": 4}), 5 + len(leaf(*(1, 2))[0]))
    """)
