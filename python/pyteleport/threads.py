"""The program's threads: who they are, and what `threading` and others keep of them.

Each stack of a capture has a number, 0 for that of the thread that has made the move. At the peer a
thread is begun for each before any object of the program is built: then it can be told what their idents
are, and what ends with them.
"""

from __future__ import annotations

import sys
from _bisect import bisect_right

from . import _native, imports
from .errors import ResumeError

__builtins__ = imports.BUILTINS

# What a Thread has that ends with its thread: a lock that CPython releases, or a handle.
END = (
    "_tstate_lock"
    if sys.version_info < (3, 13)
    else "_handle"
    if sys.version_info < (3, 14)
    else "_os_thread_handle"
)
_HANDLES = sys.version_info >= (3, 13)

# ------------------------------------------------------------------------------------------ at home


class Travellers:
    """The threads of a capture.

    Attributes:
        numbers: ident → number.
        main: the number of the main thread's stack.
        threads: number → its `Thread`, as far as there are any.
        ends: id → number, of what ends with a thread.
    """

    def __init__(self, capture):
        self.idents = capture.idents
        self.main = capture.main
        self.contexts = capture.contexts
        self.coroutine_hooks = capture.coroutine_hooks
        self.firsts = capture.firsts
        ends = [*capture.firsts[1:], len(capture.codes)]
        self.frames = [end - first for first, end in zip(capture.firsts, ends)]
        self.numbers = {ident: number for number, ident in enumerate(capture.idents)}
        threading = sys.modules.get("threading")
        active = threading._active if threading is not None else {}
        self.threads = {
            number: active[ident] for number, ident in enumerate(capture.idents) if ident in active
        }
        self.ends = {}
        for number, thread in self.threads.items():
            end = getattr(thread, END, None)
            if end is not None:
                self.ends[id(end)] = number

    def are_alone(self):
        """Whether there is no other thread than the main one."""
        return len(self.idents) == 1 and self.main == 0

    def stack_of(self, frame):
        """The number of the stack that has the frame with this index."""
        return bisect_right(self.firsts, frame) - 1

    def take_early(self):
        """What the peer needs to begin them; None where there are none."""
        if self.are_alone():
            return None
        others = [
            (number, number not in self.threads or bool(self.threads[number]._daemonic), self.frames[number])
            for number in range(len(self.idents))
            if number != self.main
        ]
        return {"main": self.main, "others": others}

    def take(self):
        """What `threading` and others keep of them."""
        threading = sys.modules.get("threading")
        if threading is None:
            return None
        taken = {
            "threads": [(number, thread) for number, thread in self.threads.items() if number != self.main],
            "counter": _count_of(threading._counter),
            "limbo": list(threading._limbo),
            "held": self._held(),
        }
        executors = sys.modules.get("concurrent.futures.thread")
        if executors is not None:
            taken["queues"] = [*executors._threads_queues.items()]
            taken["no more work"] = executors._shutdown
        return taken

    def _held(self):
        """The locks of modules that are installed which one of the threads holds just now."""
        if self.are_alone():
            return []
        from _thread import LockType, RLock

        found = []
        for name, module in sys.modules.copy().items():
            if name not in _WITH_LOCKS:
                continue
            for attribute, value in vars(module).copy().items():
                if type(value) is LockType and value.locked():
                    found.append((name, attribute, 1, None))
                elif type(value) is RLock:
                    count, owner = owner_of(value)
                    if owner in self.numbers:
                        found.append((name, attribute, count, self.numbers[owner]))
        return found

    def take_contexts(self, pickler):
        """For each of the other threads the values of context variables, as for the one that moves."""
        from .runtime import context_values

        found = {}
        for number, context in enumerate(self.contexts):
            if number and context is not None:
                values = context_values(pickler, context)
                if values:
                    found[number] = values
        return found or None

    def take_coroutine_hooks(self):
        """By number what each thread calls for asynchronous generators, and keeps of coroutines."""
        hooks = {
            number: ((first, last), depth)
            for number, (first, last, depth) in enumerate(self.coroutine_hooks)
            if depth or first is not None or last is not None
        }
        return hooks or None


