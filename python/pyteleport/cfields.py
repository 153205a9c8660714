"""Objects of C modules whose state no API shows: their fields are read and written in place.

The offsets hold for CPython 3.8 to 3.15 on 64-bit machines. `ctypes` is imported only when the
program holds such an object. Shells are made without running any code of the program.
"""

from __future__ import annotations

import sys

from . import classes


def _read(thing, offset):
    """The object in a field; None where it is NULL."""
    from ctypes import c_void_p, cast, py_object

    address = c_void_p.from_address(id(thing) + offset).value
    return cast(address, py_object).value if address else None


def _write(thing, offset, value):
    """Put an object into a field, with a reference of its own."""
    from ctypes import c_void_p, py_object, pythonapi

    field = c_void_p.from_address(id(thing) + offset)
    before = field.value
    pythonapi.Py_IncRef(py_object(value))
    field.value = id(value)
    if before:
        pythonapi.Py_DecRef(c_void_p(before))


def _number(thing, offset):
    """The field that holds an integer, to read and to write as `value`."""
    from ctypes import c_ssize_t

    return c_ssize_t.from_address(id(thing) + offset)


# ------------------------------------------------------------------------------------ lru_cache

_NEXT, _TYPED, _CACHE, _HITS, _FUNCTION, _MAXSIZE, _MISSES = 24, 64, 72, 80, 88, 96, 104
_LINK_KEY, _LINK_RESULT = 40, 48


def take_cached(pickler, wrapper):
    """A function behind `functools.lru_cache`, with what it remembers, oldest first."""
    module, name = wrapper.__module__, getattr(wrapper, "__qualname__", None)
    if pickler.modules.has(wrapper, module, name):
        return classes.attribute, (sys.modules[module], *name.split("."))
    info = wrapper.cache_info()
    typed = bool(_number(wrapper, _TYPED).value & 0xFFFFFFFF)
    remembered = []
    if info.currsize:
        mark = _keyword_mark(typed)
        remembered = [(*_arguments(key, mark, typed), result) for key, result in _entries(wrapper)]
    state = wrapper.__dict__, remembered, info.hits, info.misses
    made = make_cached, (_read(wrapper, _FUNCTION), info.maxsize, typed)
    return (*made, state, None, None, fill_cached)


def _entries(wrapper):
    if _number(wrapper, _MAXSIZE).value < 0:
        return list(_read(wrapper, _CACHE).items())
    entries, link = [], _read(wrapper, _NEXT)
    while link is not wrapper:
        entries.append((_read(link, _LINK_KEY), _read(link, _LINK_RESULT)))
        link = _read(link, _NEXT)
    return entries


def _keyword_mark(typed):
    """The object that parts positional arguments from keywords in the keys of all caches."""
    from functools import lru_cache

    probe = lru_cache(None, typed)(lambda **options: None)
    probe(option=None)
    return next(iter(_read(probe, _CACHE)))[0]


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
        function = _read(wrapper, _FUNCTION)
        results = iter([entry[2] for entry in remembered])
        _write(wrapper, _FUNCTION, lambda *args, **options: next(results))
        try:
            for args, options, _result in remembered:
                wrapper(*args, **options)
        finally:
            _write(wrapper, _FUNCTION, function)
    _number(wrapper, _HITS).value = hits
    _number(wrapper, _MISSES).value = misses


# ------------------------------------------------------------------------------------------ csv

_INPUT, _LINE_NUMBER = 16, 80
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
    return (*made, (_read(reader, _INPUT), reader.line_num), None, None, fill_csv_reader)


def make_csv_reader(dialect):
    """A reader of nothing yet."""
    import _csv

    return _csv.reader((), dialect)


def fill_csv_reader(reader, state):
    """Let a reader go on with its input."""
    _write(reader, _INPUT, state[0])
    _number(reader, _LINE_NUMBER).value = state[1]


# -------------------------------------------------------------------------------- memory iterators

_INDEX, _VIEW, _LENGTH = 16, 24, 32


def take_memory_iterator(_pickler, iterator):
    """An iterator over a view: the view and how far it came."""
    view = _read(iterator, _VIEW)
    return make_memory_iterator, (view, _number(iterator, _INDEX).value)


def make_memory_iterator(view, index):
    """An iterator over a view, from there on."""
    if view is None:
        iterator = iter(memoryview(b""))
        next(iterator, None)
        return iterator
    iterator = iter(view)
    _number(iterator, _INDEX).value = index
    return iterator


# ------------------------------------------------------------------------------- decimal contexts

_LOCAL, _OUTER = 16, 24


def take_decimal_manager(_pickler, manager):
    """What `decimal.localcontext()` returns: the context in the block, and the one around it."""
    return (
        make_decimal_manager,
        (),
        (_read(manager, _LOCAL), _read(manager, _OUTER)),
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
    _write(manager, _LOCAL, state[0])
    _write(manager, _OUTER, state[1])
