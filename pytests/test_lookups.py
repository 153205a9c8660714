"""What is looked for, made by the program where it is missing, and kept: the move is on the way.

Looking once more must not find what the program has put there meanwhile.
"""

import re
import sys

import pytest

HELPERS = """
        import collections, functools, operator, sys, types, weakref

        class Made:
            def __init__(self, n=0):
                self.n = n
                hop()
            def __repr__(self):
                return "Made(%r)" % self.n

        class New:
            def __new__(cls):
                hop()
                return super().__new__(cls)
            def __repr__(self):
                return "New()"

        class Called:
            def __call__(self, *args):
                return hop(["called", *args])
            def method(self):
                return hop(["method"])
            def __repr__(self):
                return "Called()"

        class Key:
            def __init__(self, n):
                self.n = n
            def __hash__(self):
                return self.n
            def __eq__(self, other):
                return self.n == other.n
            def __repr__(self):
                return "Key(%r)" % self.n

        class Default(collections.defaultdict):
            pass

        class Setting(collections.defaultdict):
            def __setitem__(self, key, value):
                hop()
                super().__setitem__(key, hop(value))

        class Asking(collections.defaultdict):
            def __missing__(self, key):
                hop()
                return [hop(), super().__missing__(key)]
            def __getitem__(self, key):
                return super().__getitem__(hop(key))

        class Missing(dict):
            def __missing__(self, key):
                self[key] = ["kept"]
                return hop([key])

        class Lazy:
            "Its attributes are made when they are first asked for."
            def __getattr__(self, name):
                self.__dict__[name] = "kept " + name
                return hop("made " + name)

        class LazySlots:
            __slots__ = "one", "two"
            def __getattr__(self, name):
                setattr(self, name, "kept " + name)
                return hop("made " + name)

        class Once:
            "A descriptor that puts its result in its own place."
            def __set_name__(self, owner, name):
                self.name = name
            def __get__(self, instance, owner):
                instance.__dict__[self.name] = "kept"
                return hop("made")

        class HasOnce:
            one, two = Once(), Once()
            @functools.cached_property
            def three(self):
                self.__dict__["three"] = "kept"
                return hop("made")

        class LazyMeta(type):
            def __getattr__(cls, name):
                setattr(cls, name, "kept " + name)
                return hop("made " + name)
        class LazyClass(metaclass=LazyMeta):
            pass

        lazy_module = sys.modules["lazy_module"] = types.ModuleType("lazy_module")
        def of_module(name):
            if name.startswith("__"):
                raise AttributeError(name)
            vars(lazy_module)[name] = "kept " + name
            return hop("made " + name)
        lazy_module.__getattr__ = of_module

        def sets_itself():
            d[1] = "inner"
            return hop("outer")

        def calls_itself(maxsize, typed=False):
            "A cache whose function calls it with the same arguments, once."
            @functools.lru_cache(maxsize=maxsize, typed=typed)
            def cached(*args, **keywords):
                inner.append(args)
                if len(inner) == 1:
                    cached(*args, **keywords)
                    return hop("outer")
                return "inner"
            inner = []
            return cached

        def told(cached, *results):
            return [*results, cached.cache_info()]
"""

