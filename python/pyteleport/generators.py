"""Generators, coroutines and async generators, and what their methods give to be awaited.

A generator is made first, by its function, and completed when all is there; those on the stack are
completed by the frames' resume.
"""

from __future__ import annotations

import sys
from types import AsyncGeneratorType, CellType, CoroutineType, FunctionType, GeneratorType

from . import _native, imports

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer


async def _nothing():
    return
    yield


class _First:
    """What stands in for the first iterator of an asynchronous generator expression."""

    def __iter__(self):
        return iter(())

    def __aiter__(self):
        return _nothing()


FIRST = _First()


def make_finished(code):
    """A generator or coroutine that has come to its end, of this code."""
    closure = tuple([CellType() for _name in code.co_freevars])
    made = _native.new_generator(FunctionType(code, {}, None, None, closure))
    if hasattr(made, "close"):
        made.close()
    else:
        try:
            made.aclose().send(None)
        except StopIteration:
            pass
    return made


def rename(generator, names):
    """Give a generator names of its own."""
    generator.__name__, generator.__qualname__ = names


def complete(generator, names, fields):
    """Give a generator what its function does not tell."""
    if names is not None:
        rename(generator, names)
    if fields is not None:
        _native.write_fields(generator, fields)


def complete_finished(generator, state):
    """The same, when that is all there is."""
    complete(generator, *state)


def make_step(generator, method):
    """What a method of an async generator gives. The generator is a fresh one, or waits to be completed."""
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        return generator.asend(None) if method == "asend" else generator.aclose()
    finally:
        sys.set_asyncgen_hooks(*hooks)


def make_coroutine_wrapper(coroutine):
    """What `__await__` of a coroutine gives."""
    return coroutine.__await__()


class _Shell:
    def __anext__(self):
        return self

    def __await__(self):
        return self


def make_anext():
    """What `anext` gives that was given a default."""
    return anext(_Shell(), None)  # noqa: F821 (new in 3.10, as these objects are)


def fill(thing, fields):
    """Put back what the fields of an awaitable held."""
    _native.write_fields(thing, fields)


# -------------------------------------------------------------------------- taking apart, at home

_PREFIXES = {GeneratorType: "gi_", CoroutineType: "cr_", AsyncGeneratorType: "ag_"}


def _part(generator, name):
    return getattr(generator, _PREFIXES[type(generator)] + name)


def _own_fields(generator):
    """What coroutines and async generators have beyond generators, if it is not what fresh ones have."""
    if type(generator) is GeneratorType:
        return None
    fields = _native.read_fields(generator)
    return fields if any(fields.values()) or type(generator) is AsyncGeneratorType else None


def take_generator(pickler, generator):
    """A generator or coroutine; one that is running is finished by the frames' resume."""
    names = generator.__name__, generator.__qualname__
    fields = _own_fields(generator)
    if _part(generator, "frame") is None:
        state = names, fields
        return make_finished, (_part(generator, "code"),), state, None, None, complete_finished
    function = _native.generator_function(generator)
    if id(generator) not in pickler.deferred_ids:
        pickler.deferred_ids[id(generator)] = generator
        if id(generator) in pickler.capture.running:
            pickler.deferred.append(("running", generator))
        else:
            try:
                state, objects = _native.read_generator(generator)
            except Exception as problem:
                return pickler.refuse(generator, str(problem))
            pickler.deferred.append(("generator", generator, state, objects))
            if _native.is_closing(generator):
                pickler.deferred.append(("closing", generator))
        if names == (function.__name__, function.__qualname__):
            names = None
        if names is not None or fields is not None:
            pickler.deferred.append(("rest of a generator", generator, names, fields))
    if type(function) is FunctionType and _is_new(pickler, function):
        from .reducers import function_state

        # Its closure may lead to the generator: made here, filled when all is there.
        pickler.promise(function)
        state = function_state(pickler, function)
        if state is not None:
            pickler.deferred.append(("function", function, state))
    return _native.new_generator, (function,)


def _is_new(pickler, function):
    if id(function) in pickler.begun:
        return False
    return not pickler.modules.has(function, function.__module__, function.__qualname__)


def take_step(_pickler, step):
    """What `__anext__`, `asend`, `athrow` or `aclose` of an async generator gives, begun or not."""
    fields = _native.read_fields(step)
    method = type(step).__name__.rpartition("_")[2]
    generator = fields["ags_gen" if method == "asend" else "agt_gen"]
    return make_step, (generator, method), fields, None, None, fill


def take_coroutine_wrapper(_pickler, wrapper):
    """What `__await__` of a coroutine gives: it keeps nothing but that."""
    return make_coroutine_wrapper, (_native.read_field(wrapper, "cw_coroutine"),)


def take_anext(_pickler, awaitable):
    """What `anext` gives that was given a default."""
    return make_anext, (), _native.read_fields(awaitable), None, None, fill
