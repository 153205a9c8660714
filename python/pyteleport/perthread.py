"""What belongs to a thread, or keeps threads apart: locks, thread-local things, context variables."""

from __future__ import annotations

import sys

from . import builders, classes, imports
from ._native import read_field

__builtins__ = imports.BUILTINS

_HELD = "a lock that is held; release it before the move"


def take_lock(pickler, lock):
    """A lock that nobody holds is as good as a new one."""
    if lock.locked():
        return pickler.refuse(lock, _HELD)
    return builders.make_lock, ()


def take_rlock(pickler, lock):
    """As above, or held by the thread that travels.

    Its text is the one place that tells, and changes nothing.
    """
    from _thread import RLock, get_ident

    text = RLock.__repr__(lock)
    if text.startswith("<unlocked"):
        return type(lock), ()
    held = dict(word.split("=") for word in text.split() if "=" in word)
    if held.get("owner") != str(get_ident()):
        return pickler.refuse(lock, _HELD)
    return builders.hold_rlock, (type(lock), int(held["count"]))


def take_module_lock(_pickler, lock):
    """The lock of a module that is being imported: held by whoever imports it."""
    count = lock.count if type(lock.count) is int else len(lock.count)
    return builders.hold_module_lock, (lock.name, count)


def take_import_lock(_pickler, _context):
    """What holds the interpreter's import lock."""
    return builders.hold_import_lock, ()


def take_local(_pickler, thing):
    """What each thread has a value of its own of: that of the one thread that travels."""
    from _thread import _local
    from gc import get_referents

    made = [type(thing), (), {}]
    for part in get_referents(thing):
        if type(part) is tuple:
            made[1] = part
        elif type(part) is dict and part and all(type(name) is str for name in part):
            made[2] = part
    return (
        builders.make_local,
        tuple(made),
        _local.__getattribute__(thing, "__dict__"),
        None,
        None,
        builders.fill_local,
    )


def take_token(_pickler, token):
    """What puts a context variable back to what it was."""
    context = read_field(token, "tok_ctx")
    if context is builders.base_context():
        context = None
    old = token.old_value
    missing = old is type(token).MISSING
    state = context, missing, None if missing else old, read_field(token, "tok_used")
    return builders.make_token, (token.var,), state, None, None, builders.fill_token


def take_variable(pickler, variable):
    """A context variable: by name if a module that travels by name has it."""
    from gc import get_referents

    pid = pickler.modules.search(variable)
    if pid is not None:
        return classes.attribute, (sys.modules[pid[1]], pid[2])
    pickler.variables[id(variable)] = variable
    return builders.make_variable, tuple(get_referents(variable)[:2])


def take_context(_pickler, context):
    """A context, which nobody has entered at the peer yet."""
    return builders.make_context, (), list(context.items()), None, None, builders.fill_context
