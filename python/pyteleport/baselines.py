"""What an installed module binds by itself, so that what the program has put there can be told from it.

A module does not say what it was like when it was fresh, and another fresh one would be one too many. But its
code does, as far as it binds names to constants, and says which names its functions bind anew: these are the
library's own affair. Nothing is run for it. Modules without code that was kept (`__pycache__`) say nothing.
"""

from __future__ import annotations

import opcode
import sys
from opcode import opmap, opname
from types import CodeType

from . import imports

__builtins__ = imports.BUILTINS

_STORE_NAME = opmap["STORE_NAME"]
_STORE_GLOBAL = opmap["STORE_GLOBAL"]
_STORE_ATTR = opmap["STORE_ATTR"]
_DELETE_NAME = opmap["DELETE_NAME"]
_EXTENDED = opmap["EXTENDED_ARG"]
_LOAD_CONST = opmap["LOAD_CONST"]
_LOAD_SMALL_INT = opmap.get("LOAD_SMALL_INT")
_LOAD_COMMON = opmap.get("LOAD_COMMON_CONSTANT")
# What that loads by its argument, from 3.15 on also None, True and the like.
_COMMON = getattr(opcode, "_common_constants", ())
_HEADER = 16

# By these a module binds names that its instructions don't show.
_DYNAMIC = frozenset(("globals", "vars", "exec", "setattr", "__dict__", "_convert_", "modules", "locals"))


class Baseline:
    """What code binds.

    Attributes:
        constants: name → the constants that it is bound to, for names that nothing else is bound to.
        names: all names that are bound.
        rebound: names that functions bind.
        set_later: names of attributes that functions set, of whatever but `self`.
        is_complete: whether no other names are bound.
        classes: name → Baseline, of the bodies of classes at the top level.
    """

    def __init__(self, code):
        self.code = code
        self.constants, self.names = _bound(code)
        self.classes = None

    def __getattr__(self, name):
        """Look into all functions once somebody asks for what they do: rarely."""
        if name not in ("rebound", "set_later", "is_complete"):
            raise AttributeError(name)
        self.rebound, self.set_later, self.is_complete = set(), set(), True
        waiting = [self.code]
        while waiting:
            inner = waiting.pop()
            operations = inner.co_code[::2]
            for at in _places(operations, _STORE_GLOBAL):
                self.rebound.add(inner.co_names[_argument(inner, at)])
            for at in _places(operations, _STORE_ATTR):
                if not _is_of_self(inner, operations, at - 1):
                    self.set_later.add(inner.co_names[_argument(inner, at)])
            if not _DYNAMIC.isdisjoint(inner.co_names):
                self.is_complete = False
            for constant in inner.co_consts:
                if type(constant) is CodeType:
                    waiting.append(constant)
                elif constant == ("*",):
                    self.is_complete = False
        return getattr(self, name)

    def body(self, name):
        """What the body of a class binds: (constants, names); None if there is not one of that name."""
        if self.classes is None:
            self.classes = {}
            for inner in self.code.co_consts:
                if type(inner) is CodeType:
                    one = inner.co_name not in self.classes
                    self.classes[inner.co_name] = inner if one else None
        code = self.classes.get(name)
        if type(code) is CodeType:
            code = self.classes[name] = _bound(code) if "__qualname__" in code.co_names else None
        return code


def _places(operations, operation):
    """Where an operation stands."""
    at = operations.find(operation)
    while at >= 0:
        yield at
        at = operations.find(operation, at + 1)


def _is_of_self(code, operations, at):
    """Whether what is loaded last up to a place is the local variable `self`."""
    while at > 0 and operations[at] == _EXTENDED:
        at -= 1
    name = opname[operations[at]] if at >= 0 else ""
    if not name.startswith("LOAD_FAST"):
        return False
    argument = _argument(code, at)
    variable = argument & 15 if name.count("LOAD_FAST") == 2 else argument
    return code.co_varnames[variable : variable + 1] == ("self",)


def _argument(code, at):
    """The argument of the instruction at a place."""
    words = code.co_code
    argument, shift = words[2 * at + 1], 8
    while at > 0 and words[2 * at - 2] == _EXTENDED:
        at -= 1
        argument |= words[2 * at + 1] << shift
        shift += 8
    # The lowest bits tell other things in LOAD_GLOBAL and LOAD_ATTR, not in what stores.
    return argument


def _bound(code):
    """(name → constants, names): what the instructions of a module or class body bind."""
    operations = code.co_code[::2]
    constants, names, others = {}, set(), set()
    for operation in (_STORE_NAME, _STORE_GLOBAL):
        for at in _places(operations, operation):
            name = code.co_names[_argument(code, at)]
            names.add(name)
            before = at - 1
            while before > 0 and operations[before] == _EXTENDED:
                before -= 1
            if before >= 0 and operations[before] == _LOAD_CONST:
                constants.setdefault(name, []).append(code.co_consts[_argument(code, before)])
            elif before >= 0 and operations[before] == _LOAD_SMALL_INT:
                constants.setdefault(name, []).append(_argument(code, before))
            elif before >= 0 and operations[before] == _LOAD_COMMON:
                constants.setdefault(name, []).append(_COMMON[_argument(code, before)])
            else:
                others.add(name)
    for at in _places(operations, _DELETE_NAME):
        others.add(code.co_names[_argument(code, at)])
    for name in others:
        constants.pop(name, None)
    return constants, names


