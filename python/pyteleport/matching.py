"""Regular expressions; matches, and what looks for more: by their fields, nothing is matched again."""

from __future__ import annotations

from . import imports
from ._native import read_field, read_fields, write_field, write_fields

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer


def make_pattern(pattern, flags, is_kept):
    """A compiled pattern: that which `re` keeps for who compiles the same again, or one that it does not."""
    import re

    if is_kept:
        return re._compile(pattern, flags)
    if hasattr(re, "_compiler"):
        return re._compiler.compile(pattern, flags)
    from sre_compile import compile

    return compile(pattern, flags)


def make_match(marks):
    """A match with room for as many groups."""
    import re

    return re.match("()" * (marks // 2 - 1), "")


def make_scanner(pattern, string, start, end):
    """What looks for matches of a pattern in a string; for each it is asked again."""
    return pattern.scanner(string, start, end)


def fill_scanner(scanner, state):
    """Let a scanner stand so many bytes behind the beginning, or at its end."""
    offset, must_advance = state
    start = 0 if offset is None else read_field(scanner, "beginning") + offset
    write_field(scanner, "start", start)
    write_field(scanner, "must_advance", must_advance)


# -------------------------------------------------------------------------- taking apart, at home


_UNICODE = 32  # which texts are compiled with, whether that was said or not


def take_pattern(_pickler, pattern):
    """A compiled pattern, and what it was asked for with, by which `re` finds it again."""
    import re

    text, flags = pattern.pattern, pattern.flags
    for asked in (flags & ~_UNICODE, flags):
        if re._cache.get((type(text), text, asked)) is pattern:
            return make_pattern, (text, asked, True)
    for (_kind, _text, asked, *_), kept in re._cache.items():
        if kept is pattern:
            return make_pattern, (text, asked, True)
    return make_pattern, (text, flags, False)


def take_match(_pickler, match):
    """A match."""
    fields = read_fields(match)
    return make_match, (len(fields["marks"]),), fields, None, None, write_fields


def take_scanner(_pickler, scanner):
    """A scanner, which `finditer` has, too."""
    read = {name: read_field(scanner, name) for name in ("pattern", "string", "pos", "endpos")}
    start = read_field(scanner, "start")
    offset = start - read_field(scanner, "beginning") if start else None
    state = offset, read_field(scanner, "must_advance")
    return make_scanner, tuple(read.values()), state, None, None, fill_scanner
