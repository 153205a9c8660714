"""Objects that travel: identity, classes, functions, exceptions, references; and those that cannot."""

import re

import pytest


def test_one_object_stays_one_object_across_frames_and_globals(same):
    same("""
        shared = [1]
        def outer(a):
            b = {"a": a}
            return inner(a, b), b["a"] is a is shared
        def inner(x, y):
            own = [x, y, (x, y)]
            own.append(own)
            hop()
            x.append(2)
            return own[0] is y["a"] is own[2][0], own[3] is own, shared
        print(outer(shared))
    """)


def test_globals_of_functions_are_the_namespace_of_main(same):
    same("""
        import sys
        here = globals()
        def f():
            names = globals()
            hop()
            global added
            added = 5
            return names is here is f.__globals__ is sys.modules["__main__"].__dict__ is (lambda: 0).__globals__
        print(f(), added, list(here)[:3], sys.modules["__main__"].f is f, __name__)
    """)


def test_order_of_the_namespace_is_kept(same):
    same("""
        b = 1
        a = 2
        def f(): pass
        class Z: pass
        del a
        a = 3
        hop()
        print([name for name in globals() if not name.startswith("_")][-4:])
    """)


def test_closures_share_their_cells(same):
    same("""
        def counter():
            n = 0
            def up():
                nonlocal n
                n += 1
                return n
            def read():
                return n, up
            hop()
            up()
            return up, read
        up, read = counter()
        hop()
        up()
        print(read()[0], read()[1] is up, up.__closure__[0] is read.__closure__[0])
        def loop():
            def f(n):
                return n and f(n - 1) + 1
            hop()
            return f
        f = loop()
        hop()
        print(f(5), f.__closure__[0].cell_contents is f)
        def empty():
            if False:
                late = 0
            g = lambda: late
            hop()
            try:
                return g()
            except NameError as error:
                return str(error)
        print(empty())
    """)


def test_functions_keep_what_they_have(same):
    same("""
        def f(a, b=[], *, c={}):
            "its text"
            b.append(a)
            return b
        def g(a, b=f.__defaults__[0]):
            return b
        f.attribute = f
        f.__name__ = "renamed"
        f.__annotations__["a"] = int
        make = [lambda k=k: k for k in range(3)]
        hop()
        f(1)
        print(g(0), f.__defaults__[0] is g.__defaults__[0], f.attribute is f, f.__name__, f.__qualname__)
        print(f.__doc__, f.__annotations__, f.__kwdefaults__, [m() for m in make], f.__module__, make[0].__qualname__)
        print(f.__code__.co_name, make[0].__code__ is make[1].__code__, make[0].__code__.co_firstlineno)
    """)


def test_bound_methods_and_other_callables(same):
    same("""
        import functools, operator, random, os
        class A:
            def m(self):
                return self
            @classmethod
            def c(cls):
                return cls
            @staticmethod
            def s():
                return 1
            @property
            def p(self):
                return self.m
        a = A()
        method, parts, join = a.m, [], ",".join
        append = parts.append
        calls = [len, A.c, A.s, a.p, functools.partial(A.m, a), operator.itemgetter(1), str.upper, int.__add__,
                 dict.fromkeys, random.randint, random.random, os.path.join, print, (5).__add__, super]
        hop()
        append(1)
        print(method() is a, parts, join("ab"), calls[0]("abc"), calls[1]() is A, calls[2](), calls[3]() is a)
        print(calls[4]() is a, calls[5]("xy"), calls[6]("q"), calls[7](1, 2), calls[8]("a"), calls[13](1))
        print(calls[9] == random.randint, calls[10] is random.random, calls[11] is os.path.join, calls[14] is super)
    """)


