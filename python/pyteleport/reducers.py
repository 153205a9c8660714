"""How the objects that pickle lacks, or gets wrong, are taken apart and built again.

A taker gets the pickler and the object and returns what `__reduce_ex__` would, with what
`builders` has for the peer. The table at the end names the taker for each type.

A *promise* says that an object which is met next is only to be made, because the one that leads
to it brings the contents: so a function that its own closure refers to is written once.
"""

from __future__ import annotations

import sys
from _weakref import CallableProxyType, ProxyType
from _weakref import ref as Ref
from operator import attrgetter
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CellType,
    ClassMethodDescriptorType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    GetSetDescriptorType,
    MappingProxyType,
    MemberDescriptorType,
    MethodDescriptorType,
    MethodType,
    MethodWrapperType,
    ModuleType,
    TracebackType,
    WrapperDescriptorType,
)

from . import (
    _native,
    builders,
    classes,
    descriptors,
    exceptions,
    files,
    generators,
    hooks,
    imports,
    instances,
    loops,
    perthread,
    prompts,
    registered,
    shells,
    tasks,
    threads,
    views,
    weak,
)

__builtins__ = imports.BUILTINS

_SINCE_3_10 = sys.version_info >= (3, 10)
_SINCE_3_11 = sys.version_info >= (3, 11)

# What a code object is made of, in the order of its constructor.
_code_fields = attrgetter(
    *["co_argcount", "co_posonlyargcount", "co_kwonlyargcount", "co_nlocals", "co_stacksize", "co_flags"],
    *["co_code", "co_consts", "co_names", "co_varnames", "co_filename", "co_name"],
    *["co_qualname"] * _SINCE_3_11,
    "co_firstlineno",
    "co_linetable" if _SINCE_3_10 else "co_lnotab",
    *["co_exceptiontable"] * _SINCE_3_11,
    "co_freevars",
    "co_cellvars",
)


def take_code(_pickler, code):
    """A code object by its fields: so that its constants stay shared with who else holds them."""
    return builders.make_code, _code_fields(code)


def take_function(pickler, function):
    """A function by name if it is installed, else by value, cells and all."""
    module = function.__module__
    if pickler.modules.has(function, module, function.__qualname__):
        return classes.by_name(pickler, function)
    made = function_shell(function)
    if pickler.keep_promise(function):
        return made
    pickler.begun[id(function)] = function
    state = function_state(pickler, function)
    return made if state is None else (*made, state, None, None, builders.fill_function)


def function_shell(function):
    """How to make a function, without what can lead back to it."""
    closure = function.__closure__
    if closure is None:
        return builders.make_function, (function.__code__, function.__globals__)
    return builders.make_function, (function.__code__, function.__globals__, closure)


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
    if _ANNOTATES_LAZILY:
        found = _native.read_field(function, builders.ANNOTATIONS)
        if found is not None:
            attributes[builders.ANNOTATIONS] = found
    own = function.__dict__
    cells = []
    for cell in function.__closure__ or ():
        if pickler.promise(cell):
            try:
                cells.append((cell, classes.unless_own_namespace(pickler, cell.cell_contents)))
            except ValueError:
                pass
    if attributes or own or cells:
        return attributes, own or None, cells
    return None


# From 3.14 on annotations are evaluated when somebody asks for them: the field tells whether they were.
_ANNOTATES_LAZILY = _native.has_field(take_code, builders.ANNOTATIONS)
_FUNCTION_FIELDS = ["__defaults__", "__kwdefaults__"]
_FUNCTION_FIELDS.append("__annotate__" if _ANNOTATES_LAZILY else "__annotations__")
if hasattr(take_code, "__type_params__"):
    _FUNCTION_FIELDS.append("__type_params__")


def take_cell(pickler, cell):
    """A cell, which closures and frames share."""
    if pickler.keep_promise(cell):
        return builders.make_cell, ()
    pickler.begun[id(cell)] = cell
    try:
        content = classes.unless_own_namespace(pickler, cell.cell_contents)
    except ValueError:
        return builders.make_cell, ()
    return builders.make_cell, (), (content,), None, None, builders.fill_cell


def take_method(pickler, method):
    """A bound method: its function and its receiver; nobody is asked for an attribute."""
    function, receiver = method.__func__, method.__self__
    name = getattr(function, "__name__", None)
    module = classes.read_module(type(receiver))
    if type(name) is str and pickler.modules.has(method, module, name):
        return classes.attribute, (sys.modules[module], name)
    return builders.make_method, (function, receiver)


