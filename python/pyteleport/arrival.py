"""The far end: how a process begins that a program is going to move into."""

from __future__ import annotations

import sys

from . import imports

__builtins__ = imports.BUILTINS


def receive(arguments):
    """Receives a program and goes on with it; returns an exit status only if none came.

    Args:
        arguments: ``--fd N``, the descriptor to home; behind a shell also ``--inode I``, which
            tells whether that descriptor is the one that home meant; ``--copies`` if home asks for
            copies; ``--terminal WORD`` if home has a terminal, and ``--detach`` if the program lives on when
            home is gone. From a server ``--warm N``, the descriptor to it. For a process that replaced the
            one which was started so: ``--channel WORDS...``, or ``--file PATH``. Before all that, where
            pyteleport was sent along, ``--lodger N``: the descriptor that has held its folder until now.
    """
    import os

    from . import _native

    held = None
    if arguments[0] == "--lodger":
        held, arguments = int(arguments[1]), arguments[2:]
    _native.enter_folder(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), held)
    if arguments[0] == "--warm":
        rehearse()
        server = int(arguments[1])
        os.set_inheritable(server, False)
        return _native.receive_warm(server)
    if arguments[0] == "--file":
        return resume_from_command_line(arguments[1], again=True)
    if arguments[0] == "--channel":
        return _native.receive_on(arguments[1:], arguments[1] != "direct")
    makes_copies, detach = "--copies" in arguments, "--detach" in arguments
    arguments = [word for word in arguments if word not in ("--copies", "--detach")]
    options = dict(zip(arguments[::2], arguments[1::2]))
    inode = options.get("--inode")
    inode = None if inode is None else int(inode)
    return _native.receive(int(options["--fd"]), inode, makes_copies, options.get("--terminal"), detach)


def rehearse():
    """What takes time when a process does it first, done ahead: imports, and a program that is captured."""
    import atexit  # noqa: F401
    import collections.abc  # noqa: F401
    import io
    import warnings  # noqa: F401

    from . import _native, api, graph, interpreter, runtime  # noqa: F401

    # Not `dump`, which imports for what it puts behind: each module here is one more to look at later.
    _native.dump_to(io.BytesIO(), api._extras(None, None, (), (), (), None, False), b"")


def resume_from_command_line(path, again=False):
    """Goes on from a file; returns an exit status only if that is impossible.

    This process is replaced first by one that is started as the program's was, unless that was done.
    """
    from . import _native
    from .errors import TeleportError

    try:
        if not again:
            _native.become_like_file(path)
        _native.resume_file(path, True)
    except (TeleportError, OSError) as error:
        print(f"pyteleport: {path}: {error}", file=sys.stderr)
    return 1


def renew_surroundings():
    """Behind a shell: the standard descriptors have changed under Python, and so have signals.

    The stream objects were made for what was there at start-up, and a shell may start commands
    with Ctrl-C ignored.
    """
    import _signal  # `signal` makes enumerations first
    import io

    _signal.signal(_signal.SIGINT, _signal.default_int_handler)
    for name, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        old = getattr(sys, name)
        if old is None:
            continue
        raw = open(fd, mode + "b", buffering=-1, closefd=False)
        raw.raw.name = f"<{name}>"
        stream = io.TextIOWrapper(
            raw,
            encoding=old.encoding,
            errors=old.errors,
            newline="\n",
            line_buffering=name == "stderr" or raw.isatty(),
        )
        stream.mode = mode
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
