"""Programs under `asyncio.run` that move from inside a coroutine: all tasks and timers go on there, each exactly once."""

import json

import pytest


def test_one_task_sleeps(same):
    same("""
        import asyncio
        async def child(n):
            await asyncio.sleep(0.01)
            return n
        async def main():
            task = asyncio.ensure_future(child(2))
            await asyncio.sleep(0)
            hop()
            print(task.done(), task.get_name(), asyncio.current_task().get_name(), len(asyncio.all_tasks()))
            print(await task)
            hop()
            return "end"
        print(asyncio.run(main()))
        hop()
        print(asyncio.run(main()))
    """)


def test_sleepers_wake_in_order(same):
    same(
        """
        import asyncio
        async def sleeper(n):
            await asyncio.sleep(0.03 * n)
            hop(n)
            print("slept", n)
            return n
        async def main():
            tasks = [asyncio.ensure_future(sleeper(n)) for n in (5, 3, 1, 4, 2)]
            await asyncio.sleep(0.001)
            hop()
            print(await asyncio.gather(*tasks))
        asyncio.run(main())
        """,
        singles=True,
    )


def test_producers_and_consumers(same):
    same("""
        import asyncio
        async def produce(queue, name, count):
            for n in range(count):
                await queue.put((name, n))
                print("put", name, n)
        async def consume(queue, name, seen):
            while True:
                item = await queue.get()
                print(name, "got", item)
                if item[1] in (1, 4):
                    hop()
                seen.append(item)
                queue.task_done()
        async def main():
            queue, seen = asyncio.Queue(2), []
            consumers = [asyncio.ensure_future(consume(queue, name, seen)) for name in "xy"]
            await asyncio.gather(*[produce(queue, name, 6) for name in "abc"])
            await queue.join()
            for consumer in consumers:
                consumer.cancel()
            print(await asyncio.gather(*consumers, return_exceptions=True))
            print(len(seen), sorted(seen) == [(name, n) for name in "abc" for n in range(6)])
        asyncio.run(main())
    """)


def test_queues_of_all_kinds(same):
    same("""
        import asyncio
        async def main():
            for kind in asyncio.Queue, asyncio.LifoQueue, asyncio.PriorityQueue:
                queue = kind()
                getters = [asyncio.ensure_future(queue.get()) for _ in range(3)]
                await asyncio.sleep(0)
                hop()
                for n in (3, 1, 2, 5, 4):
                    queue.put_nowait(n)
                print(kind.__name__, await asyncio.gather(*getters))
                hop()
                print([queue.get_nowait() for _ in range(queue.qsize())])
        asyncio.run(main())
    """)


def test_a_pipeline(same):
    same("""
        import asyncio
        async def source(out):
            for n in range(5):
                await out.put(n)
                await asyncio.sleep(0)
            await out.put(None)
        async def stage(inn, out, work):
            while True:
                item = await inn.get()
                if item is None:
                    break
                await out.put(await work(item))
            await out.put(None)
        async def double(n):
            await asyncio.sleep(0.001 * (n % 2))
            return hop(n) * 2
        async def text(n):
            if n == 4:
                hop()
            return "<%d>" % n
        async def main():
            queues = [asyncio.Queue(1) for _ in range(3)]
            tasks = [source(queues[0]), stage(queues[0], queues[1], double), stage(queues[1], queues[2], text)]
            tasks = [asyncio.ensure_future(task) for task in tasks]
            while True:
                item = await queues[2].get()
                if item is None:
                    break
                print(item)
            print(await asyncio.gather(*tasks))
        asyncio.run(main())
    """)


def test_locks_are_handed_over_in_order(same):
    same("""
        import asyncio
        async def worker(n, lock, trace):
            async with lock:
                trace.append(n)
                await asyncio.sleep(0)
                if n in (1, 3):
                    hop()
                trace.append(n)
        async def main():
            lock, trace = asyncio.Lock(), []
            tasks = [asyncio.ensure_future(worker(n, lock, trace)) for n in range(5)]
            await asyncio.sleep(0)
            hop()
            print(lock.locked(), len(lock._waiters))
            await asyncio.gather(*tasks)
            print(trace, lock.locked())
        asyncio.run(main())
    """)