_known = {}


def baseline_of(name, namespace):
    """The baseline of a module, or None if its code is not at hand."""
    path = namespace.get("__file__")
    known = _known.get(name)
    if known is None or known[0] != path:
        code = _code_of(name, namespace)
        known = _known[name] = path, Baseline(code) if code is not None else None
    return known[1]


def _code_of(name, namespace):
    spec = namespace.get("__spec__")
    if spec is None:
        return None
    if spec.origin == "frozen":
        from _imp import get_frozen_object

        try:
            return get_frozen_object(name)
        except ImportError:
            return None
    cached = spec.cached
    if type(cached) is not str or type(spec.origin) is not str or not spec.origin.endswith(".py"):
        return None
    from marshal import loads

    try:
        with open(cached, "rb", 0) as file:
            return loads(file.read()[_HEADER:])
    except (OSError, EOFError, ValueError, TypeError):
        return None


# ----------------------------------------------------------------------------------- plain values

_SCALARS = frozenset((type(None), bool, int, float, complex, str, bytes))
_CONTAINERS = frozenset((tuple, list, set, frozenset, dict))
_MANY = 10_000
PLAIN = _SCALARS | _CONTAINERS


def is_plain(value):
    """Whether a value is a number or text, or a container of such, that is no other's."""
    if type(value) in _SCALARS:
        return True
    waiting, seen = [value], set()
    while waiting:
        one = waiting.pop()
        if type(one) in _SCALARS or id(one) in seen:
            continue
        if type(one) not in _CONTAINERS or len(seen) > _MANY:
            return False
        seen.add(id(one))
        if type(one) is dict:
            waiting.extend(one)
            waiting.extend(one.values())
        else:
            waiting.extend(one)
    return True


def is_one_of(value, constants):
    """Whether a value is equal to a constant, of the same type and sign."""
    return any(
        value is constant or (type(value) is type(constant) and repr(value) == repr(constant))
        for constant in constants
    )


def changed_values(baseline, namespace, names, assigns):
    """(attribute, value, if missing) of what the program has bound in a module to plain values.

    Looked at are these names; `assigns` tells whether the program's sources assign to one, as an
    attribute. Where the module's code does not tell all that it binds, or is in C, the peer's own
    module has to tell whether a name is the program's, which is the case if it is missing.
    """
    for attribute in names:
        if attribute[:2] == "__":
            continue
        value = namespace.get(attribute)
        if baseline is None:
            if is_plain(value):
                yield attribute, value, True
            continue
        constants = baseline.constants.get(attribute)
        if constants is not None:
            changed = type(value) in _SCALARS and not is_one_of(value, constants)
        else:
            changed = attribute not in baseline.names and is_plain(value)
        if not changed:
            continue
        if attribute not in baseline.rebound or assigns(attribute) or is_simple(baseline, namespace):
            yield attribute, value, constants is None and not baseline.is_complete


def is_simple(baseline, namespace):
    """Whether the names that a module's functions bind are all of its state: numbers and texts.

    If it has more, what it knows of itself would no longer be in keeping with the rest.
    """
    if not all(name in baseline.constants for name in baseline.rebound):
        return False
    return all(
        type(value) in _SCALARS or type(value) in _NO_STATE or name[:2] == "__"
        for name, value in namespace.copy().items()
    )


_NO_STATE = frozenset((type(is_simple), type(len), type(sys), type, tuple))


def makes_no_names(metaclass):
    """Whether a metaclass leaves a class with the names of its body."""
    return metaclass is type or (metaclass.__name__, metaclass.__module__) == ("ABCMeta", "abc")


def changed_in_class(baseline, cls, namespace, names):
    """(attribute, value) of what the program has bound in a class to numbers or texts."""
    body = baseline.body(cls.__name__)
    if body is None:
        return
    constants, bound = body
    for attribute in names:
        value = namespace[attribute]
        if type(value) not in _SCALARS or attribute[:2] == "__":
            continue
        known = constants.get(attribute)
        if known is not None:
            changed = not is_one_of(value, known)
        else:
            changed = attribute not in bound and makes_no_names(type(cls))
        if changed and attribute not in baseline.set_later:
            yield attribute, value


# ------------------------------------------------------------------------------------------ words

_WORD = bytes(byte if chr(byte).isalnum() or byte == 95 or byte > 127 else 32 for byte in range(256))


def words_of(texts, codes):
    """All names and other words in sources, and the names in code objects."""
    words = set()
    for text in texts:
        words.update(text.translate(_WORD).split())
    words = {word.decode("utf-8", "replace") for word in words}
    for code in codes:
        words.update(code.co_names)
    return words
