"""Callees entered through every kind of call, and what their result means to the caller."""

import opcode

import pytest

HELPERS = """
        import contextlib, contextvars, copy, functools, operator, types

        class Number:
            def __init__(self, n):
                self.n = n
            def __add__(self, other):
                return Number(self.n + hop(other.n))
            def __radd__(self, other):
                return ("radd", hop(other))
            def __iadd__(self, other):
                self.n += hop(other)
                return self
            def __mul__(self, other):
                hop()
                return NotImplemented
            def __rmul__(self, other):
                return ("rmul", hop(other))
            def __neg__(self):
                return Number(-hop(self.n))
            def __eq__(self, other):
                return hop(self.n) == other
            def __lt__(self, other):
                return hop(self.n) < other
            def __bool__(self):
                return hop(self.n) > 0
            def __len__(self):
                return hop(3)
            def __contains__(self, item):
                return hop(item) == self.n
            def __getitem__(self, key):
                return ("item", hop(key))
            def __setitem__(self, key, value):
                self.n = (key, hop(value))
            def __delitem__(self, key):
                self.n = ("deleted", hop(key))
            def __call__(self, *args, **kwargs):
                return hop(self.n), args, kwargs
            def __format__(self, spec):
                return "<%s|%s>" % (hop(self.n), spec)
            def __repr__(self):
                return "Number(%r)" % (hop(self.n),)
            def __getattr__(self, name):
                if name.startswith("dyn"):
                    return hop(name)
                raise AttributeError(name)
            def __iter__(self):
                return iter(hop([1, 2, 3]))
            @property
            def prop(self):
                return hop(self.n) + 1
            @prop.setter
            def prop(self, value):
                self.n = hop(value)
            @prop.deleter
            def prop(self):
                self.n = hop("gone")
            def method(self, a, *rest, key=0, **more):
                return self.n, hop(a), rest, key, more
            @classmethod
            def made(cls, n):
                return cls(hop(n))
            @staticmethod
            def static(n):
                return hop(n)

        class Child(Number):
            def method(self, *args, **kwargs):
                return "child", super().method(*args, **kwargs)
            @classmethod
            def made(cls, n):
                return super().made(n + 1)
            @property
            def prop(self):
                return super().prop * 10

        class Nameless:
            def __init__(*args):
                hop()
                args[0].n = args[1:]
            def method(*args, **more):
                return hop(args[0].n), args[1:], more

        def plain(a, b=2, *rest, c=3, **more):
            hop()
            return a, b, rest, c, more

        def decorated(tag):
            def wrap(function):
                @functools.wraps(function)
                def inner(*args, **kwargs):
                    result = function(*args, **kwargs)
                    return tag, result
                return inner
            return wrap

        @decorated("a")
        @decorated("b")
        def wrapped(*args, **kwargs):
            hop()
            return args, kwargs

        def one():
            x = Number(1)
            return x

        class Failed(Exception):
            def __init__(self):
                super().__init__("failed")
                self.told = hop("told")

        class Renewed(Exception):
            def __new__(cls):
                self = super().__new__(cls)
                self.told = hop("told anew")
                return self
"""

