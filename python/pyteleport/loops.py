"""Event loops of asyncio: a loop travels with all that waits in it, and waits on here.

Its selector and the pipe by which it wakes itself up are made anew. Its clock stands still on the way: a
loop that has moved tells the time by a clock of its own, so that all times that it has told stay true.
"""

from __future__ import annotations

import sys
from time import monotonic

from . import classes, imports, tasks, threads, triorun

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer


class Clock:
    """The time of a loop that has moved, in place of its class's."""

    __slots__ = ("offset",)

    def __init__(self, offset):
        self.offset = offset

    def __call__(self):
        """Return the time, as `loop.time()` does."""
        return monotonic() + self.offset


# (loop, its time at home) for each loop whose clock stands still.
_stopped = []
# (loop, the task that it runs, if that has to be said) for the loop that runs in the main thread.
_own = []


def forget():
    """Forget loops of a program that has not gone on here."""
    del _stopped[:], _own[:]
    triorun.forget()


def make_loop(cls, selector=None):
    """A loop with a selector of this class and a pipe to wake itself up; one that is closed has neither."""
    loop = object.__new__(cls)
    if selector is not None:
        vars(loop).update(_closed=False, _debug=False, _transports={}, _internal_fds=0, _selector=selector())
        loop._make_self_pipe()
    return loop


def fill_loop(loop, state):
    """Give a loop what is in it, and its thread the loop."""
    from time import get_clock_info

    attributes, thread, current, time, unread = state
    vars(loop).update(attributes)
    loop._clock_resolution = get_clock_info("monotonic").resolution
    loop._thread_id = None if thread is None else threads.ident_of(thread)
    if thread is not None and not threads.have(thread, _run, loop, current):
        _own.append((loop, current))
    if unread:
        loop._csock.send(unread)
    if time is not None:
        _stopped.append((loop, time))


def make_closed_socket(cls, *kind):
    """A socket of this kind that is closed."""
    from _socket import socket

    made = cls.__new__(cls)
    socket.__init__(made, *kind)
    made._io_refs, made._closed = 0, True
    socket.close(made)
    return made


# What a loop makes for itself, and what it waits with: of the part before, an attribute.
_PARTS = ("_selector", "_ssock", "_csock", "_selector._selector")


def _part(loop, name):
    for part in name.split("."):
        loop = getattr(loop, part, None)
    return loop


def part_of_loop(loop, name):
    """What a loop has made for itself here."""
    return _part(loop, name)


def give_back_loops(taken):
    """Have this policy, and go on with the numbers of tasks."""
    from asyncio import events
    from importlib import import_module

    policy, number = taken["policy"], taken["number"]
    if policy is not None:
        events._event_loop_policy = policy
    if number is not None:
        tasks.advance_names(number)
    for module, name, items in taken["kept"]:
        getattr(import_module(module), name).update(items)
    if taken["others"]:
        from asyncio.tasks import _py_register_task

        for task in taken["others"]:
            _py_register_task(task)


def give_back_signals(_taken):
    """Have the loop of the main thread called for signals that it handles."""
    import signal

    for loop, _current in _own:
        handlers = getattr(loop, "_signal_handlers", None)
        if handlers:
            signal.set_wakeup_fd(loop._csock.fileno())
        for number in handlers or ():
            signal.siginterrupt(number, False)


def _run(loop, current):
    """Have a loop be the one that runs in this thread."""
    from asyncio import _set_running_loop

    _set_running_loop(loop)
    if current is not None:
        enter, task = current
        getattr(sys.modules["asyncio.tasks"], enter)(loop, task)


def begin():
    """Let the clocks run, and the loop.

    Returns the tasks that are to be cancelled at their next step, each with the number of its stack.
    """
    for loop, time in _stopped:
        loop.time = Clock(time - monotonic())
    del _stopped[:]
    cancelled = tasks.cancelled[:]
    del tasks.cancelled[:]
    for loop, current in _own:
        _run(loop, current)
    del _own[:]
    triorun.begin()
    return cancelled


# -------------------------------------------------------------------------- taking apart, at home

# When the call was made that captures the program: what it has taken since then is part of the move.
_began = [None]


