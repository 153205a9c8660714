"""Home's side of a trip: what stays there, and what the program is to find when it comes back."""

from __future__ import annotations

import os
import pickle
import sys

from . import (
    _native,
    away,
    builders,
    errors,
    imports,
    modules,
    runtime,
    sources,
    streams,
    surroundings,
    undone,
)
from .errors import PayloadError, ResumeError

__builtins__ = imports.BUILTINS

# The trip from which the program comes back just now.
returning = None
# Tokens of those from which it has come back.
_over = set()


def is_over(token):
    """Whether the program has come back to this process from a trip."""
    return token in _over


_LOCK = "it is held, and other threads stay at home which may hold it"
_SHARED = "other threads stay at home, and it is what one talks to them with"
_THREAD = "a thread stays with its process"
_FILE = "an open file stays with its process; open it again there"
_RELAYED = "it is written to from there"
_LOOP = "an event loop stays with its process; run another one there"


class Trip:
    """Home's side of a trip.

    Attributes:
        token: tells it apart from all others.
        kept: what has stayed, and what is known by its number in it.
        reasons: number → why it has stayed.
        others: whether other threads have stayed.
        arrived: called once the program is back.
        prompt: what runs the program at home, as `prompts` knows it.
        failed: the exception that says why the program cannot come back, if it has told.
    """

    def __init__(self):
        from threading import enumerate as threads_of
        from threading import main_thread

        self.token = os.urandom(12).hex()
        self.kept = []
        self.reasons = {}
        self.others = len(sys._current_frames()) > 1 or len(threads_of()) > 1
        started = main_thread()._started
        # No other thread waits for these.
        self._own = {id(started), id(started._cond)}
        self._numbers = {}
        self._locks = {}
        self._changes = []
        self._held = self._surroundings = self._modules = None
        self._namespaces = self._finalizers = self._new = self._variables = self._gone = ()
        self.arrived = self.prompt = self.failed = None

    def number(self, thing):
        """The number of an object, which is kept from now on."""
        number = self._numbers.get(id(thing))
        if number is None:
            number = self._numbers[id(thing)] = len(self.kept)
            self.kept.append(thing)
        return number

    def stays(self, pickler, thing, reason):
        """What a taker says of an object that stays."""
        from . import classes

        number = self.number(thing)
        self.reasons.setdefault(number, reason)
        kind = type(thing)
        if str(classes.read_module(kind)).startswith("ipykernel."):
            kind = None  # which is no part of the far end
        elif not classes.is_by_name(pickler, kind) and not classes.is_made_in_python(kind):
            kind = None
        return away.make, (self.token, number, kind)

    def texts(self, asker, roots):
        """What is to be said of each that has stayed, once everything is written."""
        from . import culprits

        if not self.reasons:
            return {}
        things = [(self.kept[number], reason) for number, reason in self.reasons.items()]
        found = culprits.named(things, asker.capture, asker.modules, roots)
        where = "process %d of %s" % (os.getpid(), os.uname().nodename)
        text = "%s has stayed at home, " + where + ": %s"
        return {number: text % found[id(self.kept[number])] for number in self.reasons}

    def lock(self, number, state):
        """A lock that has been known by its number; notes how it is to be held."""
        before = self._locks[number]
        if state != before:
            self._changes.append((self.kept[number], int(before), int(state)))
        return self.kept[number]

    def hear(self, message, handlers=()):
        """Do what the program, which is away, has sent a message about; whether home goes on then."""
        kind, *content = pickle.loads(message)
        if kind in handlers:
            return handlers[kind](*content) is True
        if kind == "written":
            number, text = content
            self.kept[number].write(text)
        elif kind == "failed":
            name, text = content
            raised = getattr(errors, name, errors.CaptureError)
            self.failed = raised(text + "; the program goes on at home, as it was when it left")
        return False

    # --------------------------------------------------------------------------------- takers

    def takers(self, table):
        """Puts what takes things apart on the way there over a table of takers."""
        from types import BuiltinFunctionType, MethodWrapperType

        io, thread = sys.modules["_io"], sys.modules["_thread"]
        for name in ("FileIO", "BufferedReader", "BufferedWriter", "BufferedRandom", "TextIOWrapper"):
            kind = getattr(io, name)
            table[kind] = self._file(table[kind])
        table[thread.LockType] = self._lock
        table[thread.RLock] = self._rlock
        table[BuiltinFunctionType] = self._method(table[BuiltinFunctionType])
        table[MethodWrapperType] = self._method(table[MethodWrapperType])
        for module, name, reason in _STAY:
            kind = getattr(sys.modules.get(module), name, None)
            if isinstance(kind, type):
                table[kind] = self._stay(reason)
        if self.others and "_queue" in sys.modules:
            table[sys.modules["_queue"].SimpleQueue] = self._stay(_SHARED)
        return table

    def choose(self, pickler, cls, choose):
        """The taker for a class that the table lacks."""
        for module, name, reason in _KINDS:
            kind = getattr(sys.modules.get(module), name, None)
            if isinstance(kind, type) and issubclass(cls, kind):
                if reason is _THREAD:
                    return self._thread(choose(pickler, cls))
                if reason is _RELAYED:
                    return self._relayed
                if reason is not _SHARED:
                    return self._stay(reason)
                if self.others:
                    return self._shared(choose(pickler, cls))
        return choose(pickler, cls)

    def _stay(self, reason):
        return lambda pickler, thing: self.stays(pickler, thing, reason)

    def _shared(self, usual):
        def take_shared(pickler, thing):
            return usual(pickler, thing) if id(thing) in self._own else self.stays(pickler, thing, _SHARED)

        return take_shared

    def _thread(self, usual):
        from _thread import get_ident

        def take_thread(pickler, thread):
            stays = thread.is_alive() and thread.ident != get_ident()
            return self.stays(pickler, thread, _THREAD) if stays else usual(pickler, thread)

        return take_thread

    def _relayed(self, pickler, stream):
        # What is written there is told to home.
        return away.make_relay, (self.token, self.number(stream), stream.encoding)

    def _file(self, usual):
        def take_file(pickler, file):
            stays = not file.closed and not _is_in_memory(file)
            return self.stays(pickler, file, _FILE) if stays else usual(pickler, file)

        return take_file

    def _lock(self, pickler, lock):
        from . import threads

        end = pickler.travellers.ends.get(id(lock))
        if end is not None:
            return threads.end_of, (end,)
        is_held = lock.locked()
        if is_held and self.others:
            return self.stays(pickler, lock, _LOCK)
        number = self.number(lock)
        self._locks[number] = is_held
        return away.make_lock, (self.token, number, is_held)

    def _rlock(self, pickler, lock):
        from _thread import get_ident

        from . import threads

        count, owner = threads.owner_of(lock)
        if count and owner != get_ident():
            return self.stays(pickler, lock, _LOCK)
        number = self.number(lock)
        self._locks[number] = count
        return away.make_rlock, (self.token, number, type(lock), count)

    def _method(self, usual):
        def take_bound(pickler, method):
            answer = usual(pickler, method)
            if type(answer) is tuple and answer[0] is builders.bind:
                return away.bind, (*answer[1], self.token, self.number(method))
            return answer

        return take_bound

    # ------------------------------------------------------------------------------- coming back

    def take_early(self, early, late):
        """What the far end is told first, and what it is not."""
        early["guest"] = self.token
        away.stay(late)

    def hold(self, asker, late):
        """Hold what the program is made of until it is back."""
        found = asker.modules.by_value.values()
        namespaces = [modules.namespace_of(module) for module in found]
        self._namespaces = [(namespace, dict(namespace)) for namespace in namespaces]
        self._finalizers = runtime.take_finalizers(asker) or []
        self._held = late, list(found)
        self._modules = asker.modules
        # Others are made anew with the program.
        self._variables = [
            variable for variable in builders.base_context() if asker.modules.search(variable) is not None
        ]

    def put_back(self):
        """The program has not come back: its modules are as it has left them."""
        for name in self._new:
            sys.modules.pop(name, None)
        for namespace, before in self._namespaces:
            for key in [key for key in namespace if key not in before]:
                del namespace[key]
            namespace.update(before)

    def give_back_early(self, early):
        """Prepare this process for what comes back to it."""
        if early.get("home") != self.token:
            raise PayloadError("what has come back is another program")
        self._surroundings = early["changes"]
        for name, _take, give_back in runtime.EARLY:
            if name in ("path", "argv", "umask") and name in early:
                give_back(early[name])
        modules.choices.update(early.get("ship", ()))
        lacking = {path: text for path, text in early["sources"].items() if not os.path.exists(path)}
        if lacking:
            sources.give_back(lacking)
        aliases = early.get("aliases", ())
        names = [*early["modules"], *(alias for alias, _name in aliases)]
        self._new = [name for name in names if name not in sys.modules]
        modules.make_shells(early["modules"], aliases, early.get("paths", {}), anew=False)

    def original(self, module, path):
        """What a path of names in a module has led to before the program put something else there; None where
        it has not.

        Raises:
            ResumeError: nobody knows it any more.
        """
        if module is sys and hasattr(sys, "__%s__" % path[0]) and len(path) == 1:
            return getattr(sys, "__%s__" % path[0])
        name = getattr(module, "__name__", None)
        if type(name) is not str or self._modules is None or not self._modules.is_patched(name, path):
            return None
        found = self._modules.originals.get((name, ".".join(path)))
        if found is None and len(path) == 1:
            found = undone.original(module, path[0])
        if found is None:
            text = "the program comes back with what was %s before it replaced that, and nobody has it here"
            raise ResumeError(text % ".".join((name, *path)))
        return found

    def unset(self, those):
        """Notes which context variables are to have no value: all that have one here, but those."""
        self._gone = [one for one in self._variables if not any(one is other for other in those)]

    def settle(self, late):
        """The program is back, and goes on from what has come; what has stood here is left where it is."""
        for thing in (self._held, self._namespaces, self._finalizers, self.kept):
            _native.keep_for_good(thing)
        undone.undo(self._held[0], late)
        for variable in self._gone:
            builders.unset_variable(variable)
        folder, environment, past = self._surroundings
        if folder is not None:
            os.chdir(folder)
        for name, value in environment.items():
            if value is None:
                os.environb.pop(name, None)
            else:
                os.environb[name] = value
        surroundings.give_back_putenv(past)
        streams.take_back()
        runtime.give_back_late(late)
        runtime.reset_signals(late.get("signals", ()))
        registry = self._finalizers and sys.modules["weakref"].finalize._registry
        for finalizer in self._finalizers:
            registry.pop(finalizer, None)
        for lock, before, after in self._changes:
            for _ in range(after - before):
                lock.acquire(False)
            for _ in range(before - after):
                lock.release()
        _keep_files(self.kept)
        _over.add(self.token)
        self._modules = None  # it is large, and this is kept by the frames that have waited
        self.arrived()