CALLS = {
    "positional": "plain(1, 2, 3)",
    "keywords": "plain(1, c=4, z=5)",
    "star": "plain(*[1, 2, 3, 4])",
    "star star": "plain(**{'a': 1, 'c': 2})",
    "all together": "plain(*(1, 2), *[3], c=9, **{'z': 4})",
    "300 arguments": "(lambda *a: hop(sum(a)))(" + ", ".join(map(str, range(300))) + ")",
    "method": "Number(1).method(2)",
    "method with keywords": "Number(1).method(2, 3, key=4, z=5)",
    "method with stars": "Number(1).method(*[2, 3], **{'z': 5})",
    "bound method": "(lambda m: m(2))(Number(1).method)",
    "unbound method": "Number.method(Number(1), 2)",
    "bound method with no names": "(lambda m: m(2, z=3))(Nameless(1).method)",
    "__init__ with no names": "Nameless(5).n",
    "super method": "Child(1).method(2, key=3)",
    "super classmethod": "Child.made(1).n",
    "super property": "Child(1).prop",
    "classmethod": "Number.made(4).n",
    "staticmethod": "Number.static(4)",
    "callable object": "Number(1)(2, x=3)",
    "decorators": "wrapped(1, k=2)",
    "partial": "functools.partial(plain, 1, c=2)(5, z=6)",
    "partial of partial": "functools.partial(functools.partial(plain, 1), 2)(3)",
    "partialmethod": "type('P', (), {'f': functools.partialmethod(lambda self, a, b: hop((a, b)), 1)})().f(2)",
    "lambda": "(lambda a=1, *, b=2: hop(a) + b)(b=4)",
    "recursion through a lambda": "(lambda f: f(f, 3))(lambda f, n: hop(n) and f(f, n - 1))",
    "method in a dict": "{'f': plain}['f'](1)",
    "call of a call": "(lambda: hop(plain))()(1)",
    "exec": "exec('global q; q = hop(5) + 1', globals()) or q",
    "eval": "1 + eval('2 * hop(3)')",
    "Context.run": "contextvars.copy_context().run(plain, 1, c=2)",
    "singledispatch": "functools.singledispatch(plain)(1)",
    "cached_property": "one().made(3).n",
    "operator.call of a function": "types.MethodType(plain, 1)(2)",
    "add": "(Number(1) + Number(2)).n",
    "reflected add": "3 + Number(1)",
    "after NotImplemented from the left": "5 * type('R', (), {'__rmul__': lambda self, other: hop('R')})()",
    "in place": "(lambda x: operator.iadd(x, 0) if 0 else x)(Number(1)).n",
    "unary": "(-Number(2)).n",
    "equal": "Number(1) == 1, Number(1) == 2",
    "less, in a branch": "'less' if Number(1) < 2 else 'more'",
    "chained comparison": "Number(0) < 1 < hop(2)",
    "truth, in a branch": "'yes' if Number(1) else 'no', 'yes' if Number(0) else 'no'",
    "not": "not Number(0)",
    "or keeps the object": "(Number(0) or Number(5)).n",
    "contains": "1 in Number(1), 2 in Number(1), 2 not in Number(1)",
    "subscript": "Number(1)['k']",
    "slice": "Number(1)[1:2]",
    "property": "Number(1).prop",
    "getattr": "Number(1).dynamic",
    "getattr as a method": "Number(1).dynamic.upper()",
    "format": "f'{Number(1):>3}|{Number(2)}'",
    "repr in an f-string": "f'{Number(1)!r}'",
    "metaclass call": "type('Meta', (type,), {'__call__': lambda cls, *a: hop(('meta', a))})('M', (), {})(1)",
}


