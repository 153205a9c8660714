"""Instances of classes: by their fields, with none of their code run.

Where a class brings reducers of its own, these are asked, as pickle asks them.
"""

from __future__ import annotations

import copyreg
import sys
from sys import getrefcount
from types import MemberDescriptorType

from . import _native, imports, libraries
from .classes import (
    HEAP_TYPE,
    attribute,
    is_by_name,
    is_made_in_python,
    read_base,
    read_basicsize,
    read_dictoffset,
    read_flags,
    read_module,
    read_name,
    read_namespace,
    read_order,
    read_weakrefoffset,
)
from .held import or_held

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer


def make_plain(base, cls, *value):
    """An instance of a class, of which only the built-in base knows."""
    return base.__new__(cls, *value)


def fill(thing, state):
    """Fill an instance: its dictionary and its slots. What its built-in base holds comes after that."""
    _steps, attributes, slots = state
    if type(attributes) is tuple:
        object.__setattr__(thing, "__dict__", attributes[0])
    elif attributes:
        object.__getattribute__(thing, "__dict__").update(attributes)
    if slots:
        for name, value in slots.items():
            if type(name) is tuple:
                owner, name = name
                read_namespace(owner)[name].__set__(thing, value)
            else:
                object.__setattr__(thing, name, value)


def set_state(thing, state):
    """Give an instance its state as pickle does, after its class got its contents."""
    _steps, state = state
    setter = getattr(thing, "__setstate__", None)
    if setter is not None:
        setter(state)
        return
    slots = None
    if type(state) is tuple and len(state) == 2:
        state, slots = state
    if state:
        thing.__dict__.update(state)
    for name, value in (slots or {}).items():
        setattr(thing, name, value)


# -------------------------------------------------------------------------- taking apart, at home

_VALUES = {
    tuple: lambda thing: tuple.__getitem__(thing, slice(None)),
    int: int.__int__,
    float: float.__float__,
    complex: lambda thing: complex.__add__(thing, 0j),
    str: str.__str__,
    bytes: lambda thing: bytes.__getitem__(thing, slice(None)),
    frozenset: lambda thing: tuple(frozenset.__iter__(thing)),
}
_CONTENTS = {
    list: lambda thing: list.__getitem__(thing, slice(None)),
    dict: dict.copy,
    set: lambda thing: list(set.__iter__(thing)),
}
_OBJECT = read_namespace(object)
_REDUCES = (object.__reduce__, set.__reduce__, frozenset.__reduce__)
_WORD = 8
_SLOTS = 64  # more are asked for


def take_bare(pickler, thing):
    """An `object()`: often a mark that a module compares with."""
    pid = pickler.modules.search_bare(thing)
    if pid is not None:
        return attribute, (sys.modules[pid[1]], pid[2])
    return object, ()


def choose(pickler, cls):
    """The taker for the instances of a class."""
    module = read_module(cls)
    namespace = {}
    if not pickler.modules.owns(module):
        places = pickler.modules.held.places.get(cls)
        if places:
            return or_held(places, _taker(pickler, cls), cls)
        # What the module of a class holds of its instances is there at the peer, too.
        namespace = {
            id(value): key
            for key, value in vars(sys.modules[module]).copy().items()
            if type(value) is cls and type(key) is str
        }
    taker = _taker(pickler, cls)
    if namespace:
        return _or_global(sys.modules[module], namespace, taker)
    return taker


def _or_global(module, namespace, taker):
    def take(pickler, thing):
        name = namespace.get(id(thing))
        return (attribute, (module, name)) if name is not None else taker(pickler, thing)

    return take


def _taker(pickler, cls):
    if read_flags(cls) & HEAP_TYPE and pickler.modules.owns(read_module(cls)):
        taker = _container_taker(cls)
        if taker is not None:
            return taker
    base = _plain_base(pickler, cls)
    if base is None:
        return ask
    if base is object and _slot_count(cls) <= _SLOTS:
        return take_open
    if base in _VALUES:
        value = _VALUES[base]

        def take(pickler, thing):
            held = value(thing)
            if base is frozenset:
                keep_order(pickler, thing, held)
            made = make_plain, (base, cls, held)
            state = own_state(pickler, thing)
            return made if state is None else (*made, state, None, None, fill)

        return take
    contents = _CONTENTS.get(base)

    def take_filled(pickler, thing):
        state = own_state(pickler, thing)
        held = contents(thing) or None if contents is not None else None
        if base is set:
            keep_order(pickler, thing, held)
        made = make_plain, (base, cls)
        if state is None and held is None:
            return made
        return (*made, state, None, held, fill) if base is dict else (*made, state, held, None, fill)

    return take_filled


