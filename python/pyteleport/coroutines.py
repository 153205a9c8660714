"""Coroutines that a program awaits: unlike the rest of the package they are a part of it, and travel."""

from __future__ import annotations

from . import imports
from .api import teleport

__builtins__ = imports.BUILTINS


async def ateleport(
    target=None,
    *,
    env=None,
    cwd=None,
    files=(),
    ship=(),
    ship_files=(),
    timeout=None,
    progress=None,
    detach=False,
):
    """Stops the program here and goes on with it in another process, from inside a coroutine.

    ``await ateleport(...)`` takes the event loop along, and all that waits in it; so does a plain call of
    :func:`teleport`.

    Args:
        As :func:`teleport`.

    Raises:
        As :func:`teleport`. Whatever is raised, nothing moved, and the program goes on here.
    """
    return teleport(
        target,
        env=env,
        cwd=cwd,
        files=files,
        ship=ship,
        ship_files=ship_files,
        timeout=timeout,
        progress=progress,
        detach=detach,
    )
