"""How the objects that pickle lacks, or gets wrong, are taken apart and built again.

In three parts: what builds at the peer, what takes apart at home, and the table that names the
taker for each type. A taker gets the pickler and the object and returns what `__reduce_ex__`
would. What can be part of its own state is made empty first, and filled later.

A *promise* says that an object which is met next is only to be made, because the one that leads
to it brings the contents: so a function that its own closure refers to is written once.
"""

from __future__ import annotations

import sys
import weakref
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CellType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodType,
    ModuleType,
    TracebackType,
)

from . import _native, classes, exceptions, files

# ------------------------------------------------------------------------- building, at the peer

if sys.version_info >= (3, 11):
    _CODE_FIELDS = [
        "co_argcount",
        "co_posonlyargcount",
        "co_kwonlyargcount",
        "co_nlocals",
        "co_stacksize",
        "co_flags",
        "co_code",
        "co_consts",
        "co_names",
        "co_varnames",
        "co_filename",
        "co_name",
        "co_qualname",
        "co_firstlineno",
        "co_linetable",
        "co_exceptiontable",
        "co_freevars",
        "co_cellvars",
    ]
else:
    _CODE_FIELDS = (
        "co_argcount co_posonlyargcount co_kwonlyargcount co_nlocals co_stacksize co_flags co_code "
        "co_consts co_names co_varnames co_filename co_name co_firstlineno "
        "%s co_freevars co_cellvars" % ("co_linetable" if sys.version_info >= (3, 10) else "co_lnotab")
    ).split()


def nothing(*_ignored):
    """Stand for what is refused, and set the state of what needs none."""
    return None


def make_code(*fields):
    """A code object from its fields."""
    return CodeType(*fields)


def make_function(code, namespace, closure=None):
    """A function with no more than what it cannot be made without."""
    return FunctionType(code, namespace, None, None, closure)


def fill_function(function, state):
    """Give a function its attributes, and the cells of its closure their contents."""
    attributes, own, cells = state
    for name, value in attributes.items():
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


def make_dead_ref(cls):
    """A weak reference to an object that is gone."""
    return weakref.ref.__new__(cls, classes.Gone())


def make_ref(cls, referent, callback=None):
    """A weak reference, also of a subclass, whose constructor is passed by."""
    return weakref.ref.__new__(cls, referent, callback)


def make_finalizer(alive, referent=None, function=None, args=(), kwargs=None, atexit=True):
    """A `weakref.finalize`, registered if it still waits."""
    if not alive:
        return weakref.finalize.__new__(weakref.finalize)
    made = weakref.finalize(referent, function, *args, **(kwargs or {}))
    made.atexit = atexit
    return made


def namespace_proxy(cls):
    """The read-only view of a class's namespace."""
    return type.__dict__["__dict__"].__get__(cls)


def descriptor(cls, name):
    """A descriptor that was made together with its class."""
    return type.__dict__["__dict__"].__get__(cls)[name]


def make_variable(name, *default):
    """A context variable."""
    from contextvars import ContextVar

    return ContextVar(name, default=default[0]) if default else ContextVar(name)


def make_context(values):
    """A context with these variables set."""
    from contextvars import Context

    context = Context()
    for variable, value in values:
        context.run(variable.set, value)
    return context


def make_type_variable(kind, name, constraints, options, module):
    """A `TypeVar`, a `ParamSpec` or a `TypeVarTuple`."""
    import typing

    made = getattr(typing, kind)(name, *constraints, **options)
    made.__module__ = module
    return made


def match_again(method, string, start, end):
    """A match object, from the call that finds the same."""
    return method(string, start, end)


def make_view(base, readonly, form, shape):
    """A view of a whole buffer."""
    view = memoryview(base)
    if form != view.format or shape != view.shape:
        if view.format != "B":
            view = view.cast("B")
        view = view.cast(form) if shape == (view.nbytes,) else view.cast(form, shape)
    return view.toreadonly() if readonly and not view.readonly else view


def make_cached(function, maxsize, typed):
    """A function behind `functools.lru_cache`."""
    import functools

    return functools.lru_cache(maxsize, typed)(function)


def fill_attributes(thing, attributes):
    """Fill the dictionary of an object."""
    thing.__dict__.clear()
    thing.__dict__.update(attributes)


