"""NumPy's arrays, with the memory that they share, and what else of NumPy pickle gets wrong.

An array that owns its memory travels as NumPy has it, its memory out of band. Any other is a view: it is made
again over the same object, so that what is written through one of them is seen through all.
"""

from __future__ import annotations

import sys

from . import _native, builders, classes, imports, instances

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer


def make_view(cls, base, dtype, shape, strides, offset, writable):
    """An array over memory that another object holds."""
    from numpy import ndarray

    # one that can be written to may be older than the lock on what it shows
    locked = base if isinstance(base, ndarray) and base.flags.owndata and not base.flags.writeable else None
    if locked is not None and writable:
        locked.flags.writeable = True
    if isinstance(base, ndarray) and not base.flags.c_contiguous:
        base = base.transpose(_axes(base))
    view = ndarray.__new__(cls, shape, dtype, base, offset, strides)
    if locked is not None:
        locked.flags.writeable = False
    if view.flags.writeable and not writable:
        view.flags.writeable = False
    return view


def make_permuted(shape, dtype, axes):
    """An array of its own whose memory is in the order that it has with its axes in this order."""
    from numpy import empty, empty_like

    return empty_like(empty(shape, dtype).transpose(_inverse(axes)), order="K")


def fill_permuted(array, state):
    """Write its memory; the items of one of objects come as a list."""
    from numpy import frombuffer

    data, is_writable = state
    inner = array.transpose(_axes(array)).reshape(-1)
    if type(data) is list:
        for index, item in enumerate(data):
            inner[index] = item
    else:
        inner.view("u1")[:] = frombuffer(data, "u1")
    if not is_writable:
        array.flags.writeable = False


def _inverse(axes):
    return sorted(range(len(axes)), key=axes.__getitem__)


def make_flat(array, index):
    """An iterator over all elements of an array, which has given as many."""
    return _advanced(array.flat, index)


def make_broadcast(arrays, index):
    """An iterator over arrays that fit each other, which has given as many tuples."""
    from numpy import broadcast

    return _advanced(broadcast(*arrays), index)


def _advanced(iterator, count):
    from collections import deque
    from itertools import islice

    deque(islice(iterator, count), maxlen=0)
    return iterator


def make_errors(settings, size, call):
    """What NumPy keeps of how errors are handled: in a context of its own it is asked for it."""
    return _in_context(lambda: (_set_errors(settings, size, call), _errors().get())[1])


def give_back_errors(taken):
    """Handle errors as the program wants (up to NumPy 1, which has no context variable for that)."""
    _set_errors(*taken)


def _set_errors(settings, size, call):
    import numpy

    numpy.seterr(**settings)
    if size != numpy.getbufsize():
        numpy.setbufsize(size)
    numpy.seterrcall(call)


# -------------------------------------------------------------------------- taking apart, at home

# `NPY_ARRAY_WRITEABLE` in `flags.num`.
_WRITEABLE = 0x400


def take_array(pickler, array):
    """An array that owns its memory as NumPy does, out of band; a view as a view of the same."""
    cls = type(array)
    base, start = _holder(pickler, array)
    if base is None:
        pickler.memories.append((array.__array_interface__["data"][0], array.nbytes))
    if _is_permuted(array):
        return _take_permuted(array)
    if base is None or not array.size or not _is_as_usual(cls):
        return instances.ask(pickler, array)
    if start is None:
        reason = "it is a view of an array whose memory is in no usual order; copy it before the move"
        return pickler.refuse(array, reason)
    offset = array.__array_interface__["data"][0] - start
    # `flags.writeable` of what `broadcast_arrays()` gives warns up to NumPy 1
    is_writable = array.flags.num & _WRITEABLE != 0
    made = make_view, (cls, base, array.dtype, array.shape, array.strides, offset, is_writable)
    attributes = _native.own_attributes(array)
    return made if attributes is None else (*made, attributes, None, None, builders.fill_attributes)


