"""How types that pyteleport does not know are taken apart and put together, as their libraries say."""

from __future__ import annotations

# What travels by itself, and is never asked for.
_OWN = frozenset(
    (type(None), bool, int, float, complex, str, bytes, bytearray, tuple, list, dict, set, frozenset, type)
)

table = {}


def register(type, capture, restore):
    """Says how the instances of a type travel, before anything else is tried with them.

    A library that holds what no other code can move, such as a handle of a C library, may know how to
    make it again:

    >>> pyteleport.register(Index, lambda index: index.path, Index.open)

    Args:
        type: the class; its subclasses are not meant.
        capture: called at home with the instance; gives its state, any objects that can travel. What
            it raises refuses the move with an :exc:`UnmovableError` that names the path to the
            instance, and changes nothing.
        restore: called at the peer with the state, as often as there are instances; gives the
            instance. What it raises refuses the move, too. It must be something that the peer can
            find or that travels: a function of a module, a class, a method of a class.

    A later call for the same type takes the place of an earlier one. What the program itself has
    registered goes along; an installed library registers its types when it is imported.

    Raises:
        TypeError: it is no class, or one that needs no help; or the others cannot be called.
    """
    if not isinstance(type, _Class) or type in _OWN:
        raise TypeError("a class that needs help is registered, not %r" % (type,))
    if not callable(capture) or not callable(restore):
        raise TypeError("what captures and restores a %s is called" % type.__name__)
    table[type] = capture, restore


_Class = type


def taker_of(capture, restore):
    """Takes instances apart as `capture` says."""

    def take(pickler, thing):
        try:
            return restore, (capture(thing),)
        except Exception as problem:
            return pickler.could_not_ask(thing, problem)

    return take


def take_registered(found):
    """The entries in which something is the program's own."""
    own = {
        kind: pair
        for kind, pair in table.items()
        if any(getattr(each, "__module__", None) in found.by_value for each in (kind, *pair))
    }
    return own or None


def give_back_registered(taken):
    """Know them here, too."""
    table.update(taken)
