"""Futures and tasks of asyncio in all states, cancelled and failing ones, in programs that move in between."""

import sys

import pytest

SINCE_3_11 = pytest.mark.skipif(sys.version_info < (3, 11), reason="new in 3.11")
SINCE_3_12 = pytest.mark.skipif(sys.version_info < (3, 12), reason="new in 3.12")


def test_futures_in_every_state(same):
    same("""
        import asyncio
        async def main():
            loop = asyncio.get_running_loop()
            made = [loop.create_future() for _ in range(4)]
            pending, done, failed, cancelled = made
            done.set_result({"a": done})
            failed.set_exception(KeyError("k"))
            cancelled.cancel()
            pending.add_done_callback(lambda future: print("called", future.result()))
            hop()
            print([future.done() for future in made], [future.cancelled() for future in made])
            print(done.result()["a"] is done, repr(failed.exception()))
            for future in failed, cancelled:
                try:
                    await future
                except (KeyError, asyncio.CancelledError) as error:
                    print(type(error).__name__, error)
            try:
                pending.result()
            except asyncio.InvalidStateError as error:
                print(type(error).__name__)
            pending.set_result("p")
            hop()
            print(await pending)
        asyncio.run(main())
    """)


def test_an_exception_that_nobody_asks_for(same):
    same("""
        import asyncio
        async def main():
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda loop, context: print(context["message"], repr(context["exception"])))
            asked, unasked = loop.create_future(), loop.create_future()
            asked.set_exception(KeyError("asked"))
            unasked.set_exception(KeyError("unasked"))
            asked.exception()
            hop()
            del asked, unasked
        asyncio.run(main())
    """)


def test_tasks_that_are_over(same):
    same("""
        import asyncio, traceback
        async def work(kind):
            await asyncio.sleep(0)
            if kind is not None:
                raise kind("from work")
            return "result"
        async def main():
            tasks = [asyncio.ensure_future(work(kind)) for kind in (None, KeyError, asyncio.CancelledError)]
            await asyncio.wait(tasks)
            hop()
            for task in tasks:
                print(task.done(), task.cancelled(), task.get_coro() and task.get_coro().__name__)
                try:
                    print(await task)
                except KeyError as error:
                    print(repr(error), [entry.name for entry in traceback.extract_tb(error.__traceback__)])
                except asyncio.CancelledError as error:
                    print(type(error).__name__, error.args)
        asyncio.run(main())
    """)


def test_timeouts(same):
    same("""
        import asyncio, sys
        async def slow(name):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                print(name, "is cancelled")
                hop()
                print(name, "cleans up", sys.exc_info()[0].__name__)
                await asyncio.sleep(0)
                hop()
                raise
        async def outer(name):
            try:
                return await slow(name)
            finally:
                print(name, "is over")
        async def quick(value):
            await asyncio.sleep(0.001)
            return hop(value)
        async def main():
            try:
                await asyncio.wait_for(outer("a"), 0.002)
            except asyncio.TimeoutError as error:
                hop()
                print(type(error).__name__)
            print(await asyncio.wait_for(quick("b"), 3600))
            inner = asyncio.ensure_future(quick("c"))
            print(await asyncio.wait_for(asyncio.shield(inner), 3600))
            inner = asyncio.ensure_future(asyncio.sleep(1, "d"))
            try:
                await asyncio.wait_for(asyncio.shield(inner), 0.001)
            except asyncio.TimeoutError:
                hop()
                print(inner.done(), await inner)
        asyncio.run(main())
    """)


def test_cancellation_in_flight(same):
    same("""
        import asyncio
        async def sleeper(name):
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError as error:
                print(name, "cancelled", error.args)
                hop()
                raise
        async def stubborn():
            while True:
                try:
                    await asyncio.sleep(3600)
                except asyncio.CancelledError:
                    print("once more")
                    hop()
                    return "stubborn"
        async def main():
            tasks = [asyncio.ensure_future(sleeper(name)) for name in "ab"] + [asyncio.ensure_future(stubborn())]
            await asyncio.sleep(0)
            for task in tasks:
                task.cancel()
            hop()
            print([task.done() for task in tasks])
            print(await asyncio.gather(*tasks, return_exceptions=True))
            fresh = asyncio.ensure_future(sleeper("never begun"))
            fresh.cancel()
            hop()
            print(await asyncio.gather(fresh, return_exceptions=True))
        asyncio.run(main())
    """)


def test_a_task_that_cancels_itself(same):
    same("""
        import asyncio
        async def work():
            asyncio.current_task().cancel()
            hop()
            print("still here")
            try:
                await asyncio.sleep(0)
                print("not here")
            except asyncio.CancelledError:
                print("now")
                raise
        async def main():
            task = asyncio.ensure_future(work())
            try:
                await task
            except asyncio.CancelledError:
                print("gone", task.cancelled())
        asyncio.run(main())
    """)


def test_gather_with_exceptions(same):
    same("""
        import asyncio
        async def work(n):
            for _ in range(3 * n):
                await asyncio.sleep(0)
            hop()
            if n == 2:
                raise KeyError(n)
            return n
        async def main():
            try:
                await asyncio.gather(*[work(n) for n in range(4)])
            except KeyError as error:
                hop()
                print(repr(error))
            print(await asyncio.gather(*[work(n) for n in range(4)], return_exceptions=True))
        asyncio.run(main())
    """)