# C code that asks before it does anything else is called once more; `Hashed` has a hash of the program's.
THROUGH_C = {
    "len": "len(Number(1))",
    "bool": "bool(Number(1)), bool(Number(0))",
    "str": "str(Number(1)), '%s' % (hop(1),)",
    "repr": "repr(Number(1))",
    "format": "format(Number(1), 'x')",
    "iter": "list(iter(Number(1)))",
    "list of an iterable": "list(Items()), tuple(Items()), sum(Items()), sorted(Items()), max(Items())",
    "unpacking an iterable": "(lambda a, *b: (a, b))(*Items()), [*Items()], {*Items()}, unpacked(Items())",
    "enumerate an iterable": "list(enumerate(Items())), list(zip(Items(), 'ab')), list(map(str, Items()))",
    "int and float": "int(Real(3)), float(Real(3)), complex(Real(3)), round(Real(3)), abs(Real(-3))",
    "index": "[1, 2, 3][Real(1)], hex(Real(255)), 'abc'[Real(0)]",
    "hash": "hash(Hashed(1))",
    "hash in a dict": "{Hashed(1): 'a'}[Hashed(1)], {Hashed(1): 'a'}.get(Hashed(1)), Hashed(2) in {Hashed(1): 0}",
    "hash in a set": "len({Hashed(n) for n in range(3)}), frozenset([2]).__contains__(Hashed(2))",
    "hash in a comprehension": "len({Hashed(n): n for n in range(3)})",
    "isinstance": "isinstance(1, Checked), issubclass(int, Checked)",
    "getattr of a property": "getattr(Number(1), 'prop')",
    "getattr of what is made up": "getattr(Number(1), 'dynamic'), getattr(Number(1), 'dynamic', 'default')",
    "getattr with a default": "getattr(Number(1), 'missing', 'default'), hasattr(Number(1), 'prop')",
    "object.__getattribute__": "object.__getattribute__(Number(1), 'prop')",
    "object.__reduce_ex__": "Reduced(1).__reduce_ex__(4)[1], copy.copy(Reduced(2)).n, copy.deepcopy([Reduced(3)])[0].n",
    "attribute of a class": "Checked.name_of_class, Checked.from_descriptor",
    "attribute of a module": "made_module.anything",
    "weak proxy": "(lambda n: weakref.proxy(n).prop)(Number(1)), (lambda n: weakref.proxy(n).method(2))(Number(1))",
    "operator functions": "operator.add(Number(1), Number(2)).n, operator.lt(Number(1), 2), operator.neg(Number(1)).n",
    "operator on items": "operator.getitem(Number(1), 'k'), operator.contains(Number(1), 1), operator.truth(Number(1))",
    "operator in place": "operator.iadd(Number(1), 5).n",
    "methodcaller": "operator.methodcaller('method', 2)(Number(1))",
    "itemgetter": "operator.itemgetter('k')(Number(1))",
    "attrgetter": "operator.attrgetter('prop')(Number(1))",
    "next of an iterator in C": "next(map(hop, [1, 2])), next(filter(hop, [0, 0, 3])), next(enumerate(counting(2)))",
    "next of a generator": "next(counting(2)), next(counting(0), 'default'), next(iter(counting(2)))",
    "any and all": "any(hop(n) for n in [0, 0, 1, 1]), all(hop(n) for n in [1, 1, 0]), any(iter(counting(2)))",
    "any and all of map": "any(map(hop, [0, 0, 5, 1])), all(map(hop, [1, 1])), any(map(hop, [0, 0])), all(map(hop, [1, 0]))",
    "pow and divmod": "pow(Real(2), 3), divmod(Real(7), 2)",
    "partial of a builtin": "functools.partial(len, Number(1))(), functools.partial(getattr, Number(1))('prop')",
    "metaclass that calls on": "Calling(5).n",
    "unary plus": "+Real(3)",
    "lru_cache": "cached(1), cached(1), cached(2, key=3), cached.cache_info()",
    "lru_cache of a recursion": "fibonacci(6), fibonacci.cache_info()",
    "cache without a limit, and with none": "unlimited(1), unlimited(1), unlimited.cache_info(), uncached(1), uncached.cache_info()",
}
THROUGH_C_HELPERS = """
        import copy, itertools, sys, weakref

        class Real:
            def __init__(self, n):
                self.n = n
            def __int__(self):
                return hop(self.n)
            def __index__(self):
                return hop(self.n)
            def __float__(self):
                return hop(float(self.n))
            def __complex__(self):
                return hop(complex(self.n))
            def __round__(self):
                return hop(self.n)
            def __abs__(self):
                return hop(abs(self.n))
            def __pos__(self):
                return hop(self.n)
            def __pow__(self, other):
                return hop(self.n) ** other
            def __divmod__(self, other):
                return divmod(hop(self.n), other)

        class Hashed:
            def __init__(self, n):
                self.n = n
                self.asked = False
            def __hash__(self):
                if not self.asked:  # a dictionary that arrives asks once more
                    self.asked = True
                    hop()
                return self.n
            def __eq__(self, other):
                return self.n == getattr(other, "n", other)

        class Reduced:
            def __init__(self, n):
                self.n = n
                self.asked = False
            def __reduce__(self):
                if not self.asked:  # the move itself asks once more
                    self.asked = True
                    hop()
                return Reduced, (self.n,)

        class Items:
            def __iter__(self):
                return iter(hop([1, 2, 3]))

        def unpacked(items):
            a, *b = items
            c, d, e = items
            return a, b, c, d, e

        class Described:
            def __get__(self, instance, owner):
                return hop(("described", owner.__name__))

        class Checking(type):
            def __instancecheck__(cls, thing):
                return hop(thing) == 1
            def __subclasscheck__(cls, other):
                return hop(other) is int
            @property
            def name_of_class(cls):
                return hop(cls.__name__)

        class Checked(metaclass=Checking):
            from_descriptor = Described()

        class CallsOn(type):
            def __call__(cls, *args):
                made = super().__call__(*args)
                made.n = hop(made.n) + 1
                return made

        class Calling(metaclass=CallsOn):
            def __init__(self, n):
                self.n = hop(n)

        made_module = sys.modules["made_module"] = types.ModuleType("made_module")
        made_module.__getattr__ = lambda name: hop("made " + name)

        @functools.lru_cache(maxsize=2)
        def cached(n, key=None):
            return hop(n), key

        @functools.lru_cache()
        def fibonacci(n):
            return hop(n) if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

        unlimited = functools.lru_cache(maxsize=None)(lambda n: hop(n))
        uncached = functools.lru_cache(maxsize=0)(lambda n: hop(n))

        def counting(n):
            for i in range(n):
                hop()
                yield i
"""