def _is_in_memory(file):
    """Whether what is under a file's layers is no file."""
    while True:
        below = getattr(file, "buffer", None) or getattr(file, "raw", None)
        if below is None:
            return type(file).__module__ == "_io" and type(file).__name__ in ("BytesIO", "StringIO")
        file = below


_files = {}


def _keep_files(things):
    """Have files that have stayed written out at the end: nothing else does, as they are kept for good."""
    import atexit
    import io

    found = {id(thing): thing for thing in things if isinstance(thing, io.IOBase)}
    if found and not _files:
        atexit.register(flush_at_exit)
    _files.update(found)


def flush_at_exit():
    """Write out what the program has left in files that have stayed."""
    for file in _files.values():
        try:
            if not file.closed:
                file.flush()
        except (OSError, ValueError):
            pass


# What stays, whatever it is in the middle of: (module, type, why).
_STAY = (
    ("mmap", "mmap", _FILE),
    ("_sqlite3", "Connection", "a connection stays with its process; open another one there"),
    ("_sqlite3", "Cursor", "its connection stays with its process"),
    ("zipfile", "ZipExtFile", _FILE),
    ("_compression", "DecompressReader", _FILE),
    ("compression._common._streams", "DecompressReader", _FILE),
)
_KINDS = (
    ("threading", "Thread", _THREAD),
    ("asyncio.events", "AbstractEventLoop", _LOOP),
    ("ipykernel.iostream", "OutStream", _RELAYED),
    ("pyteleport.relays", "Relay", _RELAYED),
    *(("threading", name, _SHARED) for name in ("Condition", "Event", "Semaphore", "Barrier")),
    ("queue", "Queue", _SHARED),
    *(("concurrent.futures._base", name, _SHARED) for name in ("Future", "Executor")),
)