def test_classes_arrive_without_running_their_code_again(same):
    same("""
        log = []
        class Meta(type):
            def __new__(meta, name, bases, namespace, **options):
                log.append("new " + name)
                return super().__new__(meta, name, bases, namespace)
            def __init__(cls, name, bases, namespace, **options):
                log.append("init " + name)
            def __setattr__(cls, name, value):
                log.append("set " + name)
                super().__setattr__(name, value)
        class Named:
            def __set_name__(self, owner, name):
                log.append("named " + name)
        class Base(metaclass=Meta):
            found = []
            field = Named()
            def __init_subclass__(cls, **options):
                log.append("subclass " + cls.__name__)
                cls.found.append(cls)
        class Sub(Base, option=1):
            "text"
            z = 1
            a = 2
            def same(self):
                return __class__, super().__repr__()[:9]
        Sub.single = Sub()
        hop()
        print(log, Base.found == [Sub], list(vars(Sub)), Sub.__doc__, Sub.single.same(), type(Sub) is Meta)
        hop()
        print(len(log), Base.__subclasses__() == [Sub], Sub.__mro__[1] is Base)
    """)


def test_instances_arrive_without_running_their_code(same):
    same("""
        class Strict:
            __slots__ = ("a", "__hidden", "unset")
            def __new__(cls, a):
                print("new")
                return object.__new__(cls)
            def __init__(self, a):
                print("init")
                object.__setattr__(self, "a", a)
                object.__setattr__(self, "_Strict__hidden", 2)
            def __setattr__(self, name, value):
                print("set", name)
            def hidden(self):
                return self.__hidden, hasattr(self, "unset")
        class Lazy:
            def __getattr__(self, name):
                return self._values[name]
        class Number(int):
            def __new__(cls, value, unit):
                self = int.__new__(cls, value)
                self.unit = unit
                return self
        class Items(list):
            def append(self, item):
                print("append")
                list.append(self, item)
            extend = append
        class Table(dict):
            def __setitem__(self, key, value):
                print("setitem")
                dict.__setitem__(self, key, value)
        strict, lazy, number, items, table = Strict([1]), Lazy(), Number(5, "m"), Items([1, 2]), Table(a=1)
        items.owner = items
        lazy._values = {"x": 1}
        hop()
        print(strict.a, strict.hidden(), lazy.x, number, number.unit, items, items.owner is items, table, type(table).__name__)
    """)


def test_reducers_of_the_program_are_asked_and_find_its_namespace(same):
    same("""
        FACTOR = 10
        def double(n):
            return 2 * n
        class Asked:
            def __init__(self, n):
                self.n = n
            def __getstate__(self):
                return {"n": self.n}
            def __setstate__(self, state):
                self.n = double(state["n"]) * FACTOR
        class Made:
            def __init__(self, n):
                self.n = n
            def __reduce__(self):
                return Made, (self.n + 1,)
        def local():
            class Inside(Asked):
                pass
            return Inside(1)
        things = [Asked(1), Made(1), local()]
        before = [thing.n for thing in things]
        hop()
        after = [thing.n for thing in things]
        print(before == after or after == [20, 2, 20])
    """)


def test_kinds_of_classes_in_the_standard_library(same):
    same("""
        import abc, collections, dataclasses, enum, typing
        class Color(enum.Enum):
            RED = 1
            BLUE = "b"
        class Perm(enum.IntFlag):
            R = 4
            W = 2
        class Shape(abc.ABC):
            @abc.abstractmethod
            def area(self): ...
        class Other: pass
        Shape.register(Other)
        @dataclasses.dataclass(order=True, frozen=True)
        class Point:
            x: int = 1
            more: list = dataclasses.field(default_factory=list, compare=False)
        Pair = collections.namedtuple("Pair", "a b")
        class Named(typing.NamedTuple):
            a: int
            b: str = "x"
        T = typing.TypeVar("T", bound=int)
        class Box(typing.Generic[T]):
            def get(self) -> T: ...
        red, both, point, pair, named, box = Color.RED, Perm.R | Perm.W, Point(3), Pair(1, 2), Named(1), Box[int]
        hop()
        print(Color(1) is red is Color.RED, list(Color), Perm(6) is both, repr(both), Perm.R in both)
        try:
            Shape()
        except TypeError as error:
            print(error)
        print(issubclass(Other, Shape), point < Point(4), point, hash(point) == hash(Point(3)), Point().more)
        print(pair, type(pair) is Pair, pair._replace(a=5), named, named.b, box == Box[int], box.__args__, T.__bound__)
    """)


