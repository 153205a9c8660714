"""Programs with other threads: each goes on exactly once, from where it was."""

import sys

import pytest

BUSY = """
    import threading, time
    def work(seed, count):
        # Needs `go`, so that it is under way at every move, and has a result that each step counts for.
        value = seed
        step = 0
        while step < count or not go.is_set():
            if step < count:
                try:
                    if step % 7 == 3:
                        raise KeyError(step)
                    value = (value * 31 + step) % 1000003
                except KeyError as error:
                    value = (value + sum([x for x in (1, error.args[0])])) % 1000003
            step += 1
        return value
    go = threading.Event()
    results = {}
"""


def test_busy_threads_go_on(same):
    same(
        BUSY
        + """
    def run(seed):
        results[seed] = work(seed, 2000)
    threads = [threading.Thread(target=run, args=(seed,), name="busy %d" % seed) for seed in range(3)]
    for thread in threads: thread.start()
    for _ in range(3):
        hop()
        print(sorted(thread.name for thread in threading.enumerate()))
    go.set()
    for thread in threads: thread.join()
    print(sorted(results.items()), [thread.is_alive() for thread in threads], threading.active_count())
    print(threading.Thread().name.split("-")[1])
    """
    )


def test_loop_on_one_line_is_stopped(same):
    same("""
        import threading
        done = []
        def spin():
            while not done: pass
            print("spun")
        thread = threading.Thread(target=spin)
        thread.start()
        hop()
        done.append(1)
        thread.join()
    """)


def test_generators_and_handlers_of_other_threads_go_on(same):
    same("""
        import sys, threading
        go = []
        def numbers():
            try:
                while not go:
                    yield 1
            finally:
                print("closed")
        def work():
            try:
                raise KeyError("k")
            except KeyError:
                it = numbers()
                for _ in it:
                    pass
                print(repr(sys.exc_info()[1]))
        thread = threading.Thread(target=work)
        thread.start()
        for _ in range(2): hop()
        go.append(1)
        thread.join()
    """)


WAITS = {
    "lock": ("lock = threading.Lock(); lock.acquire()", "lock.acquire()", "lock.release()"),
    "lock with timeout": (
        "lock = threading.Lock(); lock.acquire()",
        "lock.acquire(True, 60)",
        "lock.release()",
    ),
    "lock with timeout by name": (
        "lock = threading.Lock(); lock.acquire()",
        "lock.acquire(timeout=60, blocking=True)",
        "lock.release()",
    ),
    "lock with unpacked arguments": (
        "lock = threading.Lock(); lock.acquire()",
        "(lambda arguments: lock.acquire(*arguments))((True, 60))",
        "lock.release()",
    ),
    "rlock": (
        "lock = threading.RLock(); lock.acquire(); lock.acquire()",
        "lock.acquire()",
        "lock.release(); lock.release()",
    ),
    "with lock": ("lock = threading.Lock(); lock.acquire()", "enter(lock)", "lock.release()"),
    "with rlock": ("lock = threading.RLock(); lock.acquire()", "enter(lock)", "lock.release()"),
    "with condition": ("lock = threading.Condition(); lock.acquire()", "enter(lock)", "lock.release()"),
    "event": ("event = threading.Event()", "event.wait()", "event.set()"),
    "event with timeout": ("event = threading.Event()", "event.wait(60)", "event.set()"),
    "condition": ("cond = threading.Condition()", "enter(cond, cond.wait)", "enter(cond, cond.notify)"),
    "condition on a lock": (
        "cond = threading.Condition(threading.Lock())",
        "enter(cond, lambda: cond.wait(60))",
        "enter(cond, cond.notify_all)",
    ),
    "condition on an rlock held twice": (
        "cond = threading.Condition()",
        "enter(cond, lambda: enter(cond, cond.wait))",
        "enter(cond, cond.notify)",
    ),
    "wait_for": (
        "cond = threading.Condition(); seen = []",
        "enter(cond, lambda: cond.wait_for(lambda: seen))",
        "seen.append(1); enter(cond, cond.notify)",
    ),
    "semaphore": ("s = threading.Semaphore(0)", "s.acquire()", "s.release()"),
    "bounded semaphore": (
        "s = threading.BoundedSemaphore(1); s.acquire()",
        "s.acquire(timeout=60)",
        "s.release()",
    ),
    "barrier": ("b = threading.Barrier(2)", "b.wait() in (0, 1)", "b.wait()"),
    "queue": ("q = queue.Queue()", "q.get()", "q.put('item')"),
    "queue with timeout": ("q = queue.PriorityQueue()", "q.get(timeout=60)", "q.put(3)"),
    "full queue": ("q = queue.Queue(1); q.put(1)", "q.put(2)", "print(q.get())"),
    "simple queue": ("q = queue.SimpleQueue()", "q.get()", "q.put('item')"),
    "simple queue with timeout": ("q = queue.SimpleQueue()", "q.get(timeout=60)", "q.put('item')"),
    "join of a queue": ("q = queue.Queue(); q.put(1)", "q.join()", "q.task_done()"),
    "join": (
        "e = threading.Event(); other = threading.Thread(target=e.wait); other.start()",
        "other.join()",
        "e.set()",
    ),
    "join with timeout": (
        "e = threading.Event(); other = threading.Thread(target=e.wait, daemon=True); other.start()",
        "other.join(60)",
        "e.set()",
    ),
    "future": (
        "import concurrent.futures; f = concurrent.futures.Future()",
        "f.result()",
        "f.set_result('result')",
    ),
}


