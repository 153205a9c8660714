"""The seam between frames and objects: one graph for everything that travels.

The stream, in the order in which it is written and read:

    early         plain data: cwd, environment, sys.path, sources, names of the program's modules
    definitions   functions, classes and constants of these modules, so that code which runs while
                  the rest is read finds them
    namespaces    the whole namespaces of these modules, in order
    objects       those of the frames, and the runtime state that is made of objects
    variables     the context variables, and finalizers that only wait
    deferred      what completes objects once all of them are there, as lists, until an empty one

All but the first share one memo: what was one object stays one object. Functions, classes and
everything else that pickle lacks is taken apart in `reducers`; large bytes go to the sink by
reference, buffers of arrays out of band.
"""

from __future__ import annotations

import _pickle
import gc
import sys
from types import FunctionType

from . import _native, builders, classes, exceptions, files, generators, imports, modules, runtime, streams
from .errors import PayloadError, ResumeError, TeleportError

__builtins__ = imports.BUILTINS

# How much deeper than the program itself the C pickler may nest: a fraction of the C stack, even
# when reducers of the program recurse all that way.
ROOM = 4000


class GraphPickler(_pickle.Pickler):
    """Writes the graph.

    Attributes:
        begun: id → object, for functions, cells and classes whose contents are written or promised.
        deferred: what completes objects later: (kind, object, …).
        culprits: (object, reason) for each that cannot travel.
    """

    def __init__(self, sink, buffers, found_modules, capture, flat):
        from . import reducers  # which the peer does without

        super().__init__(sink, 5, buffer_callback=buffers.append)
        self.persistent_id = _native.PersistentIds(found_modules.by_id)
        self.modules = found_modules
        self.capture = capture
        self.flat = flat
        self.choose = reducers.choose
        self.takers = reducers.table()
        self.begun = {}
        self.promised = {}
        self.named_classes = set()
        self.own_namespaces = {}
        self.any_class = False
        self.deferred = []
        self.deferred_ids = {}
        self.traceback_frames = {}
        self.variables = {}
        self.culprits = []
        self.closing = []
        self.too_deep = False
        self.last = None

    def reducer_override(self, thing):
        """Take an object apart; called by C for all but plain data."""
        self.last = thing
        cls = type(thing)
        taker = self.takers.get(cls)
        if taker is None:
            taker = self.takers[cls] = self.choose(self, cls)
        return taker(self, thing)

    def promise(self, thing):
        """Whether the caller is the first to bring the contents of a function, cell or class."""
        if id(thing) in self.begun:
            return False
        self.begun[id(thing)] = self.promised[id(thing)] = thing
        return True

    def keep_promise(self, thing):
        """Whether somebody else brings the contents of what is to be made now."""
        return self.promised.pop(id(thing), None) is not None

    def late_class(self, cls):
        """The steps that fill the class of an instance, if it comes before its class."""
        if id(cls) in self.begun or cls in self.named_classes:
            return None
        steps = tuple(classes.class_steps(self, cls))
        if not steps:
            self.named_classes.add(cls)
            return None
        self.promised[id(cls)] = cls
        return steps

    def close_later(self, raw):
        """Have a file closed once the layers above it are made."""
        self.closing.append(raw)

    def refuse(self, thing, reason):
        """Remember what cannot travel, and write a stand-in so that the rest is looked at too."""
        self.culprits.append((thing, reason))
        return builders.nothing, ()

    def could_not_ask(self, thing, problem):
        """Refuse an object whose own reducer raised."""
        from .culprits import reason_for

        self.too_deep = self.too_deep or isinstance(problem, RecursionError)
        return self.refuse(thing, reason_for(thing, str(problem) or type(problem).__name__))

    def by_search(self, function):
        """A function in C that its module does not offer under its own name."""
        pid = self.modules.search(function)
        if pid is None:
            return self.refuse(function, "no module offers it by its name; leave it out")
        return classes.attribute, (sys.modules[pid[1]], pid[2])


class Pieces(list):
    """Takes what a pickler writes, without joining or copying bytes."""

    def write(self, data):
        """Take the next piece; text comes as a view that does not keep it alive."""
        self.append(data if type(data) is bytes or type(data) is bytearray else bytes(data))


