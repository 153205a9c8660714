"""What the program has registered with modules that are installed: how to copy, encode, read and collect.

Each pair is as in `runtime`; what depends on which objects are the program's own gets the sorted modules.
"""

from __future__ import annotations

import sys

from . import imports
from .sources import when_imported

__builtins__ = imports.BUILTINS


def _is_own(found, thing):
    """Whether a class, function or instance is the program's."""
    owner = getattr(thing, "__module__", None)
    if type(owner) is not str:
        owner = type(thing).__module__
    return owner in found.by_value


def take_copyreg(found):
    """Reducers and extension codes: those with a class or function of the program's."""
    copyreg = sys.modules.get("copyreg")
    if copyreg is None:
        return None
    reducers = {
        cls: reducer
        for cls, reducer in copyreg.dispatch_table.items()
        if _is_own(found, cls) or _is_own(found, reducer)
    }
    codes = dict(copyreg._extension_registry)
    return (reducers, codes) if reducers or codes else None


def give_back_copyreg(taken):
    """Register them here."""
    import copyreg

    reducers, codes = taken
    copyreg.dispatch_table.update(reducers)
    for (module, name), code in codes.items():
        if copyreg._extension_registry.get((module, name)) != code:
            copyreg.add_extension(module, name, code)


def codec_tables():
    """The list of search functions, and the dictionary of error handlers: only the collector shows them."""
    import codecs
    import encodings
    from gc import get_referrers

    searches, handlers = [], {}
    for one in get_referrers(encodings.search_function):
        if type(one) is list and one[:1] == [encodings.search_function]:
            searches = one
    for one in get_referrers(codecs.lookup_error("strict")):
        if type(one) is dict and "xmlcharrefreplace" in one and "strict" in one and "__name__" not in one:
            handlers = one
    return searches, handlers


def take_codecs(found):
    """Search functions and error handlers of the program's own."""
    if not {"register", "register_error"} & found.words:
        return None
    searches, handlers = codec_tables()
    own = [search for search in searches if _is_own(found, search)]
    errors = {name: handler for name, handler in handlers.items() if _is_own(found, handler)}
    return (own, errors) if own or errors else None


def give_back_codecs(taken):
    """Register them here, once."""
    import codecs

    searches, errors = taken
    there = codec_tables()[0]
    for search in searches:
        if not any(search is one for one in there):
            codecs.register(search)
    for name, handler in errors.items():
        codecs.register_error(name, handler)


def take_gc_callbacks(found):
    """What the program has the collector call, and what that could not free."""
    import gc

    callbacks = [callback for callback in gc.callbacks if _is_own(found, callback)]
    return (callbacks, list(gc.garbage)) if callbacks or gc.garbage else None


def give_back_gc_callbacks(taken):
    """Have them called here."""
    import gc

    callbacks, garbage = taken
    gc.callbacks.extend(one for one in callbacks if not any(one is other for other in gc.callbacks))
    gc.garbage.extend(garbage)


_DIALECTS = frozenset(("excel", "excel-tab", "unix"))


def take_csv():
    """Dialects, and how long a field may be."""
    csv = sys.modules.get("_csv")
    if csv is None:
        return None
    dialects = {name: csv.get_dialect(name) for name in csv.list_dialects() if name not in _DIALECTS}
    limit = csv.field_size_limit()
    return (dialects, limit) if dialects or limit != 131072 else None


def give_back_csv(taken):
    """Register them here."""
    import csv

    dialects, limit = taken
    for name, dialect in dialects.items():
        csv.register_dialect(name, dialect)
    csv.field_size_limit(limit)


def _are_sqlites(function):
    return getattr(function, "__module__", None) == "sqlite3.dbapi2"


def take_sqlite():
    """How `sqlite3` makes values of objects, and objects of values, other than as usual."""
    sqlite = sys.modules.get("_sqlite3")
    if sqlite is None or not hasattr(sys.modules.get("sqlite3"), "adapters"):
        return None
    sqlite = sys.modules["sqlite3"]
    adapters = [(key[0], call) for key, call in sqlite.adapters.items() if not _are_sqlites(call)]
    converters = [(name, call) for name, call in sqlite.converters.items() if not _are_sqlites(call)]
    return (adapters, converters) if adapters or converters else None


def give_back_sqlite(taken):
    """Register them here."""
    import sqlite3

    adapters, converters = taken
    for cls, adapter in adapters:
        sqlite3.register_adapter(cls, adapter)
    for name, converter in converters:
        sqlite3.register_converter(name, converter)


def take_defaults():
    """Settings of modules in C that have functions for them: (module, function, value)."""
    found = []
    for name, getter, setter, usual in (
        ("_socket", "getdefaulttimeout", "setdefaulttimeout", None),
        ("_thread", "stack_size", "stack_size", 0),
    ):
        module = sys.modules.get(name)
        value = getattr(module, getter)() if module is not None else usual
        if value != usual:
            found.append((name, setter, value))
    tracing = sys.modules.get("tracemalloc")
    if tracing is not None and tracing.is_tracing():
        found.append(("tracemalloc", "start", tracing.get_traceback_limit()))
    processes = sys.modules.get("multiprocessing")
    method = processes.get_start_method(allow_none=True) if processes is not None else None
    if method is not None:
        found.append(("multiprocessing", "set_start_method", method))
    return found or None


def give_back_defaults(taken):
    """Set them here."""
    for name, setter, value in taken:
        __import__(name)
        options = {"force": True} if setter == "set_start_method" else {}
        getattr(sys.modules[name], setter)(value, **options)


_CONTEXT = ("prec", "rounding", "Emin", "Emax", "capitals", "clamp")


def take_decimal_default():
    """What `decimal` makes contexts of for threads that have none."""
    decimal = sys.modules.get("decimal")
    if decimal is None:
        return None
    default = decimal.DefaultContext
    return [getattr(default, name) for name in _CONTEXT], dict(default.traps)


def give_back_decimal_default(taken):
    """Make this one equal."""

    def put(decimal):
        values, traps = taken
        for name, value in zip(_CONTEXT, values):
            setattr(decimal.DefaultContext, name, value)
        decimal.DefaultContext.traps.update(traps)

    when_imported("decimal", put)


# ---------------------------------------------------------------------------------- warnings


class _Probe(Warning):
    """A warning that nobody sees."""


def _bring_up_to_date(warnings, registry):
    """Have C look at a registry of warnings that were shown, which it empties if the filters changed."""
    warnings.filters.insert(0, ("ignore", None, _Probe, None, 0))
    try:
        sys.modules["_warnings"].warn_explicit("", _Probe, "", 0, __name__, registry)
    finally:
        del warnings.filters[0]
    return registry.get("version")


def take_warning_registries(found):
    """Which modules have a register of warnings that is in force: those were shown, and are not again."""
    warnings = sys.modules.get("warnings")
    registers = {
        name: namespace["__warningregistry__"]
        for name, namespace in _namespaces(found.by_value)
        if type(namespace.get("__warningregistry__")) is dict
    }
    if warnings is None or not registers or "_warnings" not in sys.modules:
        return None
    version = _bring_up_to_date(warnings, {})
    return [name for name, register in registers.items() if register.get("version") == version] or None


def give_back_warning_registries(taken):
    """Let these be in force here."""
    import warnings

    version = _bring_up_to_date(warnings, {})
    for _name, namespace in _namespaces({name: sys.modules[name] for name in taken}):
        namespace["__warningregistry__"]["version"] = version


def _namespaces(found):
    from .modules import namespace_of

    return [(name, namespace_of(module)) for name, module in found.items()]
