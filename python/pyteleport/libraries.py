"""What libraries set up for themselves the first time that they are used, and count on from then on.

It stays at home; at the peer they are asked to set it up again.
"""

from __future__ import annotations

import sys

from . import imports
from .sources import when_imported

__builtins__ = imports.BUILTINS


def _has_locks(std):
    return "_lock" in vars(std.tqdm)


def _make_locks(std):
    std.tqdm.get_lock()


# A module, how it tells whether it is set up, and how it sets itself up.
_SET_UP = {
    "tqdm.std": (_has_locks, _make_locks),  # locks of threads and processes around what is drawn
}


def take():
    """The modules that have set themselves up."""
    found = [name for name, (is_set_up, _again) in _SET_UP.items() if _is_set_up(name, is_set_up)]
    return found or None


def _is_set_up(name, asked):
    module = sys.modules.get(name)
    try:
        return module is not None and asked(module)
    except AttributeError:  # another release of the library, which has it otherwise
        return False


def give_back(taken):
    """Have them do it here."""
    for name in taken:
        when_imported(name, _SET_UP[name][1])