# -------------------------------------------------------------------------- taking apart, at home


def take_code(_pickler, code):
    """A code object by its fields: so that its constants stay shared with who else holds them."""
    return make_code, tuple([getattr(code, field) for field in _CODE_FIELDS])


def take_function(pickler, function):
    """A function by name if it is installed, else by value, cells and all."""
    module = function.__module__
    if pickler.modules.has(function, module, function.__qualname__):
        return NotImplemented
    made = function_shell(function)
    if pickler.keep_promise(function):
        return made
    pickler.begun[id(function)] = function
    state = function_state(pickler, function)
    return made if state is None else (*made, state, None, None, fill_function)


def function_shell(function):
    """How to make a function, without what can lead back to it."""
    closure = function.__closure__
    if closure is None:
        return make_function, (function.__code__, function.__globals__)
    return make_function, (function.__code__, function.__globals__, closure)


def function_state(pickler, function):
    """What a function has beyond its code, globals and cells; None if that is all."""
    code = function.__code__
    attributes = {}
    name = function.__name__
    if name != code.co_name:
        attributes["__name__"] = name
    if function.__qualname__ != getattr(code, "co_qualname", name):
        attributes["__qualname__"] = function.__qualname__
    if function.__module__ != function.__globals__.get("__name__"):
        attributes["__module__"] = function.__module__
    constants = code.co_consts
    # 3.14 and later mark a docstring in the flags
    first = constants[0] if constants and type(constants[0]) is str else None
    if sys.version_info >= (3, 14) and not code.co_flags & 0x4000000:
        first = None
    if function.__doc__ is not first:
        attributes["__doc__"] = function.__doc__
    for field in _FUNCTION_FIELDS:
        value = getattr(function, field)
        if value:
            attributes[field] = value
    own = function.__dict__
    cells = []
    for cell in function.__closure__ or ():
        if pickler.promise(cell):
            try:
                cells.append((cell, cell.cell_contents))
            except ValueError:
                pass
    if attributes or own or cells:
        return attributes, own or None, cells
    return None


_FUNCTION_FIELDS = ["__defaults__", "__kwdefaults__"]
_FUNCTION_FIELDS.append("__annotate__" if sys.version_info >= (3, 14) else "__annotations__")
if sys.version_info >= (3, 12):
    _FUNCTION_FIELDS.append("__type_params__")


def take_cell(pickler, cell):
    """A cell, which closures and frames share."""
    if pickler.keep_promise(cell):
        return make_cell, ()
    pickler.begun[id(cell)] = cell
    try:
        content = cell.cell_contents
    except ValueError:
        return make_cell, ()
    return make_cell, (), (content,), None, None, fill_cell


def take_method(pickler, method):
    """A bound method: its function and its receiver; nobody is asked for an attribute."""
    function, receiver = method.__func__, method.__self__
    name = getattr(function, "__name__", None)
    module = type(receiver).__module__
    if type(name) is str and pickler.modules.has(method, module, name):
        return classes.attribute, (sys.modules[module], name)
    return make_method, (function, receiver)


def take_builtin(pickler, function):
    """A function in C: by name, or a method of an object that travels."""
    receiver = function.__self__
    if receiver is None or isinstance(receiver, ModuleType):
        if pickler.modules.has(function, function.__module__, function.__qualname__):
            return NotImplemented
        return pickler.by_search(function)
    module = type(receiver).__module__
    if pickler.modules.has(function, module, function.__name__):
        return classes.attribute, (sys.modules[module], function.__name__)
    return getattr, (receiver, function.__name__)


def take_generator(pickler, generator):
    """A generator or coroutine; one that is running is finished by the frames' resume."""
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
    if type(function) is FunctionType and _is_new(pickler, function):
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


def take_module(pickler, module):
    """A module that is not in `sys.modules`: nobody could find it there."""
    return pickler.refuse(module, "a module that is not in sys.modules cannot be found again; put it there")


def take_property(_pickler, thing):
    return type(thing), (thing.fget, thing.fset, thing.fdel, thing.__doc__)


def take_wrapped(_pickler, thing):
    return type(thing), (thing.__func__,)