@pytest.mark.parametrize("expression", THROUGH_C.values(), ids=THROUGH_C)
def test_result_reaches_the_caller_through_c_code(same, expression):
    same(f"""{HELPERS}{THROUGH_C_HELPERS}
        def f():
            return ["before", ({expression}), "after"]
        print(f())
        hop()
    """)


def test_a_set_display_asks_its_first_item(same):
    same(f"""{HELPERS}{THROUGH_C_HELPERS}
        print(len({{Hashed(1), 2}}))
    """)


LOOPS = {
    "map": "map(hop, [1, 2, 3])",
    "map of a class": "map(Made, [1, 2, 3])",
    "map that stops": "map(stop_at_two, [1, 2, 3])",
    "map over a generator": "map(str, counting(3))",
    "starmap": "itertools.starmap(two, [(1, 2), (3, 4)])",
    "filter": "filter(even, range(5))",
    "filter with a method": "filter(Made(2).divides, range(5))",
    "filter by truth": "filter(None, [Made(n) for n in range(3)])",
    "filterfalse": "itertools.filterfalse(even, range(5))",
    "filter of a generator": "filter(None, counting(3))",
    "enumerate": "enumerate(counting(3))",
    "zip": "zip(counting(3), 'abc')",
    "zip_longest": "itertools.zip_longest(counting(3), 'ab')",
    "reversed": "reversed(Numbered())",
    "items by number": "Numbered()",
    "called until": "iter(Popped([3, 2, 1, 0]), 0)",
    "chain": "itertools.chain('a', counting(2), counting(1))",
    "chain of generators": "itertools.chain.from_iterable(counting(n) for n in range(3))",
    "islice": "itertools.islice(counting(9), 1, 6, 2)",
    "takewhile": "itertools.takewhile(lambda n: n < 2, counting(5))",
    "dropwhile": "itertools.dropwhile(lambda n: n < 2, counting(4))",
    "accumulate": "itertools.accumulate(counting(4))",
    "cycle": "itertools.islice(itertools.cycle(counting(2)), 5)",
    "compress": "itertools.compress(counting(4), [1, 0, 1, 1])",
    "tee": "itertools.tee(counting(3))[0]",
    "nested": "enumerate(zip(filter(None, itertools.chain(counting(3), [7])), 'abcdef'))",
}


@pytest.mark.parametrize("items", LOOPS.values(), ids=LOOPS)
def test_loops_over_iterators_in_c(same, items):
    same(f"""{HELPERS}{THROUGH_C_HELPERS}
        class Made:
            def __init__(self, n):
                self.n = hop(n)
            def __bool__(self):
                return hop(self.n) != 1
            def divides(self, n):
                return hop(n) % self.n == 0
            def __repr__(self):
                return "Made(%d)" % self.n
        class Numbered:
            def __len__(self):
                return 3
            def __getitem__(self, n):
                return hop("abc"[n])
        class Popped(list):
            def __call__(self):
                return hop(self.pop(0))
        def stop_at_two(n):
            if hop(n) == 2:
                raise StopIteration
            return n
        def even(n):
            return hop(n) % 2 == 0
        def two(a, b):
            return hop(a) + b
        seen = []
        for item in {items}:
            seen.append(item)
        else:
            seen.append("end")
        print(seen, [("comprehension", item) for item in {items}])
        hop()
    """)


