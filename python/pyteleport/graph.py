"""The seam between frames and objects: one graph for everything that travels.

What is written and read, in this order:

    early         plain data: cwd, environment, sys.path, sources, names of the program's modules
    definitions   functions, classes and constants of these modules, so that code which runs while
                  the rest is read finds them
    namespaces    the whole namespaces of these modules, in order
    objects       those of the frames, and the runtime state that is made of objects
    variables     the context variables, and finalizers that only wait
    deferred      what completes objects once all of them are there, as lists, until an empty one

What was one object stays one object. The native encoder walks through them, and takes apart what is
built in; for all else it asks `reducers`. Large bytes go by reference, buffers of arrays out of band.
"""

from __future__ import annotations

import copyreg
import gc
import sys
from types import FrameType, FunctionType, TracebackType

from . import (
    _native,
    builders,
    classes,
    endings,
    exceptions,
    files,
    generators,
    held,
    imports,
    instances,
    loops,
    modules,
    perthread,
    runtime,
    sources,
    streams,
    tasks,
    threads,
)
from .errors import ResumeError, TeleportError

__builtins__ = imports.BUILTINS

# How much deeper than the program itself what is asked may go: a program near its limit can move, too.
ROOM = 1000


class Asker:
    """Takes apart what the encoder does not know by itself; takers call it the pickler.

    Attributes:
        begun: id → object, for functions, cells and classes whose contents are written or promised.
        deferred: what completes objects later: (kind, object, …).
        variables: id → context variable that travels by value.
        valued: ids of those whose values are written.
        culprits: (object, reason) for each that cannot travel.
        trip: home's table of what stays there, if the program is to come back.
        coming: what is known here of the trip from which the program comes back now.
    """

    def __init__(self, found_modules, capture, travellers=None, trip=None, coming=None):
        from . import reducers  # which the peer does without

        self.trip = trip
        self.coming = coming
        self.modules = found_modules
        self.capture = capture
        self.travellers = travellers
        self.choose = reducers.choose
        self.takers = reducers.table()
        self.takers.update(dict.fromkeys((dict, list), held.take_container))
        if trip is not None:
            trip.takers(self.takers)
        elif coming is not None:
            coming.takers(self.takers)
        self.begun = {}
        self.promised = {}
        self.named_classes = set()
        self.own_namespaces = {}
        self.any_class = False
        self.deferred = []
        self.deferred_ids = {}
        self.traceback_frames = {}
        self.variables = {}
        self.valued = set()
        self.culprits = []
        self.closing = []
        # Where arrays have their memory, and tensors that of others; what stands for the memory of tensors.
        self.memories = []
        self.foreign = []
        self.tensor_memory = {}

    def taker_of(self, cls):
        """What takes the instances of a class apart."""
        taker = self.takers.get(cls)
        if taker is None:
            choose = self.choose
            taker = choose(self, cls) if self.trip is None else self.trip.choose(self, cls, choose)
            self.takers[cls] = taker
        return taker

    fields_of = staticmethod(instances.fields_of)

    def consumes(self, thing, setter):
        """Whether what sets the state of an object may look into it, not only keep it."""
        if setter is None:
            return instances.find(type(thing), "__setstate__") is not None
        if setter in _CONSUMERS or getattr(setter, "consumes", False):
            return True
        return not str(setter.__module__).startswith(__package__ + ".")

    def failed(self, thing, problem):
        """Refuse an object that could not be taken apart, unless that is no fault of its own."""
        if isinstance(problem, TeleportError) or not isinstance(problem, Exception):
            raise problem
        return self.could_not_ask(thing, problem)

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
        """Remember what cannot travel, and write a stand-in so that the rest is looked at too.

        If the program is to come back, it stays at home. But for what others are made of.
        """
        if self.trip is not None and not issubclass(type(thing), _MADE_OF):
            return self.trip.stays(self, thing, reason)
        return self.refuse_for_good(thing, reason)

    def refuse_for_good(self, thing, reason):
        """As `refuse`, of what cannot stay at home either."""
        self.culprits.append((thing, reason))
        return builders.nothing, ()

    def could_not_ask(self, thing, problem):
        """Refuse an object whose own reducer raised."""
        from .culprits import reason_for

        return self.refuse(thing, reason_for(thing, str(problem) or type(problem).__name__))

    def by_search(self, function):
        """A function in C that its module does not offer under its own name."""
        pid = self.modules.search(function)
        if pid is None:
            return self.refuse(function, "no module offers it by its name; leave it out")
        return classes.attribute, (sys.modules[pid[1]], pid[2])


_MADE_OF = (type, modules.ModuleType, FrameType, TracebackType)
_CONSUMERS = (instances.fill_container, instances.set_state)


def new_encoder(asker):
    """What writes records, and asks for what it does not know by itself."""
    named = asker.modules.named()
    return _native.GraphEncoder(asker, instances.take_open, instances.fill, copyreg.__newobj__, named)