def take_builtin(pickler, function):
    """A function in C: by name, or a method of an object that travels."""
    receiver = function.__self__
    if tasks.is_wakeup(function):
        return tasks.make_wakeup, (receiver,)
    if receiver is None or issubclass(type(receiver), ModuleType):
        if pickler.modules.has(function, function.__module__, function.__qualname__):
            return classes.by_name(pickler, function)
        return pickler.by_search(function)
    module = classes.read_module(type(receiver))
    if pickler.modules.has(function, module, function.__name__):
        return classes.attribute, (sys.modules[module], function.__name__)
    return take_bound(pickler, function)


def take_bound(_pickler, method):
    """A method in C, bound: by its type's, as a class of the program may hide it behind its own."""
    receiver, name = method.__self__, method.__name__
    for cls in classes.read_order(type(receiver)):
        found = classes.read_namespace(cls).get(name)
        if type(found) in _UNBOUND and found.__get__(receiver) == method:
            return builders.bind, (found, receiver)
    return getattr, (receiver, name)


_UNBOUND = (MethodDescriptorType, WrapperDescriptorType)


def take_module(pickler, module):
    """A module that is not in `sys.modules`: nobody could find it there."""
    return pickler.refuse(module, "a module that is not in sys.modules cannot be found again; put it there")


def take_view(_pickler, view):
    from gc import get_referents

    return builders.make_view_of, (get_referents(view)[0], type(view).__name__.rpartition("_")[2])


def take_random(pickler, thing):
    """Random numbers; those of the operating system have no state."""
    from _random import Random

    words = None if isinstance(thing, sys.modules["random"].SystemRandom) else Random.getstate(thing)
    state = words, instances.own_state(pickler, thing)
    return instances.make_plain, (Random, type(thing)), state, None, None, builders.fill_random


_VARIANCES = ("covariant", "contravariant", "infer_variance")


def take_type_variable(pickler, variable):
    """What the `typing` module makes for generic classes, or the compiler, evaluated or not."""
    module, name = variable.__module__, variable.__name__
    if pickler.modules.has(variable, module, name):
        return classes.attribute, (sys.modules[module], name)
    cls = type(variable)
    if classes.is_made_in_python(cls):  # up to 3.11
        state = instances.own_state(pickler, variable)
        return instances.make_plain, (object, cls), state, None, None, instances.fill
    options = {}
    for option in _VARIANCES:
        if getattr(variable, "__%s__" % option, False):
            options[option] = True
    state = _native.own_attributes(variable), _native.read_fields(variable)
    made = builders.make_type_variable, (cls.__name__, name, options)
    return (*made, state, None, None, builders.fill_type_variable)


def take_struct(_pickler, thing):
    return type(thing), (thing.format,)


def take_child_process(pickler, process):
    """A child process that has ended is only a record."""
    if process.returncode is None:
        reason = "a child process stays with its parent; wait for its end before the move"
        return pickler.refuse(process, reason)
    return instances.choose(pickler, type(process))(pickler, process)


def _view_types():
    from collections import OrderedDict

    for mapping in ({}, OrderedDict()):
        for view in (mapping.keys(), mapping.values(), mapping.items()):
            yield type(view)


def _later(module, name):
    """A taker of another module of this package, which is imported only for the objects that need it."""

    def take(pickler, thing):
        found = __import__(__package__ + "." + module, None, None, (name,))
        return getattr(found, name)(pickler, thing)

    return take


def _nameless_iterators():
    """Types of iterators that no module names, and their takers."""
    from collections import OrderedDict

    plain = _later("iterators", "take_nameless")
    yield type(iter([])), plain
    yield type(reversed([])), plain
    yield type(iter(int, 1)), plain
    yield type(iter(builders.NoItems())), plain
    for items in ((), "a", "\u20ac", b"", bytearray(), range(0), range(1 << 70)):
        yield type(iter(items)), plain
    if hasattr(list, "__class_getitem__") and hasattr(type(list[int]), "__iter__"):
        yield type(iter(list[int])), plain
    over_dictionary = _later("iterators", "take_over_dictionary")
    for view in ({}.keys(), {}.values(), {}.items()):
        yield type(iter(view)), over_dictionary
        yield type(reversed(view)), over_dictionary
    yield type(iter(set())), _later("iterators", "take_over_set")
    yield type(iter(OrderedDict())), _later("iterators", "take_over_ordered")


# ------------------------------------------------------------------------------------- the table

