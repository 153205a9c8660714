"""How far a move or a dump has come: what a program is told that asks, and a line on a terminal."""

from __future__ import annotations

import sys
from shutil import get_terminal_size
from typing import NamedTuple

from . import imports

__builtins__ = imports.BUILTINS


class Progress(NamedTuple):
    """How far a move or a dump has come; what the function is called with that was given as ``progress=``."""

    #: What is being done: ``"connect"``, ``"capture"``, ``"send"`` and ``"start"``; of a dump ``"capture"``
    #: and ``"write"``.
    phase: str
    #: Bytes that are done.
    done: int
    #: Bytes of all; 0 while that is not known.
    total: int
    #: Since the call.
    seconds: float


def tell(function, *facts):
    """Tells a function of the program's."""
    function(Progress(*facts))


_WORDS = {"send": "moving", "write": "writing", "start": "waiting for the other end"}


class Line:
    """A line on the terminal, which is gone when there is nothing more to tell.

    Args:
        total: how many bytes there are.
        largest: variables that take most of them, as pairs of name and bytes.
    """

    def __init__(self, total, largest):
        what = ", ".join(f"{name} {_bytes(size)}" for name, size in largest)
        try:
            self._shown = _Rich(total, what)
        except ImportError:
            self._shown = _Plain(total, what)

    def show(self, phase, done, seconds):
        """Shows how far it is.

        Args:
            phase: what is being done.
            done: how many bytes are.
            seconds: since they began to go.
        """
        self._shown.show(_WORDS.get(phase, phase), done, seconds)

    def close(self):
        """Takes it away."""
        self._shown.close()


def _bytes(number):
    units = ["B", "kB", "MB", "GB"]
    while number >= 1000 and len(units) > 1:
        number /= 1000
        del units[0]
    digits = 0 if units[0] == "B" or number >= 100 else 1
    return f"{number:.{digits}f} {units[0]}"


class _Rich:
    """By rich, where that is installed."""

    def __init__(self, total, what):
        from rich.console import Console
        from rich.progress import (
            BarColumn,
            DownloadColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
            TransferSpeedColumn,
        )

        columns = [
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            TextColumn("[dim]{task.fields[what]}"),
        ]
        # Neither a thread of its own nor streams in the place of the program's.
        self._progress = Progress(
            *columns,
            console=Console(file=sys.__stderr__, stderr=True),
            auto_refresh=False,
            transient=True,
            redirect_stdout=False,
            redirect_stderr=False,
        )
        self._task = self._progress.add_task("", total=total, what=what)
        self._progress.start()

    def show(self, words, done, _seconds):
        self._progress.update(self._task, description=words, completed=done, refresh=True)

    def close(self):
        self._progress.stop()


class _Plain:
    """By hand."""

    def __init__(self, total, what):
        self._total = total
        self._what = what
        self._width = 0

    def show(self, words, done, seconds):
        percent = 100 * done // max(self._total, 1)
        rate = done / max(seconds, 1e-9)
        line = f"{words} {percent:3} % of {_bytes(self._total)}, {_bytes(rate)}/s"
        if self._what:
            line += f" ({self._what})"
        width = get_terminal_size().columns - 1
        self._write("\r" + line[:width].ljust(min(self._width, width)))
        self._width = len(line)

    def close(self):
        self._write("\r\x1b[K")

    def _write(self, text):
        sys.stderr.write(text)
        sys.stderr.flush()
