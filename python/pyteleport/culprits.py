"""Objects that cannot travel: collected while the graph is written, named by their paths after.

This is the slow way, taken only by a capture that is refused.
"""

from __future__ import annotations

import sys

from . import imports
from .errors import UnmovableError

__builtins__ = imports.BUILTINS

_CLOSE = "close it before the move, or leave it out"
_HASHED = "the state of a hash is out of reach; keep the bytes and hash them after the move"
_REASONS = {
    "socket": "a connection stays with its process; " + _CLOSE,
    "SSLSocket": "a connection stays with its process; " + _CLOSE,
    "Connection": "a connection stays with its process; " + _CLOSE,
    "Channel": "a connection stays with its process; " + _CLOSE,
    "Cursor": "its connection stays with its process; " + _CLOSE,
    "Blob": "it is open in its database; " + _CLOSE,
    "Popen": "a child process stays with its parent; wait for its end before the move",
    "PyCapsule": "it holds an address of this process; leave it out",
    **dict.fromkeys(("HMAC", "blake2b", "blake2s"), _HASHED),
    "lazy_import": "what it stands for is not loaded yet; use it before the move",
    "ScandirIterator": "an open folder stays with its process; make a list of it before the move",
}


def type_name(thing):
    """The name of an object's type as an error shows it, without asking the object."""
    if issubclass(type(thing), type):
        return "class " + thing.__qualname__
    cls = type(thing)
    module, name = cls.__module__, cls.__qualname__
    return name if module in ("builtins", "__main__") else "%s.%s" % (module, name)


def reason_for(thing, text):
    """Why an object cannot travel and what to do, from what was raised when it was asked."""
    return _REASONS.get(type(thing).__name__, "%s; leave it out" % text)


def named(culprits, capture, modules, extra_roots):
    """id of each culprit → the shortest path to it from a variable, and why it is one."""
    wanted = {}
    for thing, reason in culprits:
        wanted.setdefault(id(thing), (thing, reason))
    paths = _find(wanted, _roots(capture, modules, extra_roots), modules)
    found = {}
    for key, (thing, reason) in wanted.items():
        path = paths.get(key, "an object out of sight")
        found[key] = "%s (%s)" % (path, type_name(thing)), reason
    return found


def unmovable(culprits, capture, modules, extra_roots):
    """The error for all culprits, each with the shortest path from a variable."""
    found = sorted(named(culprits, capture, modules, extra_roots).values())
    if len(found) == 1:
        message = "%s cannot move: %s" % found[0]
    else:
        lines = ["    %s: %s" % item for item in found]
        message = "%d objects cannot move:\n%s" % (len(found), "\n".join(lines))
    return UnmovableError(message, found)


def _roots(capture, modules, extra_roots):
    labels = capture.labels()
    namespaces = {id(vars(module)): name for name, module in modules.by_value.items()}
    roots = []
    for label, root in zip(labels, capture.objects):
        if id(root) not in namespaces:
            roots.append((label, root))
    for name, module in modules.by_value.items():
        for key, value in vars(module).copy().items():
            roots.append(("%s → %s" % (name, key), value))
    roots.extend(extra_roots)
    return roots


def _find(wanted, roots, modules):
    """Breadth first from the variables: id → path for each wanted object that is reached."""
    paths, came_from, level = {}, {}, []
    for label, root in roots:
        if id(root) not in came_from:
            came_from[id(root)] = None, label
            level.append(root)
    kept = [root for _label, root in roots]  # what is known by its id must live
    while level and len(paths) < len(wanted):
        below = []
        for thing in level:
            if id(thing) in wanted:
                paths.setdefault(id(thing), _path(id(thing), came_from))
                continue
            for step, child in children(thing, modules):
                if id(child) not in came_from:
                    came_from[id(child)] = id(thing), step
                    below.append(child)
        kept.extend(below)
        level = below
    return paths


# Of a path with more steps than this only both ends are shown.
_STEPS = 40