def test_containers_of_the_programs_own(same):
    same("""
        import collections
        class Trie(collections.defaultdict):
            def __init__(self):
                super().__init__(Trie)
                self.end = False
        class Ring(collections.deque):
            def __init__(self):
                super().__init__([1, 2, 3], 2)
        class Sorted(collections.OrderedDict):
            def __setitem__(self, key, value):
                print("setitem")
                super().__setitem__(key, value)
        trie, ring, ordered = Trie(), Ring(), Sorted()
        trie["a"]["b"].end = trie
        ordered["z"] = 1
        ordered["a"] = ring
        hop()
        print(trie["a"]["b"].end is trie, type(trie["new"]).__name__, list(ring), ring.maxlen, list(ordered), ordered["a"] is ring)
    """)


def test_the_dictionary_of_an_instance_that_somebody_has(same):
    same("""
        class Plain:
            def __init__(self):
                self.a = 1
            def work(self):
                own, empty = self.__dict__, vars(Plain.__new__(Plain))
                hop()
                own["b"] = 2
                return self.b, own is self.__dict__, empty
        class Told(Plain):
            __slots__ = ("c",)
            def __setattr__(self, name, value):
                object.__setattr__(self, name, [value])
        class Items(Plain, list):
            pass
        first, kept = Plain(), vars(Told())
        print(first.work(), Told().work(), Items().work(), kept)
        other = first.__dict__
        hop()
        first.a = 5
        print(other, [other] == [vars(first)])
    """)


def test_registered_with_abstract_classes_of_the_library(same):
    same("""
        import collections.abc, numbers
        class Mine: pass
        class Number: pass
        collections.abc.Sequence.register(Mine)
        numbers.Real.register(Number)
        hop()
        print(issubclass(Mine, collections.abc.Sequence), isinstance(Number(), numbers.Complex), issubclass(Mine, collections.abc.Set))
    """)


def test_local_class_with_an_instance_of_itself(same):
    same("""
        def make():
            class Node:
                root = None
                def __init__(self, value):
                    self.value = value
                def kind(self):
                    return __class__
            Node.root = Node(1)
            return Node(2)
        node = make()
        hop()
        print(node.value, type(node).root.value, node.kind() is type(node) is type(type(node).root))
    """)


def test_exceptions_keep_everything(same):
    same("""
        import sys, traceback
        class Odd(ValueError):
            def __init__(self, a, *, b):
                super().__init__(a)
                self.b = b
        def fail():
            try:
                {}["k"]
            except KeyError as error:
                raise Odd(1, b=2) from error
        def handle():
            try:
                fail()
            except Odd as error:
                hop()
                print(error.args, error.b, repr(error.__cause__), error.__cause__ is error.__context__)
                print(error.__suppress_context__, [f.name for f in traceback.extract_tb(error.__traceback__)])
                print("".join(traceback.format_exception(type(error), error, error.__traceback__)).replace(__file__, "FILE"))
                return error
        odd = handle()
        errors = [OSError(2, "no", "file"), UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"), SystemExit(3), StopIteration(4)]
        try:
            open("/not/there")
        except OSError as error:
            errors.append(error)
        odd.self = odd
        hop()
        for error in errors:
            print(type(error).__name__, str(error), error.args, getattr(error, "filename", None), getattr(error, "code", None))
        print(errors[3].value, odd.self is odd, odd.__traceback__.tb_lineno, odd.__traceback__.tb_next.tb_frame.f_code.co_name)
    """)


