"""Descriptors, classes and instances whose own code would show if it ran again."""

import sys

import pytest


def test_properties_and_who_derives_from_them(same):
    same("""
        class Own(property):
            def __init__(self, *args, **options):
                print("made")
                super().__init__(*args, **options)
            def __set_name__(self, owner, name):
                self.owner = owner.__name__, name
        class Plain:
            @property
            def x(self):
                "its text"
                return self._x
            @x.setter
            def x(self, value):
                self._x = value * 2
            y = property(doc="given")
            w = Own(lambda self: 5)
        Plain.__dict__["w"].extra = [Plain]
        class Derived(Plain):
            x = Plain.x.getter(lambda self: -self._x)
        loose = property(lambda self: 3)
        hop()
        plain, derived = Plain(), Derived()
        plain.x = derived.x = 4
        print(plain.x, derived.x, Plain.x.__doc__, Plain.y.__doc__, Derived.x.__doc__, plain.w, Plain.__dict__["w"].extra[0] is Plain)
        print(Plain.__dict__["w"].owner, loose.__get__(plain), Plain.x.getter(lambda self: 0).__doc__)
        for change in (lambda: plain.y, lambda: setattr(plain, "w", 1)):
            try:
                change()
            except AttributeError as error:
                print(error)
    """)


def test_class_methods_and_static_methods_keep_what_they_have(same):
    same("""
        import sys
        class Own(classmethod):
            def __init__(self, function):
                print("made")
                super().__init__(function)
        class Callable:
            def __getattr__(self, name):
                print("asked", name)
                raise AttributeError(name)
            def __call__(self, *args):
                return len(args)
        class Kind:
            @classmethod
            def c(cls):
                "its text"
                return cls
            @staticmethod
            def s(x):
                return x
            @Own
            def o(cls):
                return cls
            f = staticmethod(Callable())
        found = [vars(Kind)[name] for name in "cso"]
        if sys.version_info >= (3, 10):
            for each in found:
                each.tag = [each]
        print("before")
        hop()
        print(Kind.c() is Kind, Kind.s(3), Kind.o() is Kind, Kind.f(1, 2), [vars(Kind)[name] for name in "cso"] == found)
        print([getattr(each, "tag", [each])[0] is each for each in found], [sorted(getattr(each, "__dict__", ())) for each in found])
        print(found[0].__func__.__doc__, [getattr(each, "__qualname__", "") for each in found])
    """)


def test_super_objects_and_who_derives_from_them(same):
    same("""
        class A:
            def f(self): return "A"
        class B(A):
            def f(self): return "B" + super().f()
            def s(self): return super()
        class Own(super):
            pass
        b = B()
        bound, unbound, own, of_class = b.s(), super(B), Own(B, b), super(B, B)
        own.itself = own
        hop()
        print(bound.f(), unbound.__self__, own.f(), type(own) is Own, own.itself is own, of_class.f(b), bound.__self__ is b, type(of_class))
        print(unbound.__get__(b, B).f())
    """)


def test_slots_that_hide_each_other(same):
    same("""
        class Base:
            __slots__ = ("x", "__own")
            def __init__(self):
                self.x, self.__own = 1, 2
            def own(self):
                return self.__own
        class Derived(Base):
            __slots__ = ("x", "__own", "unset")
            def set(self):
                self.__own = 3
                return self
        things = [Derived().set() for _ in range(3)]
        for number, thing in enumerate(things):
            Base.x.__set__(thing, [number])
        things.append(Derived.__new__(Derived))
        Base.x.__set__(things[3], "hidden")
        hop()
        print([(thing.x, Base.x.__get__(thing), thing.own(), hasattr(thing, "unset")) for thing in things[:3]])
        print(hasattr(things[3], "x"), Base.x.__get__(things[3]))
    """)


def test_descriptors_and_methods_in_c(same):
    same("""
        class Kind: pass
        kind, items, table = Kind(), [1], {}
        found = [items.append, table.__setitem__, "x".join, (5).__add__, items.__iter__, Kind.__init__, object.__repr__, int.__add__,
                 str.join, dict.fromkeys, dict.__dict__["fromkeys"], int.from_bytes, type.mro, Kind.mro, Kind.__subclasses__,
                 kind.__str__, object.__init_subclass__, Kind.__init_subclass__, object.__dict__["__init_subclass__"],
                 type(Kind).__call__, vars(Kind)["__dict__"], vars(Kind)["__weakref__"], vars(int)["real"], vars(slice)["start"],
                 object.__new__, Kind.__new__, int.__new__, type.__new__, Exception.with_traceback, ValueError(1).with_traceback,
                 super(Kind, kind).__repr__]
        show = lambda each: (type(each).__name__, repr(each).split(" at 0x")[0].split(" object at")[0])
        before = [show(each) for each in found]
        hop()
        print([pair for pair in zip(before, map(show, found)) if pair[0] != pair[1]])
        found[0](5), found[1]("k", 1)
        print(items, table, found[4].__self__ is items, found[10].__get__(None, dict)("ab"))
    """)


