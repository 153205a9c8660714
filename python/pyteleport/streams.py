"""The standard streams: how they are set up, what stands in their places, what was read ahead.

Output is written out at home before a capture. Input that was read ahead and not used goes on at
the peer before its descriptor does: bytes in the buffer, text, and the decoder between them.
"""

from __future__ import annotations

import io
import os
import sys

from . import _native
from .errors import AwayError
from .files import give_back_text, unread_text


def flush_streams():
    """Write out what the standard streams hold: its place is home's."""
    for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
        stream = getattr(sys, name, None)
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError, AwayError):
            pass


def take_back():
    """Put the streams in their places, with nothing read ahead, for a program that comes back."""
    for name in _STREAMS:
        setattr(sys, name, getattr(sys, "__%s__" % name))
    text = sys.__stdin__
    try:
        if type(text) is io.TextIOWrapper and not text.closed:
            text.read(len(_native.text_unread(text)))
            if type(text.buffer) is io.BufferedReader:
                text.buffer.read(len(_native.buffered_unread(text.buffer)))
    except ValueError:  # detached
        pass


_STREAM_OPTIONS = ("encoding", "errors", "line_buffering", "write_through")
_STREAMS = ("stdin", "stdout", "stderr")


def take_streams():
    """How the standard streams are set up, and what stands in their places."""
    taken = {}
    for name in _STREAMS:
        original = getattr(sys, "__%s__" % name)
        current = getattr(sys, name, None)
        options = None
        if hasattr(original, "reconfigure"):
            try:
                options = [getattr(original, option) for option in _STREAM_OPTIONS]
            except ValueError:  # detached
                pass
        replaced = (current,) if current is not original else None
        closed = getattr(original, "closed", False)
        taken[name] = (options, replaced, closed)
    return taken


def give_back_streams(taken):
    """Set up the standard streams as they were."""
    for name, (options, replaced, closed) in taken.items():
        original = getattr(sys, "__%s__" % name)
        if options is not None and hasattr(original, "reconfigure"):
            have = [getattr(original, option) for option in _STREAM_OPTIONS]
            change = {
                option: value
                for option, value, other in zip(_STREAM_OPTIONS, options, have)
                if value != other
            }
            if change:
                original.reconfigure(**change)
        if replaced is not None:
            setattr(sys, name, replaced[0])
        if closed and original is not None:
            original.close()


def take_stdin():
    """What standard input has read ahead: bytes, text, and the decoder's state; None if nothing."""
    text = sys.__stdin__
    try:
        if type(text) is not io.TextIOWrapper or text.closed:
            return None
        buffer = text.buffer
        ahead = _native.buffered_unread(buffer) if type(buffer) is io.BufferedReader else b""
        unread, state = unread_text(text)
    except ValueError:  # detached
        return None
    return (ahead, unread, state, text.newlines) if ahead or unread or state else None


def give_back_stdin(taken):
    """Let standard input go on with what was read ahead, then with its descriptor."""
    ahead, unread, state, newlines = taken
    text = sys.__stdin__
    if text is None:
        return
    if ahead and not _prefill(text.buffer, ahead):
        larger = io.BufferedReader(text.buffer.raw, len(ahead))
        _prefill(larger, ahead)
        replaced = io.TextIOWrapper(larger, text.encoding, text.errors, newline="\n")
        replaced.mode = "r"
        if sys.stdin is text:
            sys.stdin = replaced
        sys.__stdin__ = text = replaced
    give_back_text(text, unread, state, newlines)


def _prefill(buffer, ahead):
    """Have a buffer read `ahead` from a stand-in for its descriptor."""
    descriptor = buffer.fileno()
    source = os.memfd_create("pyteleport")
    kept = os.dup(descriptor)
    try:
        os.write(source, ahead)
        os.lseek(source, 0, os.SEEK_SET)
        os.dup2(source, descriptor)
        try:
            buffer.peek(1)
        finally:
            os.dup2(kept, descriptor)
    finally:
        os.close(kept)
        os.close(source)
    if buffer.seekable():
        buffer.tell()  # look again where the descriptor stands
    return len(_native.buffered_unread(buffer)) == len(ahead)
