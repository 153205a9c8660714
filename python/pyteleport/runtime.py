"""The state of the interpreter that belongs to the program: a table of (take, give back) pairs.

`EARLY` (`surroundings`) is plain data, given back before any object of the program is built. `LATE`
travels in the graph, since handlers and hooks are objects of the program. What acts on the world
outside is given back last of all (`SETTLE`), when the program is there for good.

Each `take` returns None where there is nothing to say, which must cost next to nothing; nothing is
imported to ask. Each `give_back` gets what `take` returned.
"""

from __future__ import annotations

import os
import sys

from . import (
    _native,
    builders,
    changes,
    files,
    held,
    hooks,
    imports,
    libraries,
    loops,
    modules,
    prompts,
    registered,
    registries,
    shells,
    sources,
    streams,
    threads,
    timers,
)
from .sources import when_imported
from .surroundings import EARLY

__builtins__ = imports.BUILTINS

# --------------------------------------------------------------------------------------- late


def take_reloading():
    """The modules that are being reloaded."""
    importlib = sys.modules.get("importlib")
    return dict(getattr(importlib, "_RELOADING", ())) or None


def give_back_reloading(taken):
    """Tell importlib which modules are being reloaded."""
    import importlib

    importlib._RELOADING.update(taken)


def take_settings():
    """Settings of the interpreter, all of them: what is usual depends on how a process was started."""
    digits = getattr(sys, "get_int_max_str_digits", int)()
    return sys.getswitchinterval(), digits, sys.dont_write_bytecode, sys.pycache_prefix


def give_back_settings(taken):
    """Set them here."""
    interval, digits, sys.dont_write_bytecode, sys.pycache_prefix = taken
    sys.setswitchinterval(interval)
    if digits != getattr(sys, "get_int_max_str_digits", int)():
        # From 3.14 on `sys.flags` is another object then.
        sys.set_int_max_str_digits(digits)


def take_random():
    """The state of the generator behind the functions of `random`."""
    random = sys.modules.get("random")
    return random._inst.getstate() if random is not None else None


def give_back_random(taken):
    """Go on with the same numbers."""
    when_imported("random", lambda random: random._inst.setstate(taken))


def take_numpy_random():
    """The state of the generator behind the functions of `numpy.random`."""
    random = sys.modules.get("numpy.random")
    return random.get_state(legacy=False) if random is not None else None


def give_back_numpy_random(taken):
    """Go on with the same numbers."""
    when_imported("numpy.random", lambda random: random.set_state(taken))


def take_numpy_errors():
    """How NumPy handles errors."""
    if "numpy" not in sys.modules:
        return None
    from . import arrays

    return arrays.take_errors()


def give_back_numpy_errors(taken):
    """Have them handled so."""
    from . import arrays

    arrays.give_back_errors(taken)


def take_decimal():
    """The decimal context in force."""
    decimal = sys.modules.get("decimal")
    return decimal.getcontext() if decimal is not None else None


def give_back_decimal(taken):
    """Put the decimal context in force."""
    sys.modules["decimal"].setcontext(taken)


USUAL_FILTERS = [
    ("default", None, DeprecationWarning, "__main__", 0),
    ("ignore", None, DeprecationWarning, None, 0),
    ("ignore", None, PendingDeprecationWarning, None, 0),
    ("ignore", None, ImportWarning, None, 0),
    ("ignore", None, ResourceWarning, None, 0),
]


_SHOWS = ("showwarning", "formatwarning", "_showwarnmsg_impl")


def take_warnings():
    """The filters for warnings, and what shows them, where they are not the usual ones."""
    warnings = sys.modules.get("warnings")
    if warnings is None:
        return None
    # Options say what is usual, too.
    is_usual = warnings.filters == USUAL_FILTERS and not sys.warnoptions and not sys.flags.dev_mode
    filters = None if is_usual else list(warnings.filters)
    shows = {}
    for name in _SHOWS:
        show = getattr(warnings, name, None)
        if getattr(show, "__module__", None) not in ("warnings", "_py_warnings"):
            shows[name] = show
    return (filters, shows) if filters is not None or shows else None


