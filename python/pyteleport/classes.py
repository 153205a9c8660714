"""Classes of the program.

A class of the program is built without running any of its code: first a skeleton with its name,
bases and slots, then its functions, then the rest of its namespace, in its order. No metaclass,
`__init_subclass__` or `__set_name__` is called.
"""

from __future__ import annotations

import gc
import sys
from types import (
    FunctionType,
    GetSetDescriptorType,
    MemberDescriptorType,
    MethodDescriptorType,
    WrapperDescriptorType,
)

from . import imports

__builtins__ = imports.BUILTINS

HEAP_TYPE = 1 << 9
_MADE_WITH_CLASS = (GetSetDescriptorType, MemberDescriptorType)
_SHARED = ("__dict__", "__weakref__")  # one descriptor for all classes, `object`'s, from 3.15 on
_SINGLETONS = (None, Ellipsis, NotImplemented)
_SINGLETON_TYPES = tuple(type(each) for each in _SINGLETONS)

read_namespace = type.__dict__["__dict__"].__get__
read_bases = type.__dict__["__bases__"].__get__
read_name = type.__dict__["__name__"].__get__
read_qualname = type.__dict__["__qualname__"].__get__
_read_order = type.__dict__["__mro__"].__get__
read_module = type.__dict__["__module__"].__get__
read_flags = type.__dict__["__flags__"].__get__
read_base = type.__dict__["__base__"].__get__
read_basicsize = type.__dict__["__basicsize__"].__get__
read_dictoffset = type.__dict__["__dictoffset__"].__get__
read_weakrefoffset = type.__dict__["__weakrefoffset__"].__get__


def read_order(cls):
    """The order in which a class and its bases are asked; up to 3.8 some types in C have none before that."""
    return _read_order(cls) or type.__getattribute__(cls, "__mro__")


class Gone:
    """Made to be dropped at once: what a dead weak reference refers to."""

    __slots__ = ("__weakref__",)


class Step:
    """Something to do while the graph is read, at the place where it stands in the stream."""

    __slots__ = ("args", "function")

    def __init__(self, function, *args):
        self.function = function
        self.args = args


class OwnNamespace:
    """Stands for the dictionary of a class, which functions have in a cell from 3.13 on."""

    __slots__ = ("owner",)

    def __init__(self, owner):
        self.owner = owner


def unless_own_namespace(pickler, content):
    """What a cell holds, or what stands for it if it is the very dictionary of a class."""
    if type(content) is not dict or "__module__" not in content or "__qualname__" in content:
        return content
    owner = pickler.own_namespaces.get(id(content)) or _owner_of(content)
    return content if owner is None else OwnNamespace(owner)


def _owner_of(content):
    """The class that has a dictionary as its own."""
    for owner in gc.get_referrers(content):
        if isinstance(owner, type) and own_namespace(owner) is content:
            return owner
    return None


def take_own_namespace(_pickler, namespace):
    """The dictionary of a class."""
    return own_namespace, (namespace.owner,)


def own_namespace(cls):
    """The dictionary of a class itself, which `__dict__` shows through a proxy."""
    return gc.get_referents(read_namespace(cls))[0]


def take_step(_pickler, step):
    """A step is done when it is read."""
    return step.function, step.args


# ------------------------------------------------------------------------- building, at the peer


def known_at_home(module, path):
    """While a program comes back: what it had put something else in the place of when it left; else None."""
    trips = sys.modules.get(__package__ + ".trips")
    return None if trips is None or trips.returning is None else trips.returning.original(module, path)


def attribute(found, *path):
    """What a path of attributes leads to."""
    known = known_at_home(found, path)
    if known is not None:
        return known
    for name in path:
        found = getattr(found, name)
    return found


def nothing(*_ignored):
    """Set the state of a class: its steps have done it."""


def make_class(meta, name, bases, namespace, order=None):
    """The skeleton of a class.

    `order` is what comes behind it in its order, if its metaclass has a say in that.
    """
    quiet = classmethod(nothing)
    shadowed = []
    for base in {owner: None for one in bases for owner in read_order(one)}:
        _shadow(shadowed, base, "__init_subclass__", quiet)
    usual = type.mro if order is None else lambda cls: (cls, *order)
    for base in read_order(meta):
        _shadow(shadowed, base, "mro", usual)
    try:
        made = type.__new__(meta, name, bases, namespace)
    finally:
        for base, key, kept in shadowed:
            type.__setattr__(base, key, kept)
    abc = sys.modules.get("abc")
    if abc is not None and issubclass(meta, abc.ABCMeta):
        import _abc

        _abc._abc_init(made)
    return made