def encode(capture, extras):
    """Write the graph of a capture; returns the encoder, which has it."""
    collecting = gc.isenabled()
    limit = sys.getrecursionlimit()
    gc.disable()
    sys.setrecursionlimit(limit + ROOM)
    try:
        return _encode(capture, extras, limit, collecting)
    finally:
        runtime.lower_limit(limit)
        if collecting:
            gc.enable()


def _encode(capture, extras, limit, collecting):
    loops.began(extras.pop("began", None))
    streams.flush_streams()
    _take_files(extras)
    modules.choices.update(extras.pop("ship", None) or {})
    trip, coming = extras.pop("guest", None), extras.pop("coming", None)
    travellers = threads.Travellers(capture)
    extras["ended"] = endings.take()
    threads.mark_saved(capture)
    found = modules.Modules(capture.objects, modules.choices)
    early = {"extras": {key: extras[key] for key in ("cwd", "env") if extras.get(key)}}
    runtime.take_early(early, capture, extras, found.by_value, found.aliases)
    early["threads"] = travellers.take_early()
    found.read_sources(early["sources"].values(), capture.codes)
    if modules.choices:
        early["ship"] = modules.choices
    if found.hidden:
        early["hidden"] = found.hidden
    late = runtime.take_late(limit, collecting, found)
    late["threads"] = travellers.take()
    late["coroutine hooks"] = travellers.take_coroutine_hooks()

    def can_travel(values):
        return trip is not None or _can_travel(values, found, capture, travellers)

    late["thread locals"] = perthread.take_known_locals(travellers, found.held.locals, can_travel)
    if trip is not None:
        trip.take_early(early, late)
    elif coming is not None:
        coming.take_early(early, late)
    odd = modules.odd_entries(found.by_value)
    if odd:
        late["odd modules"] = odd
    options = {key: value for key, value in extras.items() if key != "files"}
    asker = Asker(found, capture, travellers, trip, coming)
    encoder = new_encoder(asker)
    encoder.write(early)
    _write(encoder, asker, late, options)
    if asker.foreign:
        from .tensors import refuse_shared

        refuse_shared(asker)
    if asker.culprits:
        from .culprits import unmovable

        raise unmovable(asker.culprits, capture, found, _more_roots(late, options)) from None
    if trip is None:
        files.refuse_locks()
    else:
        trip.hold(asker, late)
        encoder.write(trip.texts(asker, _more_roots(late, options)))
    return encoder


def _can_travel(thing, found, capture, travellers):
    """Whether something could be written, by itself."""
    asker = Asker(found, capture, travellers)
    new_encoder(asker).write(thing)
    return not asker.culprits


def _take_files(extras):
    """Take along what was asked for, and what the program could not do without on another machine."""
    paths = extras.pop("ship_files", None)
    if paths is None and not extras.get("elsewhere"):
        return
    from . import shipped

    shipped.flush()
    extras["files"] = [*(extras.get("files") or ()), *shipped.take([*(paths or ()), *shipped.temporary()])]


def _write(encoder, asker, late, options):
    """Write everything, from the definitions on."""
    encoder.write(_definitions(asker.modules))
    encoder.write(_namespaces(asker.modules))
    encoder.write((asker.capture.objects, late, options))
    encoder.write(
        (
            runtime.take_context_variables(asker),
            asker.travellers.take_contexts(asker),
            runtime.take_finalizers(asker),
        )
    )
    while asker.deferred:
        batch, asker.deferred = asker.deferred, []
        encoder.write(batch)
        more = runtime.take_context_variables(asker)
        if more:
            asker.deferred.append(("more variables", more))
    encoder.write(None)
    encoder.write(asker.closing)


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
            if type(value) in _DEFINED or issubclass(type(value), type)
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


def rehearse():
    """Do ahead what takes time when a process captures its program first.

    Imports, that is, and what is read of the modules that are there. The program's objects are not asked.
    """
    from . import reducers  # noqa: F401

    found = modules.Modules((), modules.choices)
    found.read_sources(sources.take(found.by_value, ()).values(), ())
    runtime.take_late(sys.getrecursionlimit(), True, found)


class Arrival:
    """What came out of a graph.

    Attributes:
        objects: in the order of the capture's.
        frames: (frame object, index) of captured frames that something refers to.
        extras: the options of the move.
        main: the number of the stack that goes on in the main thread.
        is_guest: whether it will come back.
    """

    __slots__ = ("_home", "_late", "extras", "frames", "is_guest", "main", "objects")

    def __init__(self, objects, frames, extras, late, home, is_guest):
        self._home = home
        self.is_guest = is_guest
        self.objects = objects
        self.frames = frames
        self.extras = extras
        self._late = late
        self.main = threads.main()

    @property
    def is_back(self):
        """Whether it goes on above frames of its own, which have waited for it."""
        return self._home is not None

    def give_back(self):
        """Give back what acts on the world outside: the program is here for good, and goes on."""
        if self._home is not None:
            self._home.settle(self._late)
        elif self.is_guest:
            # It is a process that has split off since, in which `random` has begun afresh.
            runtime.begin_again(self._late)
        runtime.settle(self._late)
        if self.is_guest:
            sys.modules[__package__ + ".away"].guest.settled(self._late)

    def begin(self):
        """Start what must not come before the program: its timers, and its event loop."""
        return runtime.begin(self._late)