MOVES = {
    "defaultdict of a class": "d = collections.defaultdict(Made); d[1].n += 1; result = d, d[1] is d[1]",
    "defaultdict of a class with __new__": "d = collections.defaultdict(New); d[1]; result = d, d[1] is d[1]",
    "defaultdict of a function": "d = collections.defaultdict(lambda: hop([])); d['a'].append(1); result = [*d.items()]",
    "defaultdict of a partial": "d = collections.defaultdict(functools.partial(Made, 5)); d[1]; result = [*d.items()]",
    "defaultdict of a bound method": "d = collections.defaultdict(Called().method); d[1]; result = [*d.items()]",
    "defaultdict of a callable object": "d = collections.defaultdict(Called()); d[1]; result = [*d.items()]",
    "defaultdict of defaultdicts": "d = collections.defaultdict(lambda: collections.defaultdict(lambda: hop(0))); d[1][2] += 1; result = d[1][2]",
    "key with a hash of its own": "d = collections.defaultdict(Made); d[Key(1)].n = 5; d[Key(1)].n += 1; result = d",
    "function that sets the key": "d = collections.defaultdict(sets_itself); result = d[1], d[1]",
    "function that raises": "d = collections.defaultdict(lambda: 1 / hop(0))\n            try: d[1]\n            except ZeroDivisionError: result = [*d]",
    "subclass of defaultdict": "d = Default(Made); d[1]; result = d",
    "subclass that is told": "d = Setting(Made); d[1].n = 4; result = d",
    "subclass that asks on": "d = Asking(Made); result = d[1], d",
    "defaultdict in other words": "d = collections.defaultdict(Made); result = d.__getitem__(1), operator.getitem(d, 2), operator.itemgetter(3)(d), d.__missing__(4), collections.defaultdict.__missing__(d, 5), d",
    "dict with __missing__": "d = Missing(); result = d[1], d[1], d.__getitem__(2), dict.__getitem__(d, 3), operator.getitem(d, 4), operator.itemgetter(5)(d), d.__missing__(6), d",
    "Counter and ChainMap": "class C(collections.Counter):\n                def __missing__(self, key): return hop(1)\n            class M(collections.ChainMap):\n                def __missing__(self, key): return hop(key)\n            c = C(); c['a'] += 1; result = c, M({}, {})[2]",
    "attribute": "it = Lazy(); result = it.one, it.one, it.two.upper(), getattr(it, 'three'), it.three",
    "attribute in a slot": "it = LazySlots(); result = it.one, it.one, getattr(it, 'two'), it.two",
    "attribute through a proxy": "it = Lazy(); result = weakref.proxy(it).one, it.one",
    "attribute through attrgetter": "it = Lazy(); result = operator.attrgetter('one')(it), it.one",
    "attribute of a class": "result = LazyClass.one, LazyClass.one, LazyClass.two.upper()",
    "attribute of a module": "result = lazy_module.one, lazy_module.one, lazy_module.two.upper()",
    "descriptor": "it = HasOnce(); result = it.one, it.one, it.two.upper(), it.two, it.three, it.three",
    "cache that is called by itself": "c = calls_itself(8); result = told(c, c(1), c(1), c(2))",
    "cache called by itself with keywords": "c = calls_itself(8); result = told(c, c(1, k=2), c(1, k=2), c(1, k=3))",
    "cache of types called by itself": "c = calls_itself(8, typed=True); result = told(c, c(1), c(1), c(1.0), c(k=1))",
    "cache that keeps nothing, called by itself": "c = calls_itself(0); result = told(c, c(1), c(1))",
    "cache through a partial": "c = calls_itself(8); p = functools.partial(c, k=2); result = told(c, p(1), p(1), c(1, k=2), c(1, k=3))",
    "cache called with stars": "c = calls_itself(8); a = 1, 2; k = {'x': 3}; result = told(c, c(*a, **k), c(1, 2, x=3), c(*a))",
    "cache of a callable object": "c = functools.lru_cache()(Called()); result = told(c, c(1), c(1) is c(1))",
    "cache that is emptied": "c = functools.lru_cache()(lambda n: c.cache_clear() or hop(n)); result = told(c, c(1), c(1))",
    "cache of a method": "class C:\n                @functools.lru_cache(maxsize=None)\n                def m(self, n=1): return hop([n])\n            it = C(); result = told(C.m, it.m(), it.m() is it.m(), it.m(2))",
}


# A bound method that is called with keywords leaves its receiver in its place on the stack, up to 3.10.
SEES_METHODS = sys.version_info >= (3, 11)
CACHED_METHOD = "type('C', (), {'m': functools.lru_cache()(lambda self, n: hop(n))})()"
if SEES_METHODS:
    MOVES["cache of a method with keywords"] = (
        f"it = {CACHED_METHOD}; result = it.m(n=2), it.m(n=2), it.m.cache_info()"
    )


@pytest.mark.parametrize("statement", MOVES.values(), ids=MOVES)
def test_what_is_missing_is_made_once(same, statement):
    same(f"""{HELPERS}
        def f():
            global d
            {statement}
            return result
        print(str(f()).replace("collections.", ""))
        hop()
    """)


# What the refusal names.
REFUSED = {
    "hash of a defaultdict's key": ("collections.defaultdict(int)[Hashed()]", "(?i)binary_(subscr|op)"),
    "hash of a key that is made": ("twice(1)", "(?i)binary_(subscr|op)"),
    "cache without a limit called by itself": (
        "calls_itself(None)(1)",
        "got a result for these arguments meanwhile",
    ),
    "cache of a class": ("functools.lru_cache()(Made)(1).n", "Made"),
    "cache that asks for a hash": ("functools.lru_cache()(lambda key: hop(1))(Key(1))", "its hash"),
    "getattr with a default": ("getattr(Lazy(), 'one', 2)", "getattr"),
    "hasattr": ("hasattr(HasOnce(), 'two')", "hasattr"),
    "several attributes": ("operator.attrgetter('one', 'two')(Lazy())", "attrgetter"),
    "attribute of an attribute": ("operator.attrgetter('one.upper')(Lazy())", "attrgetter"),
    "several items": ("operator.itemgetter(1, 2)(Missing())", "itemgetter"),
    "format_map": ("'{a}'.format_map(Missing())", "format_map"),
    "%": ("'%(a)s' % Missing()", "(?i)binary_(modulo|op)"),
}


if not SEES_METHODS:
    REFUSED["cache of a method with keywords"] = f"{CACHED_METHOD}.m(n=2)", "called by"


@pytest.mark.parametrize("name", REFUSED)
def test_what_would_be_found_already_is_refused(refused, name):
    expression, words = REFUSED[name]
    texts = refused(f"""
        hop = attempt
        {HELPERS.strip()}
        class Hashed:
            def __hash__(self): return attempt(1)
        def twice(n):
            "The hash of a key that a defaultdict lacks is asked for before and after it calls its function."
            class Hashed:
                asked = 0
                def __hash__(self):
                    Hashed.asked += 1
                    return attempt(1) if Hashed.asked == 2 else 1
            calls = []
            collections.defaultdict(lambda: calls.append(n))[Hashed()]
            return calls, Hashed.asked
        print(bool({expression}))
    """)
    assert all(re.search(words, text) for text in texts), texts
