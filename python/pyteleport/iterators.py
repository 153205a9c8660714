"""Iterators in mid-flight, by their fields: nothing is consumed, copied or called.

An iterator is made over nothing, of the same class, and gets its fields when what they refer to is
being read: so it may be part of what it goes through. Those over dictionaries wait until all of
these are whole: their places count entries, which lie closer there than at home. So do those over
sets: their members lie where they did only if they have the same hashes.
"""

from __future__ import annotations

import itertools

from . import classes, imports, instances
from ._native import read_field, read_fields, set_in_order, write_field, write_fields
from .builders import NoItems
from .errors import ResumeError

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer


# Arguments that make an iterator over nothing; no code of the program runs.
_SHELLS = {
    enumerate: ((),),
    zip: (),
    map: (None, ()),
    filter: (None, ()),
    reversed: ("",),
    itertools.count: (),
    itertools.cycle: ((),),
    itertools.repeat: (None,),
    itertools.accumulate: ((),),
    itertools.chain: (),
    itertools.compress: ((), ()),
    itertools.dropwhile: (None, ()),
    itertools.takewhile: (None, ()),
    itertools.filterfalse: (None, ()),
    itertools.starmap: (None, ()),
    itertools.groupby: ((),),
    itertools.islice: ((), 0),
    itertools.zip_longest: (),
    itertools._tee: ((),),
    itertools._tee_dataobject: (iter(()), [], None),
    itertools._grouper: (itertools.groupby(()), None),
}
for _name, _arguments in (("pairwise", ((),)), ("batched", ((), 1))):
    if hasattr(itertools, _name):
        _SHELLS[getattr(itertools, _name)] = _arguments

_COMBINATORIC = (
    itertools.product,
    itertools.permutations,
    itertools.combinations,
    itertools.combinations_with_replacement,
)

# What no class makes.
_MAKERS = {
    "iterator": lambda: iter(NoItems()),
    "list_iterator": lambda: iter([]),
    "list_reverseiterator": lambda: reversed([]),
    "callable_iterator": lambda: iter(int, 1),
    "tuple_iterator": lambda: iter(()),
    "range_iterator": lambda: iter(range(0)),
    "longrange_iterator": lambda: iter(range(1 << 70)),
    "str_iterator": lambda: iter("\u20ac"),
    "str_ascii_iterator": lambda: iter("a"),
    "bytes_iterator": lambda: iter(b""),
    "bytearray_iterator": lambda: iter(bytearray()),
    "generic_alias_iterator": lambda: iter(list[int]),
    "TemplateIter": lambda: iter(_template()),
    "set_iterator": lambda: iter(set()),
    "_deque_iterator": lambda: iter(_deque()),
    "_deque_reverse_iterator": lambda: reversed(_deque()),
    "dict_keyiterator": lambda: iter({}),
    "dict_valueiterator": lambda: iter({}.values()),
    "dict_itemiterator": lambda: iter({}.items()),
    "dict_reversekeyiterator": lambda: reversed({}),
    "dict_reversevalueiterator": lambda: reversed({}.values()),
    "dict_reverseitemiterator": lambda: reversed({}.items()),
}


def make_shell(base, cls, sizes=()):
    """An iterator over nothing, whose class's own code has not run."""
    if base is itertools.product:
        return base.__new__(cls, *[()] * sizes[0])
    if base in _COMBINATORIC:
        length, r = sizes
        return base.__new__(cls, (None,) * length, r)
    return base.__new__(cls, *_SHELLS[base])


def make_nameless(name):
    """An iterator over nothing of a type that nothing names."""
    return _MAKERS[name]()


def _template():
    from string.templatelib import Template

    return Template()


def _deque():
    from collections import deque

    return deque()


def make_over_array(typecode):
    """An iterator over an empty array, of which it knows the kind of items."""
    from array import array

    return iter(array(typecode))


def make_ordered(kind):
    """An iterator over an empty ordered dictionary: 2 its keys, 4 its values, 6 both; 1 more backwards."""
    return _over_ordered(_ordered(), kind)


def _ordered():
    from collections import OrderedDict

    return OrderedDict()


def _over_ordered(mapping, kind):
    base = type(_ordered())
    view = {2: base.keys, 4: base.values, 6: base.items}[kind & 6](mapping)
    return reversed(view) if kind & 1 else iter(view)


def fill(iterator, state):
    """Let an iterator stand where it stood."""
    fields, own, is_current = state
    write_fields(iterator, fields)
    if own is not None:
        instances.fill(iterator, own)
    if is_current:
        write_field(fields["parent"], "currgrouper", id(iterator))


def place(iterator, mapping, remaining, hint):
    """Let an iterator over a dictionary, which is whole now, stand before its last entries.

    With None it finds the dictionary changed, as it would have at home. It thinks itself that so many
    are left as the hint says.
    """
    size = dict.__len__(mapping)
    backwards = "reverse" in type(iterator).__name__
    left = remaining or 0
    fields = {
        "di_dict": mapping,
        "di_used": -1 if remaining is None else size,
        "di_pos": left - 1 if backwards else size - left,
        "len": hint,
    }
    write_fields(iterator, fields)
    if remaining is not None and _count_rest(iterator) != remaining:
        raise ResumeError("a dictionary that is iterated over is not the same here")


def place_ordered(iterator, mapping, key, changed):
    """The same for an ordered dictionary, before a key of it, given as a tuple, or at its end."""
    fields = read_fields(_over_ordered(mapping, read_field(iterator, "kind")))
    fields.pop("di_current", None)
    if key:
        fields["di_current"] = key[0]
    if changed:
        fields["di_state"] = fields["di_size"] = -1
    write_fields(iterator, fields)


