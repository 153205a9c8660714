"""Futures and tasks of asyncio, and the small objects in C that they wait with.

They are made by their own constructors, for a loop that does nothing, and get their state when what it is
made of is there: by what their classes offer, by fields where these offer nothing.
"""

from __future__ import annotations

import sys

from . import imports, instances
from ._native import blank_like, bound_again, has_field, own_attributes, read_field, write_field

__builtins__ = imports.BUILTINS

_WAKEUP = "task_wakeup"
_SINCE_3_9 = sys.version_info >= (3, 9)
_SINCE_3_10 = sys.version_info >= (3, 10)
_CANCELLED = ("fut_cancelled_exc_type", "fut_cancelled_exc", "fut_cancelled_exc_traceback")
_SINCE_3_11 = sys.version_info >= (3, 11)

# ------------------------------------------------------------------------- building, at the peer


class _Idle:
    """Stands for the loop while something is made: what it is asked to do, it only notes."""

    def __init__(self):
        self.calls = []

    def get_debug(self):
        """There is nothing to find out."""
        return False

    def is_running(self):
        """It never runs."""
        return False

    def call_soon(self, callback, *_args, context=None):
        """Note the callback; it is not called."""
        self.calls.append(callback)

    def call_exception_handler(self, context):
        """Nobody asks."""


async def _nothing():
    pass


def _finished():
    coroutine = _nothing()
    coroutine.close()
    return coroutine


def _make_step():
    """What makes a task's first step, and those that bring an exception."""
    from asyncio import Task

    idle = _Idle()
    task = Task(_finished(), loop=idle, name="")
    task._log_destroy_pending = False
    return idle.calls[0]


def _make_wakeup():
    """What a future calls for whom it wakes up."""
    from asyncio import Future, Task, _get_running_loop, _set_running_loop

    async def wait():
        await waiter

    idle = _Idle()
    running, waiter = _get_running_loop(), Future(loop=idle)
    task = Task(wait(), loop=idle, name="")
    task._log_destroy_pending = False
    _set_running_loop(idle)
    try:
        idle.calls[0]()
    finally:
        _set_running_loop(running)
    wakeup = waiter._callbacks[0][0]
    waiter.remove_done_callback(wakeup)
    write_field(task, "task_fut_waiter", None)
    task.get_coro().close()
    return bound_again(wakeup, None) if _SINCE_3_10 else wakeup


def _make_future_iterator():
    from asyncio import Future

    return iter(Future(loop=_Idle()))


_SPECIMENS = {
    "TaskStepMethWrapper": _make_step,
    "TaskWakeupMethWrapper": _make_wakeup,
    "FutureIter": _make_future_iterator,
}
_made = {}


def _specimen(name):
    found = _made.get(name)
    if found is None:
        found = _made[name] = _SPECIMENS[name]()
    return found


def type_of(name):
    """A type that no module offers."""
    if name == "TaskWakeupMethWrapper" and _SINCE_3_10:
        return None
    return type(_specimen(name))


def make_future(cls):
    """A future of no loop yet."""
    from _asyncio import Future

    future = Future.__new__(cls)
    Future.__init__(future, loop=_IDLE)
    return future


def make_task(cls, name):
    """A task of no coroutine yet."""
    from _asyncio import Task

    task = Task.__new__(cls)
    Task.__init__(task, _DONE, loop=_IDLE, name=name)
    task._log_destroy_pending = False
    del _IDLE.calls[:]
    return task


# Tasks that run, and are to be cancelled at their next step, each with the number of its stack.
cancelled = []


_IDLE = _Idle()
_DONE = _finished()


def fill_future(future, state):
    """Give a future its loop, what it is worth, who waits for it, and its attributes."""
    loop, kind, worth, traceback, is_logged, cancelled_by, message, is_blocking, callbacks, own = state
    from _asyncio import Future

    write_field(future, "fut_loop", loop)
    if kind == "CANCELLED":
        Future.cancel(future, *((message,) if _SINCE_3_9 and message is not None else ()))
    elif worth is not None:
        if kind == "FINISHED" and type(worth) is tuple:
            Future.set_result(future, worth[0])
        else:
            Future.set_exception(future, worth)
            if _SINCE_3_10:
                write_field(future, "fut_exception_tb", traceback)
            if not is_logged:
                future._log_traceback = False
    for name, part in cancelled_by:
        write_field(future, name, part)
    if message is not None:
        future._cancel_message = message
    if is_blocking:
        future._asyncio_future_blocking = True
    for callback, context in callbacks:
        Future.add_done_callback(future, callback, context=context)
    if own is not None:
        attributes, slots = own
        if attributes:
            own_attributes(future).update(attributes)
        if slots is not None:
            instances.fill(future, slots)


