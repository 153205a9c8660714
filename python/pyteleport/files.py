"""Open files: path, mode and position travel; the peer opens the file again, and only opens it.

A closed file comes back closed and never touches the disk. What the peer lacks, or has with other
contents, is refused there by name before anything runs. Each of the three layers (text, buffer,
raw) is an object of its own in the graph.
"""

from __future__ import annotations

import io
import os
from stat import S_ISCHR, S_ISFIFO, S_ISREG, S_ISSOCK

from . import _native, imports

__builtins__ = imports.BUILTINS

_EDGE = 4096

# ------------------------------------------------------------------------- building, at the peer

problems = []


def reopen(mode, facts):
    """A raw file on what is already there."""
    path = facts["path"]
    name = facts["name"]
    if not os.path.isabs(name) and os.path.exists(name):
        path = os.path.abspath(name)
    access = {"r": os.O_RDONLY, "w": os.O_WRONLY, "+": os.O_RDWR}[facts["access"]]
    descriptor = reopen_descriptor(path, access | (os.O_APPEND if "a" in mode else 0), facts)
    if descriptor is None:
        return _placeholder(mode, facts["name"])
    raw = io.FileIO(descriptor, mode)
    raw.name = facts["name"]
    os.set_inheritable(descriptor, facts["inheritable"])
    raw.seek(facts["position"])
    return raw


def reopen_descriptor(path, flags, facts):
    """A descriptor of what is there, None without; that, or that it is not the same, is a problem."""
    try:
        descriptor = os.open(path, flags | os.O_CLOEXEC)
    except OSError as problem:
        problems.append("%s: %s" % (path, problem.strerror))
        return None
    difference = _difference(descriptor, facts)
    if difference:
        problems.append("%s: %s" % (path, difference))
    return descriptor


def _difference(descriptor, facts):
    size = os.fstat(descriptor).st_size
    if facts["access"] == "r":
        if size != facts["size"]:
            return "it has %d bytes, where it had %d" % (size, facts["size"])
        if edges(descriptor, size) != facts["edges"]:
            return "its contents are not those that the program was reading"
    elif size < facts["position"]:
        return "it has %d bytes, and the program stood behind %d" % (size, facts["position"])
    return None


def _placeholder(mode, name):
    raw = io.FileIO(os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC), mode)
    raw.name = name
    return raw


def make_closed_raw(mode, name):
    """A raw file that is closed as soon as the layers above it are made."""
    return _placeholder(mode, name)


def open_nothing(mode):
    """A raw file on the null device, of which no two can be told apart."""
    return io.FileIO(os.devnull, mode)


def make_standard_raw(descriptor, mode, closes):
    """One more raw file on a standard stream."""
    return io.FileIO(descriptor, mode, closefd=closes)


def make_buffered(cls, raw):
    """A buffer over a raw file; what a class adds to making one is not done again."""
    base = _buffer_of(cls)
    made = base.__new__(cls, raw)
    base.__init__(made, raw)
    return made


def _buffer_of(cls):
    """The class of `io` that a class of buffers derives from."""
    return next(base for base in cls.__mro__ if base.__module__ in ("_io", "io"))


def fill_buffered(buffered, state):
    """Go to where the program stood."""
    position, attributes = state
    buffered.__dict__.update(attributes)
    if position is not None:
        _buffer_of(type(buffered)).seek(buffered, position)


def make_text_layer(buffer, options):
    """A text layer over a buffer."""
    if buffer.closed:  # and made so, as those are that do not end at a file of ours
        text = io.TextIOWrapper(io.BytesIO(), **options)
        _native.write_field(text, "buffer", buffer)
        return text
    return io.TextIOWrapper(buffer, **options)


def fill_text(text, state):
    """Go to where the program stood, in the middle of what was decoded but not read."""
    attributes, cookie, unread, decoder_state, line, newlines = state
    if attributes:
        text.__dict__.update(attributes)
    if cookie is not None:
        text.seek(cookie)
    if line is not None:
        # A loop over the lines forbids tell() until it ends: begin one.
        _native.text_give_back(text, line)
        next(text)
    give_back_text(text, unread, decoder_state, newlines)


def give_back_text(text, unread, decoder_state, newlines):
    """Put decoded text and the decoder's state back into a text layer that has read nothing."""
    decoder = _decoder_of(text) if decoder_state is not None or newlines else None
    if decoder is not None:
        state = decoder.getstate() if decoder_state is None else decoder_state
        for newline in (newlines,) if isinstance(newlines, str) else newlines or ():
            decoder.setstate((b"", 0))
            decoder.decode(newline.encode(text.encoding))  # seen, and remembered as such
        decoder.setstate(state)
    if unread:
        _native.text_give_back(text, unread)


