"""Callees entered through every kind of call, and what their result means to the caller."""

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