@pytest.mark.parametrize("kind", WAITS)
def test_wait_goes_on(same, kind):
    begin, wait, end = WAITS[kind]
    same(f"""
        import queue, threading, time
        def enter(manager, inside=lambda: "inside"):
            with manager:
                return inside()
        {begin}
        entered = []
        def waiter():
            entered.append(1)
            print("waited", {wait})
        thread = threading.Thread(target=waiter)
        thread.start()
        while not entered: pass
        for _ in range(2):
            hop()
        print(thread.is_alive())
        {end}
        thread.join()
        print(threading.active_count())
    """)


@pytest.mark.parametrize(
    "wait",
    [
        "time.sleep(length)",
        "threading.Event().wait(length)",
        "held.acquire(True, length)",
        "held.acquire(timeout=length)",
        "wait_for_nothing(queue.Queue().get, length)",
        "wait_for_nothing(queue.SimpleQueue().get, length)",
        "threading.main_thread().join(length)",
    ],
)
def test_remaining_time_is_kept(move, wait):
    run = move(f"""
        import queue, threading, time
        held = threading.Lock()
        held.acquire()
        def wait_for_nothing(get, length):
            try:
                get(timeout=length)
            except queue.Empty:
                pass
        length = 4.0
        took = []
        def waiter():
            begun = time.monotonic()
            {wait}
            took.append(time.monotonic() - begun)
        thread = threading.Thread(target=waiter)
        thread.start()
        time.sleep(1.5)
        hop()
        moved = time.monotonic()
        thread.join()
        print(length - 0.01 <= took[0], took[0] < length + 1.4, took)
    """)
    assert run.returncode == 0, run.stderr
    assert run.stdout.startswith("True True"), run.stdout
    assert run.moves == 1


def test_locks_are_handed_over_in_order(same):
    same("""
        import threading
        count = 5
        locks = [threading.Lock() for _ in range(count + 1)]
        for lock in locks: lock.acquire()
        order = []
        def relay(number):
            with locks[number]:
                order.append(number)
                locks[number + 1].release()
        threads = [threading.Thread(target=relay, args=(n,)) for n in range(count)]
        for thread in threads: thread.start()
        hop()
        locks[0].release()
        locks[count].acquire()
        for thread in threads: thread.join()
        hop()
        print(order, [lock.locked() for lock in locks])
    """)