# -------------------------------------------------------------------------- taking apart, at home


_LOCKED = "it holds a lock on its file; release it before the move, and take it again after it"


def _trouble(raw):
    """Why an open raw file cannot travel, or None."""
    status = os.fstat(raw.fileno())
    if S_ISREG(status.st_mode):
        if _path_of(raw, status) is None:
            return "its file was deleted or has no name; write it under one first"
        if _holds_lock(raw.fileno()):
            return _LOCKED
    elif not _is_nothing(raw.fileno(), status) and _standard(raw.fileno(), status) is None:
        return _kind(status.st_mode)
    return None


def _holds_lock(descriptor):
    """Whether a lock was taken through a descriptor: by `flock`, or `lockf` (proc(5))."""
    with open("/proc/self/fdinfo/%d" % descriptor) as lines:
        return any(line.startswith("lock:") and line.split()[-2] not in _OF_SQLITE for line in lines)


# Where the locks begin that SQLite takes and gives back itself: pending, reserved, shared.
_OF_SQLITE = [str(0x40000000 + offset) for offset in range(3)]


# Files that are locked with the program knowing nothing of it: SQLite's, ours (`_lodge.py`).
_NOT_ITS_OWN = ("-shm", "/.pyteleport-was-sent-here")


def refuse_locks():
    """Refuse locks that a descriptor holds, but no file object that travels: of a file that `os` has opened.

    Not those that who started this process has handed down, and which stay with home; nor those that are not
    the program's own.
    """
    found = []
    for name in os.listdir("/proc/self/fd"):
        try:
            path = os.readlink("/proc/self/fd/" + name)
            is_own = int(name) > 2 and path[:1] == "/" and not os.get_inheritable(int(name))
            if is_own and not path.endswith(_NOT_ITS_OWN) and _holds_lock(int(name)):
                found.append(("descriptor %s (%s)" % (name, path), _LOCKED))
        except OSError:  # gone, as that with which they are listed
            continue
    if found:
        from .errors import UnmovableError

        raise UnmovableError("; ".join("%s cannot move: %s" % one for one in found), found)


def _take_raw(pickler, raw):
    if raw.closed:
        pickler.close_later(raw)
        return make_closed_raw, (raw.mode, getattr(raw, "name", None))
    trouble = _trouble(raw)
    if trouble is not None:
        return pickler.refuse(raw, trouble)
    descriptor = raw.fileno()
    status = os.fstat(descriptor)
    if _is_nothing(descriptor, status):
        return open_nothing, (raw.mode,)
    if not S_ISREG(status.st_mode):
        standard = _standard(descriptor, status)
        return make_standard_raw, (standard, raw.mode, raw.closefd and descriptor == standard)
    path = _path_of(raw, status)
    readable, writable = raw.readable(), raw.writable()
    access = "+" if readable and writable else "w" if writable else "r"
    name = raw.name
    facts = {
        "path": path,
        "name": os.fsdecode(name) if not isinstance(name, int) else path,
        "access": access,
        "position": os.lseek(descriptor, 0, os.SEEK_CUR),
        "inheritable": os.get_inheritable(descriptor),
        "size": status.st_size,
        "edges": edges(descriptor, status.st_size) if access == "r" else None,
    }
    return reopen, (raw.mode, facts)


def edges(descriptor, size):
    """A checksum of how a file begins and ends."""
    from binascii import crc32

    first = crc32(os.pread(descriptor, _EDGE, 0))
    return crc32(os.pread(descriptor, _EDGE, max(0, size - _EDGE)), first)


def _kind(mode):
    if S_ISFIFO(mode):
        return "a pipe stays with its process; close it before the move, or leave it out"
    if S_ISSOCK(mode):
        return "a connection stays with its process; close it before the move, or leave it out"
    if S_ISCHR(mode):
        return "a device stays with its machine; close it before the move, or leave it out"
    return "only regular files can move; close it before the move, or leave it out"


def _is_nothing(descriptor, status):
    """Whether it is the null device, opened beside the standard streams, which may be on that as well."""
    return descriptor > 2 and S_ISCHR(status.st_mode) and status.st_rdev == os.stat(os.devnull).st_rdev


def _standard(descriptor, status):
    """The standard descriptor that shares an open file with this one."""
    for number in (descriptor, 0, 1, 2):
        if number in (0, 1, 2):
            try:
                other = os.fstat(number)
            except OSError:
                continue
            if (other.st_dev, other.st_ino, other.st_rdev) == (
                status.st_dev,
                status.st_ino,
                status.st_rdev,
            ):
                return number
    return None


