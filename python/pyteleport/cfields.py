"""Objects of C modules whose state no API shows: the native half reads and writes their fields.

Shells are made without running any code of the program.
"""

from __future__ import annotations

import sys

from . import builders, classes, imports
from ._native import read_field, read_fields, write_field, write_fields

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------------------ lru_cache


def take_cached(pickler, wrapper):
    """A function behind `functools.lru_cache`, with what it remembers, oldest first."""
    module, name = wrapper.__module__, getattr(wrapper, "__qualname__", None)
    if pickler.modules.has(wrapper, module, name):
        return classes.attribute, (sys.modules[module], *name.split("."))
    info = wrapper.cache_info()
    typed = bool(read_field(wrapper, "typed"))
    remembered = []
    if info.currsize:
        mark = _keyword_mark(typed)
        remembered = [(*_arguments(key, mark, typed), result) for key, result in _entries(wrapper)]
    state = wrapper.__dict__, remembered, info.hits, info.misses
    made = make_cached, (read_field(wrapper, "func"), info.maxsize, typed)
    return (*made, state, None, None, fill_cached)


def _entries(wrapper):
    if read_field(wrapper, "maxsize") < 0:
        return list(read_field(wrapper, "cache").items())
    entries, link = [], read_field(wrapper, "next")
    while link is not wrapper:
        entries.append((read_field(link, "key"), read_field(link, "result")))
        link = read_field(link, "next")
    return entries


def _keyword_mark(typed):
    """The object that parts positional arguments from keywords in the keys of all caches."""
    from functools import lru_cache

    probe = lru_cache(None, typed)(lambda **options: None)
    probe(option=None)
    return next(iter(read_field(probe, "cache")))[0]


def _arguments(key, mark, typed):
    """The arguments of the call that a key stands for."""
    if type(key) is not tuple:
        return (key,), {}
    if typed:
        key = key[: _untyped(key, mark)]
    for index, part in enumerate(key):
        if part is mark:
            rest = key[index + 1 :]
            return key[:index], dict(zip(rest[::2], rest[1::2]))
    return key, {}


def _untyped(key, mark):
    """Where the types begin in a key of a cache that tells types apart."""
    for index, part in enumerate(key):
        if part is mark:
            # index arguments, a mark, n pairs, index + n types
            pairs = (len(key) - 2 * index - 1) // 3
            return index + 1 + 2 * pairs
    return len(key) // 2


def make_cached(function, maxsize, typed):
    """A function behind `functools.lru_cache`."""
    from functools import lru_cache

    return lru_cache(maxsize, typed)(function)


def fill_cached(wrapper, state):
    """Have the cache remember: it asks a feeder, which knows the results."""
    attributes, remembered, hits, misses = state
    wrapper.__dict__.clear()
    wrapper.__dict__.update(attributes)
    if remembered:
        function = read_field(wrapper, "func")
        results = iter([entry[2] for entry in remembered])
        write_field(wrapper, "func", lambda *args, **options: next(results))
        try:
            for args, options, _result in remembered:
                wrapper(*args, **options)
        finally:
            write_field(wrapper, "func", function)
    write_field(wrapper, "hits", hits)
    write_field(wrapper, "misses", misses)


# ------------------------------------------------------------------------------------------ csv

_DIALECT = (
    *("delimiter", "doublequote", "escapechar", "lineterminator"),
    *("quotechar", "quoting", "skipinitialspace", "strict"),
)


class _Target:
    """Has the method that a csv writer looks for."""

    __slots__ = ("write",)

    def __init__(self, write):
        self.write = write


def take_csv_dialect(_pickler, dialect):
    """A dialect is its attributes."""
    return make_csv_dialect, tuple([getattr(dialect, name) for name in _DIALECT])


def make_csv_dialect(*values):
    """A dialect from its attributes."""
    import _csv

    return _csv.Dialect(**dict(zip(_DIALECT, values)))