def take_member(_pickler, thing):
    return descriptor, (thing.__objclass__, thing.__name__)


def take_proxy(_pickler, proxy):
    from gc import get_referents

    mapping = get_referents(proxy)[0]
    if type(mapping) is dict:
        made = mapping.get("__dict__") or mapping.get("__weakref__")
        if type(made) is GetSetDescriptorType:
            return namespace_proxy, (made.__objclass__,)
    return MappingProxyType, (mapping,)


def take_view(_pickler, view):
    from gc import get_referents

    return getattr, (get_referents(view)[0], type(view).__name__.rpartition("_")[2])


def take_ref(pickler, ref):
    """A weak reference: what it refers to travels along."""
    cls = type(ref)
    referent = ref()
    if referent is None:
        made = make_dead_ref, (cls,)
    elif ref.__callback__ is None:
        made = make_ref, (cls, referent)
    else:
        made = make_ref, (cls, referent, ref.__callback__)
    state = classes.own_state(pickler, ref) if cls is not weakref.ref else None
    return made if state is None else (*made, state, None, None, classes.fill)


def take_weak_proxy(pickler, proxy):
    """A weak proxy, which passes every question on: so its referent answers for itself."""
    try:
        referent = proxy.__reduce_ex__.__self__
    except (ReferenceError, AttributeError):
        return pickler.refuse(proxy, "a weak proxy of an object that is gone; leave it out")
    return weakref.proxy, (referent,)


def take_finalizer(_pickler, finalizer):
    found = finalizer.peek()
    if found is None:
        return make_finalizer, (False,)
    return make_finalizer, (True, *found, finalizer.atexit)


def take_super(_pickler, thing):
    read = super.__getattribute__
    receiver = read(thing, "__self__")
    if receiver is None:
        return super, (read(thing, "__thisclass__"),)
    return super, (read(thing, "__thisclass__"), receiver)


def take_lock(pickler, lock):
    """A lock that nobody holds is as good as a new one."""
    if lock.locked():
        return pickler.refuse(lock, "a lock that is held; release it before the move")
    return _new_lock(), ()


def take_rlock(pickler, lock):
    if not repr(lock).startswith("<unlocked"):
        return pickler.refuse(lock, "a lock that is held; release it before the move")
    return type(lock), ()


def _new_lock():
    from _thread import allocate_lock

    return allocate_lock


def take_local(pickler, thing):
    return pickler.refuse(thing, "what a thread keeps for itself cannot be read yet; leave it out")


def take_variable(pickler, variable):
    """A context variable: by name if a module that travels by name has it."""
    from gc import get_referents

    pid = pickler.modules.search(variable)
    if pid is not None:
        return classes.attribute, (sys.modules[pid[1]], pid[2])
    pickler.variables[id(variable)] = variable
    return make_variable, tuple(get_referents(variable)[:2])


def take_context(_pickler, context):
    return make_context, (list(context.items()),)


def take_match(pickler, match):
    """A match: the call that finds it again is tried here first."""
    pattern, string = match.re, match.string
    for method in (pattern.search, pattern.match, pattern.fullmatch):
        for start, end in ((match.pos, match.endpos), (match.start(), match.endpos)):
            found = method(string, start, end)
            if found is not None and found.regs == match.regs:
                return match_again, (method, string, start, end)
    return pickler.refuse(match, "its match cannot be found again; keep its groups instead")


def take_memoryview(pickler, view):
    """A view of a whole buffer: again a view of the same object."""
    base = view.obj
    whole = memoryview(base)
    if view.nbytes != whole.nbytes or not (view.c_contiguous and whole.c_contiguous):
        return pickler.refuse(view, "a view of a part; keep its base and make it after the move")
    return make_view, (base, view.readonly, view.format, view.shape)


def take_type_variable(pickler, variable):
    """What the `typing` module makes for generic classes."""
    if pickler.modules.has(variable, variable.__module__, variable.__name__):
        return classes.attribute, (sys.modules[variable.__module__], variable.__name__)
    options = {}
    for mine, theirs in (
        ("bound", "__bound__"),
        ("covariant", "__covariant__"),
        ("contravariant", "__contravariant__"),
    ):
        value = getattr(variable, theirs, None)
        if value:
            options[mine] = value
    if getattr(variable, "has_default", bool)():
        options["default"] = variable.__default__
    return make_type_variable, (
        type(variable).__name__,
        variable.__name__,
        getattr(variable, "__constraints__", ()),
        options,
        variable.__module__,
    )


