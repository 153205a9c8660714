"""What the program has set in `sys` and `threading` for the interpreter to call."""

from __future__ import annotations

import sys

_HOOKS = ("excepthook", "displayhook", "unraisablehook", "breakpointhook")


def take_hooks():
    """The hooks in `sys` and `threading` that the program replaced."""
    hooks = {}
    for name in _HOOKS:
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
    return {name: getattr(sys, name) for name in _LAST if hasattr(sys, name)} or None


def give_back_last(taken):
    """Keep them here."""
    for name, value in taken.items():
        setattr(sys, name, value)


def take_async_hooks():
    """What is called for new async generators, and how much is kept of where coroutines are made."""
    hooks, depth = tuple(sys.get_asyncgen_hooks()), sys.get_coroutine_origin_tracking_depth()
    return (hooks, depth) if any(hooks) or depth else None


def give_back_async_hooks(taken):
    """Set both."""
    hooks, depth = taken
    sys.set_asyncgen_hooks(*hooks)
    sys.set_coroutine_origin_tracking_depth(depth)
