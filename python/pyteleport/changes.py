"""What the program has changed in modules that are installed, and that the peer has its own of.

Found are the program's own functions, classes, modules and instances where an attribute of such a
module names them: `re.compile = traced`; the same in a class of such a module; and whatever the
program has put into `builtins`, and its finders for imports.

Numbers and texts that it has bound there, in a module or class, are told from those that were there by
the code of the module (`baselines`), if the program's sources mention the name. What a library binds
itself as it goes is its own affair, and is left to the peer's, unless it is all the state that it has.
"""

from __future__ import annotations

import builtins
import sys

from . import _native, baselines, imports, modules, prompts
from .classes import HEAP_TYPE, read_namespace

__builtins__ = imports.BUILTINS

# These travel as the hooks and streams that they are.
_SYS = frozenset(
    ("excepthook", "displayhook", "unraisablehook", "breakpointhook", "stdin", "stdout", "stderr", "modules")
)
_CONSTANTS = frozenset(("None", "True", "False", "Ellipsis", "NotImplemented"))
_LISTS = ("meta_path", "path_hooks")


def take_patches(found):
    """(module or class, name, (value,), whether only if it is missing) of attributes; None if there are none.

    Without a value the attribute is gone.
    """
    patches = [
        (module, attribute, (value,), False)
        for module, name, attribute, value in found.patches
        if not (name == "sys" and attribute in _SYS)
    ]
    patches.extend((*each, False) for each in _builtins(patches))
    for module, name, namespace in found.installed:
        if module is not builtins:
            patches.extend(_in_module(found, module, name, namespace))
    return patches or None


def _builtins(patches):
    """What else there is in `builtins` that a fresh one lacks."""
    known = {name for module, name, _value, _if_missing in patches if module is builtins}
    for name, value in vars(builtins).copy().items():
        if name in _CONSTANTS or name in known or name.startswith("__"):
            continue
        owner = getattr(value, "__self__", None), getattr(value, "__module__", None)
        usual = owner[0] is builtins or owner[1] in ("builtins", "io", "_io", "_sitebuiltins")
        # Below a base are a shell and a debugger, which have put their own there.
        if not usual and not (prompts.is_based() and modules.is_of_installed(value)):
            yield builtins, name, (value,)


def _in_module(found, module, name, namespace):
    """What the program has bound or deleted in a module, and in the classes that it has made."""
    words = found.words
    mentioned = name.rpartition(".")[2] in words
    names = words & namespace.keys()
    plain = [each for each in names if type(namespace[each]) in baselines.PLAIN]
    baseline = baselines.baseline_of(name, namespace) if plain or mentioned else None
    for attribute, value, if_missing in baselines.changed_values(baseline, namespace, plain, found.assigns):
        yield module, attribute, (value,), if_missing
    if mentioned and baseline is not None:
        for attribute in words & baseline.names:
            if attribute not in namespace:
                yield module, attribute, (), False
    for each in names:
        cls = namespace.get(each)
        if isinstance(cls, type) and cls.__module__ == name and cls.__flags__ & HEAP_TYPE:
            yield from _in_class(found, cls, name, namespace)


def _in_class(found, cls, name, module_namespace):
    namespace = dict(read_namespace(cls))
    names = [each for each in namespace if type(each) is str and each in found.words]
    behind = {each: _behind(namespace[each]) for each in names}
    own = {each for _cls, _name, each, _value in _native.own_values([(cls, name, behind)], found.by_value)}
    for attribute in own:
        found.patched_attributes.add((name, "%s.%s" % (cls.__qualname__, attribute)))
        yield cls, attribute, (namespace[attribute],), False
    baseline = baselines.baseline_of(name, module_namespace)
    if baseline is None:
        return
    for attribute, value in baselines.changed_in_class(baseline, cls, namespace, names):
        yield cls, attribute, (value,), False
    body = baseline.body(cls.__name__)
    if body is not None and baselines.makes_no_names(type(cls)):
        for attribute in found.words & body[1]:
            if attribute not in namespace and attribute[:2] != "__":
                yield cls, attribute, (), False


def _behind(value):
    """The function behind a method, of whatever kind."""
    if isinstance(value, (classmethod, staticmethod)):
        return value.__func__
    if isinstance(value, property):
        return value.fget or value.fset or value.fdel
    return value


def give_back_patches(taken):
    """Set and delete the attributes."""
    for owner, name, value, if_missing in taken:
        if isinstance(owner, type):
            namespace = read_namespace(owner)
            if value:
                type.__setattr__(owner, name, value[0])
            elif name in namespace:
                type.__delattr__(owner, name)
            continue
        namespace = modules.namespace_of(owner)
        if not value:
            namespace.pop(name, None)
        elif not if_missing or name not in namespace:
            namespace[name] = value[0]


def value_of(owner, name):
    """(value,) of an attribute of a module or class itself; without a value if it has none."""
    namespace = modules.names_of(owner)
    return (namespace[name],) if name in namespace else ()


def take_finders(found):
    """The entries of lists in `sys` that imports go by: the program's own, and the names of others.

    None if there is none of its own.
    """
    lists = {}
    for attribute in _LISTS:
        entries = [_entry(each, found) for each in getattr(sys, attribute)]
        if any(type(entry) is list for entry in entries):
            lists[attribute] = entries
    return lists or None


def _name(finder):
    """The module and the name of a finder, or of its class."""
    made = finder if hasattr(finder, "__qualname__") else type(finder)
    return made.__module__, made.__qualname__


def _entry(finder, found):
    """An own one in a list; what it is called, for another."""
    name = _name(finder)
    return [finder] if name[0] in found.by_value else name


def give_back_finders(taken):
    """Put the program's own entries before those that they were before."""
    for attribute, entries in taken.items():
        there = getattr(sys, attribute)
        at = len(there)
        for entry in reversed(entries):
            if type(entry) is list:
                there.insert(at, entry[0])
                continue
            names = [_name(each) for each in there]
            at = names.index(entry) if entry in names else at
    if "path_hooks" in taken:
        sys.path_importer_cache.clear()