TAKERS = {
    CodeType: take_code,
    FunctionType: take_function,
    CellType: take_cell,
    MethodType: take_method,
    BuiltinFunctionType: take_builtin,
    MethodWrapperType: take_bound,
    GeneratorType: generators.take_generator,
    CoroutineType: generators.take_generator,
    AsyncGeneratorType: generators.take_generator,
    ModuleType: take_module,
    property: descriptors.take_property,
    classmethod: descriptors.take_wrapped,
    staticmethod: descriptors.take_wrapped,
    GetSetDescriptorType: descriptors.take_member,
    MemberDescriptorType: descriptors.take_member,
    ClassMethodDescriptorType: descriptors.take_member,
    MappingProxyType: descriptors.take_mapping_proxy,
    Ref: weak.take_ref,
    ProxyType: weak.take_proxy,
    CallableProxyType: weak.take_proxy,
    super: descriptors.take_super,
    memoryview: views.take_view,
    type: classes.take_class,
    object: instances.take_bare,
    tasks.Again: tasks.take_again,
    classes.Step: classes.take_step,
    classes.OwnNamespace: classes.take_own_namespace,
    FrameType: exceptions.take_frame,
    TracebackType: exceptions.take_traceback,
    hooks.Tracer: hooks.take_tracer,
    type(sys.get_asyncgen_hooks()): hooks.take_asyncgen_hooks,
    threads.SavedState: threads.take_saved,
}
TAKERS.update((kind, take_view) for kind in _view_types())
TAKERS.update(_nameless_iterators())
_take_iterator = _later("iterators", "take")
TAKERS.update((kind, _take_iterator) for kind in (enumerate, zip, map, filter, reversed))

_take_array = _later("arrays", "take_array")

_take_connection = _later("databases", "take_connection")
_take_cursor = _later("databases", "take_cursor")
_take_row = _later("databases", "take_row")

# Types of modules that the program may not have loaded: looked up only once it has.
_BY_MODULE = {
    "_thread": (
        ("LockType", perthread.take_lock),
        ("RLock", perthread.take_rlock),
        ("_local", perthread.take_local),
        ("_ThreadHandle", threads.take_handle),
    ),
    "_contextvars": (
        ("ContextVar", perthread.take_variable),
        ("Context", perthread.take_context),
        ("Token", perthread.take_token),
    ),
    "contextvars": (
        ("ContextVar", perthread.take_variable),
        ("Context", perthread.take_context),
        ("Token", perthread.take_token),
    ),
    "re": (("Match", _later("matching", "take_match")), ("Pattern", _later("matching", "take_pattern"))),
    "typing": (
        ("TypeVar", take_type_variable),
        ("ParamSpec", take_type_variable),
        ("TypeVarTuple", take_type_variable),
        ("TypeAliasType", take_type_variable),
    ),
    "itertools": tuple(
        (name, _take_iterator)
        for name in (
            *("count", "cycle", "repeat", "accumulate", "chain", "compress", "dropwhile", "takewhile"),
            *("filterfalse", "starmap", "groupby", "_grouper", "islice", "_tee", "_tee_dataobject"),
            *("zip_longest", "product", "permutations", "combinations", "combinations_with_replacement"),
            *("pairwise", "batched"),
        )
    ),
    "_frozen_importlib": (
        ("_ModuleLock", perthread.take_module_lock),
        ("_ImportLockContext", perthread.take_import_lock),
    ),
    "weakref": (("finalize", weak.take_finalizer),),
    "functools": (("_lru_cache_wrapper", _later("cfields", "take_cached")),),
    "numpy": (
        ("ndarray", _take_array),
        ("flatiter", _later("arrays", "take_flat")),
        ("broadcast", _later("arrays", "take_broadcast")),
    ),
    "mmap": (("mmap", _later("mappings", "take_mapping")),),
    "_struct": (("Struct", take_struct),),
    "_compression": (("DecompressReader", _later("compressed", "take_reader")),),
    "compression._common._streams": (("DecompressReader", _later("compressed", "take_reader")),),
    "zipfile": (("ZipExtFile", _later("compressed", "take_member")),),
    "_json": (("make_scanner", _later("cfields", "take_json_scanner")),),
    "_queue": (("SimpleQueue", _later("cfields", "take_simple_queue")),),
    "random": (("Random", take_random), ("SystemRandom", take_random)),
    "subprocess": (("Popen", take_child_process),),
    "_pyrepl.readline": (("ReadlineAlikeReader", _later("prompts", "take_reader")),),
    "_io": files.TAKERS,
    "pyteleport.away": (("Away", _later("away", "take")),),
    "_sqlite3": (("Connection", _take_connection), ("Cursor", _take_cursor), ("Row", _take_row)),
}


# Takers of classes that derive from those in the table, too, unless they take themselves apart.
_INHERITED = (_take_iterator, take_random, _take_connection, _take_cursor, _take_row)

