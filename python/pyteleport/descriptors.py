"""Descriptors, and objects that bind: by their fields, as their constructors may be the program's."""

from __future__ import annotations

from types import GetSetDescriptorType, MappingProxyType

from . import builders, classes, imports, instances
from ._native import read_fields, write_fields

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------- building, at the peer


def fill_wrapped(thing, state):
    """Give a class method or a static method its function, and the attributes that it took over."""
    fields, attributes, own = state
    write_fields(thing, fields)
    if attributes is not None:
        found = object.__getattribute__(thing, "__dict__")
        found.clear()
        found.update(attributes)
    if own is not None:
        instances.fill(thing, own)


def fill_fields(thing, state):
    """Give an object its fields, and what the program's class has beyond them."""
    fields, own = state
    write_fields(thing, fields)
    if own is not None:
        instances.fill(thing, own)


# -------------------------------------------------------------------------- taking apart, at home


def take_property(pickler, thing):
    """A property; of a subclass, too."""
    return _by_fields(pickler, property, thing)


def take_super(pickler, thing):
    """What `super()` returned, which passes questions on."""
    return _by_fields(pickler, super, thing)


def _by_fields(pickler, base, thing):
    cls = type(thing)
    own = instances.own_state(pickler, thing) if cls is not base else None
    made = instances.make_plain, (base, cls)
    return (*made, (read_fields(thing), own), None, None, fill_fields)


def take_wrapped(pickler, thing):
    """A class method or a static method."""
    cls = type(thing)
    base = classmethod if isinstance(thing, classmethod) else staticmethod
    own = instances.own_state(pickler, thing) if cls is not base else None
    try:
        attributes = object.__getattribute__(thing, "__dict__").copy()
    except AttributeError:  # up to 3.9
        attributes = None
    made = instances.make_plain, (base, cls, None)
    return (*made, (read_fields(thing), attributes, own), None, None, fill_wrapped)


def take_member(_pickler, thing):
    """A descriptor that belongs to a class: found there."""
    return builders.descriptor, (thing.__objclass__, thing.__name__)


def take_mapping_proxy(_pickler, proxy):
    """A read-only view of a mapping, or of a class's namespace."""
    from gc import get_referents, get_referrers

    mapping = get_referents(proxy)[0]
    if type(mapping) is dict:
        made = mapping.get("__dict__") or mapping.get("__weakref__")
        if type(made) is GetSetDescriptorType:
            # from 3.15 on the descriptor does not tell whose it is
            for owner in (made.__objclass__, *get_referrers(mapping)):
                if isinstance(owner, type) and get_referents(classes.read_namespace(owner))[0] is mapping:
                    return builders.namespace_proxy, (owner,)
    return MappingProxyType, (mapping,)
