"""What the program has changed in modules that are installed, and that the peer has its own of.

Found are the program's own functions, classes, modules and instances where an attribute of such a
module names them: `re.compile = traced`. So are whatever it has put into `builtins`, and its finders
for imports. Other values that it has set are not told from those that were there.
"""

from __future__ import annotations

import builtins
import sys

from . import modules

# These travel as the hooks and streams that they are.
_SYS = frozenset(
    ("excepthook", "displayhook", "unraisablehook", "breakpointhook", "stdin", "stdout", "stderr", "modules")
)
_CONSTANTS = frozenset(("None", "True", "False", "Ellipsis", "NotImplemented"))
_LISTS = ("meta_path", "path_hooks")


def take_patches(found):
    """(module, name, value) of attributes, or None."""
    patches = [
        (module, attribute, value)
        for module, name, attribute, value in found.patches
        if not (name == "sys" and attribute in _SYS)
    ]
    patches.extend(_builtins(patches))
    return patches or None


def _builtins(patches):
    """What else there is in `builtins` that a fresh one lacks."""
    known = {name for module, name, _value in patches if module is builtins}
    for name, value in vars(builtins).copy().items():
        if name in _CONSTANTS or name in known or name.startswith("__"):
            continue
        owner = getattr(value, "__self__", None), getattr(value, "__module__", None)
        usual = owner[0] is builtins or owner[1] in ("builtins", "io", "_io", "_sitebuiltins")
        if not usual:
            yield builtins, name, value


def give_back_patches(taken):
    """Set the attributes."""
    for module, name, value in taken:
        modules.namespace_of(module)[name] = value


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
