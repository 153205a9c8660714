"""There and back: a block runs elsewhere, and the program comes back to the process that it has left."""

from trips import program


def test_block_runs_there_and_the_program_comes_back(alike, place):
    target, env = place
    alike(
        f"""
        import collections
        counts = collections.Counter()
        def squares(n):
            for i in range(n):
                yield i * i
        class Job:
            done = 0
            def __init__(self):
                self.parts = []
            def run(self, k):
                it = squares(6)
                shared = [self.parts, next(it)]
                for i in range(2):
                    with on({target}):
                        print("in the block", k, i, away(), next(it))
                        self.parts.append((k, i))
                        counts[k] += 1
                        Job.done += 1
                    print("after it", k, i, back(), next(it), shared[0] is self.parts)
                return len(self.parts)
        job = Job()
        print([job.run(k) for k in range(2)], job.parts, counts, Job.done, back())
        print(isinstance(job, Job), sys.modules["__main__"].job is job, globals() is vars(sys.modules["__main__"]))
    """,
        env=env,
    )


def test_all_that_leaves_a_block_comes_back(alike):
    alike("""
        def leave(how):
            for n in range(3):
                try:
                    with on() as place:
                        print("away", away(), place is not None or STRAIGHT)
                        if how == "break":
                            break
                        if how == "continue":
                            continue
                        if how == "return":
                            return n, away()
                        if how == "raise":
                            raise KeyError(n)
                    print("through", back())
                except KeyError as error:
                    print(repr(error), error.__traceback__.tb_lineno, back(), error.__context__)
                finally:
                    print("finally", back())
            else:
                print("else")
            return "end"
        for how in ("break", "continue", "return", "raise", "nothing"):
            print(how, leave(how), back())
    """)


def test_an_exception_comes_back_with_its_traceback(alike):
    moved = alike("""
        def fails(n):
            return 1 // n if n == 0 else fails(n - 1)
        def work():
            print("goes")
            with on():
                try:
                    {}["missing"]
                except KeyError:
                    fails(2)
        work()
    """)
    assert moved.returncode == 1
    assert moved.stderr.count("fails(n - 1)") >= 2
    assert "ZeroDivisionError" in moved.stderr


def test_what_cannot_travel_stays_and_is_the_same_after(trip):
    out = trip("""
        import mmap, select, tempfile
        def main():
            left, right = socket.socketpair()
            poll = select.epoll()
            log = tempfile.TemporaryFile("w+")
            log.write("before\\n")
            memory = mmap.mmap(-1, 16)
            held = {"conn": left, left: [right], "send": left.send, "write": log.write}
            box = threading.local()
            ids = [id(each) for each in (left, right, poll, log, memory, held["send"], held["write"])]
            with on():
                for thing in (left, poll, log, memory, held["send"]):
                    for use in (lambda: thing.fileno(), lambda: thing(), lambda: bool(thing), lambda: list(thing),
                                lambda: setattr(thing, "x", 1), lambda: thing == 1, lambda: thing + 1):
                        try:
                            print(use())
                        except AwayError as error:
                            text = str(error)
                    print(text.split(", process")[0], "|", text.split(": ")[-1][:30])
                print(isinstance(left, socket.socket), left is held["conn"], held[left][0] is right)
                print("left (socket.socket) has stayed at home" in repr(left), issubclass(AwayError, TeleportError))
                held["new"] = left
            print(ids == [id(each) for each in (left, right, poll, log, memory, held["send"], held["write"])])
            print(held["conn"] is left is held["new"], held[left] == [right], back())
            held["send"](b"hello")
            log.write("after\\n")
            log.seek(0)
            print(right.recv(10), log.read().split(), len(memory))
        main()
    """)
    *texts, facts, more, same, places, end = out.splitlines()
    assert texts == [
        "main() → left (socket.socket) has stayed at home | a connection stays with its pr",
        "main() → poll (select.epoll) has stayed at home | cannot pickle 'select.epoll' o",
        "main() → log (_io.TextIOWrapper) has stayed at home | an open file stays with its pr",
        "main() → memory (mmap.mmap) has stayed at home | an open file stays with its pr",
        "a method of main() → left (socket.socket) has stayed at home | a connection stays with its pr",
    ]
    assert (facts, more, same, places) == ("True True True", "True True", "True", "True True True")
    assert end == "b'hello' ['before', 'after'] 16"


