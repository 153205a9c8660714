"""``local:``: a fresh process on this machine."""

import sys
from shlex import quote

from . import Command


def command(url):
    """Options: ``python`` and ``before``; without them, a child of this process with the same interpreter, or
    one that waits: with ``cold`` never that, with ``socket`` one of the server that listens there."""
    url.only("python", "before", "cold", "socket", host=False)
    if url.user or url.host:
        raise ValueError(f"target {url.text!r}: this machine has no other name here; write 'local:'")
    if "python" not in url.options and "before" not in url.options:
        return Command(None, server="cold" not in url.options and (url.option("socket") or True))
    url.only("python", "before", host=False)
    return url.command(["sh", "-c"], quote(sys.executable))