# Modules of the standard library that threads hold locks of for a moment.
_WITH_LOCKS = (
    "threading",
    "logging",
    "concurrent.futures.thread",
    "random",
    "tempfile",
    "re",
    "functools",
    "linecache",
    "weakref",
    "typing",
    "warnings",
    "locale",
    "mimetypes",
    "decimal",
    "queue",
)


def _count_of(counter):
    """The number that the name of the next thread gets."""
    return int(repr(counter.__self__)[len("count(") : -1])


def owner_of(lock):
    """(count, ident of the owner) of a lock that can be held several times: only its text tells."""
    from _thread import RLock

    text = RLock.__repr__(lock)
    if text.startswith("<unlocked"):
        return 0, 0
    held = dict(word.split("=") for word in text.split() if "=" in word)
    return int(held["count"]), int(held["owner"])


class SavedState:
    """The state of an RLock that a thread has saved which waits for a condition: it names the owner."""

    def __init__(self, count, number):
        self.count = count
        self.number = number


def mark_saved(capture):
    """Put what can travel in the place of such states, which nobody else has."""
    for index, number in capture.saved:
        state = capture.objects[index]
        if type(state) is tuple:
            capture.objects[index] = SavedState(state[0], number)


def take_saved(_pickler, state):
    """See `SavedState`."""
    return make_saved, (state.count, state.number)


def take_handle(pickler, handle):
    """What a thread can be waited for with (3.13 and later)."""
    number = pickler.travellers.ends.get(id(handle))
    if number is not None:
        return end_of, (number,)
    return make_handle, (handle.is_done(),)


# ----------------------------------------------------------------------------------------- at the peer


class _Here:
    """A thread of this process that is to become one of the program's."""

    def __init__(self):
        self.ident = self.native_id = self.end = None
        self.locals = []
        self.values = ()
        self.work = []
        self.entered = _lock()
        self.may_fill = _lock()
        self.filled = _lock()
        self.problem = None


# What a resumed frame takes of the C stack, generously, of which so many have room anyway.
_STACK_PER_FRAME = 8 << 10
_STACK = 8 << 20
_FEW_FRAMES = 500


def _lock():
    from _thread import allocate_lock

    lock = allocate_lock()
    lock.acquire()
    return lock


_here = {}
_main = 0
# The main thread's parts.
_own_locals = []
_own_coroutine_hooks = None


def begin(taken):
    """Begin a thread for each of the program's but the main one, and learn who they are."""
    global _main
    import _thread

    _here.clear()
    _own_locals.clear()
    _main = 0
    if taken is None:
        return
    _main = taken["main"]
    _native.close_gate()
    try:
        for number, daemon, frames in taken["others"]:
            here = _here[number] = _Here()
            stack = _native.ThreadStack(number)
            usual = None if frames <= _FEW_FRAMES else _thread.stack_size(_STACK + frames * _STACK_PER_FRAME)
            if _HANDLES:
                here.end = _thread._ThreadHandle()
                _thread.start_joinable_thread(stack.go_on, handle=here.end, daemon=daemon)
            else:
                _thread.start_new_thread(stack.go_on, ())
            if usual is not None:
                _thread.stack_size(usual)
            here.entered.acquire()
    except RuntimeError as problem:
        del _here[number]
        raise ResumeError("no more threads can be started here: %s" % problem) from problem


def enter(number):
    """In the thread: say who it is, and take over what only the thread itself can."""
    import _thread

    here = _here[number]
    here.ident = _thread.get_ident()
    here.native_id = _thread.get_native_id()
    if not _HANDLES:
        here.end = _thread._set_sentinel()
        here.end.acquire()
    here.entered.release()
    here.may_fill.acquire()
    try:
        for thing, own in here.locals:
            fill_local(thing, own)
        for variable, value in here.values:
            variable.set(value)
        for do, args in here.work:
            do(*args)
    except BaseException as problem:
        here.problem = problem
    here.locals = here.values = here.work = ()
    here.filled.release()