def give_back_warnings(taken):
    """Put the filters into the list that C looks at."""
    filters, shows = taken

    def put(warnings):
        for name, show in shows.items():
            setattr(warnings, name, show)
        if filters is None:
            return
        warnings.filters[:] = filters
        mutated = getattr(warnings, "_filters_mutated", None)
        if mutated is not None:
            mutated()
        else:
            with warnings._lock:
                warnings._filters_mutated_lock_held()

    when_imported("warnings", put)


def take_logging():
    """What is set on loggers."""
    if "logging" not in sys.modules:
        return None
    from . import logs

    return logs.take_logging()


def give_back_logging(taken):
    """Set it here."""
    from . import logs

    logs.give_back_logging(taken)


# What has come along: the program need not have imported `locale` here.
_locales = []


def take_locale():
    """The locale, once the program has set one."""
    if "locale" not in sys.modules and not _locales:
        return None
    import _locale

    return _locale.setlocale(_locale.LC_ALL, None)


def give_back_locale(taken):
    """Set the locale; a peer without it says so."""
    import _locale

    _locales[:] = [taken]
    try:
        _locale.setlocale(_locale.LC_ALL, taken)
    except _locale.Error:
        sys.stderr.write("pyteleport: the locale %s is not installed here\n" % taken)


def take_context_variables(pickler):
    """The values of the context variables that travel, or that a module here and there has.

    Those are left out that were taken before.
    """
    contextvars = sys.modules.get("contextvars") or sys.modules.get("_contextvars")
    if contextvars is None:
        return None
    return context_values(pickler, builders.base_context(), pickler.valued)


def context_values(pickler, context, valued=()):
    """The values of the context variables that a context has, but for those that were taken before."""
    values = []
    for variable, value in context.items():
        if id(variable) in valued:
            continue
        if id(variable) in pickler.variables or pickler.modules.search(variable) is not None:
            if valued is pickler.valued:
                valued.add(id(variable))
            values.append((variable, value))
    return values or None


def take_finalizers(pickler):
    """Finalizers of `weakref` that nobody holds, of the program's objects or with its functions."""
    weakref = sys.modules.get("weakref")
    if weakref is None:
        return None
    found = []
    for finalizer, info in list(weakref.finalize._registry.items()):
        owner = info.weakref()
        modules_of_both = [getattr(info.func, "__module__", None), type(owner).__module__]
        if owner is not None and any(name in pickler.modules.by_value for name in modules_of_both):
            found.append((info.index, finalizer))
    return [finalizer for _index, finalizer in sorted(found, key=lambda pair: pair[0])] or None


def take_faulthandler():
    """Whether crashes are shown, if the program has something to say about that."""
    faulthandler = sys.modules.get("faulthandler")
    return faulthandler and faulthandler.is_enabled()


def give_back_faulthandler(taken):
    """Show crashes, or don't."""
    import faulthandler

    if taken != faulthandler.is_enabled():
        if taken:
            faulthandler.enable()
        else:
            faulthandler.disable()


LATE = (
    ("faulthandler", take_faulthandler, give_back_faulthandler),
    ("settings", take_settings, give_back_settings),
    ("random", take_random, give_back_random),
    ("numpy.random", take_numpy_random, give_back_numpy_random),
    ("numpy", take_numpy_errors, give_back_numpy_errors),
    ("libraries", libraries.take, libraries.give_back),
    ("decimal", take_decimal, give_back_decimal),
    ("warnings", take_warnings, give_back_warnings),
    ("locale", take_locale, give_back_locale),
    ("logging", take_logging, give_back_logging),
    ("reloading", take_reloading, give_back_reloading),
    ("loops", loops.take_loops, loops.give_back_loops),
    ("csv", registries.take_csv, registries.give_back_csv),
    ("sqlite", registries.take_sqlite, registries.give_back_sqlite),
    ("defaults", registries.take_defaults, registries.give_back_defaults),
    ("decimal default", registries.take_decimal_default, registries.give_back_decimal_default),
    ("prompt", prompts.take, prompts.give_back),
    ("shell", prompts.take_shell, shells.give_back),
)

# ------------------------------------------------------------------------------------- settle