def test_chains_longer_than_any_recursion(same):
    same("""
        import sys
        def deep(n):
            if n == 0:
                raise ValueError("bottom")
            deep(n - 1)
        error = None
        for n in range(3000):
            try:
                raise KeyError(n) from error
            except KeyError as new:
                error = new
        try:
            deep(800)
        except ValueError as caught:
            bottom = caught
        class Node:
            def __init__(self, after):
                self.after = after
        head = None
        for _ in range(30_000):
            head = Node(head)
        hop()
        def length(thing, attribute):
            n = 0
            while thing is not None:
                n, thing = n + 1, getattr(thing, attribute)
            return n
        print(length(error, "__cause__"), length(bottom.__traceback__, "tb_next"), length(head, "after"))
        while head is not None:
            head = head.after
    """)


def test_weak_references(same):
    same("""
        import gc, weakref
        class Thing: pass
        thing, calls = Thing(), []
        plain, again, dead = weakref.ref(thing), weakref.ref(thing), weakref.ref(Thing())
        watched = weakref.ref(thing, lambda ref: calls.append("gone"))
        proxy, values, members = weakref.proxy(thing), weakref.WeakValueDictionary(k=thing), weakref.WeakSet([thing])
        keys = weakref.WeakKeyDictionary({thing: 1})
        final = weakref.finalize(thing, calls.append, "final")
        thing.back = plain
        hop()
        print(plain() is thing, plain is again, dead(), proxy.back is plain, values["k"] is thing, thing in members, keys[thing])
        del thing, again
        gc.collect()
        print(plain(), watched(), sorted(calls), len(values), len(members), len(keys), final.alive)
    """)


def test_iterators_go_on(same):
    same("""
        import itertools, csv, re
        source = [1, 2, 3, 4]
        shared = iter(source)
        its = [iter(source), shared, zip(shared, shared), iter({1: 2, 3: 4}), iter("abc"), reversed(source), enumerate("ab"),
               map(str, source), filter(None, source), itertools.count(5), itertools.chain([1], source), iter(range(5)),
               itertools.cycle("ab"), itertools.islice(source, 1, 3), itertools.accumulate(source), csv.reader(["a,b", "c,d"])]
        first = [next(it) for it in its]
        source.append(5)
        match = re.search("(?P<x>b)(c)?", "abc")
        hop()
        source.append(6)
        print(first, [next(it, "end") for it in its], list(its[0]), match.group("x"), match.span(2))
    """)


def test_caches_remember(same):
    same("""
        import functools
        made = []
        @functools.lru_cache(maxsize=None)
        def single(key, *, other=0):
            made.append(key)
            return [key]
        @functools.lru_cache(maxsize=2, typed=True)
        def few(key):
            made.append(key)
            return [key]
        a, b, c, d = single(1), single("x", other=2), few(1), few(1.0)
        class Lazy:
            @functools.cached_property
            def value(self):
                made.append("value")
                return 7
        lazy = Lazy()
        lazy.value
        hop()
        print(single(1) is a, single("x", other=2) is b, few(1) is c, few(1.0) is d, lazy.value, made)
        few(3)
        print(few(1.0) is d, few.cache_info(), single.cache_info())
    """)


def test_views_of_memory_stay_views(same):
    pytest.importorskip("numpy")
    same("""
        import numpy as np
        data = np.arange(10)
        even, grid, back = data[::2], data.reshape(2, 5).T, data[::-1]
        fixed = data[3:]
        fixed.flags.writeable = False
        raw = bytearray(b"12345678")
        view, over = memoryview(raw).cast("H"), np.frombuffer(raw, "u1")[2:]
        objects = np.array([{}, None], object)
        for _ in range(2):
            hop()
            data[2] += 100
            raw[3] = 0
            print(even, grid.tolist(), back, fixed, fixed.flags.writeable, data.flags.writeable, view.tolist(), over, objects)
    """)


