"""Classes being made: the hop in the body, and in everything that the program has the class statement call."""

import sys

import pytest

HELPERS = """
        import abc, enum, sys, types, typing
        log = []

        class Space(dict):
            def __setitem__(self, name, value):
                log.append(("set", name))
                super().__setitem__(name, value)

        class Meta(type):
            @classmethod
            def __prepare__(mcls, name, bases, **options):
                log.append(("prepare", name, hop(sorted(options))))
                return Space()
            def __new__(mcls, name, bases, namespace, **options):
                log.append(("new", name, hop(sorted(options))))
                made = super().__new__(mcls, name, bases, dict(namespace))
                made.told = hop("told")
                return made
            def __init__(cls, name, bases, namespace, **options):
                super().__init__(name, bases, namespace)
                cls.options = hop(sorted(options))
                log.append(("init", name))
            def __call__(cls, *arguments):
                return hop(super().__call__(*arguments))

        class Own(type):
            def __call__(mcls, *arguments, **options):
                log.append(("call", arguments[0], hop(sorted(options))))
                made = super().__call__(*arguments, **options)
                log.append(hop("called"))
                return made

        class OwnMeta(type, metaclass=Own):
            def __new__(mcls, *arguments, **options):
                hop()
                return super().__new__(mcls, *arguments)
            def __init__(cls, *arguments, **options):
                hop()

        class Base:
            subclasses = []
            def __init_subclass__(cls, **options):
                super().__init_subclass__()
                Base.subclasses.append((cls.__name__, hop(sorted(options)), hasattr(cls, "value")))

        class Entries:
            def __mro_entries__(self, bases):
                log.append("entries")
                return (hop(Base),)

        class Named:
            def __set_name__(self, owner, name):
                setattr(owner, "told_" + name, Later())
                log.append((owner.__name__, hop(name), type(owner).__name__))

        class Later:
            def __set_name__(self, owner, name):
                log.append("never")

        def making(name, bases, namespace, **options):
            log.append(("making", name, hop(sorted(options))))
            return type(name, bases, namespace)

        def decorate(cls):
            cls.decorated = hop("decorated")
            return cls

        def decorate_with(word):
            hop()
            def decorate(cls):
                cls.word = hop(word)
                return cls
            return decorate
"""

CLASSES = {
    "body": "class C:\n    value = hop(1)",
    "body with a class cell": "class C:\n    value = hop(1)\n    def me(self): return __class__",
    "body with super": "class C(Base):\n    def __init__(self): super().__init__(); self.n = hop(1)\n    value = hop(2)",
    "loop in the body": "class C:\n    value = 0\n    for n in range(3): value += hop(n)",
    "class in a class": "class C:\n    value = hop(1)\n    class D(Base):\n        value = hop(2)\n    hop()",
    "bases and keywords": "class C(Base, a=1, b=2):\n    value = hop(1)",
    "unpacked bases and keywords": "class C(*[Base], **{'a': 1}):\n    value = hop(1)",
    "metaclass": "class C(metaclass=Meta):\n    value = hop(1)\n    def me(self): return self.value",
    "metaclass with keywords": "class C(Base, metaclass=Meta, a=1):\n    value = hop(1)",
    "metaclass with a class cell": "class C(metaclass=Meta):\n    value = hop(1)\n    def me(self): return __class__ is C",
    "metaclass of a base": "class B(metaclass=Meta): pass\nclass C(B, z=1):\n    value = hop(1)",
    "metaclass that is called in its own way": "class C(metaclass=OwnMeta, a=1):\n    value = hop(1)",
    "metaclass that is a function": "class C(Base, metaclass=making, a=1):\n    value = hop(1)",
    "__init_subclass__": "class C(Base, a=1):\n    value = 5",
    "__init_subclass__ below a metaclass": "class B(Base, abc.ABC): pass\nclass C(B):\n    value = 5",
    "type called": "C = type('C', (Base,), {'value': 1})",
    "metaclass called": "C = Meta('C', (), {'value': 1}, a=2)",
    "types.new_class": "C = types.new_class('C', (Base,), {'metaclass': Meta}, lambda space: space.update(value=hop(1)))",
    "abstract class": "class C(abc.ABC):\n    value = hop(1)\n    @abc.abstractmethod\n    def f(self): pass",
    "enum": "class C(enum.Enum):\n    ONE = hop(1)\n    TWO = hop(2)\n    value_of = property(lambda self: self.value)",
    "enum with a __new__": "class C(enum.Enum):\n    ONE = 1\n    def __new__(cls, n):\n        made = object.__new__(cls)\n        made._value_ = hop(n) + 1\n        return made",
    "flag": "class C(enum.IntFlag):\n    A = hop(1)\n    B = 2\n    AB = hop(3)",
    "named tuple": "class C(typing.NamedTuple):\n    a: hop(int)\n    b: str = hop('b')",
    "generic": "T = typing.TypeVar('T')\nclass C(typing.Generic[T]):\n    value = hop(1)",
    "protocol": "class C(typing.Protocol):\n    value: int = hop(1)",
    "decorators": "@decorate\n@decorate_with('word')\nclass C:\n    value = hop(1)",
    "__set_name__": "class C(Base, a=1):\n    one = Named()\n    two = 2\n    three = Named()",
    "__set_name__ below a metaclass": "class C(abc.ABC):\n    one = Named()\n    two = Named()",
    "__set_name__ in a class made by type": "C = type('C', (Base,), {'one': Named(), 'two': Named()}, b=1)",
    "__set_name__ and a metaclass": "class C(Base, metaclass=Meta):\n    one = Named()\n    two = Named()",
    "__set_name__ and a class cell": "class C:\n    one = Named()\n    two = Named()\n    def me(self): return __class__ is C",
    "__class_getitem__": "class C:\n    def __class_getitem__(cls, key): return hop(key)\nprint(C[1], C['k'])",
    "slots": "class C:\n    __slots__ = hop(('a', 'b'))",
    "namespace read in the body": "class C:\n    a = 1\n    value = [locals()['a'], hop(2)]\n    names = sorted(locals())",
}


