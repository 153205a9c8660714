"""``python -m pyteleport receive`` and ``python -m pyteleport resume state.tp``."""

from __future__ import annotations

import sys

USAGE = """usage: python -m pyteleport resume FILE   go on from what dump() kept in FILE
       python -m pyteleport receive       be the far end of a move (started by the near end)
       python -m pyteleport check         see whether this interpreter can be served"""


def main(arguments: list[str]) -> int:
    """Runs one command; a program that goes on does not return from it."""
    command, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if command == "receive":
        from .arrival import receive

        return receive(rest)
    if command == "resume" and len(rest) == 1:
        from .arrival import resume_from_command_line

        return resume_from_command_line(rest[0])
    if command == "check" and not rest:
        from . import _native

        _native.check()
        print("pyteleport serves this interpreter:", sys.version.split()[0])
        return 0
    print(USAGE, file=sys.stderr)
    return 0 if command in ("-h", "--help") else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