def place_deque(iterator, deque, remaining, behind):
    """The same for a deque, which has changed so often since the iterator was made."""
    fresh = type(iterator)(deque, 0 if behind else type(_deque()).__len__(deque) - remaining)
    for name in ("block", "index"):
        write_field(iterator, name, read_field(fresh, name))
    fields = read_fields(fresh)
    fields["state"] -= behind
    fields["counter"] = remaining
    write_fields(iterator, fields)


def place_in_set(iterator, members, rest, position):
    """Let an iterator over a set, which is whole now, stand before those of its members that are left.

    With None it finds the set changed. Where the members come in another order here, it goes
    through these alone.
    """
    size = _size(members)
    left = 0 if rest is None else len(rest)
    fields = {"si_set": members, "si_used": size, "si_pos": position, "len": left}
    if rest is None:
        fields["si_used"] = -1
    write_fields(iterator, fields)
    if rest is None:
        return
    here = _rest(iterator)
    if len(here) != left or any(one is not other for one, other in zip(here, rest)):
        alone = set_in_order(rest)
        write_fields(iterator, {"si_set": alone, "si_used": left, "si_pos": 0, "len": left})


def _rest(iterator):
    """What is still to come of an iterator over a set, which stays where it is."""
    return iterator.__reduce__()[1][0]


def _count_rest(iterator):
    """How much is still to come of an iterator over a dictionary; a twin of it goes through that."""
    twin = make_nameless(type(iterator).__name__)
    fields = read_fields(iterator)
    fields["len"] = dict.__len__(fields["di_dict"])  # does not find that keys have changed
    write_fields(twin, fields)
    return len(list(twin))


# -------------------------------------------------------------------------- taking apart, at home


def take(pickler, iterator):
    """An iterator of `builtins` or `itertools`, or of a class that derives from one."""
    cls = type(iterator)
    base = next(base for base in classes.read_order(cls) if base in _SHELLS or base in _COMBINATORIC)
    fields = fields_of(iterator)
    is_current = "parent" in fields and read_field(fields["parent"], "currgrouper") == id(iterator)
    own = instances.own_state(pickler, iterator) if cls is not base else None
    made = make_shell, (base, cls, _sizes(base, fields))
    return (*made, (fields, own, is_current), None, None, fill)


def fields_of(iterator):
    """Its fields, but those that nobody may look into."""
    fields = read_fields(iterator)
    if fields.get("stopped"):
        fields.pop("result", None)  # of no use any more, and over an empty pool a tuple without items
    return fields


def _sizes(base, fields):
    """How much room an iterator needs that keeps places of its own."""
    if base is itertools.product:
        return (len(fields["pools"]),)
    return (len(fields["pool"]), fields["r"]) if base in _COMBINATORIC else ()


def take_nameless(_pickler, iterator):
    """What `iter` makes of a list, of a callable, or of something that only has `__getitem__`."""
    made = make_nameless, (type(iterator).__name__,)
    return (*made, (read_fields(iterator), None, False), None, None, fill)


def take_over_dictionary(pickler, iterator):
    """An iterator over a dictionary, by how many entries are still to come."""
    mapping = read_field(iterator, "di_dict")
    if mapping is None:
        return make_nameless, (type(iterator).__name__,)
    changed = read_field(iterator, "di_used") != dict.__len__(mapping)
    remaining = None if changed else _count_rest(iterator)
    if id(iterator) not in pickler.deferred_ids:
        pickler.deferred_ids[id(iterator)] = iterator
        pickler.deferred.append(("place", iterator, mapping, remaining, read_field(iterator, "len")))
    return make_nameless, (type(iterator).__name__,)


def take_over_set(pickler, iterator):
    """An iterator over a set, by its place and what is still to come."""
    members = read_field(iterator, "si_set")
    if members is not None and id(iterator) not in pickler.deferred_ids:
        pickler.deferred_ids[id(iterator)] = iterator
        rest = _rest(iterator) if read_field(iterator, "si_used") == _size(members) else None
        pickler.deferred.append(("place in set", iterator, members, rest, read_field(iterator, "si_pos")))
    return make_nameless, (type(iterator).__name__,)


def _size(members):
    """How many members a set or frozen set has, whatever its class says."""
    return (set if issubclass(type(members), set) else frozenset).__len__(members)


def take_over_ordered(pickler, iterator):
    """An iterator over an ordered dictionary, by the key that is next."""
    fields = read_fields(iterator)
    mapping = fields.get("di_odict")
    if mapping is not None and id(iterator) not in pickler.deferred_ids:
        pickler.deferred_ids[id(iterator)] = iterator
        now = read_fields(_over_ordered(mapping, fields["kind"]))
        changed = any(now[name] != fields[name] for name in ("di_size", "di_state"))
        key = (fields["di_current"],) if "di_current" in fields else ()
        pickler.deferred.append(("place ordered", iterator, mapping, key, changed))
    return make_ordered, (fields["kind"],)


def take_over_array(_pickler, iterator):
    """An iterator over an array."""
    fields = read_fields(iterator)
    typecode = fields["ao"].typecode if "ao" in fields else "b"
    return make_over_array, (typecode,), (fields, None, False), None, None, fill


def take_over_deque(pickler, iterator):
    """An iterator over a deque, by how many items are still to come."""
    deque, remaining = read_field(iterator, "deque"), read_field(iterator, "counter")
    if id(iterator) not in pickler.deferred_ids:
        pickler.deferred_ids[id(iterator)] = iterator
        behind = read_field(deque, "state") - read_field(iterator, "state")
        pickler.deferred.append(("place deque", iterator, deque, remaining, behind))
    return make_nameless, (type(iterator).__name__.rpartition(".")[2],)