def test_module_level_marks_and_singletons_are_those_of_the_peer(same):
    same("""
        import dataclasses, decimal, functools, inspect, logging, os, string, sys, threading, types
        things = [NotImplemented, Ellipsis, None, type(None), types.FunctionType, type(iter([])), dataclasses.MISSING,
                  inspect.Parameter.empty, logging.getLogger("a.b"), os.environ, sys.stdout, sys.modules, sys, sys.__dict__,
                  threading.main_thread(), string.__dict__, __builtins__, sys.flags, sys.argv, sys.stdin.buffer]
        def f(*marks):
            here = list(marks)
            hop()
            others = [NotImplemented, Ellipsis, None, type(None), types.FunctionType, type(iter([])), dataclasses.MISSING,
                      inspect.Parameter.empty, logging.getLogger("a.b"), os.environ, sys.stdout, sys.modules, sys, sys.__dict__,
                      threading.main_thread(), string.__dict__, __builtins__, sys.flags, sys.argv, sys.stdin.buffer]
            return [a is b for a, b in zip(here, others)]
        print(f(*things))
    """)


def test_modules_of_the_program_travel_with_their_state(same, tmp_path):
    (tmp_path / "helper.py").write_text(
        "state = []\nclass Kind:\n    pass\ndef add(x):\n    state.append(x)\n    return state\n"
    )
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("from . import part\n")
    (tmp_path / "pack" / "part.py").write_text("here = globals()\nvalue = 1\n")
    same("""
        import os, sys, types
        import helper, pack.part
        from helper import add
        made = types.ModuleType("made")
        sys.modules["made"] = made
        exec("def f(): return g\\ng = 5\\nclass Base: pass\\nclass Derived(Base): pass", made.__dict__)
        add(1)
        pack.part.value = 2
        kind = helper.Kind()
        state = helper.state
        hop()
        print(add(2) is helper.state is state, helper.state, helper is sys.modules["helper"], type(kind) is helper.Kind)
        import pack.part as again
        print(again.value, again.here is vars(again), pack.part is again, again.__spec__.name, made.f(), sys.modules["made"] is made)
    """)


def test_a_module_that_c_code_made_is_not_the_programs(same):
    # As Cython makes it, for the types that its modules share: no file, no spec, and types whose
    # `__module__` is the descriptor of a member of their instances.
    same("""
        import sys, types
        def make_shared():
            import ctypes
            class Slot(ctypes.Structure):
                _fields_ = [("slot", ctypes.c_int), ("function", ctypes.c_void_p)]
            class Spec(ctypes.Structure):
                _fields_ = [("name", ctypes.c_char_p), ("size", ctypes.c_int), ("item", ctypes.c_int),
                            ("flags", ctypes.c_uint), ("slots", ctypes.POINTER(Slot))]
            make = ctypes.pythonapi.PyType_FromSpec
            make.restype, make.argtypes = ctypes.py_object, [ctypes.POINTER(Spec)]
            spec = Spec(b"shared.thing", object.__basicsize__, 0, 1 << 10, (Slot * 1)())
            thing = make(ctypes.byref(spec))
            thing.__module__ = vars(types.ModuleType)["__dict__"]
            sys.modules["shared"] = shared = types.ModuleType("shared")
            shared.thing = thing
        make_shared()
        hop()
        print("on")
    """)


def test_generators_in_every_place(same):
    same("""
        def count(n):
            for i in range(n):
                got = yield i
                if got:
                    print("got", got)
        class Holder:
            def __init__(self):
                self.items = self.walk()
            def walk(self):
                yield self
                yield self.items
        fresh, used, done, holder = count(3), count(3), count(1), Holder()
        next(used), list(done), next(holder.items)
        mapped = map(str, used)
        nested = (a + b for a in used for b in "x")
        used.send("now")
        hop()
        print(list(fresh), next(mapped), list(done), next(holder.items) is holder.items, used.gi_frame.f_lineno > 0)
        def outer():
            yield from count(2)
        chain = outer()
        next(chain)
        hop()
        print(chain.send("inner"), done.gi_frame, done.gi_code is count.__code__)
    """)


UNMOVABLE = """
    import socket, hashlib, sys
    class Job: pass
    def main():
        job = Job()
        job.conn = socket.socket()
        job.parts = [{{"key": hashlib.sha1(b"a")}}]
        held = open("/dev/zero")
        try:
            teleport()
        except UnmovableError as refusal:
            print(refusal)
            for path, reason in refusal.culprits:
                print(path)
        return job.conn.fileno() > 0, held.read(1) == chr(0)
    print(main())
"""


