"""What the program has set in `sys` and `threading` for the interpreter to call."""

from __future__ import annotations

import sys

from . import imports, prompts

__builtins__ = imports.BUILTINS

_HOOKS = ("excepthook", "displayhook", "unraisablehook", "breakpointhook")


def take_hooks():
    """The hooks in `sys` and `threading` that the program replaced."""
    hooks = {}
    for name in _HOOKS if not prompts.is_based() else ("unraisablehook",):
        value = getattr(sys, name, None)
        if value is not getattr(sys, "__%s__" % name, None):
            hooks["sys", name] = value
    threading = sys.modules.get("threading")
    if threading is not None and threading.excepthook is not sys.modules["_thread"]._excepthook:
        hooks["threading", "excepthook"] = threading.excepthook
    return hooks or None


def give_back_hooks(taken):
    """Set the hooks."""
    for (module, name), value in taken.items():
        __import__(module)
        setattr(sys.modules[module], name, value)


_LAST = ("last_type", "last_value", "last_traceback", "last_exc", "tracebacklimit")


def take_last():
    """What `sys` keeps of the last exception that nobody handled, and how much of it is shown."""
    # What is below a base shows exceptions, and keeps the last.
    names = _LAST if not prompts.is_based() else ("tracebacklimit",)
    return {name: getattr(sys, name) for name in names if hasattr(sys, name)} or None


def give_back_last(taken):
    """Keep them here."""
    for name, value in taken.items():
        setattr(sys, name, value)


def take_asyncgen_hooks(_pickler, found):
    """What `sys.get_asyncgen_hooks()` has returned."""
    return make_asyncgen_hooks, tuple(found)


def make_asyncgen_hooks(*wanted):
    """The same of these hooks."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(*wanted)
    made = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(*hooks)
    return made


_NO_TRACER = "the frames that it follows are others at the peer; take it out before the move"


class Tracer:
    """A function that follows what is run, which cannot move."""

    def __init__(self, function):
        self.function = function


def take_trace(found):
    """The program's own function that follows it. One of a debugger or the like stays where it is."""
    return _tracer(sys.gettrace(), found)


def take_profile(found):
    """As above."""
    return _tracer(sys.getprofile(), found)


def _tracer(function, found):
    kind = getattr(function, "__func__", function)
    owner = getattr(kind, "__module__", None)
    return Tracer(function) if owner in found.by_value else None


def give_back_tracer(taken):
    """There is none."""


def take_tracer(pickler, tracer):
    """Refuse it."""
    return pickler.refuse_for_good(tracer, _NO_TRACER)
