"""What the modules of installed libraries hold, and the program refers to, too.

The peer's library has its own of each: a mark that it compares with, the application that it keeps, its
registry. So that there is one of each at the peer as at home, what the program refers to is the library's own
there, with the state from home. Where the peer's library has nothing under the name, or a thing of another
class, since it makes it when somebody first asks or the program has bound it, one is made, and bound there.

A library that the program has registered something of its own with, a class or a function, is told of that
again: in a list, set or dictionary of a module or a class, or a generic function, which stay the peer's
otherwise.
"""

from __future__ import annotations

import sys
from types import CodeType, FunctionType

from . import _native, baselines, imports
from .classes import HEAP_TYPE, is_made_in_python, read_flags, read_namespace, read_order
from .modules import is_library, names_of, namespace_of

__builtins__ = imports.BUILTINS

# How the names of modules begin of a debugger and a kernel of Jupyter's, which are about this process.
_OF_PROCESS = ("debugpy", "pydevd", "_pydevd", "_pydev_", "ipykernel", "jupyter_client", "tornado", "zmq")


# ------------------------------------------------------------------------- building, at the peer


def find(module, name, cls, make, args):
    """What a global of a library names, if it is of this class; else one is made, and bound."""
    namespace = namespace_of(module)
    there = namespace.get(name)
    if type(there) is not cls:
        there = namespace[name] = make(*args)
    return there


def refill(thing, state):
    """Have an instance hold what it held at home, and nothing else."""
    from .instances import fill

    own, items = state
    attributes = _native.own_attributes(thing)
    if attributes:
        attributes.clear()
    for owner in read_order(type(thing)):
        if not read_flags(owner) & HEAP_TYPE:
            continue
        for member in read_namespace(owner).values():
            if type(member) is _MEMBER and member.__objclass__ is owner:
                try:
                    member.__delete__(thing)
                except AttributeError:  # it holds nothing
                    continue
    if own is not None:
        fill(thing, own)
    if items is not None:
        refill_container(thing, items)


def refill_container(thing, items):
    """The same of a list or a dictionary."""
    if isinstance(thing, dict):
        dict.clear(thing)
        dict.update(thing, items)
    else:
        list.__setitem__(thing, slice(None), items)


# The state has to be whole when it is looked into.
refill_container.consumes = True

_MEMBER = type(type("_", (), {"__slots__": "one"}).one)

# -------------------------------------------------------------------------- taking apart, at home

_CONTAINERS = {dict: dict.copy, list: list.copy}


class Held:
    """What the modules of libraries hold.

    Attributes:
        places: class → id of an instance of it → (module's name, name); lists and dictionaries, too.
        locals: (module's name, name) → `threading.local`.
        classes: (class, its module's name, the namespace of that) of those that a module has made.
    """

    def __init__(self, modules):
        from _thread import _local as local

        self.places, self.locals, classes = {}, {}, {}
        kinds = {dict: dict, list: list}
        for _module, module_name, namespace in modules.installed:
            if not is_library(namespace) or module_name.startswith(_OF_PROCESS):
                continue
            for name, value in namespace.copy().items():
                cls = type(value)
                if issubclass(cls, type):
                    if value.__module__ == module_name:
                        classes[id(value)] = value, module_name, namespace
                    continue
                kind = kinds.get(cls, 0)
                if kind == 0:
                    kind = kinds[cls] = _kind_of(modules, cls, local)
                if kind is None or type(name) is not str or name[:2] == "__":
                    continue
                if id(value) in modules.by_id:
                    continue
                if kind is local:
                    self.locals.setdefault((module_name, name), value)
                    continue
                known = self.places.setdefault(cls, {})
                # The module of its class knows it best; else whichever was there first.
                if id(value) not in known or getattr(cls, "__module__", None) == module_name:
                    known[id(value)] = module_name, name
        self.classes = list(classes.values())

    def containers(self):
        """The ids of lists and dictionaries."""
        for kind in _CONTAINERS:
            yield from self.places.get(kind, ())


def _kind_of(modules, cls, local):
    """`local` or a class itself, by which its instances are treated; None if they are no concern here."""
    if issubclass(cls, local):
        return local
    if not is_made_in_python(cls) or modules.owns(cls.__module__):
        return None
    return cls


def take_container(pickler, thing):
    """A list or dictionary that a library holds."""
    cls = type(thing)
    module, name = pickler.modules.held.places[cls][id(thing)]
    found = find, (sys.modules[module], name, cls, cls, ())
    return (*found, _CONTAINERS[cls](thing), None, None, refill_container)


def or_held(places, usual, cls):
    """The taker for instances of a class some of which libraries hold.

    Those are taken by their fields, whatever their class would say of them: they need not be made.
    """
    from .away import make as stays
    from .instances import attribute, make_plain, open_base, own_state

    base = open_base(cls)

    def take(pickler, thing):
        place = places.get(id(thing))
        if place is None:
            return usual(pickler, thing)
        module, name = sys.modules[place[0]], place[1]
        if base is object or base in _CONTAINERS:
            made = find, (module, name, cls, make_plain, (base, cls))
            state = own_state(pickler, thing)
            items = None if base is object else _CONTAINERS[base](thing)
            return made if state is items is None else (*made, (state, items), None, None, refill)
        found = usual(pickler, thing)
        return found if found is NotImplemented or found[0] is stays else (attribute, (module, name))

    return take


# ------------------------------------------------------------ what the program has registered

# Numbers from here on may be addresses: the key of an object there is another one.
_ADDRESSES = 1 << 20

