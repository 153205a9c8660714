"""What the program had set at home when it left by `on()`: taken back before it sets what it comes back with.

Settings travel as what is other than usual. A process that has waited is not as usual: what the program does
not come back with it has put back in its block, and what it comes back with is a copy of what is here.
"""

from __future__ import annotations

import sys
from types import BuiltinFunctionType, FunctionType

from . import held, imports, libraries, modules, registered
from .registries import codec_tables

__builtins__ = imports.BUILTINS


def undo(left, back):
    """Take back what was set.

    Args:
        left: what was told of the settings when the program left, as `runtime.take_late` says it.
        back: the same of when it has come back.
    """
    for name, act in _UNDO:
        if left.get(name) is not None:
            act(left[name], back.get(name))


def _timers(left, back):
    import _signal

    # A timer is set to what is left of it when the program goes on.
    blocked = set(left[1]).difference(back[1] if back else ())
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, blocked)


def _coroutine_hooks(left, back):
    if 0 in left and 0 not in (back or ()):
        sys.set_asyncgen_hooks(None, None)
        sys.set_coroutine_origin_tracking_depth(0)


def _warnings(left, back):
    from . import runtime

    warnings = sys.modules["warnings"]
    filters, shows = left
    if filters is not None and (back is None or back[0] is None):
        runtime.give_back_warnings((runtime.USUAL_FILTERS, {}))
    for name in shows:
        if back is None or name not in back[1]:
            usual = original(warnings, name)
            if usual is not None:
                setattr(warnings, name, usual)


def original(module, name):
    """The function that a module has made under a name, if somebody holds it still; None if nobody does."""
    from gc import get_objects

    namespace = modules.namespace_of(module)
    for one in get_objects():
        if type(one) is FunctionType:
            is_of_module = one.__globals__ is namespace
        else:
            is_of_module = type(one) is BuiltinFunctionType and one.__self__ is module
        if is_of_module and one.__qualname__ == name:
            return one
    return None


def _logging(left, back):
    from . import logs

    logs.reset(left, back)


def _csv(left, back):
    import _csv

    for name in left[0]:
        if back is None or name not in back[0]:
            _csv.unregister_dialect(name)
    if back is None:
        _csv.field_size_limit(131072)


def _sqlite(left, _back):
    sqlite = sys.modules["sqlite3"]
    adapters, converters = left
    for cls, adapter in adapters:
        if sqlite.adapters.get((cls, sqlite.PrepareProtocol)) is adapter:
            del sqlite.adapters[cls, sqlite.PrepareProtocol]
    for name, converter in converters:
        if sqlite.converters.get(name) is converter:
            del sqlite.converters[name]


_USUAL_DEFAULTS = {"setdefaulttimeout": (None,), "stack_size": (0,)}


def _defaults(left, back):
    there = [entry[:2] for entry in back or ()]
    for name, setter, _value in left:
        if (name, setter) in there:
            continue
        module = sys.modules[name]
        if setter == "start":
            module.stop()
        elif setter == "set_start_method":
            module.set_start_method(None, force=True)
        else:
            getattr(module, setter)(*_USUAL_DEFAULTS[setter])


def _hooks(left, back):
    for module, name in left:
        if back is None or (module, name) not in back:
            usual = sys.modules["_thread"]._excepthook if module == "threading" else None
            setattr(sys.modules[module], name, usual or getattr(sys, "__%s__" % name))


def _last(left, back):
    for name in left:
        if back is None or name not in back:
            delattr(sys, name)


def _registered(left, _back):
    for kind, pair in left.items():
        if registered.table.get(kind) is pair:
            del registered.table[kind]


def _copyreg(left, back):
    import copyreg

    reducers, codes = left
    for cls, reducer in reducers.items():
        if copyreg.dispatch_table.get(cls) is reducer:
            del copyreg.dispatch_table[cls]
    for (module, name), code in codes.items():
        if back is None or back[1].get((module, name)) != code:
            copyreg.remove_extension(module, name, code)


def _codecs(left, _back):
    import codecs

    searches, errors = left
    there, handlers = codec_tables()
    unregister = getattr(codecs, "unregister", there.remove)
    for search in searches:
        if any(search is one for one in there):
            unregister(search)
    for name, handler in errors.items():
        if handlers.get(name) is handler:
            del handlers[name]


def _without(things, those):
    return [thing for thing in things if not any(thing is one for one in those)]


def _gc_callbacks(left, _back):
    import gc

    callbacks, garbage = left
    gc.callbacks[:] = _without(gc.callbacks, callbacks)
    gc.garbage[:] = _without(gc.garbage, garbage)


def _finders(left, _back):
    for attribute, entries in left.items():
        own = [entry[0] for entry in entries if type(entry) is list]
        there = getattr(sys, attribute)
        there[:] = _without(there, own)
        if attribute == "path_hooks":
            sys.path_importer_cache.clear()


_UNDO = (
    ("timers", _timers),
    ("coroutine hooks", _coroutine_hooks),
    ("libraries", libraries.reset),
    ("warnings", _warnings),
    ("logging", _logging),
    ("csv", _csv),
    ("sqlite", _sqlite),
    ("defaults", _defaults),
    ("hooks", _hooks),
    ("last exception", _last),
    ("registered", _registered),
    ("copyreg", _copyreg),
    ("codecs", _codecs),
    ("gc callbacks", _gc_callbacks),
    ("finders", _finders),
    ("entries", held.remove_entries),
)