def test_the_order_that_a_metaclass_gives_its_classes(same):
    same("""
        log = []
        class Meta(type):
            def mro(cls):
                log.append("mro")
                found = super().mro()
                return [found[0], *found[-2:0:-1], found[-1]] if len(found) > 3 else found
            def __getattribute__(cls, name):
                log.append("asked")
                return super().__getattribute__(name)
            def __prepare__(name, bases, **options):
                log.append("prepare")
                return {}
        class Sub(Meta):
            pass
        class A(metaclass=Meta):
            at = "A"
        class B(A):
            at = "B"
        class C(B, metaclass=Sub):
            pass
        c, mro = C(), type.__dict__["__mro__"].__get__
        print([cls.__name__ for cls in mro(C)], c.at, list(vars(Meta)))
        del log[:]
        hop()
        print(log, [cls.__name__ for cls in mro(C)], c.at, list(vars(Meta)))
        class D(C):
            pass
        print(log, [cls.__name__ for cls in mro(D)])
    """)


def test_what_is_made_of_a_class_finds_its_attributes(same):
    same("""
        class Meta(type):
            def __hash__(cls):
                return hash(cls.tag) + len(cls.parts)
            def __eq__(cls, other):
                return cls is other
        class Made:
            def __init__(self, found):
                self.found, self.tags = found, [kind.tag for kind in found]
            def __reduce__(self):
                return Made, (self.found,)
        class Kind(metaclass=Meta):
            tag, parts = "x", [1, 2]
        Kind.members, Kind.frozen, Kind.table = Made({Kind}), Made(frozenset({Kind})), Made({Kind: 1})
        class Plain:
            tag = 5
        Plain.table = Made({Plain: (Plain,)})
        Plain.after = "z"
        hop()
        print(Kind in Kind.members.found, Kind in Kind.frozen.found, Kind.table.found[Kind], Kind.table.tags, list(vars(Kind))[-3:])
        print(Plain.table.found[Plain][0] is Plain, Plain.table.tags, list(vars(Plain))[-2:])
    """)


def test_what_derives_from_types_whose_reducers_forget_attributes(same):
    same("""
        import datetime, decimal, fractions, random
        made = []
        for kind, args in ((datetime.datetime, (2020, 1, 2)), (datetime.date, (2020, 1, 2)), (datetime.timedelta, (1, 2)),
                           (decimal.Decimal, ("1.5",)), (fractions.Fraction, (1, 3)), (random.Random, (5,))):
            if args is None:
                continue
            class Own(kind):
                pass
            class Slotted(Own):
                __slots__ = ("slot",)
            thing = Slotted(*args)
            thing.extra, thing.slot = [thing], "s"
            made.append(thing)
        made[-1].gauss(0, 1)
        hop()
        print([thing.extra[0] is thing and thing.slot for thing in made], [repr(thing) for thing in made[:-1]], made[-1].gauss(0, 1))
        print(made[-1].random(), [type(thing).__mro__[2].__name__ for thing in made])
    """)


def test_names_that_only_instances_see(same):
    same("""
        class Plain: pass
        class Odd:
            a = 1
            __class__ = property(lambda self: Plain)
            __name__ = "mine"
            __bases__ = __mro__ = 5
            z = 2
        class Lying(Odd):
            __class__ = int
        odd, lying = Odd(), Lying()
        odd.x = lying
        hop()
        print(odd.__class__ is Plain, odd.__name__, Odd.__name__, odd.__bases__, Odd.__bases__, odd.__mro__, isinstance(odd, Plain), odd.x is lying)
        print(type(lying) is Lying, lying.__class__, [name for name in vars(Odd) if name in "a z __class__ __name__ __bases__".split()])
    """)


def test_what_csv_was_told(same):
    same("""
        import csv
        class Own(csv.excel):
            delimiter = "|"
        csv.register_dialect("own", Own)
        csv.field_size_limit(1000)
        reader = csv.DictReader(iter(["x|y", "1|2", "3|4"]), dialect="own")
        print(next(reader)["x"])
        hop()
        print(next(reader)["x"], csv.get_dialect("own").delimiter, csv.field_size_limit(), csv.list_dialects())
    """)


def test_what_copyreg_was_told(same):
    same("""
        import copy, copyreg
        class Kind:
            def __init__(self, x):
                self.x = x
        def reduce(kind):
            return Kind, (kind.x + 1,)
        copyreg.pickle(Kind, reduce)
        hop()
        print(copyreg.dispatch_table[Kind] is reduce, copy.copy(Kind(5)).x)
    """)


@pytest.mark.skipif(sys.version_info < (3, 9), reason="GenericAlias came later")
def test_types_as_values(same):
    same("""
        import collections, sys, typing
        things = [list[int], dict[str, list[int]], tuple[int, ...], collections.deque[int], typing.Optional[int], typing.Literal[1, "a"]]
        if sys.version_info >= (3, 10):
            things += [int | str, int | None, list[int] | None]
        before = [repr(thing) for thing in things]
        hop()
        print([repr(thing) for thing in things] == before, things[0] == list[int], things[0].__args__, things[0]([1]), things[4] == typing.Optional[int])
    """)