def _shadow(shadowed, cls, key, value):
    """Have a class made in Python show this for now in place of what it has."""
    if read_flags(cls) & HEAP_TYPE and key in read_namespace(cls):
        try:
            kept = read_namespace(cls)[key]
            type.__setattr__(cls, key, value)
            shadowed.append((cls, key, kept))
        except TypeError:  # a type in C that may not be changed
            pass


def make_class_by_call(meta, name, bases, namespace):
    """The skeleton of a class that only its metaclass, in C, can make."""
    return meta(name, bases, namespace)


def fill_class_by_setting(cls, items, _order=None):
    """Fill the namespace of such a class; what its metaclass adds is there already."""
    for key, value in items.items():
        setattr(cls, key, value)


# What the instances of a class see under these names, while the class itself has something else there.
_HIDDEN = frozenset(
    ("__class__", "__name__", "__bases__", "__base__", "__mro__", "__dict__", "__basicsize__"),
)


def fill_class(cls, items, order=None):
    """Fill the namespace of a class; with an order, put it into that."""
    hidden = False
    namespace = own_namespace(cls)
    for key, value in items.items():
        if key in _HIDDEN:
            namespace[key] = value
            hidden = True
        else:
            type.__setattr__(cls, key, value)
    if order is not None and (hidden or list(namespace) != order):
        found = {key: namespace[key] for key in order if key in namespace}
        found.update((key, namespace[key]) for key in namespace if key in ("_abc_impl",))
        namespace.clear()
        namespace.update(found)
        # tell the interpreter, whose caches know the class by its version; from 3.13 on a class that is
        # told its module forgets its line
        told = "__doc__" if "__doc__" in found else "__module__"
        type.__setattr__(cls, told, found[told])


def register_all(cls, others):
    """Register classes with an abstract one."""
    import _abc

    for other in others:
        _abc._abc_register(cls, other)


# -------------------------------------------------------------------------- taking apart, at home


def take_class(pickler, cls):
    """A class by name if it is installed, else by value."""
    if is_by_name(pickler, cls):
        return by_name(pickler, cls)
    if not is_made_in_python(cls):
        return _hidden_class(pickler, cls)
    promised = pickler.keep_promise(cls)
    steps = () if promised else tuple(class_steps(pickler, cls))
    slots = _slot_names(cls)
    namespace = {"__module__": read_namespace(cls).get("__module__")}
    namespace["__qualname__"] = read_qualname(cls)
    if slots is not None:
        namespace["__slots__"] = slots
    make = make_class if _is_plain_meta(type(cls)) else make_class_by_call
    arguments = type(cls), read_name(cls), read_bases(cls), namespace
    if make is make_class and _has_own_order(type(cls)):
        arguments = (*arguments, read_order(cls)[1:])
    made = make, arguments
    return (*made, steps, None, None, nothing) if steps else made


def _has_own_order(meta):
    """Whether a metaclass says in which order the bases of its classes are asked."""
    return any("mro" in read_namespace(base) for base in read_order(meta) if base is not type)


def class_steps(pickler, cls):
    """The steps that fill a class, and first its metaclass and its bases where that is not done."""
    waiting = []
    _collect(pickler, cls, waiting)
    steps = []
    for one in waiting:
        if one is not cls:
            pickler.promise(one)
        steps.extend(_own_steps(pickler, one))
    return steps


def _defer_registrations(pickler):
    """Have the program's classes registered again with abstract classes that are installed."""
    import _abc

    for name in ("_collections_abc", "numbers", "os", "contextlib"):
        for value in vars(sys.modules.get(name, sys)).copy().values():
            if isinstance(value, type) and "_abc_impl" in read_namespace(value):
                found = [ref() for ref in _abc._get_dump(value)[0]]
                found = [cls for cls in found if cls is not None]
                own = [cls for cls in found if read_module(cls) in pickler.modules.by_value]
                if own:
                    pickler.deferred.append(("registry", value, own))


def _collect(pickler, cls, waiting):
    if id(cls) in pickler.begun or is_by_name(pickler, cls) or not is_made_in_python(cls):
        return
    pickler.begun[id(cls)] = cls
    from .libraries import mapped  # which needs this module

    trouble = mapped(read_namespace(cls))
    if trouble is not None:
        pickler.refuse_for_good(cls, trouble)
        return
    pickler.own_namespaces[id(own_namespace(cls))] = cls
    if not pickler.any_class:
        pickler.any_class = True
        _defer_registrations(pickler)
    _collect(pickler, type(cls), waiting)
    for base in read_bases(cls):
        _collect(pickler, base, waiting)
    waiting.append(cls)