def take_csv_writer(_pickler, writer):
    """A writer holds its dialect and the method that it writes with."""
    from gc import get_referents

    dialect = writer.dialect
    write = next(part for part in get_referents(writer) if callable(part) and part is not type(writer))
    return make_csv_writer, (write, dialect)


def make_csv_writer(write, dialect):
    """A writer that writes with a method."""
    import _csv

    return _csv.writer(_Target(write), dialect)


def take_csv_reader(_pickler, reader):
    """A reader between two rows."""
    made = make_csv_reader, (reader.dialect,)
    return (*made, (read_field(reader, "input_iter"), reader.line_num), None, None, fill_csv_reader)


def make_csv_reader(dialect):
    """A reader of nothing yet."""
    import _csv

    return _csv.reader((), dialect)


def fill_csv_reader(reader, state):
    """Let a reader go on with its input."""
    write_field(reader, "input_iter", state[0])
    write_field(reader, "line_num", state[1])


# ------------------------------------------------------------------------------- decimal contexts


def take_decimal_manager(_pickler, manager):
    """What `decimal.localcontext()` returns: the context in the block, and the one around it."""
    return (
        make_decimal_manager,
        (),
        (read_field(manager, "local"), read_field(manager, "global")),
        None,
        None,
        fill_decimal_manager,
    )


def make_decimal_manager():
    """A context manager for some context."""
    from decimal import localcontext

    return localcontext()


def fill_decimal_manager(manager, state):
    """Let it know its contexts."""
    write_field(manager, "local", state[0])
    write_field(manager, "global", state[1])


# -------------------------------------------------------------------------------------- json

_SCANNER = (
    "strict",
    "object_hook",
    "object_pairs_hook",
    "parse_float",
    "parse_int",
    "parse_constant",
    "array_hook",
)


def take_json_scanner(_pickler, scanner):
    """What decoders of `json` read with: all that it has shows."""
    return make_json_scanner, (
        type(scanner),
        {name: getattr(scanner, name) for name in _SCANNER if hasattr(scanner, name)},
    )


class _Decoder:
    """What a scanner is made from."""


def make_json_scanner(cls, facts):
    """A scanner of a decoder with these settings."""
    decoder = _Decoder()
    vars(decoder).update(facts)
    return cls(decoder)


# ------------------------------------------------------------------- keys of functools.cmp_to_key


def take_key(_pickler, key):
    """What `cmp_to_key` makes, or what that makes of an object."""
    return builders.make_key, (), read_fields(key), None, None, write_fields


# ---------------------------------------------------------------------------------------- queues

_QUEUES_ARE_RINGS = sys.version_info >= (3, 13)


def take_simple_queue(pickler, queue):
    """A `queue.SimpleQueue`: its items, which nobody else may take meanwhile."""
    from gc import get_referents

    from . import instances

    cls = type(queue)
    found = get_referents(queue)
    if _QUEUES_ARE_RINGS:
        if len(found) > queue.qsize():
            found.remove(cls)
    else:  # a list, whose first items may be taken already
        found = next(part for part in found if type(part) is list)
        found = found[len(found) - queue.qsize() :]
    return instances.make_plain, (cls, cls), found, None, None, fill_simple_queue


def fill_simple_queue(queue, items):
    """Put items into a queue."""
    for item in items:
        queue.put(item)


# --------------------------------------------------------------------------------- struct iterators


def take_unpack_iterator(_pickler, iterator):
    """What `Struct.iter_unpack` returns."""
    form = read_field(iterator, "so")
    if form is None:
        return make_unpack_iterator, ()
    made = make_unpack_iterator, (form, read_field(iterator, "obj"))
    return (*made, read_field(iterator, "index"), None, None, fill_unpack_iterator)


def make_unpack_iterator(form=None, memory=None):
    """An iterator over packed items; without a form one that is at its end."""
    if form is not None:
        return form.iter_unpack(memory)
    from _struct import iter_unpack

    iterator = iter_unpack("b", b"")
    next(iterator, None)
    return iterator


def fill_unpack_iterator(iterator, index):
    """Let it stand there."""
    write_field(iterator, "index", index)
