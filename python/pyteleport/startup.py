"""What the startup file in site-packages calls under `python -X teleport` and `PYTELEPORT=1`.

The startup file itself is one line that `site` runs in every interpreter of the environment, so it
imports nothing of ours unless it was asked to. A virtual environment may run it twice.
"""

import sys

_started = False


def start():
    """Install the hook before the program begins; a refusal is told once, and the program runs without."""
    global _started
    if _started:
        return
    _started = True
    from . import TeleportError, install_hook

    try:
        install_hook()
    except TeleportError as refusal:
        sys.stderr.write(f"pyteleport: the hook is not installed: {refusal}\n")
