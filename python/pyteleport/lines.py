"""Messages from a program that is away to its home, on the line that it comes back by."""

from __future__ import annotations

import os
import pickle
import struct

from . import _native, away, imports

__builtins__ = imports.BUILTINS

# How long what home tells is.
_LENGTH = struct.Struct("<Q")


def tell(kind, *content):
    """Tell home something: a word, and what can be pickled."""
    _native.tell_home(away.guest.line, pickle.dumps((kind, *content), protocol=4))


def receive():
    """Wait for what home tells; None if it is gone."""
    size = _read(_LENGTH.size)
    data = size and _read(_LENGTH.unpack(size)[0])
    return pickle.loads(data) if data else None


def _read(length):
    data = b""
    while len(data) < length:
        more = os.read(away.guest.line, length - len(data))
        if not more:
            return None
        data += more
    return data


def write(number, data):
    """Write all of it to a descriptor."""
    view = memoryview(data)
    while view.nbytes:
        view = view[os.write(number, view) :]
