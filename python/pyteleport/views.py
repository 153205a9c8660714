"""Views of memory that another object has: views of the same object again."""

from __future__ import annotations

from . import imports
from ._native import read_field, write_field

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer


def make_view(base, readonly, form, shape):
    """A view of a whole buffer."""
    view = memoryview(base)
    if form != view.format or shape != view.shape:
        if view.format != "B":
            view = view.cast("B")
        view = view.cast(form) if shape == (view.nbytes,) else view.cast(form, shape)
    return view.toreadonly() if readonly and not view.readonly else view


def make_part(base, readonly, form, shape, offset, step=None):
    """A view of what begins so many bytes behind the beginning of an object's memory.

    With a step, which may lead backwards, each item lies so many items behind the one before.
    """
    from struct import calcsize

    view = memoryview(base)
    if view.format != "B" or view.ndim != 1:
        view = view.cast("B")
    size = calcsize("@" + form)
    if step is None:
        span = size
        for length in shape:
            span *= length
        view = view[offset : offset + span].cast("B").cast(form, shape)
    else:
        length = shape[0]
        span = ((length - 1) * abs(step) + 1) * size if length else 0
        first = offset if step > 0 or not length else offset + size - span
        view = view[first : first + span].cast(form)
        if step != 1:
            view = view[::step]
    return view.toreadonly() if readonly and not view.readonly else view


def make_released_view():
    """A view that was released."""
    view = memoryview(b"")
    view.release()
    return view


def make_iterator(view, index):
    """An iterator over a view, from there on."""
    if view is None:
        iterator = iter(memoryview(b""))
        next(iterator, None)
        return iterator
    iterator = iter(view)
    write_field(iterator, "it_index", index)
    return iterator


# -------------------------------------------------------------------------- taking apart, at home


def take_view(pickler, view):
    """A view of the whole memory of an object, or of a part of it."""
    try:
        base = view.obj
    except ValueError:
        return make_released_view, ()
    if base is None:
        return pickler.refuse(view, "a view of memory that no object has; copy it before the move")
    whole = memoryview(base)
    offset = read_field(view, "buf") - read_field(whole, "buf")
    if view.c_contiguous and whole.c_contiguous and view.nbytes == whole.nbytes and not offset:
        return make_view, (base, view.readonly, view.format, view.shape)
    form = view.format.lstrip("@")
    step, rest = divmod(view.strides[0], view.itemsize) if view.ndim == 1 else (None, not view.c_contiguous)
    if rest or step == 0 or len(form) != 1 or not view.ndim or not whole.c_contiguous:
        reason = "a view that leaves gaps in memory; keep its base and make it after the move"
        return pickler.refuse(view, reason)
    return make_part, (base, view.readonly, form, view.shape, offset, step)


def take_memory_iterator(_pickler, iterator):
    """An iterator over a view: the view and how far it came."""
    return make_iterator, (read_field(iterator, "it_seq"), read_field(iterator, "it_index"))