def began(time):
    """Have clocks stand still from this time on, None for the time at which each loop is met."""
    _began[0] = time


_CLOSE = "close it before the move, or leave it out"
_MADE_ANEW = ("_selector", "_ssock", "_csock", "_internal_fds", "_clock_resolution", "_thread_id")


def choose(cls):
    """The taker for a type of asyncio's, or one that derives from it; None for all others."""
    kinds = _kinds()
    for base in classes.read_order(cls):
        taker = kinds.get(base)
        if taker is not None:
            return taker
    return None


def _kinds():
    """The types whose instances are taken apart here, as far as they are loaded."""
    kinds = {}
    for module, names in _TAKERS.items():
        loaded = sys.modules.get(module)
        for name, taker in names.items():
            kind = getattr(loaded, name, None)
            if isinstance(kind, type):
                kinds[kind] = taker
    return kinds


# What libraries on top of asyncio know of tasks and loops: dictionaries with weak keys.
_KEPT = (("anyio._backends._asyncio", "_task_states"), ("anyio.lowlevel", "_run_vars"))


def take_loops():
    """What asyncio's modules know of loops and tasks, or None.

    The policy, how many tasks have got a number for a name, and tasks that are not of the type in C, which
    registers itself.
    """
    events = sys.modules.get("asyncio.events")
    if events is None:
        return None
    found = {"policy": events._event_loop_policy, "number": None, "others": ()}
    found["kept"] = [
        (module, name, list(kept.items()))
        for module, name in _KEPT
        for kept in [getattr(sys.modules.get(module), name, None)]
        if kept
    ]
    module = sys.modules.get("asyncio.tasks")
    if module is None:
        return found
    in_c = _task_in_c()
    if in_c:
        found["number"] = tasks.next_number()
    registered = getattr(module, "_scheduled_tasks", None) or getattr(module, "_all_tasks", ())
    found["others"] = [task for task in registered if not isinstance(task, in_c) and not task.done()]
    return found


def _task_in_c():
    return getattr(sys.modules.get("_asyncio"), "Task", ())


def _current(loop):
    """The task that a loop runs, and what has entered it; None for one in C, which enters it itself."""
    module = sys.modules.get("asyncio.tasks")
    # From 3.14 on tasks in Python are entered apart.
    for ask, enter in (("current_task", "_enter_task"), ("_py_current_task", "_py_enter_task")):
        current = getattr(module, ask)(loop) if hasattr(module, ask) else None
        if current is not None and not isinstance(current, _task_in_c()):
            return enter, current
    return None


def refuse_foreign():
    """Refuse a move from inside a loop of another kind than asyncio's own."""
    events = sys.modules.get("asyncio.events")
    running = events._get_running_loop() if events is not None else None
    if running is None or choose(type(running)) is not take_foreign_loop:
        return
    from .culprits import type_name
    from .errors import UnmovableError

    reason = _foreign(running)
    path = "the running event loop (%s)" % type_name(running)
    raise UnmovableError("%s cannot move: %s" % (path, reason), [(path, reason)])


def take_signals():
    """Whether a loop may be called for signals."""
    return True if "asyncio.unix_events" in sys.modules else None


def _known_loops(capture):
    """The policy's loop, and those that run: they are on their threads' stacks."""
    events = sys.modules.get("asyncio.events")
    if events is None:
        return
    local = getattr(events._event_loop_policy, "_local", None)
    yield getattr(local, "_loop", None)
    for thing in capture.objects:
        if choose(type(thing)) is take_loop:
            yield thing


def take_loop(pickler, loop):
    """A loop that waits with a selector."""
    attributes = {name: value for name, value in vars(loop).items() if name not in _MADE_ANEW}
    thread = current = None
    if loop._thread_id is not None:
        thread = pickler.travellers.numbers.get(loop._thread_id)
        if thread is None:
            return pickler.refuse(loop, "a loop that ran in a thread which has ended")
        current = _current(loop)
    if loop._selector is None:
        state = attributes, None, None, None, b""
        return make_loop, (type(loop),), state, None, None, fill_loop
    for key in loop._selector.get_map().values():
        if key.fd != loop._ssock.fileno():
            _refuse_watched(pickler, key)
    for transport in list(attributes.pop("_transports", {}).values()):
        take_transport(pickler, transport)
    from weakref import WeakValueDictionary

    attributes["_transports"] = WeakValueDictionary()
    time = None
    if type(attributes.get("time")) is Clock or type(loop).time is _usual_time():
        attributes.pop("time", None)
        time = loop.time()
        if _began[0] is not None and thread in (0, None):
            time -= monotonic() - _began[0]
    state = attributes, thread, current, time, _unread(loop._ssock)
    return make_loop, (type(loop), type(loop._selector)), state, None, None, fill_loop