def encode(capture, sink, extras):
    """Write the graph of a capture into `sink`; returns the buffers that travel out of band."""
    collecting = gc.isenabled()
    limit = sys.getrecursionlimit()
    gc.disable()
    sys.setrecursionlimit(limit + ROOM)
    try:
        return _encode(capture, sink, extras, limit, collecting)
    finally:
        _lower_limit(limit)
        if collecting:
            gc.enable()


def _lower_limit(limit):
    """Put the limit back; up to 3.9 it refuses to come closer than 50 to the depth of the stack."""
    for margin in (0, 60):
        try:
            return sys.setrecursionlimit(limit + margin)
        except RecursionError:
            continue


def _encode(capture, sink, extras, limit, collecting):
    streams.flush_streams()
    found = modules.Modules(capture.objects)
    early = {"extras": {key: extras[key] for key in ("cwd", "env") if extras.get(key)}}
    runtime.take_early(early, capture, extras, found.by_value, found.aliases)
    if found.hidden:
        early["hidden"] = found.hidden
    _pickle.Pickler(sink, 5).dump(early)

    late = runtime.take_late(limit, collecting, found)
    odd = modules.odd_entries(found.by_value)
    if odd:
        late["odd modules"] = odd
    options = {key: value for key, value in extras.items() if key != "files"}
    for flat in (False, True):
        pieces, buffers = Pieces(), []
        pickler = GraphPickler(pieces, buffers, found, capture, flat)
        try:
            _dump(pickler, late, options)
        except RecursionError:
            continue
        except TeleportError:
            raise
        except Exception as problem:  # C refuses what a reducer returned
            pickler.could_not_ask(pickler.last, problem)
        if flat or not pickler.too_deep:
            break
    else:
        from .culprits import too_deep

        raise too_deep(capture, found, _more_roots(late, options)) from None
    if pickler.culprits:
        from .culprits import unmovable

        raise unmovable(pickler.culprits, capture, found, _more_roots(late, options)) from None
    for piece in pieces:
        sink.write(piece)
    return buffers


def _dump(pickler, late, options):
    """Write the stream, from the definitions on."""
    pickler.dump(_definitions(pickler.modules))
    pickler.dump(_namespaces(pickler.modules))
    pickler.dump((pickler.capture.objects, late, options))
    pickler.dump((runtime.take_context_variables(pickler), runtime.take_finalizers(pickler)))
    while pickler.deferred:
        batch, pickler.deferred = pickler.deferred, []
        pickler.dump(batch)
    pickler.dump(None)
    pickler.dump(pickler.closing)


# What code that runs while the rest is read may count on.
_DEFINED = frozenset(
    (FunctionType, modules.ModuleType, type(len), type, int, float, complex, bool, str, bytes, type(None))
)


def _definitions(found):
    """Functions, classes, modules and constants of the program's modules."""
    definitions = {}
    for name, module in found.by_value.items():
        definitions[name] = {
            key: value
            for key, value in modules.namespace_of(module).items()
            if type(value) in _DEFINED or isinstance(value, type)
        }
    return definitions


def _namespaces(found):
    namespaces = {}
    for name, module in found.by_value.items():
        kind = type(module) if type(module) is not modules.ModuleType else None
        namespaces[name] = dict(modules.namespace_of(module)), kind
    return namespaces


def _more_roots(late, options):
    roots = [("the option %s" % key, value) for key, value in options.items()]
    roots.extend((name, value) for name, value in late.items())
    return roots


class GraphUnpickler(_pickle.Unpickler):
    """Reads the graph; what is missing here is collected by the finder."""

    def __init__(self, source, buffers, finder):
        super().__init__(source, buffers=buffers)
        self.finder = finder
        self.persistent_load = finder.persistent_load

    def find_class(self, module, name):
        """A global of a module that travels by name."""
        return self.finder.attribute(module, name.split("."))


