"""The process around the program: how it was started, its folder, environment, paths and arguments.

This is plain data, given back before any object of the program is built, because building may import.
Each pair is as in `runtime`.
"""

from __future__ import annotations

import os
import posix
import sys

from . import _native, imports, modules

__builtins__ = imports.BUILTINS


def take_environ():
    """The environment, as bytes."""
    return dict(os.environ._data)


def give_back_environ(taken):
    """Make the environment equal; only differences are touched."""
    environ = os.environb
    zone = environ.get(b"TZ")
    for key in [key for key in environ if key not in taken]:
        del environ[key]
    for key, value in taken.items():
        if environ.get(key) != value:
            environ[key] = value
    if environ.get(b"TZ") != zone:
        import time

        time.tzset()


def take_putenv():
    """What C sees in the environment and `os.environ` does not know of, or not any more."""
    here, known = dict(_native.environment()), os.environ._data
    differ = {name: value for name, value in here.items() if known.get(name) != value}
    differ.update((name, None) for name in known if name not in here)
    return differ or None


def give_back_putenv(taken):
    """Put it there, past `os.environ`."""
    for name, value in taken.items():
        if value is None:
            posix.unsetenv(name)
        else:
            posix.putenv(name, value)


def take_cwd():
    """The working folder, unless it is gone."""
    try:
        return posix.getcwd()  # the program may have put its own into `os`
    except OSError:
        return None


def give_back_cwd(path):
    """Go to the working folder; a peer without it stays where it is, and says so."""
    try:
        posix.chdir(path)
    except OSError as problem:
        sys.stderr.write("pyteleport: cannot go to %s: %s\n" % (path, problem.strerror))
        sys.stderr.flush()


def take_umask():
    """The mask for new files."""
    mask = posix.umask(0o077)
    posix.umask(mask)
    return mask


def take_path():
    """`sys.path`: each entry, and whether it is part of what is installed."""
    return [
        (entry, modules.installed(entry + os.sep) or entry.endswith(".zip"))
        for entry in sys.path
        if type(entry) is str
    ]


def give_back_path(taken):
    """`sys.path` of home, where the peer's own installed folders take the place of home's."""
    here = [entry for entry in sys.path if type(entry) is str]
    known = {entry for entry, _installed in taken}
    own = [
        entry
        for entry in here
        if entry not in known and (modules.installed(entry + os.sep) or entry.endswith(".zip"))
    ]
    path = []
    for entry, installed in taken:
        if not installed or entry in here:
            path.append(entry)
        elif own:
            path.extend(own)
            own = []
    sys.path[:] = path + own


def take_argv():
    """The program's arguments."""
    return list(sys.argv)


def give_back_argv(taken):
    """Put the arguments into the list that is there."""
    sys.argv[:] = taken


def take_options():
    """How the interpreter was started, as far as it keeps that in lists."""
    original = getattr(sys, "orig_argv", None)
    return list(sys.warnoptions), dict(sys._xoptions), original and list(original)


def give_back_options(taken):
    """The same, where the process was started by pyteleport."""
    warnoptions, xoptions, original = taken
    sys.warnoptions[:] = warnoptions
    sys._xoptions.clear()
    sys._xoptions.update(xoptions)
    if original:
        sys.orig_argv[:] = original


EARLY = (
    ("options", take_options, give_back_options),
    ("cwd", take_cwd, give_back_cwd),
    ("umask", take_umask, posix.umask),
    ("environ", take_environ, give_back_environ),
    ("putenv", take_putenv, give_back_putenv),
    ("path", take_path, give_back_path),
    ("argv", take_argv, give_back_argv),
)
