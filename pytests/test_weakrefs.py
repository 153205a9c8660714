"""What refers weakly: references, proxies, the containers made of them, and finalizers."""

BEGIN = """
        import gc, weakref
        class Thing:
            def method(self, *args):
                return self, args
        def tried(function, *args):
            try:
                return function(*args)
            except Exception as error:
                return f"{type(error).__name__}: {error}"
"""


def program(text):
    return "\n" + BEGIN.lstrip("\n") + text.strip("\n") + "\n    "


def test_references_with_and_without_callbacks(same):
    same(
        program("""
        calls, thing, other = [], Thing(), Thing()
        plain, again = weakref.ref(thing), weakref.ref(thing)
        watched, twice = weakref.ref(thing, calls.append), weakref.ref(thing, calls.append)
        method = weakref.WeakMethod(other.method, calls.append)
        table = {plain: 1}
        hop()
        print(plain is again is weakref.ref(thing), watched is not twice, watched == twice, table[weakref.ref(thing)])
        print(weakref.getweakrefcount(thing), watched.__callback__ == calls.append, method()(3)[1], method == weakref.WeakMethod(other.method))
        del thing, other
        gc.collect()
        print(plain(), watched(), method(), [call is each for call, each in zip(calls, (twice, watched, method))])
        """)
    )


def test_dead_references_keep_their_hashes(same):
    same(
        program("""
        first, second = Thing(), Thing()
        asked, never = weakref.ref(first), weakref.ref(second, print)
        table = {asked: "found"}
        del first, second
        hop()
        print(asked(), never(), table[asked], tried(hash, never), asked == asked, asked == never)
        """).replace("weakref.ref(second, print)", "weakref.ref(second)")
    )


def test_proxies_are_asked_nothing_and_share_their_referent(same):
    same(
        program("""
        calls = []
        class Watchful(Thing):
            def __getattribute__(self, name):
                calls.append(name)
                return object.__getattribute__(self, name)
        def function():
            return 5
        watchful, thing = Watchful(), Thing()
        proxies = [weakref.proxy(watchful), weakref.proxy(watchful), weakref.proxy(thing, lambda proxy: calls.append("gone"))]
        call, dead, dead_call = weakref.proxy(function), weakref.proxy(Thing()), weakref.proxy(lambda: 0)
        del calls[:]
        hop()
        print(calls, proxies[0] is proxies[1], proxies[0] is weakref.proxy(watchful), call())
        thing.x = [1]
        print(proxies[2].x is thing.x, [type(each) is type(call) for each in (*proxies, dead, dead_call)], tried(lambda: dead.x), tried(dead_call))
        del thing, calls[:]
        print(calls, tried(lambda: proxies[2].x))
        """)
    )


def test_classes_that_derive_from_references(same):
    same(
        program("""
        class Keyed(weakref.ref):
            __slots__ = ("key", "extra")
            def __new__(cls, thing, callback=None, key=0):
                return super().__new__(cls, thing, callback)
            def __init__(self, thing, callback=None, key=0):
                super().__init__(thing, callback)
                self.key = key
        out, thing = [], Thing()
        keyed, other = Keyed(thing, out.append, 7), Keyed(thing, None, 8)
        keyed.extra = keyed
        hop()
        print(keyed() is thing, keyed.key, other.key, keyed.extra is keyed, keyed is not other)
        del thing
        print(keyed(), out == [keyed])
        """)
    )


def test_weak_containers_forget_as_at_home(same):
    same(
        program("""
        first, second, third = Thing(), Thing(), Thing()
        values, keys = weakref.WeakValueDictionary(a=first, b=second), weakref.WeakKeyDictionary({first: 1, second: 2})
        members, passing = weakref.WeakSet([first, second]), weakref.WeakValueDictionary({1: third})
        first.parent = weakref.ref(second)
        hop()
        print(values["a"] is first, keys[second], first in members, list(values), len(members), first.parent() is second)
        del second, third
        gc.collect()
        print(list(values), len(keys), len(members), len(passing), first.parent())
        """)
    )


def test_finalizers_run_once_and_in_their_order(same):
    same(
        program("""
        things = [Thing() for _ in range(6)]
        make = lambda number: weakref.finalize(things[number], print, "final", number)
        called, detached, kept, quiet, late = make(0), make(1), make(2), make(3), make(4)
        quiet.atexit = False
        called(), detached.detach()
        make(5)
        hop()
        print([each.alive for each in (called, detached, kept, quiet, late)], kept.peek()[0] is things[2], quiet.atexit, called())
        weakref.finalize(things[0], print, "final", "new")
        del things[2]
        hop()
        print(kept.alive, late.alive)
        """)
    )
