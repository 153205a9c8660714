"""Move a running program: stop here, go on there, in the middle of whatever it was doing.

>>> from pyteleport import teleport, bash_teleport, dump
>>> teleport()                          # goes on in a fresh process of this machine
>>> bash_teleport("ssh", "host")        # goes on there
>>> dump("state.tp")                    # goes on here, and from the file whenever you like
"""

from __future__ import annotations

from . import builds as builds  # first: refuses what cannot be served
from ._native import hook_status, install_hook, uninstall_hook
from .api import bash_teleport, dump, fork, prepare, resume, teleport, tp_bash, tp_dummy, tp_shell
from .coroutines import ateleport
from .errors import (
    AwayError,
    BoundaryError,
    CaptureError,
    PayloadError,
    ResumeError,
    TeleportError,
    TransportError,
    UnmovableError,
)
from .registered import register

__all__ = [
    "AwayError",
    "BoundaryError",
    "CaptureError",
    "Channel",
    "Copy",
    "PayloadError",
    "Progress",
    "ResumeError",
    "TeleportError",
    "TransportError",
    "UnmovableError",
    "ateleport",
    "bash_teleport",
    "channel",
    "dump",
    "fork",
    "home",
    "hook_status",
    "install_hook",
    "on",
    "prepare",
    "register",
    "resume",
    "teleport",
    "tp_bash",
    "tp_dummy",
    "tp_shell",
    "uninstall_hook",
]


def __getattr__(name):
    # Imported when they are needed: a program that makes no copies need not wait for multiprocessing.
    if name in ("Channel", "Copy", "channel"):
        from . import copies

        return getattr(copies, name)
    if name == "Progress":
        from .progress import Progress

        return Progress
    if name in ("home", "on"):
        from . import there

        return getattr(there, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def load_ipython_extension(shell):
    """Gives IPython the magic ``%teleport TARGET``: ``%load_ext pyteleport``."""
    from .shells import load_extension

    load_extension(shell)


__version__ = "0.4.0"
