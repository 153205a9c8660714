"""``local:``: a fresh process on this machine."""

import sys
from shlex import quote

from . import Command


def command(url):
    """Options: ``python`` and ``before``; without them, a child of this process with the same interpreter."""
    url.only("python", "before", host=False)
    if url.user or url.host:
        raise ValueError(f"target {url.text!r}: this machine has no other name here; write 'local:'")
    if not url.options:
        return Command(None)
    return url.command(["sh", "-c"], quote(sys.executable))
