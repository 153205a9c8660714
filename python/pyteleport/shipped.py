"""Files and folders that are taken along to a peer that may not have them, under the same paths.

They are those that the program names, and the temporary ones that it holds: nobody else could know these.
"""

from __future__ import annotations

import os
import sys
from stat import S_IMODE, S_ISDIR, S_ISLNK, S_ISREG

from . import imports

__builtins__ = imports.BUILTINS


def paths_of(ship_files):
    """The option `ship_files` as absolute paths; None if there is none of it.

    Raises:
        OSError: something is not there.
    """
    if ship_files is True:
        return []
    if isinstance(ship_files, (str, bytes, os.PathLike)):
        ship_files = [ship_files]
    paths = [os.path.abspath(os.fsdecode(path)) for path in ship_files or ()]
    for path in paths:
        os.lstat(path)
    return paths or None


def temporary():
    """The paths of the temporary files and folders of `tempfile` that go when they are let go of."""
    tempfile = sys.modules.get("tempfile")
    if tempfile is None:
        return []
    from gc import get_objects

    found = []
    for thing in get_objects():
        if type(thing) is tempfile.TemporaryDirectory:
            path = thing.name if thing._finalizer.alive else None
        elif type(thing) is tempfile._TemporaryFileWrapper:
            path = None if thing.file.closed else thing.name
        else:
            continue
        if isinstance(path, (str, bytes)) and os.path.lexists(path):
            found.append(os.path.abspath(os.fsdecode(path)))
    return found


def flush():
    """Write what open files hold back, so that it is there to be taken."""
    from _io import BufferedRandom, BufferedWriter, TextIOWrapper
    from gc import get_objects

    for kind in (TextIOWrapper, BufferedWriter, BufferedRandom):
        for file in get_objects():
            if type(file) is kind and not file.closed and file.writable():
                file.flush()


def take(paths):
    """(path, mode, contents) of files and all that is in folders; None: a folder; a text: a link."""
    taken, waiting = {}, list(reversed(paths))
    while waiting:
        path = waiting.pop()
        if path in taken:
            continue
        mode = os.lstat(path).st_mode
        if S_ISDIR(mode):
            contents = None
            waiting.extend(os.path.join(path, name) for name in sorted(os.listdir(path), reverse=True))
        elif S_ISLNK(mode):
            contents = os.readlink(path)
        elif S_ISREG(mode):
            with open(path, "rb") as file:
                contents = file.read()
        else:
            continue  # a socket or pipe has nothing to take along
        taken[path] = S_IMODE(mode), contents
    return [(path, *rest) for path, rest in taken.items()]
