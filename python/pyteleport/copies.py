"""Copies of a program: what home holds of them, and what they hold of home.

Home's end is a process beside it, which carries what the copies write; with it home speaks in lines of
text (``transport/src/copies.rs``). Nothing here runs in the background: a :class:`Copy` is asked.
"""

from __future__ import annotations

import os
import pickle
import select
import signal
import socket
import time
from multiprocessing.connection import Connection

from . import imports

__builtins__ = imports.BUILTINS


class Channel(Connection):
    """One end of the line between home and a copy of it.

    A :class:`multiprocessing.connection.Connection`: ``send``, ``recv``, ``poll``, ``close``, ``fileno``
    and so on, :exc:`EOFError` from ``recv`` when the other end is gone. Memory of arrays, in the way of
    pickle's protocol 5, is sent as it is and received in place. Iterating gives what comes until then.
    """

    def send(self, obj):
        """Sends an object, which is pickled.

        Raises:
            OSError: the other end is gone.
        """
        buffers = []
        data = pickle.dumps(obj, protocol=5, buffer_callback=buffers.append)
        views = [memoryview(data), *(buffer.raw() for buffer in buffers)]
        # First how long what follows is: the pickle, and each buffer of its.
        self.send_bytes(pickle.dumps([view.nbytes for view in views]))
        for view in views:
            _write(self.fileno(), view)

    def recv(self):
        """Receives an object, and waits for it.

        Raises:
            EOFError: the other end is gone, and nothing is left that it sent.
        """
        lengths = pickle.loads(self.recv_bytes())
        data, *buffers = (_read(self.fileno(), length) for length in lengths)
        return pickle.loads(data, buffers=buffers)

    def __reduce__(self):
        raise TypeError("a channel stays with its process")

    def __iter__(self):
        while True:
            try:
                yield self.recv()
            except EOFError:
                return


def _write(number, view):
    while view.nbytes:
        view = view[os.write(number, view) :]


def _read(number, length):
    data = bytearray(length)
    view = memoryview(data)
    while view.nbytes:
        count = os.readv(number, [view])
        if not count:
            raise EOFError
        view = view[count:]
    return data


class Copy:
    """A copy of this program that :func:`fork` has made.

    Attributes:
        value: what the call was worth in it.
        pid: its process, where it runs.
        channel: a :class:`Channel` to it; its own end is :func:`channel`.
        returncode: its exit status, or minus the number of the signal that ended it, once that is known;
            ``None`` until then. 255 if the way to it broke.
    """

    def __init__(self, family, number, value, pid, channel):
        self._family = family
        self._number = number
        self.value = value
        self.pid = pid
        self.channel = channel

    def __repr__(self):
        state = "runs" if self.returncode is None else f"ended with {self.returncode}"
        return f"<pyteleport.Copy {self._number} in process {self.pid}, {state}>"

    @property
    def returncode(self):
        return self._family.codes.get(self._number)

    def poll(self):
        """Its exit status if it has ended, else ``None``."""
        self._family.listen(0)
        return self.returncode

    def wait(self, timeout=None):
        """Waits until it has ended; returns its exit status.

        Args:
            timeout: seconds to wait at most.

        Raises:
            TimeoutError: it has not ended by then.
        """
        end = None if timeout is None else time.monotonic() + timeout
        while self.poll() is None:
            left = None if end is None else end - time.monotonic()
            if left is not None and left <= 0:
                raise TimeoutError(f"{self!r} has not ended within {timeout} s")
            self._family.listen(left)
        return self.returncode

    def send_signal(self, number):
        """Sends it a signal, unless it has ended."""
        if self.poll() is None:
            name = signal.Signals(number).name
            self._family.control.sendall(b"signal %d %s\n" % (self._number, name.encode()))

    def terminate(self):
        """Asks it to end (SIGTERM)."""
        self.send_signal(signal.SIGTERM)

    def kill(self):
        """Ends it (SIGKILL)."""
        self.send_signal(signal.SIGKILL)


class _Family:
    """The copies of one fork: how they ended, and the line to what carries for them."""

    def __init__(self, control, children, count):
        self.control = control
        self.children = [*children]
        self.codes = {}
        self._count = count
        self._heard = b""

    def listen(self, timeout):
        """Takes what there is to hear, after a wait for it of so many seconds at most."""
        if len(self.codes) < self._count and select.select([self.control], [], [], timeout)[0]:
            heard = self.control.recv(4096)
            *lines, self._heard = (self._heard + heard).split(b"\n")
            for line in lines:
                self._take(line.decode().split())
            if not heard:
                for number in range(self._count):
                    self.codes.setdefault(number, 255)
        if len(self.codes) == self._count:
            self._reap()

    def _take(self, words):
        if words[0] == "lost":
            code = 255
        elif words[2] == "code":
            code = int(words[3])
        else:
            code = -getattr(signal, words[3], 0) or 255
        self.codes.setdefault(int(words[1]), code)

    def _reap(self):
        """Children of this process have nothing to do any more, and need not stay as zombies."""
        for child in list(self.children):
            try:
                if not os.waitpid(child, os.WNOHANG)[0]:
                    continue
            except ChildProcessError:
                pass  # somebody else waited for it
            self.children.remove(child)


_families = []


def made(native, values):
    """Home's handles of copies that were made.

    Args:
        native: what ``_native.fork`` returned; in a copy, its value, which is returned as it is.
        values: what the call is worth in them.
    """
    pids, control, talks, children = native
    for family in list(_families):
        family.listen(0)
        if not family.children:
            _families.remove(family)
    family = _Family(socket.socket(fileno=control), children, len(pids))
    _families.append(family)
    return [
        Copy(family, number, value, pid, Channel(talk))
        for number, (value, pid, talk) in enumerate(zip(values, pids, talks))
    ]


_home = None


def remember(number):
    """In a copy: the descriptor that leads to home."""
    global _home
    _home = Channel(number)


def channel():
    """In a copy, the :class:`Channel` to the program that :func:`fork` was called in.

    Raises:
        RuntimeError: this is no copy.
    """
    if _home is None:
        raise RuntimeError("this process is no copy that fork() has made: it has no channel to a home")
    return _home