def test_all_that_cannot_move_is_named_at_once_with_its_path(move):
    run = move(UNMOVABLE.format())
    assert run.returncode == 0, run.stderr
    assert run.ended_in == "home"
    assert "main() → job.conn (socket.socket)" in run.stdout
    assert "main() → job.parts[0]['key'] (_hashlib.HASH)" in run.stdout
    assert "main() → held (_io.TextIOWrapper): a device stays with its machine" in run.stdout
    assert run.stdout.startswith("3 objects cannot move:\n")
    assert run.stdout.endswith("(True, True)\n")


@pytest.mark.parametrize(
    ("make", "path", "words"),
    [
        ("import os\nthing = os.fdopen(os.pipe()[0])", "thing", "pipe"),
        ("import tempfile\nthing = tempfile.TemporaryFile()", "thing", "deleted"),
        ("import socket\nthing = [socket.socketpair()]", "thing[0][0]", "connection"),
        (
            "import sqlite3\nthing = sqlite3.connect(':memory:')\nthing.execute('BEGIN')",
            "thing",
            "transaction",
        ),
        ("import hashlib\nthing = {'h': hashlib.sha1(b'a')}", "thing['h']", "hash"),
        ("import subprocess\nthing = subprocess.Popen(['sleep', '0'])", "thing", "child"),
        ("import os\nthing = os.scandir('.')", "thing", "folder"),
        ("class A:\n  def __reduce__(self): raise LookupError('not me')\nthing = A()", "thing", "not me"),
        ("class A:\n  def __reduce__(self): return 5\nthing = A()", "thing", "5"),
        (
            "def g(a): yield\nimport hashlib\nthing = g(hashlib.sha1(b'a'))\nnext(thing)",
            "thing → a",
            "hash",
        ),
        ("import hashlib\ndef thing(a=hashlib.sha1(b'a')): pass", "thing default 0", "hash"),
        (
            "import hashlib\ndef outer(a): return lambda: a\nthing = outer(hashlib.sha1(b'a'))",
            "thing → a",
            "hash",
        ),
    ],
    ids=lambda value: re.sub(r"\W+", " ", value)[-30:] if "thing =" in value else "",
)
def test_what_cannot_move_is_refused_with_a_reason(move, make, path, words):
    lines = "\n".join("        " + line for line in make.splitlines())
    run = move(f"""
{lines}
        try:
            teleport()
        except UnmovableError as refusal:
            print(refusal.culprits)
            print(refusal)
    """)
    assert run.ended_in == "home", run.stdout + run.stderr
    assert f"__main__ → {path} (" in run.stdout
    assert words in run.stdout


def test_what_the_peer_lacks_is_listed_at_once(move, tmp_path):
    site = tmp_path / "site-packages"
    site.mkdir()
    for name in ("first", "second"):
        (site / f"{name}_only_here.py").write_text("class Kind:\n    pass\ndef f():\n    pass\n")
    run = move(f"""
        import sys
        sys.path.append({str(site)!r})
        import first_only_here, second_only_here
        thing, function = first_only_here.Kind(), second_only_here.f
        import os
        os.rename({str(site)!r}, {str(site) + "-gone"!r})
        try:
            teleport()
        except ResumeError as refusal:
            print(refusal)
    """)
    assert run.ended_in == "home", run.stdout + run.stderr
    assert "first_only_here" in run.stdout
    assert "second_only_here" in run.stdout


def test_methods_in_c_that_a_class_of_the_program_hides(same):
    same("""
        class Named(dict):
            def __setitem__(self, name, value):
                print("mine", name)
                super().__setitem__(name, hop(value))
            def update(self, other):
                print("mine", sorted(other))
                super().update(hop(other))
            def kept(self):
                return super().__setitem__, super().update, super().keys
        named = Named(a=1)
        named["b"] = 2
        named.update({"c": 3})
        put, update, keys = named.kept()
        hop()
        put("d", 4), update(e=5)
        print(sorted(keys()), keys.__self__ is named, hop([].append).__name__)
    """)
