"""Annotations, type parameters and aliases: evaluated only when the program asks for them."""

import sys

import pytest


def test_type_variables_are_one(same):
    same("""
        import typing
        T = typing.TypeVar("T", bound="Later")
        K = typing.TypeVar("K", int, str)
        Co = typing.TypeVar("Co", covariant=True)
        class Box(typing.Generic[T, K]):
            def get(self) -> T:
                return self
        class Later:
            pass
        of = Box[Later, int]
        local = [typing.TypeVar("T") for _ in range(2)]
        hop()
        print(Box.__parameters__ == (T, K), Box.__parameters__[0] is T, of.__args__[0] is Later, local[0] is not local[1])
        print(T.__bound__, K.__constraints__, Co.__covariant__, T.__name__, T.__module__, local[0].__module__, repr(Co))
        print(typing.get_type_hints(Box.get)["return"] is T, isinstance(of(), Box))
    """)


@pytest.mark.skipif(sys.version_info < (3, 12), reason="the syntax is of 3.12")
def test_type_parameters_are_evaluated_late(same):
    same(
        """
        def f[T: Late, *Ts, **P](a: T, *b: *Ts) -> list[T]:
            hop()
            return [a]
        class Box[T: (Late, int), U = Late]:
            item: T
            def of[V](self, other: V) -> dict[T, V]:
                return {T: V}
        type Pair[T] = tuple[T, Late]
        type Tree = list[Tree] | Late
        """.replace(", U = Late", ", U = Late" if sys.version_info >= (3, 13) else ", U")
        + """
        first = f.__type_params__[0]
        hop()
        class Late:
            pass
        f(1)
        T, Ts, P = f.__type_params__
        print(T is first, T.__bound__ is Late, Ts, P, T.__module__, T.__infer_variance__, f.__annotations__["a"] is T)
        print(Box.__type_params__[0].__constraints__ == (Late, int), Box[int, str]().of(3), Box.of.__type_params__)
        print(getattr(Box.__type_params__[1], "__default__", None), getattr(T, "has_default", bool)())
        hop()
        print(Pair.__value__, Pair.__type_params__, Pair[int], Pair.__module__, Tree.__value__, repr(Tree), Tree.__name__)
    """
    )


def test_annotations_stay_as_they_are(same):
    same("""
        made = []
        def note(value):
            made.append(value)
            return value
        def f(a: note(1), b: "text" = 2) -> note(3):
            c: note(4) = 5
        class Record:
            x: note(6)
            y: note(7) = 8
        z: note(9) = 10
        class Slow:
            x: note(11)
        f.__annotations__["more"] = 12
        def given(a: note(13)):
            pass
        given.__annotations__ = {"a": "given"}
        def fresh(a: note(14)):
            pass
        hop()
        print(sorted(made))
        print(f.__annotations__, Record.__annotations__, given.__annotations__, f.__annotations__ is f.__annotations__)
        hop()
        print(fresh.__annotations__, Slow.__annotations__, __annotations__ if "__annotations__" in globals() else "later")
        print(sorted(made), f.__annotations__)
    """)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated late from 3.14 on")
def test_annotations_wait_for_what_they_name(same):
    same("""
        import annotationlib, sys
        def f(a: Late, b: list[Later]) -> Late:
            return a
        class Record:
            x: Late
            if sys.flags:
                y: Later
            def method(self, other: Record) -> Late:
                pass
        def outer(T):
            def inner(a: T, b: Late): ...
            return inner
        inner = outer(int)
        before = annotationlib.get_annotations(f, format=annotationlib.Format.FORWARDREF)
        z: Late = 1
        hop()
        print(annotationlib.get_annotations(Record, format=annotationlib.Format.STRING))
        class Late:
            pass
        class Later:
            pass
        hop()
        print(f.__annotations__["a"] is Late, f.__annotations__["b"], Record.__annotations__, inner.__annotations__)
        print(Record.method.__annotations__, f.__annotate__(1), __annotate__(1), before["a"].evaluate() is Late)
    """)


@pytest.mark.skipif(sys.version_info < (3, 14), reason="annotations are evaluated late from 3.14 on")
def test_annotations_of_abstract_classes_and_protocols(same):
    same("""
        from abc import ABC, abstractmethod
        from typing import Protocol, runtime_checkable
        import types
        class Base(ABC):
            size: int
            late: Late
            @abstractmethod
            def area(self) -> float: ...
        @runtime_checkable
        class HasSize(Protocol):
            size: int
        class Square(Base):
            Local = int
            size: Local = 3
            def area(self) -> float:
                return self.size**2
        class Plain:
            Inner = str
            name: Inner
        annotate = Plain.__annotate__
        def content(function):
            return dict(zip(function.__code__.co_freevars, function.__closure__))["__classdict__"].cell_contents
        hop()
        Late = 5
        print(Base.__annotations__, Square.__annotations__, isinstance(Square(), HasSize), Square().area())
        Plain.added = 1
        print(content(annotate)["added"], content(Base.__annotate__)["size"] if hasattr(Base, "size") else "none")
        class Late2(Square):
            kind: Local = hop(4)
        print(Late2.__annotations__ if hasattr(Late2, "Local") and hop(0) else "later", Late2.kind)
        hop()
        print(content(annotate).keys() == dict(vars(Plain)).keys(), isinstance(Plain(), HasSize))
    """)
