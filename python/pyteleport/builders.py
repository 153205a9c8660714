"""What builds, at the peer, the objects that `reducers` takes apart.

What can be part of its own state is made empty first, and filled later.
"""

from __future__ import annotations

import sys
from types import CellType, CodeType, FunctionType, MethodType

from . import _native, classes, imports

__builtins__ = imports.BUILTINS


def nothing(*_ignored):
    """Stand for what is refused, and set the state of what needs none."""
    return None


ANNOTATIONS = "func_annotations"


class NoItems:
    """Iterated over by its items, of which it has none."""

    __slots__ = ()

    def __getitem__(self, index):
        raise IndexError(index)


def _decimal_manager():
    from decimal import localcontext

    return localcontext()


def _of_async_generator(method):
    def make():
        from .generators import make_step

        async def items():
            yield

        step = make_step(items(), method)
        step.close()
        return step

    return make


def _wrapper():
    async def work():
        pass

    coroutine = work()
    wrapper = coroutine.__await__()
    coroutine.close()
    return wrapper


def _anext():
    from .generators import make_anext

    return make_anext()


def make_key():
    """A key of `functools.cmp_to_key`, of nothing yet."""
    from functools import cmp_to_key

    return cmp_to_key(None)


def _scanner():
    import re

    return re.compile("").scanner("")


# Types in C that no module offers by a name, and what makes one of each.
SPECIMENS = {
    ("builtins", "async_generator_asend"): _of_async_generator("asend"),
    ("builtins", "async_generator_athrow"): _of_async_generator("aclose"),
    ("builtins", "coroutine_wrapper"): _wrapper,
    ("builtins", "anext_awaitable"): _anext,
    ("decimal", "ContextManager"): _decimal_manager,
    ("functools", "KeyWrapper"): make_key,
    ("_sre", "SRE_Scanner"): _scanner,
}


def type_of_specimen(module, name):
    """A type that is reached only through what is of it."""
    return type(SPECIMENS[module, name]())


_CO_NAME = 11


def make_code(*fields):
    """A code object from its fields, and with an interned name, as the compiler makes it."""
    return CodeType(*fields[:_CO_NAME], sys.intern(fields[_CO_NAME]), *fields[_CO_NAME + 1 :])


def make_function(code, namespace, closure=None):
    """A function with no more than what it cannot be made without."""
    return FunctionType(code, namespace, None, None, closure)


def fill_function(function, state):
    """Give a function its attributes, and the cells of its closure their contents."""
    attributes, own, cells = state
    for name, value in attributes.items():
        if name == ANNOTATIONS:
            _native.write_field(function, name, value)
        else:
            setattr(function, name, value)
    if own:
        function.__dict__.update(own)
    for cell, content in cells:
        cell.cell_contents = content


def make_cell():
    """An empty cell."""
    return CellType()


def fill_cell(cell, state):
    """Give a cell its content."""
    cell.cell_contents = state[0]


def make_method(function, receiver):
    """A bound method."""
    return MethodType(function, receiver)


def fill_random(thing, state):
    """Give a source of random numbers its state and its attributes."""
    from _random import Random

    from . import instances

    words, own = state
    if words is not None:
        Random.setstate(thing, words)
    if own is not None:
        instances.fill(thing, own)


def make_lock(is_held=False):
    """A lock, free or held."""
    from _thread import allocate_lock

    lock = allocate_lock()
    if is_held:
        lock.acquire()
    return lock


def hold_rlock(kind, count, number):
    """A reentrant lock, held by a thread."""
    from . import threads

    lock = kind()
    lock._acquire_restore((count, threads.ident_of(number)))
    return lock


def hold_module_lock(name, count, number):
    """The lock of a module, held by a thread."""
    from _frozen_importlib import _get_module_lock

    from . import threads

    lock = _get_module_lock(name)
    for _ in range(count):
        lock.acquire()
    if number is not None:
        lock.owner = threads.ident_of(number)
    return lock


def hold_import_lock():
    """The context that holds the interpreter's import lock, entered."""
    from _frozen_importlib import _ImportLockContext

    context = _ImportLockContext()
    context.__enter__()
    return context


def namespace_proxy(cls):
    """The read-only view of a class's namespace."""
    return type.__dict__["__dict__"].__get__(cls)


def make_view_of(mapping, kind):
    """The keys, the values or the items of a dictionary."""
    bases = classes.read_order(type(mapping))
    base = next(cls for cls in bases if classes.read_name(cls) in ("dict", "OrderedDict"))
    return getattr(base, kind)(mapping)


def bind(unbound, receiver):
    """A method of a type in C, bound."""
    return unbound.__get__(receiver)


def descriptor(cls, name):
    """A descriptor that was made together with its class."""
    namespace = type.__dict__["__dict__"].__get__
    # from 3.15 on all classes share two that are `object`'s, which has them not
    return namespace(cls if name in namespace(cls) else type("Any", (), {}))[name]


def make_variable(name, *default):
    """A context variable."""
    from contextvars import ContextVar

    return ContextVar(name, default=default[0]) if default else ContextVar(name)


def make_context():
    """A context in which no variable is set yet."""
    from _contextvars import Context

    return Context()


def fill_context(context, values):
    """Set these variables in a context."""
    for variable, value in values:
        context.run(variable.set, value)


def make_type_variable(kind, name, options):
    """A `TypeVar`, a `ParamSpec`, a `TypeVarTuple` or a `TypeAliasType` of nothing yet."""
    import typing

    return (
        getattr(typing, kind)(name, **options)
        if kind != "TypeAliasType"
        else typing.TypeAliasType(name, None)
    )


def fill_type_variable(variable, state):
    """Give it its attributes, its values, and the functions that evaluate them."""
    attributes, fields = state
    own = _native.own_attributes(variable)
    if own is not None:
        own.clear()
        own.update(attributes)
    _native.write_fields(variable, fields)


def fill_attributes(thing, attributes):
    """Fill the dictionary of an object."""
    thing.__dict__.clear()
    thing.__dict__.update(attributes)


def make_local(cls, args, options):
    """Something of which each thread has its own, not filled: whose `__init__` runs in new threads only."""
    return cls.__new__(cls, *args, **options)


def base_context():
    """The context that this thread has outside of all that its `Context.run` calls have entered."""
    from _contextvars import ContextVar

    probe = ContextVar("probe")
    token = probe.set(None)
    found = _native.read_field(token, "tok_ctx")
    probe.reset(token)
    while True:
        outer = _native.read_field(found, "ctx_prev")
        if outer is None:
            return found
        found = outer


def make_token(variable):
    """A token of this variable, not filled."""
    from _contextvars import Context

    return Context().run(variable.set, None)


def fill_token(token, state):
    """Let it put the variable back to its old value, in its context: None is that of the thread."""
    context, missing, old, is_used = state
    _native.write_field(token, "tok_ctx", base_context() if context is None else context)
    if not missing:
        _native.write_field(token, "tok_oldval", old)
    _native.write_field(token, "tok_used", is_used)


def unset_variable(variable):
    """Have a context variable have no value in the context that is in force."""
    token = variable.set(None)
    _native.write_field(token, "tok_oldval", None)
    variable.reset(token)
