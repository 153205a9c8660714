"""The options that this interpreter was started with."""

from __future__ import annotations

import sys

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
    for name, value in sys._xoptions.items():
        options.append(f"-X{name}" if value is True else f"-X{name}={value}")
    return options