def _path_of(raw, status):
    candidates = []
    name = raw.name
    if not isinstance(name, int):
        candidates.append(os.path.abspath(os.fsdecode(name)))
    try:
        candidates.append(os.readlink("/proc/self/fd/%d" % raw.fileno()))
    except OSError:
        pass
    for path in candidates:
        try:
            found = os.stat(path)
        except OSError:
            continue
        if (found.st_dev, found.st_ino) == (status.st_dev, status.st_ino):
            return path
    return None


def _take_buffered(pickler, buffered):
    try:
        raw = buffered.raw
    except ValueError:
        return pickler.refuse(buffered, "its raw file was detached; leave it out")
    made = make_buffered, (type(buffered), raw)
    if buffered.closed:
        return made
    trouble = _trouble(raw) if type(raw) is io.FileIO else None
    if trouble is not None:
        return pickler.refuse(buffered, trouble)
    if buffered.writable():
        buffered.flush()
    if type(raw) is io.FileIO and not S_ISREG(os.fstat(raw.fileno()).st_mode):
        return made  # the raw file says what is wrong with it, or is a standard stream
    if not buffered.seekable():
        if not buffered.readable():  # and all is written
            state = None, dict(buffered.__dict__)
            return (*made, state, None, None, fill_buffered)
        return pickler.refuse(buffered, "what it has read ahead cannot be found again; read it all")
    state = _buffer_of(type(buffered)).tell(buffered), dict(buffered.__dict__)
    return (*made, state, None, None, fill_buffered)


def _take_text(pickler, text):
    try:
        buffer = text.buffer
    except ValueError:
        return pickler.refuse(text, "its buffer was detached; leave it out")
    raw = getattr(buffer, "raw", None)
    trouble = _trouble(raw) if type(raw) is io.FileIO and not raw.closed else None
    if trouble is not None:
        return pickler.refuse(text, trouble)
    options = {
        "encoding": text.encoding,
        "errors": text.errors,
        "newline": _native.text_newline(text),
        "line_buffering": text.line_buffering,
    }
    if text.write_through:
        options["write_through"] = True
    made = make_text_layer, (buffer, options)
    attributes = text.__dict__ or None
    if text.closed:
        return (*made, (attributes, None, None, None, None, None), None, None, fill_text)
    cookie = unread = decoder_state = line = None
    try:
        cookie = text.tell()  # which also writes what is pending
    except (OSError, ValueError):  # in the middle of a loop over its lines, or not seekable
        unread, decoder_state = unread_text(text)
        if text.writable():
            text.flush()
        if text.seekable():
            line = options["newline"] or "\n"
    state = attributes, cookie, unread, decoder_state, line, text.newlines
    return (*made, state, None, None, fill_text)


def unread_text(text):
    """What a text layer has decoded but not given, and the state of its decoder."""
    decoder = _decoder_of(text)
    state = decoder.getstate() if decoder is not None else None
    if state is not None and state == type(decoder)(*_fresh(decoder)).getstate():
        state = None
    return _native.text_unread(text), state


def _fresh(decoder):
    return (None, False) if isinstance(decoder, io.IncrementalNewlineDecoder) else ()


def _decoder_of(text):
    """The decoder inside a text layer, which only the collector shows."""
    from gc import get_referents

    for part in get_referents(text):
        if hasattr(part, "setstate") and hasattr(part, "decode"):
            return part
    return None


TAKERS = (
    ("FileIO", _take_raw),
    ("BufferedReader", _take_buffered),
    ("BufferedWriter", _take_buffered),
    ("BufferedRandom", _take_buffered),
    ("TextIOWrapper", _take_text),
)


# ------------------------------------------------------------------------------ copies of files


def unpack(packed):
    """Write what came along, (path, mode, contents) each, where it is not there yet.

    Contents are bytes; or the text of a link; or None for a folder.
    """
    for path, mode, contents in packed:
        if contents is None:
            os.makedirs(path, exist_ok=True)
        elif isinstance(contents, str):
            if not os.path.islink(path) or os.readlink(path) != contents:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.symlink(contents, path)
            continue
        elif _has(path, contents):
            continue
        else:
            folder = os.path.dirname(path)
            if folder:
                os.makedirs(folder, exist_ok=True)
            with open(path, "wb") as file:
                file.write(contents)
        os.chmod(path, mode)


def _has(path, contents):
    """Whether a file is there and has these contents."""
    try:
        with open(path, "rb") as file:
            return file.read() == contents
    except OSError:
        return False
