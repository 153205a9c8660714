"""Which builds of Python are served. Any other is refused here, when pyteleport is imported, in one line.

The native half reads the structs of one release of CPython, as its usual build has them.
"""

from __future__ import annotations

import sys


def refusal(system=sys):
    """Why a Python with this ``sys`` cannot be served; None if it can."""
    implementation = system.implementation.name
    found = "%s %d.%d" % ((implementation, *system.version_info[:2]))
    flags = getattr(system, "abiflags", "")
    if implementation != "cpython":
        kind = "another implementation"
    elif "t" in flags:
        kind = "a free-threaded build"
    elif "d" in flags or hasattr(system, "gettotalrefcount"):
        kind = "a debug build"
    elif system.platform != "linux" or system.maxsize < 1 << 32:
        kind = f"one for {system.platform}, {system.maxsize.bit_length() + 1} bit"
    else:
        return None
    return f"pyteleport works on the usual builds of CPython for 64-bit Linux; this is {found}, {kind}"


def check():
    """Imports the native half, or says why it cannot be.

    Raises:
        ImportError: this Python cannot be served, or pyteleport is installed for another.
    """
    why = refusal()
    if why:
        raise ImportError(why)
    try:
        import pyteleport._native  # noqa: F401
    except ModuleNotFoundError as missing:
        if missing.name != f"{__package__}._native":
            raise
        found = "%d.%d" % sys.version_info[:2]
        why = (
            f"this pyteleport was not built for CPython {found}: install it with the pip of {sys.executable}"
        )
        raise ImportError(why) from None


check()
