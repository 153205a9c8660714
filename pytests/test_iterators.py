"""Iterators in mid-flight: they go on where they stood, over the objects they were over, and nothing of theirs is run."""

import pytest

# The `end` of an iterator, or what it raises, is what it gives.
GIVES = """
        import collections, itertools, sys, warnings
        warnings.simplefilter("error")
        def give(iterator):
            try:
                return next(iterator)
            except StopIteration:
                return "end"
            except Exception as error:
                return f"{type(error).__name__}: {error}"
        def rounds(iterators, number):
            for _ in range(number):
                print([give(iterator) for iterator in iterators])
"""


def program(text):
    return "\n" + GIVES.lstrip("\n") + text.strip("\n") + "\n    "


BUILTIN = """
        class Items:
            def __init__(self, number):
                self.number = number
            def __len__(self):
                return self.number
            def __getitem__(self, index):
                if index >= self.number:
                    raise IndexError(index)
                return index * 10
        class Own:
            asked = 0
            def __iter__(self):
                Own.asked += 1
                return self
            def __next__(self):
                return Own.asked
        source, own = [1, 2, 3, 4, 5, 6], Own()
        shared = iter(source)
        iterators = [
            iter(source), reversed(source), iter((1, 2, 3)), iter("abc"), iter("a\\u20acb"), iter(b"abc"), iter(range(5)),
            iter(range(1 << 70, (1 << 70) + 3)), enumerate(source, sys.maxsize), enumerate("abcdef"), zip(shared, shared),
            zip(), zip(source, own), map(pow, source, source), filter(None, [0, 1, 0, 2, 3]), map(str, own),
            filter(lambda x: x % 2, source), iter(Items(4)), reversed(Items(4)), iter(iter(source).__next__, 3),
            iter(collections.deque(source)), reversed(collections.deque(source)),
        ]
        rounds(iterators, 2)
        hop()
        source.append(7)
        rounds(iterators, 3)
        hop()
        rounds(iterators, 4)
"""

ITERTOOLS = """
        i = itertools
        source = list(range(9))
        iterators = [
            i.count(5), i.count(0.5, 0.25), i.count(sys.maxsize - 1), i.cycle("abc"), i.cycle(()), i.repeat([1], 3), i.repeat(None),
            i.accumulate(source), i.accumulate([None, 1, 2], lambda a, b: (a, b)), i.accumulate(source, initial=100),
            i.chain([1, 2], (3, 4)), i.chain.from_iterable(iter([[1, 2], [3]])), i.compress(source, [1, 0, 1, 1, 0, 1]),
            i.dropwhile(lambda x: x < 3, source), i.takewhile(lambda x: x < 3, source), i.filterfalse(None, [0, 1, 0, 2]),
            i.filterfalse(lambda x: x % 2, source), i.starmap(pow, [(2, 3), (3, 2), (1, 1)]), i.islice(source, 1, 9, 3),
            i.zip_longest([1], [1, 2, 3], "ab", fillvalue=None), i.product("ab", [None, 2], repeat=2), i.product(),
            i.product("ab", []), i.permutations(range(4), 3), i.permutations(range(2), 3), i.combinations(range(5), 3),
            i.combinations(range(2), 3), i.combinations_with_replacement("abc", 2),
        ]
        if hasattr(i, "pairwise"):
            iterators.append(i.pairwise(source))
        if hasattr(i, "batched"):
            iterators.append(i.batched(source, 2))
        rounds(iterators, 1)
        hop()
        rounds(iterators, 2)
        hop()
        source.append(9)
        rounds(iterators, 7)
"""

GROUPS = """
        groups = itertools.groupby("aaabbbccc")
        first = next(groups)[1]
        more = itertools.groupby([1, 1, 2, 2, 3], key=str)
        old, (key, current) = next(more)[1], next(more)
        give(first)
        ended = next(itertools.groupby("x"))[1]
        hop()
        rounds([first, first, current, old, ended], 2)
        rounds([first], 1)
        key, second = next(groups)
        hop()
        print(key, list(second), list(first), list(current), next(more)[0])
"""

TEES = """
        read = []
        def numbers():
            for number in range(300):
                read.append(number)
                yield number
        near, far = itertools.tee(numbers())
        for _ in range(180):
            next(far)
        middle = near.__copy__()
        for _ in range(60):
            next(middle)
        hop()
        print(len(read), next(near), next(middle), next(far), len(read))
        hop()
        print(sum(middle), len(read), sum(near), sum(far), len(read))
"""

DICTIONARIES = """
        plain = {number: number for number in range(7)}
        holes = dict(plain)
        del holes[0], holes[4]
        ordered = collections.OrderedDict(plain)
        counted = collections.Counter("aabbbc")
        class Open:
            pass
        open_ = Open()
        open_.a, open_.b, open_.c = 1, 2, 3
        grown, lost, empty = dict(plain), collections.OrderedDict(plain), {}
        mappings = [plain, holes, ordered, counted, open_.__dict__, grown, lost]
        iterators = [iter(empty), iter({}.items())]
        for mapping in mappings:
            iterators += [iter(mapping), iter(mapping.values()), iter(mapping.items())]
            iterators += [reversed(mapping), reversed(mapping.values()), reversed(mapping.items())]
        rounds(iterators, 2)
        grown["more"], grown["and more"] = 1, 2
        del lost[3]
        hop()
        for mapping in mappings:
            for key in mapping:
                mapping[key] *= 10
        rounds(iterators, 2)
        hop()
        rounds(iterators, 5)
        for key, value in plain.items():
            if key < 6:
                hop() if key in (0, 3) else None
                plain[key + 1] = value + 1000
        print(plain)
"""

CLASSES = """
        class Named(map):
            made = 0
            def __init__(self, *arguments):
                Named.made += 1
                self.itself = self
        class Slotted(itertools.chain):
            __slots__ = ("name",)
        class Doubled(zip):
            def __next__(self):
                return [super().__next__()] * 2
        named, slotted, doubled = Named(str, range(5)), Slotted([1, 2], [3]), Doubled("abc", "def")
        slotted.name = [slotted]
        rounds([slotted, doubled, named], 1)
        hop()
        rounds([slotted, doubled, named], 4)
        print(slotted.name[0] is slotted, type(slotted), named.itself is named, Named.made)
"""

CYCLES = """
        items = []
        chain = itertools.chain(items, [7])
        items += [chain, 1]
        table = {"over": None, "x": 1}
        over = iter(table.items())
        table["over"] = over
        product = itertools.product(items, [table])
        hop()
        print(next(chain) is chain, next(chain), next(chain), give(chain))
        key, value = next(over)
        print(key, value is over, next(over), give(over))
        first, second = next(product)
        print(first is chain, second is table)
"""

PROGRAMS = {
    "builtin": BUILTIN,
    "itertools": ITERTOOLS,
    "groups": GROUPS,
    "tees": TEES,
    "dictionaries": DICTIONARIES,
    "classes": CLASSES,
    "cycles": CYCLES,
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_iterators_go_on_where_they_stood(same, name):
    same(program(PROGRAMS[name]))