def test_events_conditions_semaphores(same):
    same("""
        import asyncio
        async def on_event(n, event):
            await event.wait()
            print("event", n)
        async def on_condition(n, condition):
            async with condition:
                await condition.wait()
                if n == 1:
                    hop()
                print("condition", n)
        async def on_value(condition, box):
            async with condition:
                print("value", await condition.wait_for(lambda: box["value"]))
        async def limited(n, semaphore):
            async with semaphore:
                print("in", n)
                await asyncio.sleep(0)
                hop()
            print("out", n)
        async def main():
            event, condition, box = asyncio.Event(), asyncio.Condition(), {"value": 0}
            semaphore = asyncio.BoundedSemaphore(2)
            tasks = [on_event(n, event) for n in range(3)] + [on_condition(n, condition) for n in range(3)]
            tasks += [on_value(condition, box)] + [limited(n, semaphore) for n in range(4)]
            tasks = [asyncio.ensure_future(task) for task in tasks]
            await asyncio.sleep(0)
            hop()
            event.set()
            async with condition:
                condition.notify(2)
            for _ in range(20):
                await asyncio.sleep(0)
            hop()
            async with condition:
                box["value"] = 7
                condition.notify_all()
            await asyncio.gather(*tasks)
            try:
                semaphore.release()
            except ValueError as error:
                print(error)
        asyncio.run(main())
    """)


def test_callbacks_and_timers(same):
    same("""
        import asyncio
        async def main():
            loop = asyncio.get_running_loop()
            def plain(n):
                hop()
                print("plain", n)
                loop.call_later(0.002, done.set_result, n)
            done, never = loop.create_future(), loop.call_later(0.001, print, "never")
            loop.call_soon(plain, 3)
            at = loop.call_at(loop.time() + 3600, print, "much later")
            left = at.when() - loop.time()
            never.cancel()
            hop()
            print(await done, never.cancelled(), at.cancelled())
            print(0 <= left - (at.when() - loop.time()) < 60)
            hop()
            at.cancel()
        asyncio.run(main())
    """)


def test_async_generators_half_consumed(same):
    same("""
        import asyncio
        async def numbers(name, count):
            try:
                for n in range(count):
                    await asyncio.sleep(0)
                    yield hop(n)
            finally:
                await asyncio.sleep(0)
                print(name, "is closed")
        async def take(source, count):
            got = []
            async for n in source:
                got.append(n)
                if len(got) == count:
                    break
            return got
        async def main():
            kept = numbers("kept", 5)
            print(await asyncio.gather(take(kept, 2), take(numbers("other", 3), 9)))
            hop()
            print([n async for n in numbers("comprehension", 2)])
            print(await kept.__anext__())
            hop()
            await kept.aclose()
            print([n async for n in kept])
            left = numbers("left to the loop", 5)
            print(await take(left, 1))
            hop()
        asyncio.run(main())
    """)


def test_context_variables_of_each_task(same):
    same("""
        import asyncio, contextvars
        name = contextvars.ContextVar("name", default="nobody")
        box = contextvars.ContextVar("box")
        async def work(n):
            token, other = name.set("task %d" % n), box.set([n])
            await asyncio.sleep(0)
            hop()
            print(name.get(), box.get(), token.old_value)
            box.get().append(asyncio.current_task())
            await asyncio.sleep(0.001)
            print(name.get(), box.get()[1] is asyncio.current_task())
            hop()
            name.reset(token)
            box.reset(other)
            print(name.get(), box.get("empty"))
        async def main():
            token = name.set("main")
            await asyncio.gather(*[work(n) for n in range(3)])
            print(name.get())
            asyncio.get_running_loop().call_soon(lambda: print("callback", name.get(), hop("h")))
            await asyncio.sleep(0)
            name.reset(token)
            print(name.get())
        outermost = name.set("outside")
        asyncio.run(main())
        print(name.get())
        name.reset(outermost)
        print(name.get())
    """)


def test_a_loop_between_two_runs(same):
    same("""
        import asyncio
        async def work(n):
            await asyncio.sleep(0)
            return hop(n)
        loop = asyncio.new_event_loop()
        task = loop.create_task(work(1))
        timer = loop.call_later(0.5, print, "timer")
        hop()
        print(loop.run_until_complete(task), loop.is_running(), loop.is_closed())
        loop.call_later(0.6, loop.stop)
        hop()
        loop.run_forever()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
        hop()
        print(loop.is_closed())
    """)


def test_await_ateleport(move):
    run = move("""
        import asyncio, os, pyteleport
        async def child(home):
            await asyncio.sleep(0.001)
            return os.getpid() != home
        async def main():
            home = os.getpid()
            task = asyncio.ensure_future(child(home))
            print(await pyteleport.ateleport())
            print(os.getpid() != home, await task)
            os.environ.pop("GREETING", None)
            print(await asyncio.wait_for(pyteleport.ateleport(env={"GREETING": "hello"}), 60))
            print(os.environ["GREETING"])
            try:
                await pyteleport.ateleport(7)
            except TypeError as error:
                print(type(error).__name__)
        asyncio.run(main())
    """)
    assert run.returncode == 0, run.stderr
    assert run.stdout.splitlines() == ["None", "True True", "None", "hello", "TypeError"], run.stderr