def _usual_time():
    return sys.modules["asyncio.base_events"].BaseEventLoop.time


def _unread(sock):
    """What the loop has been told by its pipe, and not taken up yet."""
    import socket

    try:
        return sock.recv(1 << 16, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return b""


def _refuse_watched(pickler, key):
    """Refuse what a loop waits for: the transport, or what was given to `add_reader`."""
    for handle in key.data or ():
        owner = getattr(getattr(handle, "_callback", None), "__self__", None)
        if choose(type(owner)) is take_transport:
            take_transport(pickler, owner)
            return
    thing = key.fileobj
    if type(thing) is int:
        thing = next((handle for handle in key.data or () if handle is not None), thing)
    reason = "the loop waits for descriptor %d, which stays with its process; remove it before the move"
    pickler.refuse_for_good(thing, reason % key.fd)


def take_transport(pickler, transport):
    """A transport; one that is closed is only a record."""
    if any(getattr(transport, name, transport) is None for name in ("_sock", "_pipe")):
        return _as_record(pickler, transport)
    return pickler.refuse(transport, "a transport stays with its process; " + _CLOSE)


def _as_record(pickler, thing):
    from . import instances

    return instances.choose(pickler, type(thing))(pickler, thing)


def take_server(pickler, server):
    """A server; one that is closed is only a record."""
    if getattr(server, "_sockets", server) is None:
        return _as_record(pickler, server)
    return pickler.refuse(server, "a server stays with its process; " + _CLOSE)


def take_foreign_loop(pickler, loop):
    """A loop of another kind, which nobody knows to make anew."""
    return pickler.refuse(loop, _foreign(loop))


def _foreign(loop):
    name = classes.read_module(type(loop)).partition(".")[0]
    return (
        "a loop of %s waits in a way of its own, that stays with its process; use asyncio's own loop" % name
    )


def take_part(pickler, thing):
    """A selector, or a socket: of a loop it is made anew with that, any other stays, unless closed."""
    for loop in _known_loops(pickler.capture):
        for name in _PARTS:
            if _part(loop, name) is thing:
                return part_of_loop, (loop, name)
    for owner, name in triorun.parts():
        if getattr(owner, name) is thing:
            return part_of_loop, (owner, name)
    if type(thing) is getattr(sys.modules.get("socket"), "socket", None) and thing.fileno() < 0:
        return make_closed_socket, (type(thing), int(thing.family), int(thing.type), thing.proto)
    return _as_record(pickler, thing)


def take_shown_socket(_pickler, shown):
    """What a transport shows of its socket."""
    return type(shown), (shown._sock,)


def take_trio_clock(pickler, clock):
    """The clock of a run of trio's."""
    return triorun.take_clock(pickler, clock, _began[0])


_TAKERS = {
    "asyncio.selector_events": {"BaseSelectorEventLoop": take_loop},
    "asyncio.events": {"AbstractEventLoop": take_foreign_loop, "AbstractServer": take_server},
    "asyncio.transports": {"BaseTransport": take_transport},
    "_asyncio": {"Task": tasks.take_task, "Future": tasks.take_future},
    "asyncio.trsock": {"TransportSocket": take_shown_socket},
    "selectors": {"BaseSelector": take_part},
    "select": {"epoll": take_part},
    "trio._core._io_epoll": {"EpollIOManager": triorun.take_manager},
    "trio._core._wakeup_socketpair": {"WakeupSocketpair": triorun.take_pair},
    "trio._core._run": {"SystemClock": take_trio_clock},
    "socket": {"socket": take_part},
}