def take_cached(pickler, wrapper):
    """A function behind `functools.lru_cache`, with an empty cache."""
    module, name = wrapper.__module__, getattr(wrapper, "__qualname__", None)
    if pickler.modules.has(wrapper, module, name):
        return classes.attribute, (sys.modules[module], *name.split("."))
    if hasattr(wrapper, "cache_parameters"):
        found = wrapper.cache_parameters()
        maxsize, typed = found["maxsize"], found["typed"]
    else:
        maxsize, typed = wrapper.cache_info().maxsize, False
    return (
        make_cached,
        (wrapper.__wrapped__, maxsize, typed),
        wrapper.__dict__,
        None,
        None,
        fill_attributes,
    )


def take_struct(_pickler, thing):
    return type(thing), (thing.format,)


def take_child_process(pickler, process):
    """A child process that has ended is only a record."""
    if process.returncode is None:
        reason = "a child process stays with its parent; wait for its end before the move"
        return pickler.refuse(process, reason)
    return classes.choose(pickler, type(process))(pickler, process)


def _view_types():
    from collections import OrderedDict

    for mapping in ({}, OrderedDict()):
        for view in (mapping.keys(), mapping.values(), mapping.items()):
            yield type(view)


# ------------------------------------------------------------------------------------- the table

TAKERS = {
    CodeType: take_code,
    FunctionType: take_function,
    CellType: take_cell,
    MethodType: take_method,
    BuiltinFunctionType: take_builtin,
    GeneratorType: take_generator,
    CoroutineType: take_generator,
    AsyncGeneratorType: take_generator,
    ModuleType: take_module,
    property: take_property,
    classmethod: take_wrapped,
    staticmethod: take_wrapped,
    GetSetDescriptorType: take_member,
    MemberDescriptorType: take_member,
    MappingProxyType: take_proxy,
    weakref.ref: take_ref,
    weakref.ProxyType: take_weak_proxy,
    weakref.CallableProxyType: take_weak_proxy,
    weakref.finalize: take_finalizer,
    super: take_super,
    memoryview: take_memoryview,
    type: classes.take_class,
    object: classes.take_bare,
    classes.Step: classes.take_step,
    FrameType: exceptions.take_frame,
    TracebackType: exceptions.take_traceback,
}
TAKERS.update((kind, take_view) for kind in _view_types())

# Types of modules that the program may not have loaded: looked up only once it has.
_BY_MODULE = {
    "_thread": (("LockType", take_lock), ("RLock", take_rlock), ("_local", take_local)),
    "_contextvars": (("ContextVar", take_variable), ("Context", take_context)),
    "contextvars": (("ContextVar", take_variable), ("Context", take_context)),
    "re": (("Match", take_match),),
    "typing": (
        ("TypeVar", take_type_variable),
        ("ParamSpec", take_type_variable),
        ("TypeVarTuple", take_type_variable),
    ),
    "functools": (("_lru_cache_wrapper", take_cached),),
    "_struct": (("Struct", take_struct),),
    "subprocess": (("Popen", take_child_process),),
    "_io": files.TAKERS,
}


def table():
    """The takers of all types that are loaded, as a dictionary of the caller's own."""
    takers = TAKERS.copy()
    for name, pairs in _BY_MODULE.items():
        module = sys.modules.get(name)
        if module is not None:
            for attribute, taker in pairs:
                kind = getattr(module, attribute, None)
                if type(kind) is type:
                    takers[kind] = taker
    return takers


def choose(pickler, cls):
    """The taker for a type that the table lacks; it goes into the pickler's own table."""
    if issubclass(cls, type):
        return classes.take_class
    if issubclass(cls, BaseException):
        return exceptions.take_exception
    if issubclass(cls, weakref.ref):
        return take_ref
    for base in (property, classmethod, staticmethod, ModuleType):
        if issubclass(cls, base):
            return TAKERS[base]
    return classes.choose(pickler, cls)