FILLED = {
    "list.extend": "kept = [0]; kept.extend(counting(3))",
    "list display": "kept = [0, *counting(3), 9]",
    "set display": "kept = sorted({0, *counting(3)})",
    "set.update": "kept = {7}; kept.update(counting(3)); kept = sorted(kept)",
    "dict.update": "kept = {7: 8}; kept.update((n, n) for n in counting(3))",
    "deque.extend": "kept = collections.deque([5], maxlen=3); kept.extend(counting(3)); kept = list(kept)",
    "deque.extendleft": "kept = collections.deque([5]); kept.extendleft(counting(3)); kept = list(kept)",
    "Counter": "kept = collections.Counter(n % 2 for n in counting(5))",
    "writelines": "kept = None; sys.stdout.writelines(str(n) for n in counting(3))",
    "yield from": "kept = list((lambda: (yield from filter(None, counting(3))))()) if 0 else [*passed_on()]",
}


@pytest.mark.parametrize("statement", FILLED.values(), ids=FILLED)
def test_what_is_being_filled_goes_on_being_filled(same, statement):
    if ("[*" in statement or ", *" in statement) and "BUILD_LIST_UNPACK" in opcode.opmap:
        pytest.skip("CPython 3.8 keeps what a display with stars has collected in C")
    same(f"""{HELPERS}{THROUGH_C_HELPERS}
        import collections, sys
        def passed_on():
            yield from enumerate(counting(3))
        def f():
            {statement}
            return kept
        print(f())
        hop()
    """)


NAMESPACE = """
        class Namespace(dict):
            def __setitem__(self, name, value):
                super().__setitem__(name, hop(value))
            def __getitem__(self, name):
                return hop(super().__getitem__(name))
            def __delitem__(self, name):
                super().__delitem__(hop(name))
"""


def test_a_namespace_of_the_programs_own_class(same):
    same(f"""{NAMESPACE}
        space = Namespace(hop=hop)
        exec("a = 1; b = a + 1; del a; c = (b, b)", {{"hop": hop}}, space)
        print(sorted(name for name in dict.keys(space) if name != "hop"), dict.get(space, "b"))
    """)


@pytest.mark.parametrize("expression", CALLS.values(), ids=CALLS)
def test_result_reaches_the_caller(same, expression):
    same(f"""{HELPERS}
        def f():
            return ["before", ({expression}), "after"]
        print(f())
        print("top", ({expression}))
        hop()
    """)