def test_producers_and_consumers(same):
    same("""
        import queue, threading
        items, results = queue.Queue(3), queue.SimpleQueue()
        def produce(first):
            for number in range(first, first + 200):
                items.put(number)
        def consume():
            while True:
                item = items.get()
                if item is None:
                    break
                results.put(item * item)
                items.task_done()
        producers = [threading.Thread(target=produce, args=(1000 * n,)) for n in range(3)]
        consumers = [threading.Thread(target=consume) for _ in range(2)]
        for thread in producers + consumers: thread.start()
        for _ in range(3): hop()
        for thread in producers: thread.join()
        for _ in consumers: items.put(None)
        for thread in consumers: thread.join()
        found = sorted(results.get() for _ in range(600))
        print(len(found), sum(found), results.empty(), items.qsize())
    """)


def test_pipeline_of_stages(same):
    same("""
        import queue, threading
        stages = [queue.Queue(2) for _ in range(4)]
        def stage(number):
            while True:
                item = stages[number].get()
                stages[number + 1].put(item if item is None else item * 2 + number)
                if item is None:
                    break
        threads = [threading.Thread(target=stage, args=(n,)) for n in range(3)]
        for thread in threads: thread.start()
        seen = []
        for number in range(30):
            stages[0].put(number)
            if number % 10 == 5: hop()
            seen.append(stages[3].get())
        stages[0].put(None)
        print(seen, stages[3].get())
        for thread in threads: thread.join()
    """)


def test_thread_locals_and_names_and_daemons(same):
    same("""
        import threading
        class Own(threading.local):
            def __init__(self, first):
                self.made = [first, threading.current_thread().name]
        plain, own = threading.local(), Own("first")
        plain.value = own.value = "main"
        go, ready = threading.Event(), threading.Barrier(3)
        lines = {}
        def work(name):
            plain.value = own.value = name
            ready.wait()
            go.wait()
            thread = threading.current_thread()
            assert threading.get_ident() == thread.ident and thread.native_id == threading.get_native_id()
            assert threading._active[thread.ident] is thread
            lines[name] = thread.name, thread.daemon, plain.value, own.value, own.made
        threads = [
            threading.Thread(target=work, args=("one",), name="eins"),
            threading.Thread(target=work, args=("two",), name="zwei", daemon=True),
        ]
        for thread in threads: thread.start()
        ready.wait()
        for _ in range(2): hop()
        go.set()
        for thread in threads: thread.join()
        print(sorted(lines.items()), plain.value, own.value, own.made)
        print(threading.enumerate() == [threading.main_thread()])
    """)


def test_rlocks_keep_owner_and_count(same):
    same("""
        import threading
        lock = threading.RLock()
        go, held = threading.Event(), threading.Event()
        def work():
            with lock, lock, lock:
                held.set()
                go.wait()
                lock.release()
                lock.acquire()
            try:
                lock.release()
            except RuntimeError as error:
                print(error)
        thread = threading.Thread(target=work)
        thread.start()
        held.wait()
        for _ in range(2):
            hop()
            print(lock.acquire(blocking=False))
        go.set()
        thread.join()
        print(lock.acquire(blocking=False))
    """)


def test_thread_that_calls_is_not_the_main_one(same):
    same("""
        import threading
        done = []
        def work():
            for number in range(2):
                hop()
                print("in", threading.current_thread().name, threading.current_thread() is threading.main_thread())
            done.append(1)
        thread = threading.Thread(target=work, name="worker")
        thread.start()
        thread.join()
        print(threading.current_thread() is threading.main_thread(), threading.main_thread().ident == threading.get_ident(), done)
        hop()
    """)


def test_raw_threads_go_on(same):
    same("""
        import _thread
        done, go = _thread.allocate_lock(), []
        done.acquire()
        def work(name, *, count):
            total = 0
            while not go:
                total = (total + 1) % count
            print(name, total < count)
            done.release()
        _thread.start_new_thread(work, ("raw",), {"count": 10})
        for _ in range(2): hop()
        go.append(1)
        done.acquire()
        print("done")
    """)


def test_program_ends_when_its_threads_have(same):
    same("""
        import threading
        go = threading.Event()
        def work():
            go.wait()
            print("still here")
        threading.Thread(target=work).start()
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        hop()
        go.set()
    """)


