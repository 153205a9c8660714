"""The public calls: arguments are looked at here, the rest is one call into the hook."""

from __future__ import annotations

import sys
from time import monotonic

from . import _native, imports

__builtins__ = imports.BUILTINS

# Kept lazy: `os` and `sys` are there at start-up, everything else is imported when it is needed.


def teleport(
    target=None,
    *,
    env=None,
    cwd=None,
    files=(),
    ship=(),
    ship_files=(),
    timeout=None,
    progress=None,
    detach=False,
):
    """Stops the program here and goes on with it in another process.

    The call returns there. Here nothing of the program runs any more: this process forwards
    signals and ends with the program's exit status.

    Args:
        target: ``None`` for a fresh process of this interpreter on this machine; a text such as
            ``"ssh://user@host:port?python=python3.11"``, ``"sudo://user"`` or ``"docker://container"``
            (:mod:`pyteleport.targets`); a command (a list of strings) that takes one more argument,
            a shell command, as ``["ssh", "host"]`` does; or an object whose method ``command()``
            makes such a list, or a :class:`pyteleport.targets.Command`.
        env: environment variables to set there, on top of those that travel.
        cwd: the directory to go on in; the same as here if it exists there.
        files: paths of files to take along, written to the directory that the program goes on in.
        ship: modules, or their names, that travel by value, with their state, although the peer may
            have them installed; or a dictionary that says ``"value"`` or ``"name"`` of each. A
            package stands for all that is in it. Left to itself, a module travels by name if it is
            installed here.
        ship_files: paths of files and folders to take along, written there under the same paths
            where they are not there with the same contents. With any of them, or with ``True``
            alone, and always to another machine, the temporary files and folders of `tempfile`
            come along that the program holds.
        timeout: how many seconds other threads have to come out of C code that cannot be moved; ``None`` for
            one. Those that wait for a lock, a queue or another thread, or sleep, move as they are.
        progress: a function that is called with a :class:`Progress` in the course of the move. ``None``:
            where standard error is a terminal, a line is shown there once the payload has taken a second.
            ``False``: not that either.
        detach: the program lives on there when the connection breaks or home ends, with nothing more to
            read; what it writes from then on is in ``~/.local/state/pyteleport/PROCESS.out`` there.

    Raises:
        CaptureError: the program cannot be captured here; :exc:`BoundaryError` and
            :exc:`UnmovableError` say more.
        TransportError: the peer could not be reached, does not fit, or went away.
        ResumeError: the peer could not bring the program back to life.
        TypeError: the target is none of the above.
        ValueError: the target's text is in a way that is not known, or ``detach`` comes without a target.

    Whatever is raised, nothing moved, and the program goes on here.
    """
    _refuse_guest()
    argv, shell, server = _way(target, env, cwd)
    if detach:
        if shell is None:
            raise ValueError(
                "detach needs a target: a process that takes this one's place has no line to home"
            )
        shell["detach"] = True
    extras = _extras(env, cwd, files, ship, ship_files, timeout, progress)
    extras["server"] = server
    with _aside():
        return _native.depart(argv, shell, extras)


def prepare(target=None, *, timeout=10.0):
    """Has the server of this session (``python -m pyteleport serve``) start a process that waits for this
    program.

    The next :func:`teleport` to the same target goes there, in some milliseconds: what the first one of a
    program takes besides is done ahead, too. The server does that by itself for every one after the first.

    Args:
        target: ``None``, or ``"local:"`` with its options.
        timeout: how many seconds to wait for it.

    Returns:
        Whether a process waits now.

    Raises:
        ValueError: the target is none of this machine.
    """
    from .interpreter import environment_of_peer

    argv, shell, server = _way(target, None, None)
    if shell is not None:
        raise ValueError(f"a process can wait on this machine only, not at {target!r}")
    if server is False:
        return False
    path = _native.server_path() if server is True else server
    from .graph import rehearse

    rehearse()
    return _native.prepare(path, argv, environment_of_peer(), float(timeout))