STATEMENTS = {
    "discarded result": "plain(1); result = 'gone on'",
    "in place": "x = Number(1); x += 5; result = x.n",
    "in place on an attribute": "x = one(); x.part = Number(2); x.part += 3; result = x.part.n",
    "set item": "x = one(); x['k'] = 'v'; result = x.n",
    "set slice": "x = one(); x[1:2] = 'v'; result = x.n",
    "delete item": "x = one(); del x['k']; result = x.n",
    "set property": "x = one(); x.prop = 7; result = x.n",
    "delete property": "x = one(); del x.prop; result = x.n",
    "for over a class with __iter__": "result = []\n            for item in Number(1): result.append(item)",
    "assert": "assert Number(1), 'never'; result = 'held'",
    "raise": "\n            try: raise hop(KeyError)('k')\n            except KeyError as error: result = repr(error)",
    "raise a class": "\n            try: raise Failed\n            except Failed as error: result = error.told, error.__traceback__.tb_lineno",
    "raise a class made anew": "\n            try: raise Renewed\n            except Renewed as error: result = error.told",
    "raise a class in a handler": "\n            try:\n                try: {}['k']\n                except KeyError: raise Failed\n            except Failed as error: result = error.told, repr(error.__context__)",
    "except with a called class": "\n            try: {}['k']\n            except hop(KeyError) as error: result = repr(error)",
    "import inside": "import json as result_json; hop(); result = result_json.dumps({'a': 1})",
    "decorator runs the hop": "\n            @hop\n            def result(): pass\n            result = result.__name__",
    "class with bases from a call": "\n            class Made(hop(Number)): pass\n            result = Made(3).n",
    "default values": "\n            def g(a=hop(1), *, b=hop(2)): return a, b\n            result = g()",
    "annotations": "\n            x: hop(int) = hop(1)\n            result = x",
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_statement_goes_on(same, statement):
    same(f"""{HELPERS}
        def f():
            result = None
            {statement}
            return result
        print(f())
        hop()
    """)


def test_running_init_returns_the_instance(same):
    same(
        """
        class Base:
            def __init__(self, a):
                self.a = hop(a)
        class Child(Base):
            def __init__(self, a, b):
                super().__init__(a)
                self.b = b + hop(1)
                self.me = self
        def f():
            c = Child(1, b=2)
            d = [Base(5), c]
            return c.a, c.b, c.me is c, type(c).__name__, d[0].a, d[1] is c
        print(f())
        print(Child(*[3], **{"b": 4}).b)
        Child(1, 2)
        print("end")
    """
    )


def test_running_new(same):
    same("""
        class Single:
            made = None
            def __new__(cls, *args):
                hop()
                if cls.made is None:
                    cls.made = super().__new__(cls)
                return cls.made
            def __init__(self, *args):
                self.args = hop(args)
        class Counted(int):
            def __new__(cls, n):
                n = hop(n) + 1
                self = super().__new__(cls, n)
                self.tag = hop("made")
                return self
        print(Single(1) is Single(2), Single.made.args, Counted(4) + 1, Counted(5).tag)
    """)


def test_descriptors(same):
    same("""
        class Field:
            def __set_name__(self, owner, name):
                self.name = name
            def __get__(self, instance, owner):
                if instance is None:
                    return self
                return hop(instance.__dict__[self.name])
            def __set__(self, instance, value):
                instance.__dict__[self.name] = hop(value)
            def __delete__(self, instance):
                del instance.__dict__[self.name]
                hop()
        class Record:
            a = Field()
            b = Field()
        record = Record()
        record.a = 1
        record.b = record.a + 1
        print(record.a, record.b)
        del record.a
        print(record.__dict__)
        class Told:
            def __setattr__(self, name, value):
                object.__setattr__(self, name, hop(value))
        told = Told()
        told.a = 3
        print(told.a)
    """)


def test_iterator_classes_under_a_for(same):
    same("""
        class Down:
            def __init__(self, n):
                self.n = n
            def __iter__(self):
                hop()
                return self
            def __next__(self):
                self.n -= 1
                if hop(self.n) < 0:
                    raise StopIteration
                return self.n
        seen = []
        for item in Down(3):
            seen.append(item)
        else:
            seen.append("else")
        print(seen)
    """)


def test_dataclasses_enums_and_namedtuples(same):
    same("""
        import collections, dataclasses, enum
        @dataclasses.dataclass
        class Point:
            x: int
            y: int = 0
            tags: list = dataclasses.field(default_factory=list)
            def __post_init__(self):
                self.sum = hop(self.x + self.y)
        class Color(enum.Enum):
            RED = 1
            BLUE = 2
            @property
            def twice(self):
                return hop(self.value) * 2
        Pair = collections.namedtuple("Pair", "a b")
        p, c, q = Point(1, 2), Color.BLUE, Pair(1, [2])
        hop()
        print(p, p.sum, c, c is Color.BLUE, Color(2) is c, c.twice, q, q.b, isinstance(q, Pair), Pair(3, 4))
    """)


def test_functions_of_the_standard_library_on_the_stack(same):
    same("""
        import collections.abc, copy, os
        class Thing:
            def __copy__(self):
                hop()
                return Thing()
            def __deepcopy__(self, memo):
                return hop(Thing())
        class Store(collections.abc.MutableMapping):
            def __init__(self):
                self.kept = {}
            def __getitem__(self, key):
                return hop(self.kept[key])
            def __setitem__(self, key, value):
                self.kept[key] = value
            def __delitem__(self, key):
                del self.kept[key]
            def __iter__(self):
                return iter(self.kept)
            def __len__(self):
                return len(self.kept)
        print(type(copy.copy(Thing())).__name__, len(copy.deepcopy([1, {"a": Thing()}])))
        store = Store()
        store["a"] = 1
        print(store.get("a"), store.pop("a"), store.setdefault("b", 3), "b" in store)
        class Level(__import__("enum").Enum):
            LOW = 1
            @classmethod
            def _missing_(cls, value):
                hop()
                return cls.LOW
        print(Level(7), os.path.join("a", str(hop(1))))
    """)


def test_an_operator_that_asked_another_method_before_is_refused(move):
    moved = move("""
        from pyteleport import BoundaryError, teleport
        class Number:
            def __iadd__(self, other):
                print("asked")
                return NotImplemented
            def __add__(self, other):
                try:
                    teleport()
                except BoundaryError as refusal:
                    print("__iadd__" in str(refusal))
                return 5
        n = Number()
        n += 1
        print(n)
    """)
    assert moved.stdout == "asked\nTrue\n5\n"
