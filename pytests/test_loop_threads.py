"""Event loops in threads, whichever of them makes the call: all go on, each in its own."""

import sys

import pytest

SINCE_3_9 = pytest.mark.skipif(sys.version_info < (3, 9), reason="asyncio.to_thread is new in 3.9")

IN_A_THREAD = """
    import asyncio, threading
    loop = asyncio.new_event_loop()
    def serve():
        asyncio.set_event_loop(loop)
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        print("served", asyncio._get_running_loop())
    thread = threading.Thread(target=serve, name="loop")
    thread.start()
    def ask(coroutine):
        return asyncio.run_coroutine_threadsafe(coroutine, loop)
    def stop():
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        print(loop.is_closed())
"""


def test_a_loop_that_waits_in_another_thread(same):
    same(
        IN_A_THREAD
        + """
    async def work(n):
        assert asyncio.get_running_loop() is loop and loop._thread_id == threading.get_ident()
        await asyncio.sleep(0.01)
        return n
    print(ask(work(1)).result())
    hop()
    print(ask(work(2)).result())
    hop()
    stop()
    """
    )


def test_timers_and_tasks_of_a_loop_in_another_thread(same):
    same(
        IN_A_THREAD
        + """
    began = threading.Event()
    async def work(n):
        async with lock:
            order.append(n)
            began.set()
            await asyncio.sleep(0.05)
        return n
    async def main():
        global lock
        lock, tasks = asyncio.Lock(), [asyncio.ensure_future(work(n)) for n in range(4)]
        late = asyncio.sleep(3600)
        try:
            await asyncio.wait_for(late, 0.1)
        except asyncio.TimeoutError:
            order.append("timeout")
        return await asyncio.gather(*tasks)
    order = []
    future = ask(main())
    began.wait()
    hop()
    hop()
    print(future.result(), [n for n in order if n != "timeout"], len(order))
    stop()
    """
    )


def test_a_call_in_the_loop_of_another_thread(same):
    same(
        IN_A_THREAD
        + """
    async def work(n):
        for m in range(3):
            n += hop(m)
            await asyncio.sleep(0)
        assert asyncio.get_running_loop() is loop and loop._thread_id == threading.get_ident()
        return n, threading.current_thread().name
    print(ask(work(1)).result())
    stop()
    """
    )


def test_a_busy_task_in_another_thread(same):
    same(
        IN_A_THREAD
        + """
    go, began = threading.Event(), threading.Event()
    async def work():
        count, mine = 0, asyncio.current_task()
        began.set()
        while not go.is_set():
            count += 1
            if count % 50 == 0:
                await asyncio.sleep(0)
            assert asyncio.current_task() is mine
        return count > 0, mine.get_name() if hasattr(mine, "get_name") else None
    future = ask(work())
    began.wait()
    hop()
    hop()
    go.set()
    print(future.result())
    stop()
    """
    )


def test_two_loops_that_talk(same):
    same("""
        import asyncio, threading
        loops = [asyncio.new_event_loop() for _ in range(2)]
        threads = [threading.Thread(target=loop.run_forever, name="loop %d" % n) for n, loop in enumerate(loops)]
        for thread in threads:
            thread.start()
        async def ping(n, log):
            log.append((n, threading.current_thread().name))
            if n == 4 or n == 7:
                hop()
            if n < 9:
                there = asyncio.run_coroutine_threadsafe(ping(n + 1, log), loops[(n + 1) % 2])
                return await asyncio.wrap_future(there) + 1
            return 1
        log = []
        print(asyncio.run_coroutine_threadsafe(ping(0, log), loops[0]).result())
        hop()
        for loop, thread in zip(loops, threads):
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
        print(log)
    """)


def test_a_call_in_a_worker_of_the_loop(same):
    same("""
        import asyncio, threading
        turn = threading.Lock()
        def work(n):
            with turn:
                return hop(n)
        async def main():
            loop = asyncio.get_running_loop()
            ticks = []
            async def tick():
                while True:
                    ticks.append(asyncio.get_running_loop() is loop)
                    await asyncio.sleep(0.001)
            task = asyncio.ensure_future(tick())
            print(await loop.run_in_executor(None, work, 1))
            print(await asyncio.gather(*(loop.run_in_executor(None, work, n) for n in range(3))))
            seen = len(ticks)
            while len(ticks) < seen + 3:
                await asyncio.sleep(0)
            task.cancel()
            try:
                await task
            except asyncio.CancelledError:
                print("cancelled", all(ticks))
        asyncio.run(main())
    """)


