"""Trio's runs: they travel with their tasks, as Python objects do, and wait on here.

What a run waits with is made anew: an epoll object, and the pairs of sockets by which it is woken up. A task
that waits for such a pair looks once more what there is, at once. The clock stands still on the way.
"""

from __future__ import annotations

import sys
from time import monotonic, perf_counter

from . import imports, instances, perthread

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer

# (function, arguments), for what must not come before the program goes on.
_at_begin = []


def forget():
    """Forget what belongs to a program that has not gone on here."""
    del _at_begin[:]


def begin():
    """Let the clocks run, have signals wake runs up, and tasks look."""
    for do, *args in _at_begin:
        do(*args)
    forget()


def make_pair(cls):
    """A pair of sockets by which a run is woken up."""
    return cls()


def fill_pair(pair, is_for_signals):
    """Have signals write to it."""
    if is_for_signals:
        _at_begin.append((_be_woken, pair))


def _be_woken(pair):
    import signal

    pair.old_wakeup_fd = signal.set_wakeup_fd(pair.write_sock.fileno(), warn_on_full_buffer=False)


def make_manager(cls):
    """What a run waits with, without its sockets."""
    import select
    from collections import defaultdict

    manager = cls.__new__(cls)
    manager._epoll = select.epoll()
    manager._registered = defaultdict(sys.modules[cls.__module__].EpollWaiters)
    manager._force_wakeup_fd = None
    return manager


def fill_manager(manager, state):
    """Wait for its sockets, and have these tasks look, whose own are others now."""
    manager._force_wakeup, tasks = state
    manager.__attrs_post_init__()
    for task in tasks:
        _at_begin.append((_look, task))


def _look(task):
    task._runner.reschedule(task)


def make_clock(cls):
    """A clock that tells no time yet."""
    return cls.__new__(cls)


def fill_clock(clock, time):
    """Go on from this time."""
    _at_begin.append((_tell, clock, time))


def _tell(clock, time):
    object.__setattr__(clock, "offset", time - perf_counter())


# -------------------------------------------------------------------------- taking apart, at home


def _runners():
    context = getattr(sys.modules.get("trio._core._run"), "GLOBAL_RUN_CONTEXT", None)
    if context is None:
        return
    for own in perthread.parts_of(context).values():
        if "runner" in own:
            yield own["runner"]


def parts():
    """(owner, name of the attribute) of all that runs have made for themselves here."""
    for runner in _runners():
        yield runner.io_manager, "_epoll"
        for pair in _pairs(runner):
            yield pair, "wakeup_sock"
            yield pair, "write_sock"


def _pairs(runner):
    return runner.entry_queue.wakeup, runner.io_manager._force_wakeup


def take_manager(pickler, manager):
    """What a run waits with; nothing but the run's own sockets may be waited for."""
    own = set()
    for runner in _runners():
        if runner.io_manager is manager:
            own.update(pair.wakeup_sock.fileno() for pair in _pairs(runner))
    tasks = []
    for descriptor, waiters in manager._registered.items():
        waiting = [task for task in (waiters.read_task, waiters.write_task) if task is not None]
        if waiting and descriptor not in own:
            reason = "a task of trio waits for descriptor %d, which stays with its process; cancel it first"
            return pickler.refuse(manager, reason % descriptor)
        tasks.extend(waiting)
    return make_manager, (type(manager),), (manager._force_wakeup, tasks), None, None, fill_manager


def take_pair(pickler, pair):
    """A pair of sockets; one that is closed is only a record."""
    if pair.wakeup_sock.fileno() < 0:
        return instances.choose(pickler, type(pair))(pickler, pair)
    return make_pair, (type(pair),), pair.old_wakeup_fd is not None, None, None, fill_pair


def take_clock(_pickler, clock, began):
    """A clock, which stands still from when the move began."""
    time = clock.current_time()
    if began is not None:
        time -= monotonic() - began
    return make_clock, (type(clock),), time, None, None, fill_clock
