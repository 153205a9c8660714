"""Imports of our own, which an `__import__` of the program's neither sees nor decides.

A module of ours that imports where it runs, rather than where it is loaded, begins with

    __builtins__ = imports.BUILTINS

for CPython looks there for the `__import__` of an `import` statement, and of our native half when it is
called from that module.
"""

from __future__ import annotations

import builtins
import sys

# the type by itself: `types` would be loaded with `import pyteleport`, for one name
_BuiltinFunction = type(len)


def _import(name, globals=None, locals=None, fromlist=(), level=0):
    """`__import__`, with CPython's own in place for what the module itself imports."""
    theirs = builtins.__import__
    if type(theirs) is _BuiltinFunction:
        return theirs(name, globals, locals, fromlist, level)
    # importlib's own, of which the function in `builtins` is a faster form
    builtins.__import__ = importer = sys.modules["_frozen_importlib"].__import__
    try:
        return importer(name, globals, locals, fromlist, level)
    finally:
        builtins.__import__ = theirs


BUILTINS = {**vars(builtins), "__import__": _import}


def load(name):
    """A module, for the native half."""
    _import(name)
    return sys.modules[name]
