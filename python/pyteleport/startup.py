"""What the startup file in site-packages calls under `python -X teleport` and `PYTELEPORT=1`.

The startup file itself is one line that `site` runs in every interpreter of the environment, so it
imports nothing of ours unless it was asked to. A virtual environment may run it twice. In a
subinterpreter, which the hook is not for and which may not be able to import us, it keeps quiet: the
program that was started with the hook has it in the main interpreter. Setting a handler for a signal,
here none, tells which one it is: TypeError in the main interpreter, ValueError in the others.
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