class Arrival:
    """What came out of a graph.

    Attributes:
        objects: in the order of the capture's.
        tracebacks: (traceback, index) where a traceback shows the frame of that index.
        extras: the options of the move.
    """

    __slots__ = ("_late", "extras", "objects", "tracebacks")

    def __init__(self, objects, tracebacks, extras, late):
        self.objects = objects
        self.tracebacks = tracebacks
        self.extras = extras
        self._late = late

    def give_back(self):
        """Give back what acts on the world outside: the program is here for good, and goes on."""
        runtime.settle(self._late)


def decode(source, buffers):
    """Read a graph, and turn this process into the program's.

    The program gets a `__main__` of its own. If it cannot go on here, the process is left as it was.
    """
    before = runtime.Before()
    collecting = gc.isenabled()
    gc.disable()
    finder = modules.Finder()
    del files.problems[:]
    try:
        arrival = _decode(source, buffers, finder)
    except TeleportError:
        before.put_back()
        raise
    except (EOFError, _pickle.UnpicklingError) as problem:
        before.put_back()
        raise PayloadError("the graph of objects is damaged: %s" % problem) from problem
    except Exception as problem:
        before.put_back()
        _check(finder)
        text = "the objects cannot be built here: %s: %s" % (type(problem).__name__, problem)
        raise ResumeError(text) from problem
    finally:
        if collecting:
            gc.enable()
    if not arrival._late["collecting"]:
        gc.disable()
    return arrival


def _decode(source, buffers, finder):
    early = _pickle.Unpickler(source).load()
    runtime.give_back_early(early, early["extras"])
    unpickler = GraphUnpickler(source, buffers, finder)
    for name, own in unpickler.load().items():
        modules.namespace_of(sys.modules[name]).update(own)
    for name, (namespace, kind) in unpickler.load().items():
        module = sys.modules[name]
        place = modules.namespace_of(module)
        place.clear()
        place.update(namespace)
        if kind is not None:
            module.__class__ = kind
    objects, late, extras = unpickler.load()
    variables, _finalizers = unpickler.load()
    tracebacks, batches = [], []
    while True:
        batch = unpickler.load()
        if batch is None:
            break
        batches.append(batch)
    closing = unpickler.load()
    _check(finder)
    places = []
    for batch in batches:
        for kind, *state in batch:
            if kind in _PLACE:
                places.append((kind, state))
            else:
                _COMPLETE[kind](tracebacks, *state)
    for kind, state in places:
        _PLACE[kind](*state)
    for raw in closing:
        raw.close()
    for name in early.get("hidden", ()):
        del sys.modules[name]
    sys.modules.update(late.get("odd modules", ()))
    runtime.give_back_late(late)
    runtime.give_back_context_variables(variables or ())
    return Arrival(objects, tracebacks, extras, late)


def _check(finder):
    """Refuse, with all that this machine lacks at once."""
    lacking = ["%s (%s)" % item for item in finder.missing.items()]
    if lacking:
        raise ResumeError("the peer lacks what the program needs: %s" % "; ".join(lacking))
    if files.problems:
        raise ResumeError("open files differ at the peer: %s" % "; ".join(files.problems))


# ------------------------------------------------------------- completing what was made unfinished


def _complete_traceback(tracebacks, chain, places, end):
    exceptions.link_tracebacks(chain, end)
    tracebacks.extend(pair for pair in zip(chain, places) if pair[1] >= 0)


_COMPLETE = {
    "exception": lambda _tracebacks, *state: exceptions.link_exception(*state),
    "traceback": _complete_traceback,
    "generator": lambda _tracebacks, *state: _native.write_generator(*state),
    "running": lambda _tracebacks, generator: _native.await_running(generator),
    "closing": lambda _tracebacks, generator: _native.mark_closing(generator),
    "rest of a generator": lambda _tracebacks, *state: generators.complete(*state),
    "function": lambda _tracebacks, *state: builders.fill_function(*state),
    "attributes": lambda _tracebacks, thing, state: thing.__dict__.update(state),
    "registry": lambda _tracebacks, *state: classes.register_all(*state),
}


def _place(*state):
    from . import iterators

    iterators.place(*state)


def _place_ordered(*state):
    from . import iterators

    iterators.place_ordered(*state)


# Done when no dictionary changes any more.
_PLACE = {"place": _place, "place ordered": _place_ordered}
