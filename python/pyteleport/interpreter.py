"""How this interpreter was started, and how one starts that is like another.

Hashes of texts depend on a secret that an interpreter chooses before all else. One that is to be like
another is started with our native half before its own libraries, which knows what it asks for.
"""

from __future__ import annotations

import os
import sys

from . import _native, imports

__builtins__ = imports.BUILTINS

# Attribute of sys.flags, option. `-i` and `-c` and their like belong to one start only.
_LETTERS = (
    ("debug", "d"),
    ("optimize", "O"),
    ("dont_write_bytecode", "B"),
    ("no_user_site", "s"),
    ("no_site", "S"),
    ("ignore_environment", "E"),
    ("verbose", "v"),
    ("bytes_warning", "b"),
    ("isolated", "I"),
    ("safe_path", "P"),
)
# Implied by `-I`.
_ISOLATED = ("no_user_site", "ignore_environment", "safe_path")


def same_flags() -> list[str]:
    """The command-line options that give another process the same ``sys.flags``."""
    options = []
    for name, letter in _LETTERS:
        times = int(getattr(sys.flags, name, 0))
        if times and not (sys.flags.isolated and name in _ISOLATED):
            options.append("-" + letter * times)
    for option in sys.warnoptions:
        options.append("-W" + option)
    xoptions = dict(sys._xoptions)
    if getattr(sys.flags, "dev_mode", False):
        xoptions.setdefault("dev", True)
    for name, value in xoptions.items():
        options.append(f"-X{name}" if value is True else f"-X{name}={value}")
    return options


_SECRET = "PYTELEPORT_HASHES"
_PRELOAD = "LD_PRELOAD"
_SEED = "PYTHONHASHSEED"


def environment_of_peer() -> list[tuple[str, str | None]]:
    """What a process of this interpreter finds in its environment that is to have the same hashes."""
    # It is for the program's end, which tells it from `os.environ`, and not for what ends without one.
    quiet = [("PYTHONINSPECT", None)]
    try:
        is_this = os.path.samefile(sys.executable, "/proc/self/exe")
    except (OSError, TypeError, ValueError):
        is_this = False
    if not is_this:  # something that leads to one, and should not be loaded with us
        return quiet
    return quiet + list(_variables(_native.hash_secret()).items())


def _variables(secret):
    if not any(secret):  # what the seed 0 stands for
        return {_SEED: "0"}
    before = os.environ.get(_PRELOAD)
    own = _native.__file__
    if ":" in own or " " in own:
        return {}
    return {_SECRET: secret.hex(), _PRELOAD: own if before is None else own + ":" + before, _SEED: None}


def words_to_become(secret, options):
    """A program, and how it is called, that becomes what another interpreter was started as.

    None if this is such a one. The options that this one has on its own stay. The environment is that
    of the new process afterwards; the program's own comes with it.
    """
    own = same_flags()
    missing = [option for option in options if option not in own]
    if _native.hash_secret() == secret and not missing:
        return None
    for name, value in _variables(secret).items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    peer = os.path.join(os.path.dirname(os.path.abspath(__file__)), "_peer.py")
    return "/proc/self/exe", [sys.executable, *own, *missing, peer]