def fork(
    target=None,
    values=None,
    *,
    env=None,
    cwd=None,
    files=(),
    ship=(),
    ship_files=(),
    timeout=None,
    progress=None,
):
    """Makes copies of the running program, and goes on.

    In each copy the call returns that copy's value. The state is captured and sent once, however many
    copies there are; at their end of the way they share its memory until they change it. What they
    write comes out here, whole lines at a time. They read nothing from standard input.

    Args:
        target: where they run, as for :func:`teleport`.
        values: what the call is worth in the copies, one each: any objects that can travel. ``None``
            makes one copy, in which the call returns ``None``.
        env, cwd, files, ship, ship_files, timeout, progress: as for :func:`teleport`.

    Returns:
        At home a list of :class:`Copy`; in a copy its value.

    Raises:
        As :func:`teleport`, and :exc:`CaptureError` where other threads run. Then there are no copies.
    """
    from .copies import made

    values = [None] if values is None else list(values)
    if not values:
        return []
    argv, shell, _ = _way(target, env, cwd)
    if shell is None:
        argv.append("--copies")
    else:
        shell["copies"] = True
    extras = _extras(env, cwd, files, ship, ship_files, timeout, progress)
    extras["value"] = values
    with _aside():
        return made(_native.fork(argv, shell, extras), values)


def bash_teleport(
    *argv,
    python="python",
    before="",
    env=None,
    cwd=None,
    files=(),
    ship=(),
    ship_files=(),
    timeout=None,
    progress=None,
    detach=False,
):
    """Goes on with the program in the shell that a command opens.

    ``bash_teleport("ssh", "host", "conda activate py39;")`` runs that command with one argument
    more: the shell command that starts Python there.

    Args:
        argv: the command; what it runs is appended as its last argument.
        python: the interpreter to start there, as a shell word or words.
        before: shell commands, or a list of them, to run before it.
        env, cwd, files, ship, ship_files, timeout, progress, detach: as for :func:`teleport`.

    Raises:
        As :func:`teleport`.
    """
    if not argv or not all(isinstance(part, str) for part in argv):
        raise TypeError("bash_teleport() takes the words of a command, each a string")
    if not isinstance(before, str):
        before = "; ".join(before)
    _refuse_guest()
    shell = _shell(python, before, env, cwd)
    if detach:
        shell["detach"] = True
    extras = _extras(env, cwd, files, ship, ship_files, timeout, progress)
    with _aside():
        return _native.depart(list(argv), shell, extras)


tp_bash = tp_shell = bash_teleport


def tp_dummy(dry_run=False, return_=None, **options):
    """Goes on with the program in a fresh process of this machine, as in the original package.

    Args:
        dry_run: do nothing at all.
        return_: a list: goes on here, and in one copy for each of its values, as :func:`fork` does.
        options: ``python`` (the interpreter, this one if left out), ``before``, ``env``, ``cwd``,
            ``files``, ``ship``, ``ship_files``, ``timeout`` and ``progress``, as for :func:`bash_teleport`.

    Raises:
        As :func:`teleport`.
    """
    if dry_run:
        return None
    if return_ is not None:
        return fork(None, return_, **options)
    if "python" in options or "before" in options:
        options.setdefault("python", _quoted(sys.executable))
        return bash_teleport("bash", "-c", **options)
    return teleport(**options)


def dump(path_or_file, *, ship=(), ship_files=(), timeout=None, progress=None):
    """Keeps the running program in a file, and goes on.

    ``python state.tp`` goes on from there, any number of times, as does :func:`resume`.

    Args:
        path_or_file: a path, which is written as a whole or not at all, or an open binary file.
        ship, ship_files, timeout, progress: as for :func:`teleport`.

    Returns:
        ``None`` here; a true value in a program that goes on from the file.

    Raises:
        CaptureError: the program cannot be captured here.
        OSError: the file cannot be written.
    """
    extras = _extras(None, None, (), ship, ship_files, timeout, progress)
    with _aside():
        if hasattr(path_or_file, "write"):
            return _native.dump_to(path_or_file, extras, _trailer())
        return _native.dump(path_or_file, extras, _trailer())


