"""What a program under test starts with. It is executed in the program's own namespace, so it moves with it.

`hop(value)` gives back its value; whether it moves on the way, and how, is the plan's business:

    moves   "none", "all", or the numbers of the calls that move, counted from 1
    way     "local", "bash" or "dump" (keep the state, leave; the harness goes on from the file)

In a straight run nothing of pyteleport is imported: the calls do nothing.
"""

import json as _json
import os as _os
import sys as _sys

_plan = _json.loads(_os.environ.pop("PYTELEPORT_TEST_PLAN"))
_hops = 0
_out = 77  # the exit status of a process that kept its state and left


def trail(what, more=""):
    """A line for the harness: what happened, in which process, and what there is to tell of it."""
    with open(_plan["trail"], "a") as file:
        file.write("%s %d %s\n" % (what, _os.getpid(), _json.dumps(more)))


def _move():
    if _plan["way"] == "local":
        teleport()
    elif _plan["way"] == "bash":
        bash_teleport("bash", "-c", python=_sys.executable)
    else:
        _sys.stdout.flush()
        state = "%s-%d.tp" % (_plan["state"], _hops)
        if not dump(state):
            trail("kept")
            _os._exit(_out)


def hop(value=None):
    global _hops
    _hops += 1
    if _plan["moves"] == "all" or _hops in _plan["moves"]:
        _move()
        trail("hop")
    return value


if _plan["moves"] == "none":

    def _stay(*args, **options):
        return None

    teleport = bash_teleport = tp_bash = tp_shell = tp_dummy = dump = _stay
    install_hook = uninstall_hook = _stay

    class TeleportError(Exception):
        pass

    class CaptureError(TeleportError):
        pass

    class BoundaryError(CaptureError):
        pass

    class UnmovableError(CaptureError):
        pass

    class PayloadError(TeleportError):
        pass

    class TransportError(TeleportError):
        pass

    class ResumeError(TeleportError):
        pass

    def hop(value=None):
        global _hops
        _hops += 1
        trail("hop")
        return value

else:
    from pyteleport import (  # noqa: F401
        BoundaryError,
        CaptureError,
        PayloadError,
        ResumeError,
        TeleportError,
        TransportError,
        UnmovableError,
        bash_teleport,
        dump,
        fork,
        hook_status,
        install_hook,
        resume,
        teleport,
        tp_bash,
        tp_dummy,
        tp_shell,
        uninstall_hook,
    )


def attempt(value=None):
    """As `hop()`, where the move is refused: what the refusal says is told to the harness."""
    try:
        _move()
    except CaptureError as refusal:
        trail("refused", "%s: %s" % (type(refusal).__name__, refusal))
    else:
        trail("hop")
    return value


trail("start")
