"""Functions of `operator`, `functools`, `weakref`, `contextlib` and `builtins` that call the program: the move is in what they call."""

import re

import pytest

HELPERS = """
        import contextlib, functools, operator, types, weakref

        class Power:
            "All forms of it, with two operands and with three."
            def __init__(self, n):
                self.n = n
            def __pow__(self, other, modulus=None):
                return "pow", self.n, other, hop(modulus)
            def __rpow__(self, other, modulus=None):
                return "rpow", self.n, other, hop(modulus)
            def __ipow__(self, other, modulus=None):
                return "ipow", self.n, other, hop(modulus)
            def __repr__(self):
                return "Power(%r)" % self.n

        class Unknowing:
            def __pow__(self, other, modulus=None):
                hop()
                return NotImplemented
            def __rpow__(self, other, modulus=None):
                hop()
                return NotImplemented

        class Int(int):
            def __pow__(self, other, modulus=None):
                return hop(super().__pow__(other, modulus))

        def tried(work):
            try:
                return work()
            except TypeError as error:
                return str(error)

        class Thing:
            "Tells what it is asked for."
            def __init__(self, n=0):
                self.n = hop(n)
            def __repr__(self):
                return "Thing(%r)" % self.n
            def __str__(self):
                return hop("thing")
            def __len__(self):
                return hop(3)
            def __bool__(self):
                return hop(False)
            def __contains__(self, item):
                return hop(item == 2)
            def __iter__(self):
                return hop(iter([1, 2]))
            def __reversed__(self):
                return hop(iter([2, 1]))
            def __getitem__(self, key):
                return "got", hop(key)
            def __setitem__(self, key, value):
                hop()
                self.n = key, value
            def __delitem__(self, key):
                hop()
                self.n = key
            def __setattr__(self, name, value):
                hop()
                object.__setattr__(self, name, value)
            def __getattr__(self, name):
                if name.startswith("__"):
                    raise AttributeError(name)
                return "made", hop(name)
            def __add__(self, other):
                return "add", hop(other)
            def __radd__(self, other):
                return "radd", hop(other)
            def __iadd__(self, other):
                hop()
                return self
            def __lt__(self, other):
                return hop(True)
            def __gt__(self, other):
                return hop(False)
            def __neg__(self):
                return "neg", hop()
            def __invert__(self):
                return "invert", hop()
            def __index__(self):
                return hop(5)
            def __call__(self, *args, **keywords):
                return "called", hop(args), keywords
            def method(self, *args, **keywords):
                return "method", hop(args), keywords
            @property
            def prop(self):
                return "prop", hop()

        class Hinting:
            def __length_hint__(self):
                return hop(4)

        class Knows:
            "What an operand knows of a proxy, it is told first."
            def __add__(self, other):
                return "knows", hop(type(other).__name__)

        def counting(*numbers):
            left = list(numbers)
            return lambda *args: hop(left.pop(0))

        def generating(n):
            for i in range(n):
                yield hop(i)

        @functools.singledispatch
        def single(item, more=None):
            return "any", hop(more)
        @single.register(int)
        def of_int(item, more=None):
            return "int", hop(more), single("")
        single.register(bool, Thing)

        log = []
        def told(*args, **keywords):
            log.append(hop((args, keywords)))
        def swallows(kind, error, traceback):
            log.append(hop(repr(error)))
            return kind is KeyError
        def fails():
            hop()
            raise ValueError("failed")
"""

MOVES = {
    "pow of three": "pow(Power(2), 3, 5), pow(Power(2), exp=3, mod=5), pow(*(Power(2), 3, 5))",
    "pow of three, by the others": "tried(lambda: pow(2, Power(3), 5)), tried(lambda: pow(2, 3, Power(5)))",
    "pow of three that all know": "pow(Power(1), Power(2), Power(3))",
    "pow of three, unknown to the first": "tried(lambda: pow(Unknowing(), 3, 5))",
    "pow of three, of a subclass": "pow(Int(2), 3, 5), pow(Int(2), Int(3), Int(5)), Int(2) ** 3",
    "pow of two": "pow(Power(2), 3), pow(2, Power(3)), operator.pow(Power(2), 3), operator.ipow(Power(2), 3)",
    "pow, called as a method": "Power.__pow__(Power(2), 3, 5), Power(2).__pow__(3, mod(5))",
    "operator on two": "operator.add(Thing(), 1), operator.add(1, Thing()), operator.lt(Thing(), 1), operator.gt(1, Thing())",
    "operator on one": "operator.neg(Thing()), operator.inv(Thing()), operator.index(Thing()), operator.not_(Thing()), operator.truth(Thing())",
    "operator on items": "operator.getitem(Thing(), 1), operator.contains(Thing(), 2), operator.length_hint(Thing()), operator.length_hint(Hinting(), 1)",
    "operator that changes": "(lambda t: (operator.setitem(t, 1, 2), t.n, operator.delitem(t, 3), t.n, operator.iadd(t, 1) is t))(Thing())",
    "itemgetter": "operator.itemgetter('a')(Thing()), operator.itemgetter(slice(1))(Thing())",
    "attrgetter": "operator.attrgetter('prop')(Thing()), operator.attrgetter('dynamic')(Thing())",
    "methodcaller": "operator.methodcaller('method', 1)(Thing()), operator.methodcaller('method', 1, k=2)(Thing()), operator.methodcaller('__call__', k=2)(Thing())",
    "methodcaller of a method in C": "operator.methodcaller('__len__')(Thing()), operator.methodcaller('append', hop(1))([])",
    "operator.call": "call(Thing(), 1, k=2), call(Thing, 5).n, call(call, plain, 1), call(functools.partial(Thing, 6)).n",
    "singledispatch": "single(1), single('a', more=2), single(True).n, single.dispatch(int)(3, 4)",
    "proxy, operators": "p + 1, 1 + p, p + p, p < 1, 1 < p, -p, ~p",
    "proxy, in place": "(lambda q: operator.iadd(q, 1) is t)(p), tried(lambda: Knows() + p)",
    "proxy, items": "p[1], p['a':], len(p), 2 in p, [x for x in p], operator.getitem(p, 2), operator.contains(p, 2)",
    "proxy, changes": "p.__setitem__(1, 2), setattr(p, 'one', 3), p.one, t.n",
    "proxy, attributes": "p.prop, p.dynamic, p.method(1, k=2), p(1, k=2)",
    "proxy, texts and truth": "str(p), f'{p}', bool(p), not p, 1 if p else 2",
    "iter with a sentinel": "[x for x in iter(counting(3, 2, 1, 0), 0)], next(iter(counting(5), 0)), next(iter(counting(0), 0), 'end')",
    "iter with a sentinel, of objects": "[x for x in iter(functools.partial(counting(3, 0), 1), 0)], next(iter(Thing(), 0)), next(iter(Thing().method, 0))",
    "reversed": "[x for x in reversed(Thing())], [hop(x) for x in reversed([1, 2])], [x for x in reversed(range(hop(2)))]",
    "ExitStack": "stacked(lambda s: (s.callback(told, 1, k=2), s.callback(Thing, 3), s.callback(t.method), s.push(swallows), s.enter_context(managed(1)))), log",
    "ExitStack with an exception": "stacked(lambda s: (s.callback(told), s.push(swallows), s.callback(told, 1), {}[1])), log",
    "ExitStack whose callback fails": "tried_all(lambda: stacked(lambda s: (s.push(swallows), s.callback(fails), s.callback(told), {}[1]))), log",
    "ExitStack, closed": "(lambda s: (s.callback(told, 1), s.push(swallows), s.pop_all().close(), s.close())[2:])(contextlib.ExitStack()), log",
}