def test_files_that_stayed_are_written_out_at_the_end(move, tmp_path):
    path = tmp_path / "kept.txt"
    run = move(
        program(f"""
        file = open({str(path)!r}, "w")
        with on():
            pass
        file.write("written")
    """)
    )
    assert (run.stderr, path.read_text()) == ("", "written")


def test_standard_output_in_a_file_stays_with_it(move, tmp_path):
    path = tmp_path / "printed.txt"
    run = move(
        program(f"""
        with open({str(path)!r}, "w") as file, contextlib.redirect_stdout(file):
            print("before")
            with on():
                try:
                    print("there")
                except AwayError as error:
                    seen = "(_io.TextIOWrapper) has stayed at home" in str(error)
            print("after", seen)
        print("end", sys.stdout is sys.__stdout__, back())
    """)
    )
    assert (run.stdout, run.stderr) == ("end True True\n", "")
    assert path.read_text() == "before\nafter True\n"


def test_locks_are_the_same_after_and_held_as_they_were_left(trip):
    out = trip("""
        import _thread
        locks = [threading.Lock() for _ in range(4)]
        rlocks = [threading.RLock() for _ in range(3)]
        condition = threading.Condition()
        inner = condition._lock
        before = locks + rlocks
        locks[1].acquire(); locks[2].acquire(); rlocks[1].acquire(); rlocks[2].acquire()
        with locks[3], on():
            with locks[0], rlocks[0], condition:
                condition.notify_all()
            locks[0].acquire()
            locks[1].release()
            rlocks[1].acquire()
            rlocks[2].release()
            print([lock.locked() for lock in locks], away())
        print([lock.locked() for lock in locks], all(a is b for a, b in zip(before, locks + rlocks)))
        print([repr(lock).split("count=")[1][0] for lock in rlocks], condition._lock is inner)
        rlocks[1].release(); rlocks[1].release()
        with condition:
            pass
    """)
    assert out.splitlines() == [
        "[True, False, True, True] True",
        "[True, False, True, False] True",
        "['0', '2', '0'] True",
    ]


def test_threads_go_on_at_home(trip):
    out = trip("""
        import queue, time
        jobs, answers, ticks = queue.Queue(), queue.SimpleQueue(), []
        started = threading.Event()
        mutex = threading.Lock()
        def work():
            started.set()
            while True:
                job = jobs.get()
                if job is None:
                    return
                answers.put((job, os.getpid() == HOME))
        def tick():
            # Runs for as long as the program is away, and tells it.
            while not ticks:
                os.read(ours, 1)
                os.write(ours_too, b"x")
                break
        ours, theirs = os.pipe()
        theirs_too, ours_too = os.pipe()
        thread = threading.Thread(target=work)
        other = threading.Thread(target=tick)
        thread.start(); other.start()
        started.wait()
        before = thread, other, jobs, answers, started
        path = "/proc/%d/fd/%d"
        with on():
            with open(path % (HOME, theirs), "wb", 0) as out, open(path % (HOME, theirs_too), "rb", 0) as back_in:
                out.write(b"x")
                print("a thread has answered", back_in.read(1), threading.active_count(), mutex.locked())
            for use in (lambda: thread.join(), lambda: jobs.put(1), lambda: answers.get(), lambda: started.is_set()):
                try:
                    use()
                except AwayError as error:
                    print(str(error).split(" has stayed")[0], "|", str(error).split(": ")[-1])
        print(before == (thread, other, jobs, answers, started), thread.is_alive(), threading.active_count() >= 2)
        jobs.put("job")
        print(answers.get())
        jobs.put(None)
        thread.join(); other.join()
        print(threading.active_count(), threading.current_thread() is threading.main_thread(), back())
    """)
    assert out.splitlines() == [
        "a thread has answered b'x' 1 False",
        "__main__ → thread (threading.Thread) | a thread stays with its process",
        *(
            f"__main__ → {name} | other threads stay at home, and it is what one talks to them with"
            for name in ("jobs (queue.Queue)", "answers (_queue.SimpleQueue)", "started (threading.Event)")
        ),
        "True True True",
        "('job', True)",
        "1 True True",
    ]