def test_wait_and_as_completed(same):
    same("""
        import asyncio
        async def work(n):
            for _ in range(3 * n):
                await asyncio.sleep(0)
            if n != 1:
                hop()
            if n == 2:
                raise KeyError(n)
            return n
        async def main():
            done, pending = await asyncio.wait(
                [asyncio.ensure_future(work(n)) for n in range(4)], return_when=asyncio.FIRST_EXCEPTION
            )
            hop()
            print(sorted(task.result() for task in done if not task.exception()), len(pending))
            print(sorted([task.result() for task in (await asyncio.wait(pending))[0]]))
            async def in_order():
                for each in asyncio.as_completed([work(n) for n in (3, 1, 0)]):
                    yield await each
            async for n in in_order():
                hop()
                print("completed", n)
        asyncio.run(main())
    """)


def test_exceptions_deep_in_coroutines(same):
    same("""
        import asyncio, sys, traceback
        async def deep(future):
            try:
                await future
            except ValueError as error:
                print("caught", repr(error), repr(hop(sys.exc_info()[1])))
                await asyncio.sleep(0)
                hop()
                raise KeyError("k") from error
        async def middle(future):
            try:
                await deep(future)
            finally:
                print("middle", repr(sys.exc_info()[1]))
                hop()
        async def outer(future):
            try:
                await middle(future)
            except KeyError as error:
                hop()
                names = [entry.name for entry in traceback.extract_tb(error.__traceback__)]
                return names, repr(error.__cause__)
        async def main():
            future = asyncio.get_running_loop().create_future()
            task = asyncio.ensure_future(outer(future))
            await asyncio.sleep(0)
            future.set_exception(ValueError("v"))
            print(await task)
        asyncio.run(main())
    """)


@SINCE_3_11
def test_task_groups_and_deadlines(same):
    same("""
        import asyncio
        async def work(n):
            await asyncio.sleep(0.001 * n)
            hop()
            print("work", n)
            return n
        async def fails(n):
            await asyncio.sleep(0)
            raise KeyError(n)
        async def main():
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(work(n)) for n in range(3)]
                hop()
            print([task.result() for task in tasks])
            try:
                async with asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(3600))
                    group.create_task(fails(1))
                    hop()
                    await asyncio.sleep(3600)
            except BaseExceptionGroup as error:
                hop()
                print(error.exceptions)
            try:
                async with asyncio.timeout(0.002) as deadline:
                    hop()
                    await asyncio.sleep(3600)
            except TimeoutError:
                hop()
                print("too late", deadline.expired())
            async with asyncio.timeout(3600) as deadline:
                hop()
                deadline.reschedule(None)
                await work(1)
            print(asyncio.current_task().cancelling(), deadline.expired())
            runner = asyncio.Runner()
            return "end"
        with asyncio.Runner() as runner:
            print(runner.run(main()))
            hop()
            print(runner.run(work(2)))
    """)


def test_names_of_tasks(same):
    same("""
        import asyncio
        async def work():
            await asyncio.sleep(0)
            return asyncio.current_task().get_name()
        async def main():
            print(await asyncio.ensure_future(work()), asyncio.current_task().get_name())
            waiting = asyncio.ensure_future(work())
            hop()
            print(await asyncio.gather(work(), waiting, work()))
            print(sorted(task.get_name() for task in asyncio.all_tasks()))
        asyncio.run(main())
    """)


def test_tasks_written_in_python(same):
    same("""
        import asyncio, asyncio.tasks
        class Task(asyncio.tasks._PyTask):
            pass
        async def work(n):
            try:
                for _ in range(n):
                    await asyncio.sleep(0)
                    hop()
                print("task", n, asyncio.current_task() in asyncio.all_tasks(), len(asyncio.all_tasks()))
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                print("cancelled", n)
                hop()
                return n
        async def main():
            loop = asyncio.get_running_loop()
            loop.set_task_factory(lambda loop, coro, **options: Task(coro, loop=loop))
            tasks = [loop.create_task(work(n)) for n in range(3)]
            waited = asyncio.futures._PyFuture(loop=loop)
            hop()
            for _ in range(10):
                await asyncio.sleep(0)
            loop.call_soon(waited.set_result, "done")
            print(await waited)
            for task in tasks:
                task.cancel()
            print(await asyncio.gather(*tasks))
        asyncio.run(main())
    """)


def test_classes_that_derive_from_futures_and_tasks(same):
    same("""
        import asyncio
        class Task(asyncio.Task):
            def __init__(self, coro, label, **options):
                super().__init__(coro, **options)
                self.label = label
            def show(self):
                return self.label, self.done()
        class Future(asyncio.Future):
            __slots__ = ("note",)
            def set_result(self, value):
                print("set", value)
                super().set_result(value)
        async def work(future):
            return await future
        async def main():
            loop = asyncio.get_running_loop()
            future = Future(loop=loop)
            future.note = [future]
            task = Task(work(future), "label", loop=loop)
            done = Task(asyncio.sleep(0, "slept"), "done", loop=loop)
            await done
            hop()
            print(task.show(), done.show(), future.note[0] is future, done.result())
            future.set_result("value")
            hop()
            print(await task, task.show())
        asyncio.run(main())
    """)


@SINCE_3_12
def test_eager_tasks_that_wait(same):
    same("""
        import asyncio
        async def work(n):
            print("begins", n)
            await asyncio.sleep(0)
            hop()
            return n
        async def quick(n):
            return n
        async def main():
            loop = asyncio.get_running_loop()
            loop.set_task_factory(asyncio.eager_task_factory)
            waiting, over = asyncio.create_task(work(1)), asyncio.create_task(quick(2))
            hop()
            print(waiting.done(), over.done())
            print(await asyncio.gather(waiting, over, work(3)))
        asyncio.run(main())
    """)
