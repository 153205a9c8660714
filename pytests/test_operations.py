"""Operators, comparisons, containers, matching, unpacking, printing: what a statement asks of the program's objects."""

import re
import sys

import pytest

NUMBERS = """
        import operator

        def made(name, *methods, base=object):
            def method(own):
                def method(self, *others):
                    log.append((name, own, hop(len(others))))
                    return answers.get((name, own), NotImplemented)
                method.__code__ = method.__code__.replace(co_name=own)
                return method
            return type(name, (base,), {own: method(own) for own in methods})()

        log, answers = [], {}
        def shown(work):
            try:
                result = work()
            except Exception as error:
                result = type(error).__name__, str(error)
            print(result if type(result) in (int, bool, str, tuple) else type(result).__name__, log)
            log.clear()
"""

OPERATORS = {
    "+": ("add", ["a + b"]),
    "*": ("mul", ["a * b", "operator.mul(a, b)"]),
    "**": ("pow", ["a ** b"]),
    "@": ("matmul", ["a @ b"]),
    "<<": ("lshift", ["a << b"]),
    "-": ("sub", ["a - b"]),
}


@pytest.mark.parametrize("sign", OPERATORS)
def test_an_operator_whose_left_operand_does_not_know(same, sign):
    """The left one's method is not asked again; the right one's answer is the result, or all have failed."""
    name, expressions = OPERATORS[sign]
    work = "\n".join(f"            shown(lambda: {expression})" for expression in expressions)
    same(f"""{NUMBERS}
        a, b = made("A", "__{name}__"), made("B", "__r{name}__")
        for answer in (5, NotImplemented):
            answers["B", "__r{name}__"] = answer
{work}
        b = 7
        shown(lambda: a {sign} b)
        a = None
        b = made("B", "__r{name}__")
        shown(lambda: a {sign} b)
    """)


@pytest.mark.parametrize("sign", ["+", "*", "-", "**"])
def test_an_operator_in_place_that_goes_on_to_the_others(same, sign):
    name = OPERATORS[sign][0]
    same(f"""{NUMBERS}
        def work():
            x = a
            x {sign}= b
            return x
        a, b = made("A", "__i{name}__", "__{name}__"), made("B", "__r{name}__")
        for one in (("A", "__i{name}__"), ("A", "__{name}__"), ("B", "__r{name}__"), None):
            answers.clear()
            if one:
                answers[one] = 5
            shown(work)
        class Holder: pass
        holder, items = Holder(), [0, 1]
        def work():
            holder.value, items[1] = a, a
            holder.value {sign}= b
            items[hop(1)] {sign}= b
            return holder.value, items[1]
        answers["B", "__r{name}__"] = 6
        shown(work)
    """)


def test_an_operator_that_prefers_a_subclass(same):
    same(f"""{NUMBERS}
        a = made("A", "__add__", "__radd__")
        same_methods, own_methods = made("B", base=type(a)), made("C", "__radd__", base=type(a))
        for b in (same_methods, own_methods, type(a)()):
            for key in ("A", "__radd__"), ("C", "__radd__"), ("A", "__add__"), None:
                answers.clear()
                if key:
                    answers[key] = 5
                shown(lambda: a + b)
    """)


@pytest.mark.parametrize(
    ("sign", "name", "other"), [("<", "lt", "gt"), (">=", "ge", "le"), ("==", "eq", "eq")]
)
def test_a_comparison_that_asks_both(same, sign, name, other):
    same(f"""{NUMBERS}
        a, b = made("A", "__{name}__"), made("B", "__{other}__")
        sub = made("C", "__{other}__", base=type(a))
        for answer in (True, 5, "", NotImplemented):
            answers["B", "__{other}__"] = answers["C", "__{other}__"] = answer
            shown(lambda: a {sign} b)
            shown(lambda: "yes" if a {sign} b else "no")
            shown(lambda: a {sign} sub)
            shown(lambda: 0 if not (a {sign} b) else 1)
        shown(lambda: a {sign} 3)
        shown(lambda: 3 {sign} b)
        same_kind = made("A", "__{name}__")
        shown(lambda: a {sign} same_kind)
    """)


def test_not_equal_where_there_is_only_equal(same):
    same(f"""{NUMBERS}
        a = made("A", "__eq__")
        answers["A", "__eq__"] = True
        shown(lambda: a != 3)
        shown(lambda: "differ" if a != 3 else "same")
        answers["A", "__eq__"] = False
        shown(lambda: a != 3)
    """)


