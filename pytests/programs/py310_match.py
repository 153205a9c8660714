"""match statements, the hop in subjects, guards and bodies."""

from dataclasses import dataclass


@dataclass
class Point:
    x: int
    y: int


def describe(thing):
    match hop(thing):
        case Point(x=0, y=0):
            return "origin"
        case Point(x, y) if hop(x) == y:
            return f"diagonal {x}"
        case {"kind": kind, **rest}:
            return kind, hop(rest)
        case [first, *middle, last]:
            return first, hop(middle), last
        case str() as text if hop(len(text)) > 2:
            return text.upper()
        case None | False:
            return "nothing"
        case _:
            return "something"


for thing in [Point(0, 0), Point(2, 2), Point(1, 2), {"kind": "k", "a": 1}, [1, 2, 3, 4], "abc", "a", None]:
    print(describe(thing))
