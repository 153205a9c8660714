"""Objects of many kinds, alive over moves: what they are, and who is whom."""

import abc
import array
import collections
import copy
import datetime
import enum
import functools
import pathlib
import sys
import types
import uuid
import weakref


class Shape(abc.ABC):
    registry = {}

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        cls.registry[cls.__name__] = cls

    @abc.abstractmethod
    def area(self): ...

    def __lt__(self, other):
        return self.area() < other.area()

    def __repr__(self):
        return "%s(%g)" % (type(self).__name__, self.area())


class Square(Shape):
    def __init__(self, side):
        self.side = side

    def area(self):
        return self.side**2


class Circle(Shape):
    __slots__ = ("radius",)

    def __init__(self, radius):
        self.radius = radius

    def area(self):
        return 3.0 * self.radius**2

    def grown(self, by):
        return type(self)(self.radius + hop(by))


shapes = [Square(3), Circle(1), Square(1)]
hop()
print(shapes, Shape.registry["Circle"] is Circle, isinstance(shapes[1], Shape))
try:
    Shape()
except TypeError as error:
    print("abstract" in str(error))


class Level(enum.IntFlag):
    READ = 1
    WRITE = 2


Point = collections.namedtuple("Point", "x y", defaults=[0])
things = {
    "flag": Level.READ | Level.WRITE,
    "point": Point(1),
    "simple": types.SimpleNamespace(a=[1], b=None),
    "date": datetime.datetime(2020, 2, 29, 12, 30, tzinfo=datetime.timezone.utc),
    "delta": datetime.timedelta(days=1, seconds=5),
    "path": pathlib.PurePosixPath("/a") / "b.c",
    "uuid": uuid.UUID(int=5),
    "array": array.array("d", [1.5, 2.5]),
    "deque": collections.deque([1, 2, 3], maxlen=3),
    "counter": collections.Counter("hello"),
    "chain": collections.ChainMap({"a": 1}, {"b": 2}),
    "frozen": frozenset([1, 2]),
    "slice": slice(1, None, 2),
    "proxy": types.MappingProxyType({"k": 1}),
    "partial": functools.partial(int, base=2),
    "range": range(1, 10, 3),
    "ellipsis": ...,
    "not": NotImplemented,
    "type": int,
    "none": type(None),
    "method": "abc".upper,
    "builtin": len,
    "unbound": str.upper,
}
things["self"] = things
hop()
print(things["flag"] is Level(3), things["point"].y, things["simple"].a, things["date"].isoformat())
print(things["delta"], things["path"].suffix, things["uuid"], things["array"].tolist(), things["deque"])
print(sorted(things["counter"].items()), things["chain"]["b"], sorted(things["frozen"]), things["slice"])
print(things["proxy"]["k"], things["partial"]("101"), list(things["range"]), things["ellipsis"] is ...)
print(things["not"] is NotImplemented, things["type"] is int, things["none"] is type(None))
print(things["method"](), things["builtin"] is len, things["unbound"] is str.upper, things["self"] is things)

first, second = [1], [1]
pairs = [first, second, first]
truths = (True, 1, 1.0, False, 0, 0.0, -0.0)
key = object()
table = {key: "value", "again": key}
weak = weakref.ref(shapes[0])
hop()
print(pairs[0] is pairs[2], pairs[0] is pairs[1], pairs[0] is first, [type(t).__name__ for t in truths])
print(repr(truths[-1]), table[key], table["again"] is key, weak() is shapes[0])

clone = copy.deepcopy(shapes[0])
module = sys.modules["made_here"] = types.ModuleType("made_here")
module.value = 5
hop()
print(sys.modules["made_here"] is module)
print(clone, shapes[1].grown(1), clone is shapes[0], module.value, module.__name__, sorted(shapes))