# Packages that what the program has in them is known of, or whose containers are of this process.
_KNOWN_OTHERWISE = frozenset(
    (
        *("_frozen_importlib", "_frozen_importlib_external", "_weakrefset", "abc", "asyncio", "atexit"),
        *("bdb", "builtins", "codecs", "concurrent", "copyreg", "functools", "gc", "importlib"),
        *("linecache", "logging", "multiprocessing", "os", "pdb", "posix", "re", "signal", "site"),
        *("sqlite3", "sys", "threading", "typing", "warnings", "weakref"),
        *("IPython", "traitlets", "trio"),
    )
)


def _spoken_of(found):
    """(module, its name, its namespace) of libraries, and of the standard one if the program speaks of it.

    Nothing registers with the others.
    """
    return [
        (module, name, namespace)
        for module, name, namespace in found.installed
        if name.rpartition(".")[2] in found.words or is_library(namespace)
    ]


def _is_looked_into(module_name):
    return module_name.partition(".")[0] not in _KNOWN_OTHERWISE and not module_name.startswith(_OF_PROCESS)


def take_entries(found):
    """(module or class, name, the whole container or None, its type, its entries of the program's own).

    None if there are none. A container that the library's code does not make, and that only came to be, goes
    along whole.
    """
    places = [each for each in _spoken_of(found) if _is_looked_into(each[1])]
    homes = {}
    for cls, module_name, namespace in found.held.classes:
        if _is_looked_into(module_name):
            homes[id(cls)] = namespace
            places.append((cls, module_name, dict(read_namespace(cls))))
    entries = []
    for owner, module_name, attribute, own in _native.own_entries(places, found.by_value):
        namespace = homes.get(id(owner))
        if type(attribute) is not str or attribute[:2] == "__":
            continue
        whole = names_of(owner)[attribute]
        if id(whole) in found.by_id:
            continue
        if type(whole) is dict:
            own = [pair for pair in own if type(pair[0]) is not int or pair[0] < _ADDRESSES]
        made = _is_made(owner, module_name, attribute, namespace)
        entries.append((owner, attribute, None if made else whole, type(whole), own))
    return entries or None


def give_back_entries(taken):
    """Register again."""
    for owner, attribute, whole, kind, own in taken:
        there = names_of(owner).get(attribute)
        if type(there) is not kind:
            if whole is not None:
                setattr(owner, attribute, whole)
            continue
        if kind is dict or kind is set:
            there.update(own)
        else:
            there.extend(item for item in own if not any(item is each for each in there))


def keys_of(taken):
    """(module or class, name, keys) of the dictionaries in which something was told of."""
    return [
        (owner, attribute, [key for key, _value in own])
        for owner, attribute, _whole, kind, own in taken
        if kind is dict
    ]


def with_others(taken, known):
    """The same, with what is under keys now that were told of earlier: it may be the library's own again."""
    found = {(id(owner), attribute): entry for entry in taken for owner, attribute in [entry[:2]]}
    for owner, attribute, keys in known:
        there = names_of(owner).get(attribute)
        if type(there) is not dict:
            continue
        entry = found.setdefault((id(owner), attribute), (owner, attribute, None, dict, []))
        told = [key for key, _value in entry[-1]]
        entry[-1].extend((key, there[key]) for key in keys if key in there and key not in told)
    return [entry for entry in found.values() if entry[-1] or entry[2] is not None]


def remove_entries(taken, _back):
    """Register what was told of no longer: what has come back tells anew."""
    for owner, attribute, _whole, kind, own in taken:
        there = names_of(owner).get(attribute)
        if type(there) is not kind:
            continue
        if kind is dict:
            for key, value in own:
                if there.get(key) is value:
                    del there[key]
        elif kind is set:
            there.difference_update(own)
        else:
            there[:] = [item for item in there if not any(item is one for one in own)]


def _is_made(owner, module_name, attribute, namespace):
    """Whether the code of a library binds a name in a module or class: so the peer's has something there."""
    if namespace is None:
        baseline = baselines.baseline_of(module_name, namespace_of(owner))
        return baseline is None or attribute in baseline.names
    baseline = baselines.baseline_of(module_name, namespace)
    body = baseline and baseline.body(owner.__name__)
    return body is None or attribute in body[1]


# -------------------------------------------------------------------------- generic functions


def take_generics(found):
    """(module or class, name, (class, function) pairs) where the program has told a generic function of more.

    None if it has not. Those of modules that the program speaks of, and of libraries.
    """
    functools = sys.modules.get("functools")
    if functools is None:
        return None
    # All of these functions have the one code in that which makes them.
    parts = functools.singledispatch.__code__.co_consts
    dispatch = [part for part in parts if type(part) is CodeType and part.co_name == "wrapper"]
    taken = [
        (module, name, value)
        for module, _module_name, namespace in _spoken_of(found)
        for name, value in namespace.copy().items()
        if type(value) is FunctionType and value.__code__ in dispatch
    ]
    taken.extend(
        (cls, name, method.dispatcher)
        for cls, _module_name, _namespace in found.held.classes
        for name, method in read_namespace(cls).items()
        if type(method) is functools.singledispatchmethod
    )
    own = [
        (owner, name, [pair for pair in function.registry.items() if any(map(found.is_own, pair))])
        for owner, name, function in taken
    ]
    return [each for each in own if each[2]] or None


def give_back_generics(taken):
    """Register again."""
    for owner, name, pairs in taken:
        function = names_of(owner)[name]
        if isinstance(owner, type):
            function = function.dispatcher
        for cls, implementation in pairs:
            function.register(cls, implementation)