def _own_steps(pickler, cls):
    functions, rest, order = {}, {}, []
    plain = _is_plain_meta(type(cls))
    fill = fill_class if plain else fill_class_by_setting
    for key, value in read_namespace(cls).items():
        order.append(key)
        if key == "_abc_impl":
            order.pop()
            _defer_registry(pickler, cls)
        elif _is_made_with(cls, key, value):
            continue
        elif type(value).__name__ == "CField" and not plain:
            continue  # what `_fields_` of a ctypes structure made
        elif type(value) in (FunctionType, classmethod, staticmethod, property):
            functions[key] = value
        elif key != "__module__" or "__module__" not in rest:
            rest[key] = value
    if functions:
        yield Step(fill, cls, functions)
    # What is made of the class itself may look for its attributes: all that can be there comes before.
    for kinds in (_ATOMS, _CONTAINERS):
        early = {key: value for key, value in rest.items() if type(value) in kinds}
        if early and len(early) < len(rest):
            yield Step(fill, cls, early)
            rest = {key: value for key, value in rest.items() if key not in early}
    while len(rest) > 1:
        key = next(iter(rest))
        yield Step(fill, cls, {key: rest.pop(key)})
    yield Step(fill, cls, rest, order)


_ATOMS = frozenset((str, bytes, int, float, complex, bool, type(None)))
_CONTAINERS = frozenset((list, tuple, dict, set, frozenset, type))


def _defer_registry(pickler, cls):
    import _abc

    found = [ref() for ref in _abc._get_dump(cls)[0]]
    found = [other for other in found if other is not None]
    if found:
        pickler.deferred.append(("registry", cls, found))


def is_by_name(pickler, cls):
    """Whether a class is found by its name at the peer."""
    if cls in _SINGLETON_TYPES or id(cls) in pickler.modules.by_id:
        return True
    return pickler.modules.has(cls, read_module(cls), read_qualname(cls))


def by_name(pickler, thing):
    """What a reducer says of a class or function that is found by its name."""
    if thing in _SINGLETON_TYPES:
        return type, (_SINGLETONS[_SINGLETON_TYPES.index(thing)],)
    if isinstance(thing, type):
        module, qualname = read_module(thing), read_qualname(thing)
    else:
        module, qualname = thing.__module__, thing.__qualname__
    if pickler.modules.had(thing, module, qualname):
        return attribute, (sys.modules[module], *qualname.split("."))
    return NotImplemented


def is_made_in_python(cls):
    """Whether a class statement, or a call of a metaclass, made the class."""
    if not read_flags(cls) & HEAP_TYPE or type(read_namespace(cls).get("__module__")) is not str:
        return False
    for value in read_namespace(cls).values():
        if type(value) in (MethodDescriptorType, WrapperDescriptorType) and value.__objclass__ is cls:
            return False
    return True


def _is_plain_meta(meta):
    """Whether `type.__new__` may make the instances of a metaclass."""
    return all(base is object or base is type or is_made_in_python(base) for base in read_order(meta))


def _hidden_class(pickler, cls):
    """A type in C that its module does not offer under its name."""
    module = read_module(cls)
    if type(module) is not str:
        return pickler.refuse(cls, "a type that no module offers by name; leave it out")
    likely = ("types", "_collections_abc", module, "_" + module)
    pid = pickler.modules.search(cls, likely) or pickler.modules.search(cls)
    if pid is None and issubclass(cls, type):
        # A metaclass: reached through a class that has it.
        for name, value in vars(sys.modules.get(module, sys)).copy().items():
            if type(value) is cls:
                return attribute, (sys.modules[module], name, "__class__")
    if pid is None:
        from . import builders

        key = module, read_name(cls)
        if key in builders.SPECIMENS and builders.type_of_specimen(*key) is cls:
            return builders.type_of_specimen, key
        return pickler.refuse(cls, "a type that no module offers by name; leave it out")
    return attribute, (sys.modules[pid[1]], pid[2])


def _slot_names(cls):
    namespace = read_namespace(cls)
    if "__slots__" not in namespace:
        return None
    return tuple(key for key, value in namespace.items() if _is_made_with(cls, key, value))


def _is_made_with(cls, key, value):
    """Whether CPython puts an attribute into the namespace of every class of this kind."""
    if type(value) not in _MADE_WITH_CLASS:
        return False
    return value.__objclass__ is cls or (key in _SHARED and value.__objclass__ is object)