def take_signals():
    """The handlers that differ from those of a fresh interpreter."""
    signal = sys.modules.get("_signal")
    if signal is None:
        return None
    usual = _usual_handlers(signal)
    handlers = {}
    for number in range(1, signal.NSIG):
        try:
            handler = signal.getsignal(number)
        except ValueError:
            continue
        if handler is not None and handler != usual.get(number, 0):
            handlers[number] = handler
    return handlers or None


def _usual_handlers(signal):
    return {
        signal.SIGINT: signal.default_int_handler,
        signal.SIGPIPE: 1,
        getattr(signal, "SIGXFSZ", -1): 1,
    }


def reset_signals(but):
    """Do what is usual for all signals but these."""
    found = {number: None for number in take_signals() or () if number not in but}
    if found:
        usual = _usual_handlers(sys.modules["_signal"])
        give_back_signals({number: usual.get(number, 0) for number in found})


def give_back_signals(taken):
    """Set the handlers."""
    from _signal import signal

    for number, handler in taken.items():
        try:
            signal(number, handler)
        except (OSError, ValueError):
            pass


# Modules register these when they are imported, at the peer as at home.
_REGISTERED_BY_IMPORT = {
    ("logging", "shutdown"),
    ("weakref", "finalize._exitfunc"),
    ("threading", "_shutdown"),
    ("multiprocessing.util", "_exit_function"),
    ("concurrent.futures.thread", "_python_exit"),
    ("concurrent.futures.process", "_python_exit"),
}

# What prepares a prompt registers these.
_REGISTERED_BY_PROMPT = {
    ("rlcompleter", "<lambda>"),
    ("site", "register_readline.<locals>.write_history"),
    ("site", "enablerlcompleter.<locals>.register_readline.<locals>.write_history"),
}


def _is_of_extension(function):
    """Whether an extension module has made a callback of its own, which it registers where it is imported."""
    # pybind11 keeps its functions behind a capsule, from version 3 on behind a type of its own.
    return type(function) is type(len) and type(function.__self__).__name__.startswith(
        ("PyCapsule", "pybind11_detail_function_record")
    )


def take_atexit():
    """The callbacks that the program registered, oldest first."""
    entries = []
    if "atexit" not in sys.modules:
        return entries
    for function, args, kwargs in _native.atexit_entries():
        module = getattr(function, "__module__", None)
        name = getattr(function, "__qualname__", None)
        if (module, name) in _REGISTERED_BY_IMPORT or _is_of_extension(function):
            continue
        if (module, name) in _REGISTERED_BY_PROMPT and prompts.is_at_prompt():
            continue
        if type(module) is str and module.partition(".")[0] == "pyteleport":
            continue
        if prompts.is_based() and modules.is_of_installed(function):
            continue
        # A shell registers its own where it is made.
        if shells.here() is not None and str(module).startswith("IPython."):
            continue
        entries.append((function, tuple(args), dict(kwargs or {})))
    return entries


def give_back_atexit(taken):
    """Have exactly the program's callbacks, after those that imports have registered here.

    What else is registered here belongs to a program that makes room for this one.
    """
    import atexit

    kept = []
    for function, args, kwargs in _native.atexit_entries():
        is_of_import = not (args or kwargs) or prompts.is_based()
        if (is_of_import and modules.is_of_installed(function)) or _is_of_extension(function):
            kept.append((function, args, dict(kwargs or {})))
    atexit._clear()
    for function, args, kwargs in kept:
        atexit.register(function, *args, **kwargs)
    for function, args, kwargs in taken:
        if args or kwargs or not any(function is one[0] for one in kept):
            atexit.register(function, *args, **kwargs)


SETTLE = (
    ("hooks", hooks.take_hooks, hooks.give_back_hooks),
    ("last exception", hooks.take_last, hooks.give_back_last),
    ("atexit", take_atexit, give_back_atexit),
    ("signals of loops", loops.take_signals, loops.give_back_signals),
    ("signals", take_signals, give_back_signals),
)