def test_thread_pool_moves(same):
    same("""
        import concurrent.futures, threading
        go, begun = threading.Event(), threading.Semaphore(0)
        def square(number):
            if number == 3:
                begun.release()
                go.wait()
            return number * number
        with concurrent.futures.ThreadPoolExecutor(2, thread_name_prefix="pool") as pool:
            print(pool.submit(square, 1).result())
            hop()
            print(pool.submit(square, 2).result())
            futures = [pool.submit(square, number) for number in (3, 3, 4, 5)]
            begun.acquire(), begun.acquire()
            hop()
            print(futures[0].done(), futures[3].done(), pool._work_queue.qsize())
            go.set()
            print([future.result() for future in futures])
            print(list(pool.map(square, range(6))))
        hop()
        print(sorted(thread.name for thread in threading.enumerate()))
    """)


def test_daemons_run_when_the_program_ends(same):
    """They want the interpreter's lock when that has ended."""
    same("""
        import threading, time
        def work():
            while True:
                time.sleep(0.0002)
        for _ in range(20):
            threading.Thread(target=work, daemon=True).start()
        hop()
        hop()
        print("end")
    """)


def test_thread_in_the_middle_of_what_c_code_collects_is_waited_for(move):
    run = move("""
        import threading
        reached, go_on = threading.Event(), threading.Event()
        def items():
            yield 1
            reached.set()
            for turn in range(20000):  # of Python's own, in which it can be stopped
                pass
            yield 2
        def work():
            found.append(sum(items()))
            go_on.wait()
            found.append("end")
        found = []
        thread = threading.Thread(target=work)
        thread.start()
        reached.wait()
        teleport(timeout=60)
        trail("there")
        print(found)
        go_on.set()
        thread.join()
        print(found)
    """)
    assert run.stdout == "[3]\n[3, 'end']\n", run.stderr
    assert run.ended_in == "peer"


@pytest.mark.skipif(sys.version_info < (3, 9), reason="3.8 calls with a tuple that C alone has: refused")
def test_executors_of_a_loop_move_while_they_work(same):
    """A worker calls what `run_in_executor` and `to_thread` gave it, through the context that it was given in."""
    same("""
        import asyncio, contextvars, functools, threading
        where = contextvars.ContextVar("where")
        goes_on = threading.Event()
        def work(n, *, add=0):
            begun.set()
            goes_on.wait()
            return n * 2 + add, where.get(), threading.current_thread().name
        async def main():
            global begun
            loop = asyncio.get_event_loop()
            where.set("main")
            context = contextvars.copy_context()
            for turn in range(2):
                begun = threading.Event()
                call = functools.partial(context.run, work, turn, add=1)
                busy = loop.run_in_executor(None, call)
                begun.wait()
                hop()
                goes_on.set()
                print(await busy)
                goes_on.clear()
            hop()
            print(await loop.run_in_executor(None, sum, [1, 2]))
        asyncio.run(main())
    """)


def test_state_is_kept_in_a_file(same):
    same(
        BUSY
        + """
    def run(seed):
        results[seed] = work(seed, 2000)
    threads = [threading.Thread(target=run, args=(seed,)) for seed in range(2)]
    for thread in threads: thread.start()
    hop()
    go.set()
    for thread in threads: thread.join()
    print(sorted(results.items()))
    """,
        ways=("dump",),
    )


def test_program_goes_on_beside_its_file(move, tmp_path):
    run = move(
        BUSY
        + f"""
    def run():
        results["busy"] = work(1, 2000)
    thread = threading.Thread(target=run)
    thread.start()
    for number in range(3):
        assert dump({str(tmp_path / "state")!r}) is None
    go.set()
    thread.join()
    print(results)
    """
    )
    straight = move.straight(BUSY + "\n    go.set()\n    print({'busy': work(1, 2000)})\n")
    assert (run.returncode, run.stdout) == (0, straight.stdout), run.stderr