@SINCE_3_9
def test_a_call_in_to_thread(same):
    same("""
        import asyncio, contextvars
        variable = contextvars.ContextVar("variable")
        def work(n):
            hop()
            return n, variable.get()
        async def main():
            variable.set("set")
            print(await asyncio.gather(asyncio.to_thread(work, 1), asyncio.sleep(0.01, "slept")))
            hop()
        asyncio.run(main())
    """)


def test_async_generators_of_a_loop_in_another_thread(same):
    same(
        IN_A_THREAD
        + """
    async def numbers():
        try:
            for n in range(10):
                yield n
                await asyncio.sleep(0)
        finally:
            await asyncio.sleep(0)
            print("closed")
    kept = []
    async def begin():
        kept.append(numbers())
        return [await kept[0].__anext__() for _ in range(2)]
    async def go_on():
        more = numbers()
        kept.append(more)
        return await kept[0].__anext__(), await more.__anext__(), len(loop._asyncgens)
    print(ask(begin()).result())
    hop()
    print(ask(go_on()).result())
    hop()
    stop()
    """
    )


def test_debug_mode_is_the_thread_s(same):
    same(
        IN_A_THREAD.replace(
            "loop = asyncio.new_event_loop()", "loop = asyncio.new_event_loop(); loop.set_debug(True)"
        )
        + """
    import sys
    async def depth():
        return sys.get_coroutine_origin_tracking_depth(), loop.get_debug()
    print(ask(depth()).result(), sys.get_coroutine_origin_tracking_depth())
    hop()
    print(ask(depth()).result(), sys.get_coroutine_origin_tracking_depth())
    stop()
    """
    )


def test_tasks_in_python_in_another_thread(same):
    same(
        IN_A_THREAD
        + """
    from asyncio.tasks import _PyTask
    loop.set_task_factory(lambda loop, coroutine, **options: _PyTask(coroutine, loop=loop, **options))
    go, began = threading.Event(), threading.Event()
    async def work():
        mine = asyncio.current_task()
        began.set()
        while not go.is_set():
            assert asyncio.current_task() is mine
        await asyncio.sleep(0)
        return type(mine).__module__, asyncio.current_task() is mine
    future = ask(work())
    began.wait()
    hop()
    go.set()
    print(future.result())
    stop()
    """
    )


def test_a_cancellation_of_the_task_that_runs_in_another_thread(same):
    same(
        IN_A_THREAD
        + """
    go, began = threading.Event(), threading.Event()
    async def work():
        asyncio.current_task().cancel()
        began.set()
        while not go.is_set():
            pass
        try:
            await asyncio.sleep(0)
            print("not cancelled")
        except asyncio.CancelledError:
            print("cancelled")
            raise
    future = ask(work())
    began.wait()
    hop()
    go.set()
    try:
        future.result()
    except BaseException as error:
        print(type(error).__name__)
    stop()
    """
    )


def test_signals_reach_the_loop_of_the_main_thread(same):
    same("""
        import asyncio, os, signal
        async def main():
            loop, got = asyncio.get_running_loop(), asyncio.Event()
            loop.add_signal_handler(signal.SIGUSR1, got.set)
            await loop.run_in_executor(None, hop)
            os.kill(os.getpid(), signal.SIGUSR1)
            await got.wait()
            print("got it")
        asyncio.run(main())
    """)


def test_a_loop_that_waits_for_a_socket_in_another_thread(refused):
    (text,) = refused(
        IN_A_THREAD
        + """
    import socket
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    async def receive():
        return await loop.sock_recv(ours, 10)
    future = ask(receive())
    watched = threading.Event()
    loop.call_soon_threadsafe(lambda: loop.call_soon(watched.set))
    watched.wait()
    attempt()
    theirs.send(b"bytes")
    print(future.result())
    ours.close(), theirs.close()
    stop()
    """,
        error="UnmovableError",
    )
    assert "ours (socket.socket)" in text


def test_an_epoll_of_the_program_s_own(refused):
    (text,) = refused(
        """
        import select, threading, os
        reads, writes = os.pipe()
        epoll = select.epoll()
        epoll.register(reads, select.EPOLLIN)
        def wait():
            print(len(epoll.poll()))
        thread = threading.Thread(target=wait)
        thread.start()
        attempt()
        os.write(writes, b"x")
        thread.join()
        """,
        error="UnmovableError",
    )
    assert "select.epoll" in text