@pytest.mark.parametrize("expression", MOVES.values(), ids=MOVES)
def test_the_result_reaches_the_caller(same, expression):
    same(f"""{HELPERS}
        call = getattr(operator, "call", lambda f, *args, **keywords: f(*args, **keywords))
        mod = plain = lambda n: hop(n)
        @contextlib.contextmanager
        def managed(n):
            hop()
            try:
                yield hop(n)
            finally:
                log.append(hop("managed"))
        def stacked(work):
            with contextlib.ExitStack() as stack:
                work(stack)
        def tried_all(work):
            try:
                return work()
            except Exception as error:
                return repr(error), repr(error.__context__)
        t = Thing()
        p = weakref.proxy(t)
        def f():
            return ["before", ({expression}), "after"]
        print(f())
        hop()
    """)


# What the refusal names.
REFUSED = {
    "countOf": ("operator.countOf([Asked(1)], 3)", "countOf"),
    "indexOf": ("operator.indexOf([1, Asked(3)], 3)", "indexOf"),
    "contains": ("operator.contains([Asked(1)], 3)", "contains"),
    "concat": ("operator.concat(Joined(), [1])", "concat"),
    "methodcaller of what is no method": (
        "operator.methodcaller('f', 3)(types.SimpleNamespace(f=attempt_it))",
        "methodcaller",
    ),
    "methodcaller of a class": (
        "operator.methodcaller('Made')(types.SimpleNamespace(Made=Made)).n",
        "methodcaller",
    ),
    "next of a proxy": ("next(weakref.proxy(endless))", "next"),
    "a sentinel that compares": (
        "[x for x in iter(iter([1, 2, 3]).__next__, Asked(2))]",
        "callable_iterator",
    ),
    "a sentinel behind a class": ("[made.n for made in iter(Made, None) if ended()]", "callable_iterator"),
    "unpacking up to a sentinel": (
        "(lambda: [a for a, b in [iter(counted(1, 2, 0), 0)]])()",
        "(?i)unpack",
    ),
    "__subclasshook__": ("issubclass(int, Hooked)", "_abc_subclasscheck"),
    "reversed, by items": ("list(reversed(Sequence()))", "list"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_work_left_in_c_is_refused(refused, name):
    expression, words = REFUSED[name]
    texts = refused(f"""
        import abc, operator, types, weakref
        class Asked:
            def __init__(self, n): self.n = n
            def __eq__(self, other): return attempt(self.n == other)
        class Joined(list):
            def __add__(self, other): return attempt(1)
        class Made:
            n = 1
            def __init__(self): attempt()
        class Endless:
            def __iter__(self): return self
            def __next__(self): return attempt(1)
        endless = Endless()
        class Hooked(abc.ABC):
            @classmethod
            def __subclasshook__(cls, other): return attempt(True)
        class Sequence:
            def __len__(self): return 1
            def __getitem__(self, index): return attempt(index)
        def attempt_it(n): return attempt(n)
        def counted(*numbers):
            left = list(numbers)
            return lambda: attempt(left.pop(0))
        def ended(): raise StopIteration
        def f():
            try:
                return {expression}
            except (StopIteration, RuntimeError) as end:
                return "ended"
        print(f())
    """)
    for text in texts:
        assert re.search(words, text)


def test_a_capture_makes_no_number_of_an_object(refused):
    """Whether a callee is a signal's handler is told by its arguments, and only by a number."""
    refused("""
        class Thing:
            def __init__(self, n): self.n = n
            def __index__(self):
                print("asked for a number")
                return 1
            def __lt__(self, other): return attempt(self.n < other.n)
        print([thing.n for thing in sorted([Thing(2), Thing(1)])])
    """)