def test_an_object_that_is_compared_with_itself(move):
    """Its method is asked twice if it does not know, and nothing tells which time it is."""
    source = """
        class A:
            asked = 0
            def __eq__(self, other):
                self.asked += 1
                try:
                    teleport()
                except BoundaryError as refusal:
                    print("== of an object with itself" in str(refusal))
                trail("refused")
                return NotImplemented
            __hash__ = None
        a = A()
        print(a == a, a.asked)
    """
    run = move(source)
    assert run.stdout == "True\nTrue\nTrue 2\n", run.stderr
    assert run.ended_in == "home"


CONTAINERS = """
        import collections, contextlib, copy, dataclasses, fractions, functools, io, itertools, operator, sys, weakref

        class Equal:
            def __init__(self, n):
                self.n = n
            def __eq__(self, other):
                return self.n == getattr(other, "n", other)
            def __hash__(self):
                return 1
            def __lt__(self, other):
                return self.n < other.n
            def __repr__(self):
                return "Equal(%r)" % (self.n,)

        class Asked(Equal):
            asked = 0
            def __eq__(self, other):
                type(self).asked += 1
                hop()
                return super().__eq__(other)
            __hash__ = Equal.__hash__

        class Items:
            def __init__(self, n):
                self.n = n
            def __iter__(self):
                return self
            def __next__(self):
                if self.n == 0:
                    raise StopIteration
                self.n -= 1
                return hop(self.n)

        class Shown:
            def __init__(self, text):
                self.text = text
            def __str__(self):
                return hop(self.text)
            def __format__(self, spec):
                return hop(self.text) + spec
            def __repr__(self):
                return hop("<%s>" % self.text)

        class File:
            def __init__(self):
                self.written = []
            def write(self, text):
                self.written.append(text)
                hop()
            def flush(self):
                self.written.append("flush")
                hop()

        class Told:
            def __getattribute__(self, name):
                hop()
                return object.__getattribute__(self, name)
            value = 3

        class Field:
            def __set_name__(self, owner, name):
                self.name = "_" + name
            def __get__(self, instance, owner=None):
                return hop(getattr(instance, self.name, 0))
            def __set__(self, instance, value):
                setattr(instance, self.name, hop(value))
            def __delete__(self, instance):
                delattr(instance, self.name)
                hop()

        class Holder:
            field = Field()
            @functools.cached_property
            def cached(self):
                return hop([1])
            @functools.singledispatchmethod
            def single(self, item):
                return "any", hop(item)
            @single.register
            def _(self, item: int):
                return "int", hop(item)

        @functools.singledispatch
        def single(item):
            return "any", hop(item)
        @single.register(int)
        def _(item):
            return "int", hop(item)

        @contextlib.contextmanager
        def managed(n):
            try:
                yield hop(n)
            finally:
                hop()

        def counting(n):
            for i in range(n):
                yield hop(i)
"""