# Types that no module offers, by the names that they give themselves.
_UNNAMED = {
    ("builtins", "PyCapsule"): _later("arrays", "take_capsule"),
    ("builtins", "async_generator_asend"): generators.take_step,
    ("builtins", "async_generator_athrow"): generators.take_step,
    ("_asyncio", "FutureIter"): tasks.take_future_iterator,
    ("_asyncio", "TaskStepMethWrapper"): tasks.take_step,
    ("builtins", "TaskStepMethWrapper"): tasks.take_step,
    ("_asyncio", "TaskWakeupMethWrapper"): tasks.take_wakeup,
    ("builtins", "TaskWakeupMethWrapper"): tasks.take_wakeup,
    ("builtins", "coroutine_wrapper"): generators.take_coroutine_wrapper,
    ("builtins", "anext_awaitable"): generators.take_anext,
    ("array", "arrayiterator"): _later("iterators", "take_over_array"),
    ("builtins", "arrayiterator"): _later("iterators", "take_over_array"),
    ("collections", "_deque_iterator"): _later("iterators", "take_over_deque"),
    ("collections", "_deque_reverse_iterator"): _later("iterators", "take_over_deque"),
    ("_collections", "_deque_iterator"): _later("iterators", "take_over_deque"),
    ("_collections", "_deque_reverse_iterator"): _later("iterators", "take_over_deque"),
    ("string.templatelib", "TemplateIter"): _later("iterators", "take_nameless"),
    ("builtins", "memory_iterator"): views.take_memory_iterator,
    ("decimal", "ContextManager"): _later("cfields", "take_decimal_manager"),
    ("zlib", "Compress"): _later("compressed", "take_compressor"),
    ("zlib", "Decompress"): _later("compressed", "take_decompressor"),
    ("_bz2", "BZ2Decompressor"): _later("compressed", "take_decompressor"),
    ("_lzma", "LZMADecompressor"): _later("compressed", "take_decompressor"),
    ("_bz2", "BZ2Compressor"): _later("compressed", "take_unfinished"),
    ("_lzma", "LZMACompressor"): _later("compressed", "take_unfinished"),
    ("_hashlib", "HASH"): _later("compressed", "take_hash"),
    ("_hashlib", "HASHXOF"): _later("compressed", "take_hash"),
    **{("_sha3", "sha3_%d" % bits): _later("compressed", "take_hash") for bits in (224, 256, 384, 512)},
    **{("_sha3", "shake_%d" % bits): _later("compressed", "take_hash") for bits in (128, 256)},
    ("functools", "KeyWrapper"): _later("cfields", "take_key"),
    ("_sre", "SRE_Scanner"): _later("matching", "take_scanner"),
    ("builtins", "unpack_iterator"): _later("cfields", "take_unpack_iterator"),
    ("_struct", "unpack_iterator"): _later("cfields", "take_unpack_iterator"),
    ("_csv", "reader"): _later("cfields", "take_csv_reader"),
    ("_csv", "writer"): _later("cfields", "take_csv_writer"),
    ("_csv", "Dialect"): _later("cfields", "take_csv_dialect"),
}


def table():
    """The takers of all types that are loaded, as a dictionary of the caller's own."""
    takers = TAKERS.copy()
    for name, pairs in _BY_MODULE.items():
        module = sys.modules.get(name)
        if module is not None:
            for attribute, taker in pairs:
                kind = getattr(module, attribute, None)
                if type(kind) is type or (isinstance(kind, type) and kind.__module__ in _READERS):
                    takers[kind] = taker
    takers.update((kind, registered.taker_of(*pair)) for kind, pair in registered.table.items())
    return takers


# Where the classes are that read through a decompressor; they have metaclasses.
_READERS = ("_compression", "compression._common._streams", "zipfile")


def choose(pickler, cls):
    """The taker for a type that the table lacks; it goes into the pickler's own table."""
    if issubclass(cls, type):
        return classes.take_class
    if issubclass(cls, BaseException):
        return exceptions.take_exception
    if issubclass(cls, Ref):
        return weak.take_ref
    for base in classes.read_order(cls)[1:]:
        if (
            base.__module__ in ("_io", "io")
            and base.__name__.startswith("Buffered")
            and base in pickler.takers
            and instances.reduces_like(cls, base)
        ):
            return pickler.takers[base]
    for module in _READERS:
        reader = getattr(sys.modules.get(module), "DecompressReader", None)
        if reader is not None and issubclass(cls, reader):
            return pickler.takers[reader]
    taker = loops.choose(cls) or shells.choose(cls) or prompts.choose(cls)
    if taker is None and "torch" in sys.modules:
        from . import tensors

        taker = tensors.choose(cls)
    if taker is not None:
        return taker
    local = sys.modules["_thread"]._local
    if issubclass(cls, local):
        return perthread.take_local
    for base in (property, classmethod, staticmethod, super, ModuleType):
        if issubclass(cls, base):
            return TAKERS[base]
    for base in classes.read_order(cls):
        taker = pickler.takers.get(base)
        if taker is _take_array:
            return taker
        if taker in _INHERITED and instances.reduces_like(cls, base):
            return taker
    return _UNNAMED.get((classes.read_module(cls), classes.read_name(cls))) or instances.choose(pickler, cls)