def abandon():
    """Have the threads that have begun end: the program does not go on here."""
    _native.abandon_threads()
    for here in _here.values():
        here.locals = here.values = here.work = ()
        here.may_fill.release()
    _here.clear()


def settle():
    """Have the threads take over what only they can, once all objects are there."""
    for thing, own in _own_locals:
        fill_local(thing, own)
    _own_locals.clear()
    for here in _here.values():
        here.may_fill.release()
        here.filled.acquire()
        if here.problem is not None:
            raise here.problem


def main():
    """The number of the stack that goes on in the main thread."""
    return _main


def ident_of(number):
    """The ident that a thread has here."""
    import _thread

    return _here[number].ident if number in _here else _thread.get_ident()


def end_of(number):
    """What ends with a thread."""
    if number in _here:
        return _here[number].end
    import threading

    return getattr(threading._main_thread, END)


def have(number, do, *args):
    """Have a thread do something before it goes on; False if it is the main one, which does it itself."""
    if number not in _here:
        return False
    _here[number].work.append((do, args))
    return True


def give_back_coroutine_hooks(taken):
    """Have the threads call the same, but for the main one."""
    global _own_coroutine_hooks
    _own_coroutine_hooks = None
    for number, hooks in (taken or {}).items():
        if not have(number, set_coroutine_hooks, *hooks):
            _own_coroutine_hooks = hooks


def settle_coroutine_hooks():
    """Have the main thread call them."""
    if _own_coroutine_hooks is not None:
        set_coroutine_hooks(*_own_coroutine_hooks)


def set_coroutine_hooks(hooks, depth):
    """What is called for asynchronous generators here, and how much is kept of where coroutines are made."""
    sys.set_asyncgen_hooks(*hooks)
    sys.set_coroutine_origin_tracking_depth(depth)


def make_handle(is_done):
    """A handle of a thread that is over, or has not begun."""
    import _thread

    handle = _thread._ThreadHandle()
    if is_done:  # only a thread that has ended can say so
        _thread.start_joinable_thread(_nothing, handle=handle, daemon=True)
        handle.join()
    return handle


def make_saved(count, number):
    """The state of an RLock, to be given back by a thread."""
    return count, ident_of(number)


def fill_locals(thing, parts):
    """Give each thread its part."""
    for number, own in parts.items():
        (_here[number].locals if number in _here else _own_locals).append((thing, own))


def _nothing(*_args, **_options):
    pass


def fill_local(thing, own):
    """Fill the calling thread's part, for which the `__init__` of a class made in Python has run already."""
    from _thread import _local

    cls = type(thing)
    if cls is _local or cls.__init__ is object.__init__:
        return _local.__getattribute__(thing, "__dict__").update(own)
    had = vars(cls).get("__init__")
    cls.__init__ = _nothing
    try:
        _local.__getattribute__(thing, "__dict__").update(own)
    finally:
        if had is None:
            del cls.__init__
        else:
            cls.__init__ = had
    return None


def give_back_contexts(taken):
    """Have the threads set their context variables."""
    for number, values in taken.items():
        if number in _here:
            _here[number].values = values
        else:
            for variable, value in values:
                variable.set(value)


def give_back(taken):
    """Tell `threading` who is here."""
    import threading

    for number, thread in taken["threads"]:
        here = _here[number]
        thread._ident = here.ident
        if hasattr(thread, "_native_id"):
            thread._native_id = here.native_id
        threading._active[here.ident] = thread
        threading._dangling.add(thread)
        if not _HANDLES and not thread._daemonic:
            threading._shutdown_locks.add(here.end)
    for thread in taken["limbo"]:
        threading._limbo[thread] = thread
    while _count_of(threading._counter) < taken["counter"]:
        threading._counter()
    for name, attribute, count, number in taken["held"]:
        lock = getattr(sys.modules.get(name), attribute, None)
        if lock is not None:
            if number is None:
                lock.acquire(False)
            else:
                lock._acquire_restore((count, ident_of(number)))
    if "queues" in taken:
        import concurrent.futures.thread as executors

        for thread, queue in taken["queues"]:
            executors._threads_queues[thread] = queue
        executors._shutdown = taken["no more work"]
