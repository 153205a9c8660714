"""What belongs to a thread, or keeps threads apart: locks, thread-local things, context variables."""

from __future__ import annotations

import sys
from _weakref import ref as Ref

from . import _native, builders, classes, imports, threads
from ._native import read_field

__builtins__ = imports.BUILTINS


def take_lock(pickler, lock):
    """A lock, held or not: it does not matter by whom, but that a thread's end may release it."""
    number = pickler.travellers.ends.get(id(lock))
    if number is not None:
        return threads.end_of, (number,)
    return builders.make_lock, (True,) if lock.locked() else ()


def take_rlock(pickler, lock):
    """A lock that its owner may take again: one of the threads that travel, or nobody."""
    count, owner = threads.owner_of(lock)
    if not count:
        return type(lock), ()
    number = pickler.travellers.numbers.get(owner)
    if number is None:
        return pickler.refuse(lock, "a lock whose owner, thread %d, has ended" % owner)
    return builders.hold_rlock, (type(lock), count, number)


def take_module_lock(pickler, lock):
    """The lock of a module that is being imported: held by whoever imports it."""
    count = lock.count if type(lock.count) is int else len(lock.count)
    return builders.hold_module_lock, (lock.name, count, pickler.travellers.numbers.get(lock.owner))


def take_import_lock(_pickler, _context):
    """What holds the interpreter's import lock."""
    return builders.hold_import_lock, ()


def take_local(pickler, thing):
    """What each thread has a value of its own of."""
    args, options, found = _of_local(pickler.travellers, thing)
    return builders.make_local, (type(thing), args, options), found, None, None, threads.fill_locals


def values_of(travellers, thing):
    """By their numbers the values that the threads of a capture have of a `threading.local`."""
    return _of_local(travellers, thing)[2]


def parts_of(thing):
    """The values that threads have of a `threading.local`, by keys of its own."""
    return _inside(thing)[2]


def _inside(thing):
    """The arguments and options that a `threading.local` was made with, and its values by their keys."""
    from gc import get_referents

    args, options, parts = (), {}, {}
    for part in get_referents(thing):
        if type(part) is tuple:
            args = part
        elif type(part) is dict and part:
            if all(type(name) is str for name in part):
                options = part
            else:
                parts = part
    return args, options, parts


def _of_local(travellers, thing):
    args, options, parts = _inside(thing)
    keys = {}
    for number, ident in enumerate(travellers.idents):
        key = _native.key_of_local(thing, ident)
        if key is not None:
            keys[id(key)] = number
    found = {}
    for key, own in parts.items():
        number = keys.get(id(key() if type(key) is Ref else key))
        if number is not None:
            found[number] = own
    return args, options, found


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


# Those that say what runs in a thread, without which it cannot go on.
_KNOWN = (
    ("trio._core._run", "GLOBAL_RUN_CONTEXT"),
    ("trio._threads", "PARENT_TASK_DATA"),
    ("sniffio._impl", "thread_local"),
)


def take_known_locals(travellers, held, can_travel):
    """What the modules of libraries keep for threads, by module and name; None where there is nothing.

    What cannot travel of it, such as a connection for each thread, the library makes again when it needs it.
    """
    found = {}
    for place, thing in held.items():
        values = values_of(travellers, thing)
        if any(values.values()) and (place in _KNOWN or can_travel(values)):
            found[place] = values
    return found or None


def give_back_known_locals(taken):
    """Have libraries keep it for the threads here."""
    from importlib import import_module

    for (module, name), values in (taken or {}).items():
        threads.fill_locals(getattr(import_module(module), name), values)