def _path(key, came_from):
    steps = []
    while key is not None:
        key, step = came_from[key]
        steps.append(step)
    steps.reverse()
    if len(steps) > _STEPS:
        left_out = len(steps) - _STEPS
        steps[_STEPS // 2 : -_STEPS // 2] = ["…(%d more)…" % left_out]
    return "".join(steps)


_ATOMS = (int, float, complex, str, bytes, bytearray, bool, type(None))


def children(thing, modules):
    """The parts of an object, each with the step that leads to it."""
    from gc import get_referents

    cls = type(thing)
    if cls in _ATOMS or id(thing) in modules.by_id:
        return []
    if cls is dict:
        return _items(thing)
    if cls in (list, tuple):
        return [("[%d]" % index, item) for index, item in enumerate(thing)]
    if cls in (set, frozenset):
        return [("{…}", item) for item in thing]
    if issubclass(type(thing), type) or cls.__name__ in ("function", "builtin_function_or_method"):
        name = getattr(thing, "__module__", None)
        if modules.has(thing, name, getattr(thing, "__qualname__", None)):
            return []
    if cls.__name__ == "function":
        return _function_parts(thing)
    if issubclass(type(thing), type):
        return [("." + str(key), value) for key, value in type.__dict__["__dict__"].__get__(thing).items()]
    parts = _frame_parts(thing)
    try:
        attributes = object.__getattribute__(thing, "__dict__")
    except Exception:
        attributes = None
    if type(attributes) is dict:
        parts.extend((".%s" % key, value) for key, value in attributes.copy().items())
    named = {id(child) for _step, child in parts}
    slots = _slots(thing)
    parts.extend(slots)
    named.update(id(child) for _step, child in slots)
    if issubclass(type(thing), dict):
        found = _items(dict.copy(thing))
    elif issubclass(type(thing), (list, tuple)):
        base = list if issubclass(type(thing), list) else tuple
        found = [("[%d]" % index, item) for index, item in enumerate(base.__iter__(thing))]
    else:
        found = []
    parts.extend(found)
    named.update(id(child) for _step, child in found)
    for child in _with_holes(thing) or get_referents(thing):
        if id(child) not in named and child is not cls and child is not attributes:
            parts.append((_inner_step(thing), child))
    return parts


def _with_holes(thing):
    """The parts of an iterator that has tuples in which items are missing: nobody may look into these."""
    itertools = sys.modules.get("itertools")
    if itertools is None or not issubclass(type(thing), (itertools.zip_longest, itertools.product)):
        return None
    from .iterators import fields_of

    found = []
    for value in fields_of(thing).values():
        found.extend(value if type(value) in (list, tuple) else (value,))
    return found


def _items(mapping):
    parts = []
    for key, value in mapping.items():
        parts.append(("[%s]" % _short(key), value))
        if type(key) not in _ATOMS:
            parts.append((" key", key))
    return parts


def _short(key):
    if type(key) in _ATOMS:
        text = repr(key)
        return text if len(text) <= 40 else text[:37] + "…"
    return "<%s>" % type_name(key)


def _function_parts(function):
    parts = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or ()):
        try:
            parts.append((" → %s" % name, cell.cell_contents))
        except ValueError:
            pass
        parts.append((" → %s" % name, cell))
    for index, value in enumerate(function.__defaults__ or ()):
        parts.append((" default %d" % index, value))
    for name, value in (function.__kwdefaults__ or {}).items():
        parts.append((" default %s" % name, value))
    for name, value in function.__dict__.items():
        parts.append((".%s" % name, value))
    parts.append((" globals", function.__globals__))
    return parts


def _slots(thing):
    parts = []
    for cls in type.__dict__["__mro__"].__get__(type(thing)):
        for name, member in type.__dict__["__dict__"].__get__(cls).items():
            if type(member).__name__ == "member_descriptor":
                try:
                    parts.append((".%s" % name, member.__get__(thing)))
                except Exception:
                    continue
    return parts


def _frame_parts(thing):
    """The variables of a generator or coroutine that stands somewhere."""
    for attribute in ("gi_frame", "cr_frame", "ag_frame"):
        frame = getattr(type(thing), attribute, None) and getattr(thing, attribute)
        if frame is not None:
            return [(" → %s" % name, value) for name, value in frame.f_locals.items()]
    return []


def _inner_step(thing):
    kind = type(thing).__name__
    return "" if kind in ("cell", "frame") else " in %s" % kind