def keep_order(pickler, thing, members):
    """Have a set give its members in this order at the peer: it depends on all that was ever in it."""
    if members and len(members) > 1:
        pickler.deferred.append(("set", thing, members, _native.set_places(thing)))


def _container_taker(cls):
    """For the program's subclasses of containers in `collections`, whose constructors they change."""
    collections = sys.modules.get("collections")
    if collections is None:
        return None
    for base, facts, contents, filler in (
        (collections.defaultdict, _read_factory, dict.copy, dict.update),
        (collections.OrderedDict, None, _read_ordered, fill_ordered),
        (collections.deque, _read_bound, _read_deque, collections.deque.extend),
        (collections.Counter, None, dict.copy, dict.update),
    ):
        if issubclass(cls, base):
            if not reduces_like(cls, base):
                return None

            def take(pickler, thing, base=base, facts=facts, contents=contents, filler=filler):
                given = facts(thing) if facts is not None else None
                state = own_state(pickler, thing), given, contents(thing), filler
                return make_plain, (base, cls), state, None, None, fill_container

            return take
    return None


def reduces_like(cls, base):
    """Whether a class leaves it to its base, which has no `__reduce_ex__`, how it is taken apart."""
    names = ("__reduce__", "__reduce_ex__", "__getstate__", "__setstate__")
    return all(find(cls, name) is find(base, name) for name in names)


def _read_factory(thing):
    return (find(type(thing), "default_factory").__get__(thing),)


def _read_bound(thing):
    return (), find(type(thing), "maxlen").__get__(thing)


def _read_ordered(thing):
    from collections import OrderedDict

    return list(OrderedDict.items(thing))


def _read_deque(thing):
    from collections import deque

    return list(deque.__iter__(thing))


def fill_ordered(thing, items):
    """Put items into an ordered dictionary, in their order."""
    from collections import OrderedDict

    for key, value in items:
        OrderedDict.__setitem__(thing, key, value)


def fill_container(thing, state):
    """Fill a container of the program's own class by the methods of its base."""
    own, given, contents, filler = state
    if given is not None:
        from collections import defaultdict, deque

        base = defaultdict if isinstance(thing, defaultdict) else deque
        base.__init__(thing, *given)
    filler(thing, contents)
    if own is not None:
        fill(thing, own)


class _Open:
    """An instance whose dictionary nobody else has."""

    def __init__(self):
        self.one = 1


def _count_alone(thing):
    state = thing.__dict__
    return getrefcount(state)


# More references than these has the dictionary of an instance that somebody else has, too: it has to stay the
# same dictionary.
_ALONE = _count_alone(_Open())


def take_open(pickler, thing):
    """An instance that is no more than its attributes and slots, which is what the encoder knows by itself.

    It asks for the first one of each class, and where somebody else has the attributes, too.
    """
    cls = type(thing)
    is_usual = find(cls, "__new__") is _OBJECT["__new__"]
    made = (copyreg.__newobj__, (cls,)) if is_usual else (make_plain, (object, cls))
    state = own_state(pickler, thing)
    return made if state is None else (*made, state, None, None, fill)


def fields_of(cls):
    """Whether the instances of such a class have a dictionary; their slots, as (class that has it, name)."""
    slots = [
        (owner, name)
        for owner in read_order(cls)
        if read_flags(owner) & HEAP_TYPE
        for name, value in read_namespace(owner).items()
        if type(value) is MemberDescriptorType and value.__objclass__ is owner
    ]
    return read_dictoffset(cls) != 0, slots


def own_state(pickler, thing):
    """The state that the Python side of an object holds, or None; with a pickler, its class too."""
    steps = pickler.late_class(type(thing)) if pickler is not None else None
    try:
        attributes = object.__getattribute__(thing, "__dict__")
        if getrefcount(attributes) > _ALONE:
            attributes = (attributes,)
    except AttributeError:
        attributes = None
    slots = _own_slots(thing, read_order(type(thing)))
    if not attributes and not slots and not steps:
        return None
    return steps, attributes or None, slots or None


def _own_slots(thing, order):
    """What the slots of these classes hold: by name, or by class and name where a class hides it."""
    slots, hidden = {}, set()
    for cls in order:
        if read_flags(cls) & HEAP_TYPE and "__slots__" in read_namespace(cls):
            for name, member in read_namespace(cls).items():
                if type(member) is MemberDescriptorType:
                    try:
                        slots[(cls, name) if name in hidden else name] = member.__get__(thing)
                    except AttributeError:
                        continue
        hidden.update(read_namespace(cls))
    return slots


