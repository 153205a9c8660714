"""What stays at home while the program is away, and what stands in its place meanwhile.

A trip has a token, and home keeps a table for it: what it does not let go of has a number there. At the far
end an :class:`Away` stands for each, and says where the object is when it is touched; on the way back it
becomes that very object. Locks travel, and are known by their numbers, too.
"""

from __future__ import annotations

import os
import sys
from _weakref import ref as Ref

from . import _native, builders, imports
from .errors import AwayError

__builtins__ = imports.BUILTINS

# ------------------------------------------------------------------------------- what stands in its place

# (token, number) → its text, and what stands for it here, as long as anything refers to that.
_texts = {}
_made = {}
# The same of a method → that of the object whose it is.
_receivers = {}


class Away:
    """Stands for an object that has stayed at home: whatever is asked of it raises :exc:`AwayError`."""

    __slots__ = ("__weakref__", "key", "kind")

    def __repr__(self):
        return "<%s>" % _text(self)

    def __hash__(self):
        return object.__hash__(self)

    def __eq__(self, other):
        return True if self is other else _touched(self)

    def __ne__(self, other):
        return False if self is other else _touched(self)

    def __getattribute__(self, name):
        if name == "__class__":
            return _kind_of(self) or Away
        _touched(self)


_key_of = Away.__dict__["key"].__get__
_kind_of = Away.__dict__["kind"].__get__


def _text(stand_in):
    key = _key_of(stand_in)
    receiver = _receivers.get(key)
    if receiver is not None:
        return "a method of %s" % _texts.get(receiver, _UNTOLD)
    return _texts.get(key, _UNTOLD)


_UNTOLD = "an object that has stayed at home"


def _touched(stand_in, *_arguments, **_options):
    raise AwayError(_text(stand_in))


_BINARY = "add sub mul matmul truediv floordiv mod divmod pow lshift rshift and xor or"
_OTHERS = """
    setattr delattr dir call bool len length_hint iter next reversed contains getitem setitem delitem
    enter exit aenter aexit await aiter anext lt le gt ge format bytes fspath
    int float complex index neg pos abs invert round trunc floor ceil
    reduce reduce_ex copy deepcopy sizeof instancecheck subclasscheck buffer
"""
_TOUCHED = [
    *_OTHERS.split(),
    *(prefix + name for prefix in ("", "r", "i") for name in _BINARY.split() if prefix + name != "idivmod"),
]
for _name in _TOUCHED:
    setattr(Away, "__%s__" % _name, _touched)
Away.__str__ = Away.__repr__


def make(token, number, kind, text=None):
    """What stands for the object of this number of a trip."""
    key = token, number
    known = _made.get(key)
    stand_in = known and known()
    if stand_in is None:
        stand_in = object.__new__(Away)
        Away.__dict__["key"].__set__(stand_in, key)
        Away.__dict__["kind"].__set__(stand_in, kind)
        _made[key] = Ref(stand_in)
    if text is not None:
        _texts[key] = text
    return stand_in


def take(pickler, stand_in):
    """What stands for an object of home: that object once the program is back, until then the same again."""
    token, number = _key_of(stand_in)
    if pickler.coming is not None and pickler.coming.token == token:
        return at_home, (number,)
    return make, (token, number, _kind_of(stand_in), _text(stand_in))


def bind(unbound, receiver, token, number):
    """A method in C of an object that may have stayed at home, and the method with it."""
    if type(receiver) is Away:
        _receivers[token, number] = _key_of(receiver)
        return make(token, number, type(len))
    return unbound.__get__(receiver)


def make_relay(token, number, encoding):
    """A stream that is written to at home."""
    from .relays import Relay

    return Relay(token, number, encoding)


def _come_relay(pickler, relay):
    token, number, encoding = relay.key
    is_home = pickler.coming.token == token
    return (at_home, (number,)) if is_home else (make_relay, (token, number, encoding))


def make_lock(token, number, is_held):
    """A lock that is known at home."""
    return _known_at_home(builders.make_lock(is_held), token, number)


def make_rlock(token, number, kind, count):
    """A reentrant lock that is known at home, held so many times by the thread that travels."""
    lock = kind()
    for _ in range(count):
        lock.acquire()
    return _known_at_home(lock, token, number)