# What these take depends on which modules travel by value.
INSTALLED = (
    ("registered", registered.take_registered, registered.give_back_registered),
    ("copyreg", registries.take_copyreg, registries.give_back_copyreg),
    ("codecs", registries.take_codecs, registries.give_back_codecs),
    ("gc callbacks", registries.take_gc_callbacks, registries.give_back_gc_callbacks),
    ("warning registries", registries.take_warning_registries, registries.give_back_warning_registries),
    ("sys.gettrace()", hooks.take_trace, hooks.give_back_tracer),
    ("sys.getprofile()", hooks.take_profile, hooks.give_back_tracer),
    ("finders", changes.take_finders, changes.give_back_finders),
    ("patches", changes.take_patches, changes.give_back_patches),
    ("entries", held.take_entries, held.give_back_entries),
    ("generic functions", held.take_generics, held.give_back_generics),
)


# ---------------------------------------------------------------------------------------- all


def take_early(found, capture, extras, by_value, aliases):
    """Everything that the peer needs before it builds the first object."""
    for name, take, _give_back in EARLY:
        value = take()
        if value is not None:
            found[name] = value
    found["modules"] = list(by_value)
    if aliases:
        found["aliases"] = aliases
    paths = modules.paths_of(by_value)
    if paths:
        found["paths"] = paths
    found["sources"] = sources.take(by_value, capture.codes)
    if extras.get("files"):
        found["files"] = extras["files"]
    return found


def give_back_early(found, extras):
    """Prepare the process for the program; the options of the move come on top."""
    for name, _take, give_back in EARLY:
        if name in found and not (name == "cwd" and extras.get("cwd")):
            give_back(found[name])
    if extras.get("cwd"):
        os.chdir(extras["cwd"])
    os.environ.update(extras.get("env") or {})
    files.unpack(found.get("files", ()))
    modules.choices.update(found.get("ship", ()))
    sources.give_back(found["sources"])
    modules.make_shells(found["modules"], found.get("aliases", ()), found.get("paths", {}))


class Before:
    """What :func:`give_back_early` changes, to be put back if the program cannot go on here."""

    def __init__(self):
        self.state = [(give_back, take()) for _name, take, give_back in EARLY]
        self.modules = sys.modules.copy()

    def put_back(self):
        """Leave the process as it was found, but for what was imported."""
        for give_back, value in self.state:
            if value is not None:
                give_back(value)
        sys.modules.update(self.modules)


def take_late(recursion_limit, collecting, found_modules):
    """Everything that travels in the graph: name → value."""
    import gc

    found = {
        "recursion limit": recursion_limit,
        "collecting": collecting,
        "gc": (gc.get_threshold(), gc.get_debug()),
        "streams": streams.take_streams(),
        "stdin": streams.take_stdin(),
    }
    pending = timers.take_timers()
    if pending is not None:
        found["timers"] = pending
    for name, take, _give_back in LATE + SETTLE:
        value = take()
        if value is not None:
            found[name] = value
    for name, take, _give_back in INSTALLED:
        value = take(found_modules)
        if value is not None:
            found[name] = value
    return found


def give_back_late(found):
    """Give back what does not act on the world outside."""
    import gc

    if found["recursion limit"] > sys.getrecursionlimit():
        sys.setrecursionlimit(found["recursion limit"])
    threshold, debug = found["gc"]
    gc.set_threshold(*threshold)
    gc.set_debug(debug)
    streams.give_back_streams(found["streams"])
    if found["stdin"] is not None:
        streams.give_back_stdin(found["stdin"])
    for name, _take, give_back in LATE:
        if name in found:
            give_back(found[name])


def begin_again(found):
    """In a process that was forked: go on with what forking begins afresh."""
    if "random" in found:
        give_back_random(found["random"])


def lower_limit(limit):
    """Put the limit back; up to 3.9 it refuses to come closer than 50 to the depth of the stack."""
    for margin in (0, 60):
        try:
            return sys.setrecursionlimit(limit + margin)
        except RecursionError:
            continue


def begin(found):
    """What must not come earlier: the program goes on at once after this.

    Returns the tasks that are to be cancelled at their next step, each with the number of its stack.
    """
    cancelled = loops.begin()
    if "timers" in found:
        timers.give_back_timers(found["timers"])
    lower_limit(found["recursion limit"])
    return cancelled


def settle(found):
    """Give back what acts on the world outside: the program is here for good."""
    threads.settle_coroutine_hooks()
    for name, _take, give_back in SETTLE + INSTALLED:
        if name in found:
            give_back(found[name])
