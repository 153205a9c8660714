"""The main thread's program that is over, while others of its threads run on.

CPython waits for these in `threading._shutdown`, and keeps what the process will end with in C.
"""

from __future__ import annotations

import sys

from . import _native, imports, threads
from .errors import CaptureError

__builtins__ = imports.BUILTINS

_UNKNOWN = (
    "the main thread has ended, and its exit status is not known%s; have it "
    "join() the other threads before it ends"
    % (": it has called sys.exit(), or was not run as a script" if sys.version_info < (3, 14) else "")
)


def is_over():
    """Whether the main thread is at its end."""
    threading = sys.modules.get("threading")
    if threading is None:
        return False
    return getattr(threading, "_SHUTTING_DOWN", False) or _is_done(threading._main_thread)


def _is_done(thread):
    end = getattr(thread, threads.END, None)
    return end.is_done() if hasattr(end, "is_done") else thread._is_stopped


def take():
    """(exit status, whether Ctrl-C has ended it) of the main thread's program; None as long as that runs.

    Raises:
        CaptureError: that is not known.
    """
    if not is_over():
        return None
    known = _native.main_ended()
    if known is not None:
        return known
    main = sys.modules["__main__"]
    # Up to 3.13 CPython takes the name of a script away when that has come to its end, and not when it calls
    # exit() (Python/pythonrun.c, _PyRun_SimpleFile); after that always.
    is_script = main.__spec__ is None and hasattr(main.__loader__, "get_filename")
    if not is_script or hasattr(main, "__file__") or sys.version_info >= (3, 14):
        raise CaptureError(_UNKNOWN)
    raised = getattr(sys, "last_type", None)
    if raised is None:
        return 0, False
    return 1, issubclass(raised, KeyboardInterrupt)


def give_back(ended):
    """Have the main thread be at its end here as well."""
    if ended is None:
        return
    import threading

    main = threading._main_thread
    if hasattr(threading, "_SHUTTING_DOWN"):
        threading._SHUTTING_DOWN = True
    end = getattr(main, threads.END)
    if hasattr(end, "_set_done"):
        end._set_done()
    else:
        end.release()
        main._stop()