@pytest.mark.parametrize("way", ["dump", "bash"])
def test_the_other_ways(same, way):
    same(
        """
        import asyncio
        async def work(n):
            await asyncio.sleep(0.001 * n)
            hop()
            return n
        async def main():
            tasks = [asyncio.ensure_future(work(n)) for n in range(3)]
            timer = asyncio.get_running_loop().call_later(3600, print, "much later")
            print(await asyncio.gather(*tasks), timer.when() > asyncio.get_running_loop().time() + 3500)
        asyncio.run(main())
        """,
        ways=(way,),
    )


def test_signals_of_a_loop(same):
    same("""
        import asyncio, os, signal
        async def main():
            loop, got = asyncio.get_running_loop(), asyncio.Queue()
            loop.add_signal_handler(signal.SIGUSR1, got.put_nowait, "usr1")
            loop.add_signal_handler(signal.SIGUSR2, got.put_nowait, "usr2")
            os.kill(os.getpid(), signal.SIGUSR1)
            hop()
            print(await got.get())
            os.kill(os.getpid(), signal.SIGUSR2)
            print(await got.get())
            print(loop.remove_signal_handler(signal.SIGUSR1))
            hop()
            os.kill(os.getpid(), signal.SIGUSR2)
            print(await got.get())
        asyncio.run(main())
    """)


def test_an_interrupt(same):
    same("""
        import asyncio, os, signal
        async def main():
            hop()
            try:
                os.kill(os.getpid(), signal.SIGINT)
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                print("cancelled")
                raise
        try:
            asyncio.run(main())
        except KeyboardInterrupt:
            print("interrupted")
    """)


def test_in_debug_mode(same):
    same("""
        import asyncio
        async def work(n):
            await asyncio.sleep(0)
            hop()
            return n
        async def main():
            loop = asyncio.get_running_loop()
            loop.slow_callback_duration = 3600
            task, future = asyncio.ensure_future(work(1)), loop.create_future()
            loop.call_later(0.001, future.set_result, 2)
            hop()
            print(await task, await future, loop.get_debug())
        asyncio.run(main(), debug=True)
    """)


def test_a_loop_is_woken_by_what_was_written_before(same):
    same("""
        import asyncio
        async def main():
            loop, future = asyncio.get_running_loop(), None
            future = loop.create_future()
            loop.call_soon_threadsafe(future.set_result, "woken")
            hop()
            print(await future)
        asyncio.run(main())
    """)


def test_a_clock_of_the_program_s_own(same):
    same("""
        import asyncio
        class Loop(asyncio.SelectorEventLoop):
            "Its time stands still unless somebody waits."
            now = 0.0
            def time(self):
                return self.now
            def _run_once(self):
                if not self._ready and self._scheduled:
                    self.now = max(self.now, self._scheduled[0].when())
                super()._run_once()
        async def work(n):
            await asyncio.sleep(1000 * n)
            hop()
            return n, asyncio.get_running_loop().time()
        async def main():
            print(await asyncio.gather(*[work(n) for n in (3, 1, 2)]))
        loop = Loop()
        loop.run_until_complete(main())
        loop.close()
    """)


def test_a_timer_fires_when_it_would_have(move):
    run = move("""
        import asyncio, json
        async def main():
            loop = asyncio.get_running_loop()
            hop()
            wanted, late = [0.05 * n for n in range(1, 7)], []
            started = loop.time()
            timers = [loop.call_at(started + n, lambda n=n: late.append(loop.time() - started - n)) for n in wanted]
            await asyncio.sleep(0.12)
            before = loop.time()
            hop()
            stood_still = loop.time() - before
            await asyncio.sleep(0.25)
            print(json.dumps([late, stood_still]))
        asyncio.run(main())
    """)
    assert run.returncode == 0, run.stderr
    late, stood_still = json.loads(run.stdout)
    assert len(late) == 6
    # A busy machine delays timers wherever they are: most of them are in time.
    assert sorted(late)[3] < 0.01, late
    assert 0 <= stood_still < 0.05, stood_still


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_anyio(same, backend):
    pytest.importorskip("anyio")
    pytest.importorskip(backend)
    program = """
        import anyio
        async def child(n, send):
            async with send:
                await anyio.sleep(0.03 * n)
                await send.send(hop(n))
        async def main():
            send, receive = anyio.create_memory_object_stream(5)
            async with anyio.create_task_group() as group:
                for n in (3, 1, 2):
                    group.start_soon(child, n, send.clone())
                await send.aclose()
                async with receive:
                    async for n in receive:
                        print("got", n)
            with anyio.move_on_after(0.05) as scope:
                hop()
                await anyio.sleep(3600)
            print(scope.cancel_called)
        anyio.run(main, backend="BACKEND")
    """
    same(program.replace("BACKEND", backend))
