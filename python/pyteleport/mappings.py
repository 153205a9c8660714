"""Memory that is mapped (`mmap`): a file by its path, memory without a file with its contents."""

from __future__ import annotations

import os

from . import _native, files, imports

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer


def map_again(facts, length, options):
    """The same part of the same file, or memory of its own if there is none."""
    import mmap

    if facts is None:
        return mmap.mmap(-1, length, **options)
    access = os.O_RDWR if facts["access"] == "+" else os.O_RDONLY
    descriptor = files.reopen_descriptor(facts["path"], access, facts)
    if descriptor is None:
        return mmap.mmap(-1, length)
    try:
        return mmap.mmap(descriptor, length, offset=facts["offset"], **options)
    except (OSError, ValueError) as problem:
        files.problems.append("%s: %s" % (facts["path"], problem))
        return mmap.mmap(-1, length)
    finally:
        os.close(descriptor)


def map_closed():
    """A mapping that is closed."""
    import mmap

    closed = mmap.mmap(-1, 1)
    closed.close()
    return closed


def fill(mapping, state):
    """Write what is no file's, and go to where the program stood."""
    contents, position = state
    if contents is not None:
        mapping[:] = contents
    mapping.seek(position)


# -------------------------------------------------------------------------- taking apart, at home


class _Area:
    """A line of `/proc/self/maps` (proc(5)): what of which file is mapped where."""

    def __init__(self, line):
        span, self.rights, offset, _device, inode, *path = line.split(None, 5)
        self.start, self.end = (int(bound, 16) for bound in span.split("-"))
        self.offset, self.inode = int(offset, 16), int(inode)
        self.path = path[0].rstrip("\n") if path else ""


def _area_at(address):
    with open("/proc/self/maps", errors="surrogateescape") as lines:
        for area in map(_Area, lines):
            if area.start <= address < area.end:
                return area
    return None


def take_mapping(pickler, mapping):
    """A mapping of a file, shared or not; else memory of this process alone."""
    import mmap

    if mapping.closed:
        return map_closed, ()
    address = _native.address_of_memory(mapping)
    area = _area_at(address)
    if area is None:
        return pickler.refuse(mapping, "it is not known what it maps; " + _CLOSE)
    length = len(mapping)
    is_private = "p" in area.rights
    with memoryview(mapping) as view:
        is_read_only = view.readonly
    anonymous = not area.inode or area.path.startswith(("/dev/zero", "/memfd:"))
    contents = bytes(mapping) if anonymous or is_private else None
    state = contents, mapping.tell()
    if anonymous:
        options = {"access": mmap.ACCESS_COPY} if is_private else {}
        return map_again, (None, length, options), state, None, None, fill
    facts, trouble = _facts(area, address, is_private or "w" not in area.rights)
    if trouble:
        return pickler.refuse(mapping, trouble)
    if is_read_only:
        options, state = {"access": mmap.ACCESS_READ}, (None, state[1])
    elif is_private:
        options = {"access": mmap.ACCESS_COPY}
    else:
        prot = mmap.PROT_READ | (mmap.PROT_WRITE if "w" in area.rights else 0)
        options = {"flags": mmap.MAP_SHARED, "prot": prot}
    return map_again, (facts, length, options), state, None, None, fill


_CLOSE = "close it before the move, or leave it out"


def _facts(area, address, is_only_read):
    """What the peer has to know of the file, and what stands against it."""
    if area.path.endswith(" (deleted)"):
        return None, "it maps a file that was deleted; " + _CLOSE
    try:
        descriptor = os.open(area.path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as problem:
        return None, "it maps %s: %s; %s" % (area.path, problem.strerror, _CLOSE)
    try:
        status = os.fstat(descriptor)
        if status.st_ino != area.inode:
            return None, "it maps a file that has gone from %s; %s" % (area.path, _CLOSE)
        facts = {
            "path": area.path,
            "access": "r" if is_only_read else "+",
            "offset": area.offset + address - area.start,
            "position": status.st_size,
            "size": status.st_size,
            "edges": files.edges(descriptor, status.st_size) if is_only_read else None,
        }
        return facts, None
    finally:
        os.close(descriptor)