def resume(path_or_file, value=True):
    """Goes on from a file in this process, for good: what runs here now is left where it is.

    Args:
        path_or_file: what :func:`dump` wrote: its path, or an open binary file.
        value: what the call of :func:`dump` returns in the program that goes on.

    Raises:
        PayloadError: the file is damaged, or was made by another interpreter.
        ResumeError: the program cannot go on here.
        OSError: the file cannot be read.
    """
    _native.resume_file(path_or_file, value)


def _extras(env, cwd, files, ship, ship_files, timeout, progress, loops=True):
    """What travels beside the program, as plain data; `loops`: whether those that run here are of it."""
    import os

    if loops and "asyncio.events" in sys.modules:
        from .loops import refuse_foreign

        refuse_foreign()
    if ship:
        from .modules import chosen

        ship = chosen(ship)
    if ship_files:
        from .shipped import paths_of

        ship_files = paths_of(ship_files)

    if env is not None:
        env = {os.fspath(name): os.fspath(value) for name, value in dict(env).items()}
    taken = []
    for path in files or ():
        with open(path, "rb") as file:
            mode = os.fstat(file.fileno()).st_mode & 0o777
            taken.append((os.path.basename(os.fspath(path)), mode, file.read()))
    if timeout is None:
        timeout = 1.0
    elif not timeout >= 0:
        raise ValueError(f"timeout must be a number of seconds, or None, not {timeout!r}")
    return {
        "began": monotonic(),
        "timeout": float(timeout),
        "env": env,
        "cwd": None if cwd is None else os.fspath(cwd),
        "files": taken,
        "value": None,
        "ship": ship or None,
        "ship_files": ship_files if ship_files or ship_files == [] else None,
        "progress": _told(progress),
    }


def _told(progress):
    """Who is told how far it is: a function, or whether there is a terminal for a line."""
    import os

    if progress is None:
        try:
            return os.isatty(sys.stderr.fileno())
        except (AttributeError, OSError, ValueError):  # closed, or in memory
            return False
    if progress is not False and not callable(progress):
        raise TypeError(f"progress is a function of one argument, None or False, not {progress!r}")
    return progress


def _refuse_guest():
    """Refuse to move a program for good that is awaited at home."""
    away = sys.modules.get(__package__ + ".away")
    if away is not None and away.guest is not None and away.guest.is_here():
        from .errors import CaptureError

        raise CaptureError(
            "the program is away from home, by on(): come home first, or use on() from here, too"
        )


def _aside():
    """Has what works for the prompt stand aside while the program is captured."""
    from .shells import Aside

    return Aside()


def _way(target, env, cwd):
    """The words of a command that leads to a target; what it is to run there, unless it is this interpreter
    here; and then, whether a server is to be asked for a process that waits, or which."""
    if target is None:
        return _local_command(), None, True
    from .targets import command_of

    command = command_of(target)
    if command.argv is None:
        return _local_command(), None, command.server
    return command.argv, _shell(command.python, command.before, env, cwd), False


def _local_command():
    """How to start this interpreter once more, to receive."""
    import os

    from .interpreter import same_flags

    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_peer.py")
    return [sys.executable, *same_flags(), peer, "--fd", "{fd}"]


def _shell(python, before, env, cwd):
    import os

    from .bare import begin

    env = dict(env or {})
    if "PYTELEPORT_LOG" in os.environ:
        env.setdefault("PYTELEPORT_LOG", os.environ["PYTELEPORT_LOG"])
    return {"python": python, "before": before, "env": env, "cwd": cwd, "begin": begin()}


def _quoted(word):
    from shlex import quote

    return quote(word)


def _trailer():
    """A zip file behind the payload: with it Python takes the file for a program."""
    import io
    import zipfile

    source = (
        "import sys\n"
        "try:\n"
        "    from pyteleport.arrival import resume_from_command_line\n"
        "except ImportError as error:\n"
        "    sys.exit(f'{sys.argv[0]} holds a stopped program, and pyteleport is not installed "
        "here to go on with it: {error}')\n"
        "sys.exit(resume_from_command_line(sys.argv[0]))\n"
    )
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(zipfile.ZipInfo("__main__.py"), source)
    return file.getvalue()