def _with_own_state(pickler, thing, found):
    """What a reducer of an installed class says, and what the program's class has beyond that.

    `datetime.datetime` and others forget about the attributes of who derives from them.
    """
    if len(found) > 2 and any(part is not None for part in found[2:]):
        return found
    cls = type(thing)
    order = []
    for owner in read_order(cls):
        if any(name in read_namespace(owner) for name in _REDUCERS):
            break
        order.append(owner)
    else:
        return found
    if not order or owner is object or not all(pickler.modules.owns(read_module(each)) for each in order):
        return found
    attributes = None
    if read_dictoffset(cls) and not read_dictoffset(owner):
        attributes = object.__getattribute__(thing, "__dict__") or None
    slots = _own_slots(thing, order) or None
    if attributes is None and slots is None:
        return found
    return (*found[:2], (pickler.late_class(cls), attributes, slots), None, None, fill)


_REDUCERS = ("__reduce__", "__reduce_ex__", "__getstate__", "__getnewargs__", "__getnewargs_ex__")


def find(cls, name):
    """What a class or one of its bases has under a name; neither it nor its metaclass is asked."""
    for owner in read_order(cls):
        namespace = read_namespace(owner)
        if name in namespace:
            return namespace[name]
    return None


def _slot_count(cls):
    return len(fields_of(cls)[1])


def open_base(cls):
    """The built-in base of a class whose instances are no more than that, attributes and slots; else None."""
    base = cls
    while read_flags(base) & HEAP_TYPE and base is not object:
        if not is_made_in_python(base):
            return None  # what its members show may not be all
        base = read_base(base)
    if base is object:
        # Whatever is larger than its Python side explains has state that only C knows.
        words = (read_dictoffset(cls) > 0) + (read_weakrefoffset(cls) > 0) + _slot_count(cls)
        if read_basicsize(cls) > read_basicsize(object) + words * _WORD:
            return None
    elif base not in _VALUES and base not in _CONTENTS:
        return None
    return base


def _plain_base(pickler, cls):
    """The built-in base of a class whose instances need not be asked, else None."""
    base = open_base(cls)
    if base is None:
        return None
    enum = sys.modules.get("enum")
    if enum is not None and issubclass(cls, enum.Enum) and not is_by_name(pickler, cls):
        return base
    if read_name(cls) == "WeakSet" and read_module(cls) == "_weakrefset":
        return base
    if find(cls, "__reduce_ex__") is not _OBJECT["__reduce_ex__"]:
        return None
    if find(cls, "__reduce__") not in _REDUCES:
        return None
    for name in ("__getstate__", "__getnewargs__", "__getnewargs_ex__", "__setstate__"):
        if find(cls, name) is not find(base, name) and not libraries.is_running(cls):
            return None
    return None if cls in copyreg.dispatch_table else base


def ask(pickler, thing):
    """Let an object take itself apart, as pickle does."""
    cls = type(thing)
    reduce = copyreg.dispatch_table.get(cls)
    try:
        found = reduce(thing) if reduce is not None else thing.__reduce_ex__(5)
    except Exception as problem:
        return pickler.could_not_ask(thing, problem)
    if type(found) is str:
        module = getattr(thing, "__module__", None)
        if pickler.modules.has(thing, module, found):
            return attribute, (sys.modules[module], *found.split("."))
        pid = pickler.modules.search(thing)
        if pid is not None:
            return attribute, (sys.modules[pid[1]], pid[2])
        try:
            found = _by_fields(thing)
        except Exception as problem:
            return pickler.could_not_ask(thing, problem)
        if type(found) is not tuple:
            return pickler.refuse(thing, "no module offers it by its name; leave it out")
    if type(found) is not tuple or not 2 <= len(found) <= 6 or not callable(found[0]):
        return pickler.refuse(thing, "its reducer returned %.40r; leave it out" % (found,))
    if len(found) == 3:
        steps = pickler.late_class(cls)
        if steps:
            return (*found[:2], (steps, found[2]), None, None, set_state)
    return _with_own_state(pickler, thing, found)


def _by_fields(thing):
    """An object that only gives its name, taken apart as if it had no reducer."""
    return copyreg.__newobj__, (type(thing),), object.__getattribute__(thing, "__dict__")