def fill_task(task, state):
    """Give a task what it has beyond a future."""
    future, coroutine, context, waiter, must_cancel, cancels, warns = state
    write_field(task, "task_coro", coroutine)
    write_field(task, "task_context", context)
    fill_future(task, future)
    write_field(task, "task_fut_waiter", waiter)
    if must_cancel:
        write_field(task, "task_must_cancel", must_cancel)
    if cancels:
        write_field(task, "task_num_cancels_requested", cancels)
    task._log_destroy_pending = warns


def make_step(task, brings):
    """What makes a step of a task."""
    step = blank_like(_specimen("TaskStepMethWrapper"))
    write_field(step, "sw_task", task)
    write_field(step, "sw_arg", brings)
    return step


def make_wakeup(task):
    """What wakes a task up."""
    if _SINCE_3_10:
        wakeup = _made.get(_WAKEUP)
        if wakeup is None:
            wakeup = _made[_WAKEUP] = _make_wakeup()
        return bound_again(wakeup, task)
    wakeup = blank_like(_specimen("TaskWakeupMethWrapper"))
    write_field(wakeup, "ww_task", task)
    return wakeup


def make_future_iterator(future):
    """What is awaited for a future; one without a future is at its end."""
    from _asyncio import Future

    if future is not None:
        return Future.__iter__(future)
    future = Future(loop=_IDLE)
    future.set_result(None)
    iterator = iter(future)
    next(iterator, None)
    return iterator


def advance_names(number):
    """Have the next task that gets no name of its own be named by this number."""
    while number > 1 and next_number() < number - 1:
        pass


def next_number():
    """The number that would have been the next task's name, which is used up now."""
    from _asyncio import Task

    task = Task(_DONE, loop=_IDLE)
    task._log_destroy_pending = False
    del _IDLE.calls[:]
    return int(task.get_name().rpartition("-")[2])


# -------------------------------------------------------------------------- taking apart, at home


class Again:
    """Stands on the stack for the step that a running task makes again, as one that brings nothing."""

    def __init__(self, task):
        self.task = task


def take_again(_pickler, again):
    """It is that step at the peer."""
    return make_step, (again.task, None)


def _future_state(pickler, future):
    kind, worth, traceback = future._state, None, None
    if kind == "FINISHED":
        worth = future._exception
        if worth is None:
            worth = (future._result,)
        elif _SINCE_3_10:
            traceback = read_field(future, "fut_exception_tb")
    message, cancelled_by = None, []
    if _SINCE_3_9:
        message = future._cancel_message
        if kind == "CANCELLED":
            for name in _CANCELLED:
                part = read_field(future, name) if has_field(future, name) else None
                if part is not None:
                    cancelled_by.append((name, part))
    callbacks = future._callbacks
    return (
        read_field(future, "fut_loop"),
        kind,
        worth,
        traceback,
        worth is not None and future._log_traceback,
        cancelled_by,
        message,
        future._asyncio_future_blocking,
        callbacks if callbacks is not None else (),
        _own_state(pickler, future),
    )


def _own_state(pickler, future):
    """What Python has put into a future: nobody sees the dictionary of those whose class is in C."""
    attributes, slots = own_attributes(future), instances.own_state(pickler, future)
    return (attributes, slots) if attributes or slots is not None else None


def take_future(pickler, future):
    """A future, of whatever class that derives from the one in C."""
    state = _future_state(pickler, future)
    return make_future, (type(future),), state, None, None, fill_future


def take_task(pickler, task):
    """A task; the one that runs is to be cancelled later than its step is made again."""
    must_cancel = read_field(task, "task_must_cancel")
    coroutine = read_field(task, "task_coro")
    if must_cancel and id(coroutine) in pickler.capture.running:
        stack = pickler.travellers.stack_of(pickler.capture.running[id(coroutine)])
        pickler.deferred.append(("cancelled", stack, task))
        must_cancel = 0
    state = (
        _future_state(pickler, task),
        coroutine,
        read_field(task, "task_context"),
        read_field(task, "task_fut_waiter"),
        must_cancel,
        read_field(task, "task_num_cancels_requested") if _SINCE_3_11 else 0,
        task._log_destroy_pending,
    )
    return make_task, (type(task), task.get_name()), state, None, None, fill_task


def take_step(_pickler, step):
    """What makes a step of a task."""
    return make_step, (read_field(step, "sw_task"), read_field(step, "sw_arg"))


def take_wakeup(_pickler, wakeup):
    """What wakes a task up (3.8, 3.9)."""
    return make_wakeup, (read_field(wakeup, "ww_task"),)


def is_wakeup(function):
    """Whether a function in C is what wakes a task up (from 3.10 on)."""
    return function.__name__ == _WAKEUP and has_field(function.__self__, "task_coro")


def take_future_iterator(_pickler, iterator):
    """What is awaited for a future: how far that is, the future knows."""
    return make_future_iterator, (read_field(iterator, "future"),)