# Moves, whatever is asked.
MOVES = {
    "assert message": "\n            try: assert hop(0), hop('why')\n            except AssertionError as error: result = error.args",
    "chained comparison": "result = 1 < hop(2) < hop(3) < hop(1), 3 > hop(2) > hop(5) > hop(1)",
    "augmented attribute": "h = Holder(); h.n = 1; h.n += hop(2); result = h.n",
    "augmented subscript": "x = [1, 2]; x[hop(1)] += hop(5); result = x",
    "augmented slice": "x = [1, 2]; x[hop(1):] += hop([5]); result = x",
    "augmented field": "h = Holder(); h.field += hop(2); result = h.field",
    "delete": "h = Holder(); h.field = 1; del h.field; x = [1, 2, 3]; del x[hop(0)], x[hop(0):]; result = x",
    "star expressions": "result = [*hop([1]), 2, *hop((3,))], {**hop({1: 2}), 3: hop(4)}, (*hop('ab'),)",
    "unpacking what is there": "a, *b, c = hop([1, 2, 3, 4]); (d, e), f = hop(((1, 2), 3)); result = a, b, c, d, e, f",
    "lambda defaults": "result = (lambda a=hop(1), *, b=hop(2): (a, b))()",
    "walrus": "result = [y for x in range(2) if (y := hop(x)) is not None]",
    "conditional": "result = hop(1) if hop(0) else hop(2)",
    "__getattribute__": "result = Told().value",
    "field": "h = Holder(); h.field = 5; result = h.field, h._field",
    "f-string": 'result = f\'{Shown(1 and "a")}|{Shown("b")!s:>3}|{Shown("c")!r}|{hop(3)!r:>{hop(5)}}|{Shown("d"):x}\'',
    "str.format": "result = '{}'.format(hop(1))",
    "cached_property": "h = Holder(); result = h.cached, h.cached is h.cached",
    "singledispatch": "result = single(1), single('a')",
    "singledispatchmethod": "result = Holder().single(1), Holder().single('a')",
    "contextmanager": "\n            with managed(1) as a, managed(2) as b: result = a, b, hop(3)",
    "ExitStack": "\n            with contextlib.ExitStack() as stack: result = stack.enter_context(managed(hop(1))); stack.callback(hop, 2)",
    "suppress": "\n            with contextlib.suppress(KeyError): result = 5; hop(); {}[hop(1)]",
    "closing": "\n            with contextlib.closing(counting(2)) as items: result = next(items)",
    "decorator of contextlib": "result = managed(1)(lambda: hop(4))()",
    "iter with a sentinel": "items = [3, 2, 0, 1]; result = [x for x in iter(lambda: hop(items.pop(0)), 0)], items",
    "dataclass": "\n            @dataclasses.dataclass(order=True)\n            class D:\n                a: int = hop(1)\n                b: list = dataclasses.field(default_factory=lambda: hop([]))\n                def __post_init__(self): self.c = hop(3)\n            result = D(), D(2) > D(1), D().c",
    "total_ordering": "\n            @functools.total_ordering\n            class T:\n                def __init__(self, n): self.n = n\n                def __eq__(self, other): return hop(self.n == other.n)\n                def __lt__(self, other): return hop(self.n < other.n)\n            result = T(1) <= T(2), T(1) > T(2), T(1) >= T(1)",
    "operator.setitem": "\n            class S(dict):\n                def __setitem__(self, k, v): super().__setitem__(k, hop(v))\n                def __delitem__(self, k): hop(); super().__delitem__(k)\n            s = S(); operator.setitem(s, 1, 2); result = dict(s); operator.delitem(s, 1); result = result, dict(s)",
    "__missing__": "\n            class M(dict):\n                def __missing__(self, key): return hop(key)\n            result = M()[3], M(a=1)['a']",
    "defaultdict": "d = collections.defaultdict(lambda: hop([])); d[1].append(2); result = dict(d)",
    "wrapper of a slot": "result = Told.__getattribute__(Told(), 'value'), object.__getattribute__(Holder(), 'field')",
    "UserDict": "u = collections.UserDict(a=1); u.update(b=hop(2)); result = u.data",
    "weak proxy": "h = Holder(); p = weakref.proxy(h); p.field = 3; result = p.field, p.cached",
    "Fraction": "result = str(fractions.Fraction(hop(1), 3) + hop(1))",
    "equal of what is not in a container": "result = Asked(1) == 1, Asked(1) != 2",
    "copy": "\n            class C:\n                def __deepcopy__(self, memo): return hop('copied')\n            result = copy.deepcopy([C(), {1: C()}])",
    "redirect_stdout": "\n            with contextlib.redirect_stdout(io.StringIO()) as out: print('in', hop(1))\n            result = out.getvalue()",
    "print to a file of the program": "f = File(); print('one', file=f); result = f.written",
    "print of several": "f = File(); print('one', 'two', file=f, sep='-', end='!', flush=True); result = f.written",
    "print of what is shown": "f = io.StringIO(); print('a', Shown('b'), 3, Shown('c'), file=f); result = f.getvalue()",
}


@pytest.mark.parametrize("statement", MOVES.values(), ids=MOVES)
def test_a_statement_moves(same, statement):
    same(f"""{CONTAINERS}
        def f():
            result = None
            {statement}
            return result
        print(f())
        hop()
    """)


