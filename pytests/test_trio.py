"""Programs under trio: a run moves with all its tasks."""

import pytest

pytest.importorskip("trio")


def test_tasks_channels_and_scopes(same):
    same("""
        import trio
        async def produce(n, send):
            async with send:
                for m in range(3):
                    await trio.sleep(0.01 * n)
                    await send.send(hop((n, m)))
        async def main():
            send, receive = trio.open_memory_channel(0)
            got = []
            async with trio.open_nursery() as nursery:
                for n in range(2):
                    nursery.start_soon(produce, n, send.clone())
                await send.aclose()
                async with receive:
                    async for item in receive:
                        got.append(item)
            print(sorted(got))
            with trio.move_on_after(0.05) as scope:
                hop()
                await trio.sleep(3600)
            print(scope.cancelled_caught)
            try:
                with trio.fail_after(0.01):
                    hop()
                    await trio.sleep_forever()
            except trio.TooSlowError:
                print("too slow")
        trio.run(main)
        print("done")
    """)


def test_exceptions_of_tasks(same):
    same("""
        import trio
        async def fail(n):
            try:
                await trio.sleep(0.01)
                hop()
                raise KeyError(n)
            finally:
                with trio.CancelScope(shield=True):
                    await trio.sleep(0)
                    print("cleaned", n)
        async def wait():
            try:
                await trio.sleep_forever()
            except trio.Cancelled:
                hop()
                print("cancelled")
                raise
        async def main():
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait)
                nursery.start_soon(fail, 1)
        try:
            trio.run(main)
        except BaseException as error:
            inner = getattr(error, "exceptions", [error])
            print([repr(one) for one in inner])
    """)


def test_locks_events_and_async_generators(same):
    same("""
        import trio
        async def numbers():
            try:
                for n in range(5):
                    yield n
                    await trio.sleep(0)
            finally:
                print("closed")
        async def work(n, lock, event, log):
            async with lock:
                log.append(n)
                await trio.sleep(0.005)
            await event.wait()
            log.append(-n)
        async def main():
            lock, event, log = trio.Lock(), trio.Event(), []
            async with trio.open_nursery() as nursery:
                for n in range(1, 4):
                    nursery.start_soon(work, n, lock, event, log)
                await trio.testing.wait_all_tasks_blocked() if hasattr(trio, "testing") else None
                hop()
                await trio.sleep(0.05)
                hop()
                event.set()
            print(sorted(log))
            kept = numbers()
            print(await kept.__anext__())
            hop()
            print(await kept.__anext__())
            await kept.aclose()
        trio.run(main)
    """)


def test_calls_from_and_into_threads(same):
    same("""
        import trio
        def work(n):
            hop()
            trio.from_thread.run(trio.sleep, 0)
            return n + trio.from_thread.run_sync(hop, 1)
        async def main():
            ticks = []
            async def tick():
                while True:
                    ticks.append(1)
                    await trio.sleep(0.001)
            async with trio.open_nursery() as nursery:
                nursery.start_soon(tick)
                print(await trio.to_thread.run_sync(work, 1))
                print(await trio.to_thread.run_sync(work, 2))
                seen = len(ticks)
                while len(ticks) < seen + 2:
                    await trio.sleep(0)
                nursery.cancel_scope.cancel()
        trio.run(main)
    """)


def test_a_run_in_another_thread(same):
    same("""
        import threading, trio
        tokens, ready, results = [], threading.Event(), []
        async def main():
            tokens.append(trio.lowlevel.current_trio_token())
            ready.set()
            with trio.CancelScope() as scope:
                tokens.append(scope)
                await trio.sleep_forever()
            results.append(scope.cancelled_caught)
        thread = threading.Thread(target=trio.run, args=(main,))
        thread.start()
        ready.wait()
        hop()
        async def ask(n):
            await trio.sleep(0.001)
            return n + 1
        print(trio.from_thread.run(ask, 1, trio_token=tokens[0]))
        hop()
        trio.from_thread.run_sync(tokens[1].cancel, trio_token=tokens[0])
        thread.join()
        print(results)
    """)


def test_signals(same):
    same("""
        import os, signal, trio
        async def main():
            with trio.open_signal_receiver(signal.SIGUSR1) as signals:
                hop()
                os.kill(os.getpid(), signal.SIGUSR1)
                async for number in signals:
                    print(number == signal.SIGUSR1)
                    break
            try:
                hop()
                os.kill(os.getpid(), signal.SIGINT)
                await trio.sleep(3600)
            except KeyboardInterrupt:
                print("interrupted")
        try:
            trio.run(main)
        except KeyboardInterrupt:
            print("interrupted")
    """)


def test_the_clock_stands_still(move):
    run = move("""
        import trio, time
        async def main():
            started = trio.current_time()
            with trio.move_on_after(3600) as scope:
                hop()
                time.sleep(0.2)
                print(0.2 <= trio.current_time() - started < 3600, 3600 <= scope.deadline - started < 3700)
        trio.run(main)
    """)
    assert run.stdout == "True True\n", run.stderr


def test_a_socket_that_is_waited_for(refused):
    (text,) = refused(
        """
        import trio
        async def main():
            ours, theirs = trio.socket.socketpair()
            async with trio.open_nursery() as nursery:
                async def read():
                    print(await ours.recv(5))
                nursery.start_soon(read)
                await trio.sleep(0.01)
                attempt()
                await theirs.send(b"bytes")
            ours.close(), theirs.close()
        trio.run(main)
        """,
        error="UnmovableError",
    )
    assert "socket" in text
    assert "a task of trio waits for descriptor" in text


def test_guest_mode(same):
    same("""
        import asyncio, trio
        async def guest():
            await trio.sleep(0.01)
            hop()
            with trio.move_on_after(0.02):
                await trio.sleep(3600)
            await trio.to_thread.run_sync(hop)
            return "guest is done"
        async def host():
            loop = asyncio.get_running_loop()
            done = loop.create_future()
            trio.lowlevel.start_guest_run(
                guest,
                run_sync_soon_threadsafe=loop.call_soon_threadsafe,
                done_callback=done.set_result,
                host_uses_signal_set_wakeup_fd=True,
            )
            ticks = 0
            while not done.done():
                await asyncio.sleep(0.001)
                ticks += 1
            print(done.result().unwrap(), ticks > 3)
        asyncio.run(host())
    """)
