"""Weak references, weak proxies and finalizers: what they refer to travels along.

None of them is asked for anything: a proxy passes every question on.
"""

from __future__ import annotations

from _weakref import CallableProxyType, proxy
from _weakref import ref as Ref

from . import classes, imports, instances
from ._native import read_field, referent, write_field

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer


class _GoneCallable(classes.Gone):
    """The same, where the proxy may be called."""

    __slots__ = ()

    def __call__(self):
        """Never called."""


def make_dead_ref(cls, found_hash=-1):
    """A weak reference to an object that is gone, with the hash that it was asked for when it lived."""
    made = Ref.__new__(cls, classes.Gone())
    if found_hash != -1:
        write_field(made, "hash", found_hash)
    return made


def make_ref(cls, referent, callback=None):
    """A weak reference, also of a subclass, whose constructor is passed by."""
    return Ref.__new__(cls, referent, callback)


def make_proxy(referent, callback=None):
    """A weak proxy."""
    return proxy(referent, callback)


def make_dead_proxy(is_callable):
    """A weak proxy of an object that is gone."""
    return proxy(_GoneCallable() if is_callable else classes.Gone())


def make_finalizer(alive, referent=None, function=None, args=(), kwargs=None, atexit=True, index=None):
    """A `weakref.finalize`, registered if it still waits, and as old as it was."""
    import weakref

    if not alive:
        return weakref.finalize.__new__(weakref.finalize)
    made = weakref.finalize(referent, function, *args, **(kwargs or {}))
    made.atexit = atexit
    info = weakref.finalize._registry[made]
    if index is not None:
        from itertools import count

        newest = max(info.index, index)
        info.index = index
        weakref.finalize._index_iter = count(newest + 1)
    return made


# -------------------------------------------------------------------------- taking apart, at home


def take_ref(pickler, ref):
    """A weak reference; those without a callback are one for each object, as long as nobody derives."""
    cls = type(ref)
    found = referent(ref)
    callback = read_field(ref, "wr_callback")
    if found is None:
        made = make_dead_ref, (cls, read_field(ref, "hash"))
    elif callback is None:
        made = make_ref, (cls, found)
    else:
        made = make_ref, (cls, found, callback)
    state = instances.own_state(pickler, ref) if cls is not Ref else None
    return made if state is None else (*made, state, None, None, instances.fill)


def take_proxy(_pickler, thing):
    """A weak proxy."""
    found = referent(thing)
    if found is None:
        return make_dead_proxy, (type(thing) is CallableProxyType,)
    callback = read_field(thing, "wr_callback")
    return make_proxy, ((found,) if callback is None else (found, callback))


def take_finalizer(_pickler, finalizer):
    """A finalizer that waits, or has run, or was detached."""
    found = finalizer.peek()
    if found is None:
        return make_finalizer, (False,)
    index = type(finalizer)._registry[finalizer].index
    return make_finalizer, (True, *found, finalizer.atexit, index)
