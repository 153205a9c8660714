"""The commands: ``python -m pyteleport resume state.tp``, ``show state.tp`` and others."""

from __future__ import annotations

import sys

USAGE = """usage: python -m pyteleport resume FILE   go on from what dump() kept in FILE
       python -m pyteleport show FILE     say what it holds, and how much of it is whose; nothing of it is run
       python -m pyteleport receive       be the far end of a move (started by the near end)
       python -m pyteleport serve [--pool N] [--socket PATH]
                                          keep processes waiting, so that local moves of this session are fast
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
    if command == "show" and len(rest) == 1:
        return show(rest[0])
    if command == "serve" and len(rest) % 2 == 0 and {*rest[::2]} <= {"--pool", "--socket"}:
        from .serve import serve

        try:
            return serve(rest)
        except ValueError as error:
            print(f"pyteleport: {error}", file=sys.stderr)
            return 2
    if command == "check" and not rest:
        from . import _native

        _native.check()
        print("pyteleport serves this interpreter:", sys.version.split()[0])
        return 0
    print(USAGE, file=sys.stderr)
    return 0 if command in ("-h", "--help") else 2


def show(path: str) -> int:
    """Says what a file holds, and how large each variable is with all that it leads to."""
    import os

    from . import _native
    from .errors import TeleportError

    try:
        (program, host, *build), frames, variables = _native.sizes(path)
        size = os.path.getsize(path)
    except (TeleportError, OSError) as error:
        print(f"pyteleport: {path}: {error}", file=sys.stderr)
        return 1
    print("{}, of {}, in {} frame{}".format(program, host, frames, "s" * (frames > 1)))
    print("{} {} on {}, pyteleport {}".format(*build))
    print(f"{size:>14,} bytes in all; each variable with what it leads to, also where others do:")
    for name, own in variables:
        print(f"{own:>14,} {name}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