# id of a lock → (reference to it, token, number)
_locks = {}


def _known_at_home(lock, token, number):
    _locks[id(lock)] = Ref(lock), token, number
    return lock


def _number_of(pickler, lock):
    reference, token, number = _locks.get(id(lock), (None, None, None))
    is_known = reference is not None and reference() is lock
    return number if is_known and pickler.coming.token == token else None


def _come_lock(pickler, lock):
    from .perthread import take_lock

    number = _number_of(pickler, lock)
    return take_lock(pickler, lock) if number is None else (lock_at_home, (number, lock.locked()))


def _come_rlock(pickler, lock):
    from . import perthread, threads

    number = _number_of(pickler, lock)
    count, _owner = threads.owner_of(lock)
    return perthread.take_rlock(pickler, lock) if number is None else (lock_at_home, (number, count))


# --------------------------------------------------------------------------------------- guest and home


class Guest:
    """What a process knows of the trip that has brought the program here.

    Attributes:
        token: that of the trip.
        line: the descriptor that leads to home, once the program goes on here.
        has_base: whether it goes back to a base at its end, and not before.
    """

    def __init__(self, token):
        self.token = token
        self.line = self.process = None
        self.has_base = False
        self.folder = _folder()
        self.environment = dict(os.environ._data)
        self.past = dict(_native.environment())
        self.patched, self.entries = [], []

    def takers(self, table):
        """Puts what takes things apart on the way back over a table of takers."""
        thread = sys.modules["_thread"]
        table[thread.LockType] = _come_lock
        table[thread.RLock] = _come_rlock
        if "pyteleport.relays" in sys.modules:
            table[sys.modules["pyteleport.relays"].Relay] = _come_relay

    def take_early(self, early, late):
        """What home is told first, and what it is not."""
        early["home"] = self.token
        early["changes"] = self.changes()
        self.take_patches(late)
        stay(late)

    def settled(self, late):
        """The program goes on here, with what it has put into modules."""
        self.patched = [each[:2] for each in late.get("patches", ())]
        if "entries" in late:
            from . import held

            self.entries = held.keys_of(late["entries"])

    def take_patches(self, late):
        """Tell of what was patched or registered at home, too: where it is no longer, what is there now."""
        from . import changes

        now = {(id(owner), name): (owner, name, *rest) for owner, name, *rest in late.get("patches", ())}
        for owner, name in self.patched:
            now[id(owner), name] = owner, name, changes.value_of(owner, name), False
        if now:
            late["patches"] = list(now.values())
        if self.entries:
            from . import held

            late["entries"] = held.with_others(late.get("entries", ()), self.entries)

    def is_here(self):
        """Whether this is the process that the program came to, and not a child of it."""
        return self.process == os.getpid()

    def changes(self):
        """What the program has changed of its surroundings since it came.

        The folder or None, the environment, and what C sees of that.
        """
        folder = _folder()
        changed = (
            _changed(self.environment, os.environ._data),
            _changed(self.past, dict(_native.environment())),
        )
        return (folder if folder != self.folder else None, *changed)


def _changed(before, now):
    return {name: now.get(name) for name in {**before, **now} if now.get(name) != before.get(name)}


def stay(late):
    """Leave out what stays with each process: event loops, and other threads."""
    late.pop("loops", None)
    late.pop("signals of loops", None)
    if late["threads"] is not None:
        late["threads"] = {"threads": [], "counter": late["threads"]["counter"], "limbo": [], "held": []}


def _folder():
    try:
        return os.getcwd()
    except OSError:
        return None


# The trip that this process is the far end of, if it is one.
guest = None


def arrive(token):
    """The program has come as a guest, and may go on here."""
    global guest
    guest = Guest(token)


def remember(line):
    """The guest goes on here: the descriptor that leads to home."""
    guest.line, guest.process = line, os.getpid()


def told(token, texts):
    """What is to be said of each object that has stayed."""
    _texts.update(((token, number), text) for number, text in texts.items())


def at_home(number):
    """The very object that has stayed."""
    from .trips import returning

    return returning.kept[number]


def lock_at_home(number, state):
    """The very lock, which is to be held so many times."""
    from .trips import returning

    return returning.lock(number, state)