def _axes(array):
    """The order of its axes in which an array's memory is, if it is in one piece."""
    return sorted(range(array.ndim), key=lambda axis: (-array.strides[axis], -array.shape[axis]))


def _is_permuted(array):
    """Whether an array owns its memory, in neither C's order nor Fortran's: NumPy would put it into C's."""
    flags = array.flags
    if type(array) is not sys.modules["numpy"].ndarray or array.base is not None or not array.size:
        return False
    if flags.c_contiguous or flags.f_contiguous or (array.dtype.hasobject and array.dtype.kind != "O"):
        return False
    return array.transpose(_axes(array)).flags.c_contiguous


def _take_permuted(array):
    from pickle import PickleBuffer

    axes = _axes(array)
    inner = array.transpose(axes)
    made = make_permuted, (inner.shape, array.dtype, axes)
    flat = inner.reshape(-1)
    data = flat.tolist() if array.dtype.kind == "O" else PickleBuffer(flat.view("u1"))
    return (*made, (data, array.flags.writeable), None, None, fill_permuted)


def _holder(pickler, array):
    """What holds the memory of an array, or a view between whose memory is in one piece; where it begins.

    None for an array that nothing else holds the memory of, as far as anybody can tell.
    """
    base = array.base
    tensor = getattr(sys.modules.get("torch"), "Tensor", ())
    while base is not None:
        if isinstance(base, tensor):
            from . import tensors

            return tensors.memory_of_array(pickler, base)
        base = _behind_cython(base)
        start = _start(base)
        is_array = isinstance(base, sys.modules["numpy"].ndarray)
        if start is not None or (is_array and base.base is None):
            return base, start
        base = base.base if is_array else None
    return None, None


def _behind_cython(base):
    """What a memoryview of Cython's shows, where an array lies over one: it can be made by C code alone.

    Functions of pandas in C give arrays over such: `memoryview(its memoryview(array))`.
    """
    seen = base.obj if type(base) is memoryview else base
    if type(seen) is not memoryview and {"base", "is_c_contig", "suboffsets"} <= set(dir(type(seen))):
        return _behind_cython(seen.base)
    return base


def _start(base):
    """The address of the memory that an object holds in one piece, None if that is not known."""
    numpy = sys.modules["numpy"]
    if not isinstance(base, numpy.ndarray):
        try:
            base = numpy.frombuffer(base, "B")
        except (BufferError, TypeError, ValueError):
            return None
    flags = base.flags
    is_whole = flags.c_contiguous or flags.f_contiguous or _is_permuted(base)
    return base.__array_interface__["data"][0] if is_whole else None


def _is_as_usual(cls):
    """Whether no class of the program or of another library says how its arrays are taken apart."""
    for name in ("__reduce_ex__", "__reduce__", "__setstate__"):
        owner = next(base for base in classes.read_order(cls) if name in classes.read_namespace(base))
        if owner is not object and owner.__module__.partition(".")[0] != "numpy":
            return False
    return True


def take_flat(_pickler, flat):
    return make_flat, (flat.base, flat.index)


def take_broadcast(_pickler, thing):
    return make_broadcast, (tuple(flat.base for flat in thing.iters), thing.index)


def take_capsule(pickler, capsule):
    """NumPy 2 keeps how errors are handled in a capsule, in a context variable."""
    if '"numpy.ufunc.extobj"' not in repr(capsule) or _errors() is None:
        return instances.ask(pickler, capsule)

    def ask():
        _errors().set(capsule)
        return _settings()

    return make_errors, _in_context(ask)


def take_errors():
    """How errors are handled, where the usual context variable does not tell (NumPy 1)."""
    numpy = sys.modules.get("numpy")
    return _settings() if hasattr(numpy, "geterr") and _errors() is None else None


def _settings():
    import numpy

    return numpy.geterr(), numpy.getbufsize(), numpy.geterrcall()


def _errors():
    umath = sys.modules.get("numpy._core.umath")
    return getattr(umath, "_extobj_contextvar", None)


def _in_context(call):
    from contextvars import Context

    return Context().run(call)
