"""Exceptions with all that hangs on them, tracebacks, and the frames of tracebacks.

No `__init__` runs, no reducer is asked. Chains may be longer than any recursion: causes, contexts
and tracebacks are therefore written after everything else, as flat lists.
"""

from __future__ import annotations

from types import (
    AsyncGeneratorType,
    CoroutineType,
    GeneratorType,
    GetSetDescriptorType,
    MemberDescriptorType,
    TracebackType,
)

from . import _native, classes, instances

_HEAP_TYPE = 1 << 9
_LINKS = ("__cause__", "__context__", "__suppress_context__", "__traceback__")


def _built_in_base(cls):
    for base in classes.read_order(cls):
        if not classes.read_flags(base) & _HEAP_TYPE:
            return base
    raise TypeError("%r has no base that is built in" % (cls,))


def make_exception(cls, args=()):
    """An exception whose class's own code has not run."""
    return _built_in_base(cls).__new__(cls, *args)


def fill_exception(exception, state):
    """Give an exception its arguments and its members."""
    _steps, args, members, own = state
    exception.args = args
    for name, value in members.items():
        descriptor = None
        for base in classes.read_order(type(exception)):
            descriptor = classes.read_namespace(base).get(name)
            if type(descriptor) in (MemberDescriptorType, GetSetDescriptorType):
                descriptor.__set__(exception, value)
                break
    if own is not None:
        instances.fill(exception, own)


def link_exception(exception, cause, context, suppress, traceback):
    """Put an exception back into its chain."""
    exception.__cause__ = cause
    exception.__context__ = context
    exception.__suppress_context__ = suppress
    exception.__traceback__ = traceback


def take_exception(pickler, exception):
    """An exception by its fields; its links follow when everything else is written."""
    cls = type(exception)
    if id(exception) not in pickler.deferred_ids:
        pickler.deferred_ids[id(exception)] = exception
        links = [BaseException.__dict__[name].__get__(exception) for name in _LINKS]
        if any(link is not None and link is not False for link in links):
            pickler.deferred.append(("exception", exception, *links))
    base = _built_in_base(cls)
    args = BaseException.__dict__["args"].__get__(exception)
    members = {}
    for owner in classes.read_order(base):
        if owner is BaseException or owner is object:
            break
        for name, member in owner.__dict__.items():
            if type(member) is MemberDescriptorType or name == "characters_written":
                try:
                    value = member.__get__(exception)
                except AttributeError:
                    continue
                if value is not None:
                    members[name] = value
    made = (cls,)
    if base.__name__ in ("BaseExceptionGroup", "ExceptionGroup"):
        made = (cls, (members.pop("message"), members.pop("exceptions")))
        members = {}
    steps = pickler.late_class(cls)
    state = (steps, args, members, instances.own_state(None, exception))
    return make_exception, made, state, None, None, fill_exception


def take_traceback(pickler, traceback):
    """One entry of a traceback; the rest of its chain is written as a list, later."""
    if id(traceback) not in pickler.deferred_ids:
        chain = []
        entry = traceback
        while entry is not None and id(entry) not in pickler.deferred_ids:
            pickler.deferred_ids[id(entry)] = entry
            pickler.traceback_frames[id(entry.tb_frame)] = entry.tb_frame
            chain.append(entry)
            entry = entry.tb_next
        pickler.deferred.append(("traceback", chain, entry))
    return make_traceback, (traceback.tb_frame, traceback.tb_lasti, traceback.tb_lineno)


def make_traceback(frame, lasti, lineno):
    """One entry of a traceback."""
    return TracebackType(None, frame, lasti, lineno)


def link_tracebacks(chain, end):
    """Put the entries of a traceback one behind the other."""
    for entry, following in zip(chain, [*chain[1:], end]):
        entry.tb_next = following


# ------------------------------------------------------------------------------------- frames


def frame_of(generator):
    """The frame of a generator or coroutine that has not come to its end."""
    return getattr(generator, _FRAMES[type(generator)])


_FRAMES = {GeneratorType: "gi_frame", CoroutineType: "cr_frame", AsyncGeneratorType: "ag_frame"}


def take_frame(pickler, frame):
    """A frame object: of a generator, of a captured frame, or of one that is over.

    Of what is over and only a traceback shows, the variables stay behind: nobody has kept them on purpose.
    """
    generator = _native.generator_of_frame(frame)
    if generator is not None:
        return frame_of, (generator,)
    made = _native.new_frame, (frame.f_code, frame.f_globals)
    index = pickler.capture.live_frames.get(id(frame))
    if index is not None:
        if id(frame) not in pickler.deferred_ids:
            pickler.deferred_ids[id(frame)] = frame
            pickler.deferred.append(("frame", frame, index))
        return made
    if not _native.is_frame_over(frame):
        return pickler.refuse(
            frame, "a frame that runs elsewhere cannot travel; keep its code or its locals instead"
        )
    if id(frame) not in pickler.deferred_ids:
        pickler.deferred_ids[id(frame)] = frame
        kept = id(frame) not in pickler.traceback_frames
        state, objects = _native.read_frame(frame, kept)
        pickler.deferred.append(("frame that is over", frame, state, objects, frame.f_back if kept else None))
    return made