def test_trips_within_trips(trip):
    out = trip("""
        left, right = socket.socketpair()
        pids = [os.getpid()]
        def nested(depth):
            if depth:
                with on():
                    pids.append(os.getpid())
                    inner, other = socket.socketpair()
                    nested(depth - 1)
                    print(depth, os.getpid() == pids[-1 - depth] or len(pids), type(inner).__name__)
                    inner.close(); other.close()
                pids.append(os.getpid())
            else:
                try:
                    left.send(b"x")
                except AwayError as error:
                    print(str(error).split(",")[0])
        nested(3)
        print(len(set(pids)), [pids[k] == pids[6 - k] for k in range(3)], pids[0] == HOME == os.getpid())
        left.send(b"x")
        print(right.recv(1))
    """)
    lines = out.splitlines()
    assert lines[0] == "__main__ → left (socket.socket) has stayed at home"
    assert lines[-2:] == ["4 [True, True, True] True", "b'x'"]


def test_twenty_trips_leave_nothing_behind(trip, place):
    target, env = place
    out = trip(
        f"""
        def here():
            descriptors = sorted(os.listdir("/proc/self/fd"))
            with open("/proc/self/task/%d/children" % os.getpid()) as file:
                children = file.read()
            return descriptors, children, threading.active_count()
        before = here()
        conn, other = socket.socketpair()
        after = here()
        total = 0
        for n in range(20):
            with on({target}):
                total += n
            assert here() == after, (before, here())
        print(total, before[1:], back())
    """,
        env=env,
        patience=120,
    )
    assert out == "190 ('', 1) True\n"


def test_home_comes_back_without_a_block_and_within_one(trip):
    out = trip("""
        def go():
            pyteleport.on().__enter__()
            return os.getpid()
        try:
            pyteleport.home()
        except TeleportError as error:
            print(error)
        there = go()
        print(there == os.getpid(), away())
        print(pyteleport.home(), back())
        with on():
            print(away())
            pyteleport.home()
            print(back())
            seen = 1
        print(seen, back())
        with on():
            with on():
                pyteleport.home()
                print("in between", away())
            print("still", away())
        print(back())
    """)
    assert out.splitlines() == [
        "this process is not one that on() has brought the program to: it has no home to return to",
        "True True",
        "None True",
        "True",
        "True",
        "1 True",
        "in between True",
        "still True",
        "True",
    ]


def test_surroundings_of_the_block_stay_there_and_what_it_changes_comes_back(trip, tmp_path):
    out = trip(f"""
        import atexit, random, signal, warnings
        os.environ["OLD"] = "old"
        os.environ["GONE"] = "gone"
        folder = os.getcwd()
        signal.signal(signal.SIGUSR1, lambda *_: print("usr1", back()))
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        atexit.register(print, "at exit, once")
        random.seed(1)
        expected = random.Random(1)
        numbers = [expected.random() for _ in range(3)]
        with on(env={{"ONLY": "there"}}, cwd="/"):
            print(os.environ["ONLY"], os.getcwd(), os.environ["OLD"], random.random() == numbers[0])
            os.environ["NEW"] = "new"
            del os.environ["GONE"]
            signal.signal(signal.SIGUSR2, signal.SIG_DFL)
            sys.argv.append("more")
            random.random()
        print("ONLY" in os.environ, os.environ["NEW"], "GONE" in os.environ, os.getcwd() == folder, sys.argv[-1])
        print(random.random() == numbers[2], signal.getsignal(signal.SIGUSR2) == signal.SIG_DFL)
        with on():
            os.chdir({str(tmp_path)!r})
        print(os.getcwd() == {str(tmp_path)!r})
        os.kill(os.getpid(), signal.SIGUSR1)
    """)
    assert out.splitlines() == [
        "there / old True",
        "False new False True more",
        "True True",
        "True",
        "usr1 True",
        "at exit, once",
    ]


def test_standard_streams_are_those_of_home(move):
    run = move(
        program("""
        print(input(), end=" | ")
        with on():
            print(input(), away(), sys.stdin.readline().strip())
            print("to stderr", file=sys.stderr)
        print(input(), sys.stdin.read().split(), back())
    """),
        stdin=b"one\ntwo\nthree\nfour\nfive\nsix\n",
    )
    assert run.stdout == "one | two True three\nfour ['five', 'six'] True\n"
    assert (run.stderr, run.returncode) == ("to stderr\n", 0)