def decode(decoder):
    """Read a graph, and turn this process into the program's.

    The program gets a `__main__` of its own. If it cannot go on here, the process is left as it was.
    """
    home = _returning()
    before = runtime.Before()
    collecting = gc.isenabled()
    gc.disable()
    finder = modules.Finder()
    del files.problems[:]
    del tasks.cancelled[:]
    loops.forget()
    try:
        arrival = _decode(decoder, finder, home)
    except TeleportError:
        threads.abandon()
        before.put_back()
        if home is not None:
            home.put_back()
        raise
    except Exception as problem:
        threads.abandon()
        before.put_back()
        if home is not None:
            home.put_back()
        _check(finder)
        text = "the objects cannot be built here: %s: %s" % (type(problem).__name__, problem)
        raise ResumeError(text) from problem
    finally:
        if collecting:
            gc.enable()
    (gc.enable if arrival._late["collecting"] else gc.disable)()
    return arrival


def _returning():
    """At home the trip from which the program comes back now; None for a process that is fresh."""
    trips = sys.modules.get(__package__ + ".trips")
    return trips and trips.returning


def _decode(decoder, finder, home):
    def read():
        return decoder.read(finder.persistent_load)

    early = read()
    if home is not None:
        home.give_back_early(early)
    else:
        runtime.give_back_early(early, early["extras"])
        if "guest" in early:
            from . import away

            away.arrive(early["guest"])
    threads.begin(early["threads"])
    for name, own in read().items():
        modules.namespace_of(sys.modules[name]).update(own)
    for name, (namespace, kind) in read().items():
        module = sys.modules[name]
        place = modules.namespace_of(module)
        if home is None:
            place.clear()
        else:
            # Other threads look there, too.
            for key in [key for key in place if key not in namespace]:
                del place[key]
        place.update(namespace)
        if kind is not None:
            module.__class__ = kind
    objects, late, extras = read()
    variables, contexts, _finalizers = read()
    frames, batches = [], []
    while True:
        batch = read()
        if batch is None:
            break
        batches.append(batch)
    closing = read()
    _check(finder)
    places = []
    for batch in batches:
        for kind, *state in batch:
            if kind in _PLACE:
                places.append((kind, state))
            elif kind == "more variables":
                variables = [*(variables or ()), *state[0]]
            else:
                _COMPLETE[kind](frames, *state)
    for kind, state in places:
        _PLACE[kind](*state)
    for raw in closing:
        raw.close()
    for name in early.get("hidden", ()):
        del sys.modules[name]
    sys.modules.update(late.get("odd modules", ()))
    if home is None:
        runtime.give_back_late(late)
    if "guest" in early:
        away.told(early["guest"], read())
    if late["threads"] is not None:
        threads.give_back(late["threads"])
        endings.give_back(extras["ended"])
    perthread.give_back_known_locals(late["thread locals"])
    threads.give_back_coroutine_hooks(late["coroutine hooks"])
    threads.give_back_contexts({0: variables or (), **(contexts or {})})
    if home is not None:
        home.unset([variable for variable, _value in variables or ()])
    threads.settle()
    return Arrival(objects, frames, extras, late, home, "guest" in early)


def _check(finder):
    """Refuse, with all that this machine lacks at once."""
    lacking = ["%s (%s)" % item for item in finder.missing.items()]
    if lacking:
        text = "the peer lacks what the program needs: %s" % "; ".join(lacking)
        names = sorted({name.rpartition(".")[0] for name in finder.missing} & sys.modules.keys())
        if names:
            text += "; a module in which things were made as the program ran goes along with ship=%r" % names
        raise ResumeError(text)
    if files.problems:
        raise ResumeError("open files differ at the peer: %s" % "; ".join(files.problems))


# ------------------------------------------------------------- completing what was made unfinished


_COMPLETE = {
    "exception": lambda _frames, *state: exceptions.link_exception(*state),
    "traceback": lambda _frames, *state: exceptions.link_tracebacks(*state),
    "frame": lambda frames, *state: frames.append(state),
    "frame that is over": lambda _frames, *state: _native.write_frame(*state),
    "generator": lambda _frames, *state: _native.write_generator(*state),
    "running": lambda _frames, generator: _native.await_running(generator),
    "closing": lambda _frames, generator: _native.mark_closing(generator),
    "rest of a generator": lambda _frames, *state: generators.complete(*state),
    "function": lambda _frames, *state: builders.fill_function(*state),
    "attributes": lambda _frames, thing, state: thing.__dict__.update(state),
    "set": lambda _frames, *state: _native.set_rearrange(*state),
    "registry": lambda _frames, *state: classes.register_all(*state),
    "cancelled": lambda _frames, *state: tasks.cancelled.append(state),
}


def _placing(name):
    def place(*state):
        from . import iterators

        getattr(iterators, name)(*state)

    return place


# Done when no container changes any more.
_PLACE = {
    "place": _placing("place"),
    "place ordered": _placing("place_ordered"),
    "place deque": _placing("place_deque"),
    "place in set": _placing("place_in_set"),
}