# C code that asks one after another, and has not counted: refused by name, and the program goes on.
REFUSED = {
    "in a list": ("Equal(2) in [Equal(1), Equal(2)]", "CONTAINS_OP|COMPARE_OP|contains_op|compare_op"),
    "index": ("[Equal(1), Equal(2)].index(Equal(2))", "index"),
    "count": ("[Equal(1), Equal(2)].count(Equal(2))", "count"),
    "remove": ("[Equal(1), Equal(2)].remove(Equal(2))", "remove"),
    "equal lists": ("[Equal(1), Equal(2)] == [Equal(1), Equal(2)]", "compare_op"),
    "equal tuples": ("(Equal(1),) == (Equal(1),)", "compare_op"),
    "equal dictionaries": ("{1: Equal(1)} == {1: Equal(1)}", "compare_op"),
    "key of a dictionary": ("{Equal(1): 5}[Equal(1)]", "BINARY_SUBSCR|binary_subscr|binary_op"),
    "get": ("{Equal(1): 5}.get(Equal(1))", "get"),
    "in a set": (
        "Equal(2) in {Equal(1), Equal(2)}",
        "BUILD_SET|contains_op|compare_op|CONTAINS_OP|COMPARE_OP",
    ),
    "union": ("len({Equal(1)} | {Equal(2)})", "binary_or|binary_op"),
    "sorted": ("sorted([Equal(2), Equal(1)])", "sorted"),
    "unpacking": ("unpack(Items(3))", "unpacking"),
    "unpacking a generator": ("unpack(counting(3))", "unpacking"),
    "unpacking with a star": ("unpack_star(Items(3))", "unpacking"),
    "call with a star": ("(lambda *a: a)(*Items(2))", "."),
    "dictionary display": ("{**Mapping()}", "."),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_was_asked_before_is_not_asked_again(refused, name):
    expression, words = REFUSED[name]
    texts = refused(f"""{CONTAINERS}
        hop = attempt
        def equal(self, other):
            attempt()
            return self.n == getattr(other, "n", other)
        Equal.__eq__ = equal
        Equal.__lt__ = lambda self, other: attempt(self.n) < other.n
        class Mapping:
            def keys(self): return ["a", "b"]
            def __getitem__(self, key): return attempt(key)
        def unpack(items):
            a, b, c = items
            return a, b, c
        def unpack_star(items):
            a, *b = items
            return a, b
        print({expression})
    """)
    assert all(re.search(words, text) for text in texts), texts


MATCHING = """
        import collections.abc

        class Kind(type):
            def __instancecheck__(cls, thing):
                return hop(thing) == 3

        class Checked(metaclass=Kind):
            pass

        class Point:
            __match_args__ = ("x", "y")
            def __init__(self, x, y):
                self.x, self.own = x, y
            @property
            def y(self):
                return hop(self.own)
            def __eq__(self, other):
                return hop(self.x) == other

        class Store(collections.abc.Mapping):
            def __init__(self, **items):
                self.items_of = items
            def __getitem__(self, key):
                return hop(self.items_of[key])
            def __iter__(self):
                return iter(self.items_of)
            def __len__(self):
                return hop(len(self.items_of))

        class Row(collections.abc.Sequence):
            def __len__(self):
                return hop(2)
            def __getitem__(self, n):
                return (4, 5)[n]
            def __iter__(self):
                return iter(hop([4, 5]))

        class Value:
            ONE = 1

        def f(subject):
            match subject:
                case Checked():
                    return "checked", hop(subject)
                case Point(1, y=2):
                    return "by name", hop()
                case Point(1, y):
                    return "by place", y
                case Value.ONE:
                    return "value"
                case {"key": value}:
                    return "key", value
                case {"other": 1 | 2 as value} if hop(value) > 1:
                    return "guarded", value
                case str(text) if hop(text):
                    return "text", text
                case [4, *others]:
                    return "items", others
                case _:
                    return "nothing", hop()
"""


@pytest.mark.skipif(sys.version_info < (3, 10), reason="there is no match statement before 3.10")
@pytest.mark.parametrize(
    "subject",
    [
        "3",
        "1",
        "Point(1, 2)",
        "Point(1, 3)",
        "Point(4, 1)",
        "Store(key=1)",
        "{'other': 2}",
        "{'other': 1}",
        "'a'",
        "''",
        "Row()",
    ],
)
def test_a_match_statement(same, subject):
    same(f"""{MATCHING}
        print(f({subject}))
        hop()
    """)


@pytest.mark.skipif(sys.version_info < (3, 10), reason="there is no match statement before 3.10")
def test_what_a_pattern_has_asked_is_not_asked_again(move):
    source = """
        asked = []
        class Pair:
            __match_args__ = ("a", "b")
            @property
            def a(self):
                asked.append("a")
                return 1
            @property
            def b(self):
                asked.append("b")
                try:
                    teleport()
                except BoundaryError as refusal:
                    print("match_class" in str(refusal))
                trail("refused")
                return 2
        match Pair():
            case Pair(a, b):
                print(a, b, asked)
    """
    run = move(source)
    assert run.stdout == "True\n1 2 ['a', 'b']\n", run.stderr
    assert run.ended_in == "home"