def program_of(statement):
    lines = statement.split("\n")
    inner = "\n            ".join(lines)
    return f"""{HELPERS}
        def show(cls):
            names = {{k: v for k, v in vars(cls).items() if type(v) in (int, str, list, tuple)}}
            written = names.pop("__orig_bases__", ())
            print([getattr(base, "__name__", repr(base)) for base in written])
            print(cls.__name__, cls.__qualname__, type(cls).__name__, cls.__bases__, sorted(names.items(), key=repr))
        def f(closed=3):
            {inner}
            show(C)
            return C
        C = f()
        print(log, Base.subclasses)
        if hasattr(C, "me"):
            print(C().me())
        if isinstance(C, enum.EnumMeta):
            print(list(C))
        hop()
    """


@pytest.mark.parametrize("statement", CLASSES.values(), ids=CLASSES)
def test_a_class_that_hops_while_it_is_made(same, statement):
    same(program_of(statement), hooks=("armed",), singles=True)
    same(program_of(statement), hooks=("recording",))


def test_a_class_at_the_top_of_the_program_and_one_that_closes_over_variables(same):
    same(f"""{HELPERS}
        class Top(Base, metaclass=Meta, a=1):
            value = hop(1)
            def me(self): return __class__, self.value
        print(Top().me()[0] is Top, log)
        def f(n):
            class Closed:
                value = hop(n)
                values = [hop(n) for _ in range(2)]
                def get(self):
                    return n, __class__ is Closed, hop(self.value)
            n += 1
            return Closed
        print(f(3)().get(), f(3).values)
    """)


def test_an_exception_in_a_classes_body_or_metaclass(same):
    same(f"""{HELPERS}
        import traceback
        class Failing(type):
            def __new__(mcls, name, bases, namespace):
                hop()
                raise OSError(name)
        for n in range(2):
            try:
                if n:
                    class A(metaclass=Failing):
                        hop()
                else:
                    class A:
                        raise KeyError(hop("k"))
            except Exception as error:
                print(repr(error), [entry.name for entry in traceback.extract_tb(error.__traceback__)])
    """)


def test_an_exception_in_set_name(same):
    same("""
        import traceback
        class Named:
            def __set_name__(self, owner, name):
                hop()
                raise KeyError(name)
        try:
            class C:
                one = Named()
                two = Named()
        except Exception as error:
            while error is not None:
                print(repr(error), getattr(error, "__notes__", None))
                print([entry.name for entry in traceback.extract_tb(error.__traceback__)])
                error = error.__cause__
    """)


def test_a_metaclass_that_loses_the_cell_of_class(same):
    same("""
        class Losing(type):
            def __new__(mcls, name, bases, namespace):
                namespace = {k: v for k, v in namespace.items() if k != "__classcell__"}
                return type.__new__(mcls, name, bases, namespace)
        class Other(type):
            def __new__(mcls, name, bases, namespace):
                made = type.__new__(mcls, name, bases, namespace)
                return type.__new__(mcls, name, bases, dict(namespace))
        try:
            class A(metaclass=Losing):
                hop()
                def me(self): return __class__
        except RuntimeError as error:
            print(error)
    """)


def test_mro_entries_of_the_program(same, move):
    same(f"""{HELPERS}
        class C(Entries()):
            pass
        print(C.__mro__, log)
    """)
    run = move(f"""{HELPERS}
        def attempt():
            try:
                teleport()
            except BoundaryError as refusal:
                print("__mro_entries__" in str(refusal))
            trail("refused")
        class Plain:
            def __mro_entries__(self, bases):
                log.append("entries")
                return (object,)
        class C(Plain()):
            attempt()
        print(C.__mro__, log, "__orig_bases__" in vars(C))
    """)
    assert run.stdout == "True\n(<class '__main__.C'>, <class 'object'>) ['entries'] True\n", run.stderr
    assert run.ended_in == "home"


@pytest.mark.skipif(sys.version_info < (3, 12), reason="there are no parameters of types before 3.12")
def test_a_class_with_parameters_of_types(same):
    same("""
        class C[T](list[T], metaclass=hop(type)):
            value = hop(1)
            def get(self, one: T) -> T:
                return hop(one)
        print(C.value, C.__type_params__, C.__orig_bases__, C().get(3))
    """)