STUCK = """
    import os, threading, time
    r, w = os.pipe()
    def reads():
        print("read", os.read(r, 1))
    stuck = threading.Thread(target=reads, name="reader")
    stuck.start()
    ticks = []
    def tick():
        while stuck.is_alive():
            ticks.append(1)
    ticker = threading.Thread(target=tick)
    ticker.start()
"""


def test_thread_in_other_c_code_is_refused_by_name(move):
    run = move(
        STUCK
        + """
    for _ in range(2):
        begun = time.monotonic()
        try:
            teleport(timeout=0.3)
        except CaptureError as refusal:
            print(refusal)
        trail("refused")
        before = len(ticks)
        while len(ticks) == before: pass
    os.write(w, b"x")
    stuck.join(); ticker.join()
    print("both done")
    """
    )
    assert run.returncode == 0, run.stderr
    lines = run.stdout.splitlines()
    assert lines[0] == lines[1]
    assert "reader" in lines[0]
    assert "read" in lines[0]
    assert "reads() (" in lines[0]
    assert "line 5" in lines[0]
    assert "0.3 s" in lines[0]
    assert lines[2:] == ["read b'x'", "both done"]
    assert run.ended_in == "home"


def test_thread_is_waited_for_that_comes_out_of_c_code(move):
    run = move(
        STUCK
        + """
    def write():
        time.sleep(1.5)
        os.write(w, b"x")
    writer = threading.Thread(target=write)
    writer.start()
    teleport(timeout=20)
    trail("hop")
    for thread in (stuck, ticker, writer): thread.join()
    print("all done")
    """
    )
    assert run.stdout.endswith("all done\n"), (run.stdout, run.stderr)


def test_threads_run_on_when_the_peer_fails(move):
    run = move(
        BUSY
        + """
    import socket
    def run():
        results["busy"] = work(1, 2000)
    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads: thread.start()
    conn = socket.socket()
    for _ in range(3):
        try:
            teleport()
        except UnmovableError as refusal:
            print("socket" in str(refusal))
        trail("refused")
    conn.close()
    go.set()
    for thread in threads: thread.join()
    print(threading.active_count())
    """
    )
    assert (run.returncode, run.stdout) == (0, "True\nTrue\nTrue\n1\n"), run.stderr
    assert run.ended_in == "home"


MAIN_ENDS = """
    import atexit, os, sys, threading
    atexit.register(print, "at exit")
    def work(n):
        if n == 0:
            threading.main_thread().join()
        else:
            others[0].join()
        for _ in range(2):
            hop()
        print(n, threading.main_thread().is_alive(), [thread.name for thread in threading.enumerate()][1:])
    others = [threading.Thread(target=work, args=(n,), name="other %d" % n) for n in range(2)]
    for thread in others:
        thread.start()
    print("the main thread ends")
"""


TELLS_STATUS = pytest.mark.skipif(sys.version_info >= (3, 14), reason="nothing tells the status from 3.14 on")


@TELLS_STATUS
def test_main_thread_has_ended(same):
    same(MAIN_ENDS)


def test_main_thread_has_moved_and_ended(same):
    same("\n    hop()" + MAIN_ENDS)


def test_main_thread_has_ended_with_an_exception(move):
    run = move("\n    hop()" + MAIN_ENDS + '    raise KeyError("why")\n', moves="all")
    assert run.returncode == 1
    assert run.stdout.endswith("at exit\n")
    assert run.hops == 5
    assert run.stderr.endswith("KeyError: 'why'\n")
    assert run.ended_in == "peer"


def test_main_thread_has_moved_and_called_exit(move):
    run = move("\n    hop()" + MAIN_ENDS + "    sys.exit(3)\n", moves="all")
    assert run.returncode == 3, run.stderr
    assert run.stdout.endswith("at exit\n")
    assert run.hops == 5


def test_main_thread_has_called_exit(refused):
    program = MAIN_ENDS.replace("hop()", "attempt() if n == 0 and not _ else None") + "    sys.exit()\n"
    (text,) = refused(program, error="CaptureError")
    assert "its exit status is not known" in text
