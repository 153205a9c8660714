"""Iterators in mid-flight over what is built in, and over what C modules have: in every phase, of the same type."""

import sys

import pytest

# Each maker's iterators in several phases, and what they have to say of themselves.
PHASES = """
        import array, collections, csv, io, itertools, re, struct, sys, types
        def give(iterator):
            try:
                found = next(iterator)
            except StopIteration:
                return "end"
            except Exception as error:
                return f"{type(error).__name__}: {error}"
            return found.span() + found.groups() if hasattr(found, "span") else found
        def facts(iterator):
            try:
                return type(iterator).__name__, iterator.__length_hint__()
            except (AttributeError, TypeError):
                return type(iterator).__name__
        def gen(number=6):
            yield from range(number)
        def run(*makers):
            iterators = []
            for make in makers:
                for number in (0, 1, 2, 3, 50):
                    iterators.append(make())
                    for _ in range(number):
                        give(iterators[-1])
            before = [facts(iterator) for iterator in iterators]
            hop()
            print([(a, b) for a, b in zip(before, map(facts, iterators)) if a != b])
            print([give(iterator) for iterator in iterators])
            hop()
            print([[give(iterator) for _ in range(9)] for iterator in iterators])
"""

SEQUENCES = """
        run(lambda: iter("abcd"), lambda: iter("a\\u20acb\\U0001F600c"), lambda: iter("a\\xe9b"), lambda: reversed("a\\u20acb"),
            lambda: iter(b"abcd"), lambda: iter(bytearray(b"abcd")), lambda: reversed(b"abcd"), lambda: iter((1, 2, 3)),
            lambda: iter(range(2, 20, 3)), lambda: iter(range(20, 2, -3)), lambda: iter(range(1 << 70, (1 << 70) + 9, 3)),
            lambda: reversed(range(1 << 70, (1 << 70) + 9, 3)), lambda: iter(array.array("i", [1, 2, 3, 4])),
            lambda: iter(range(-sys.maxsize, sys.maxsize, 1 << 60)), lambda: reversed(range(1 << 64, 0, -(1 << 62))),
            lambda: iter(array.array("d", [1.5, 2.5])), lambda: iter(memoryview(b"abcd")),
            lambda: iter(memoryview(bytearray(range(16))).cast("i")), lambda: iter(memoryview(bytearray(b"abcdefgh"))[1:7:2]),
            lambda: struct.iter_unpack("<hb", bytes(range(18))), lambda: struct.Struct(">i").iter_unpack(bytearray(range(24))))
"""

CONTAINERS = """
        run(lambda: iter({5, 3, 900, 17, 2 << 40}), lambda: iter(frozenset([1.5, 2, (3, 4)])), lambda: iter(collections.deque(range(5))),
            lambda: reversed(collections.deque(range(5))), lambda: iter(collections.deque(range(200))),
            lambda: reversed(collections.deque(range(200), 150)), lambda: iter(types.MappingProxyType({"a": 1, "b": 2})),
            lambda: iter(collections.ChainMap({"a": 1}, {"b": 2})), lambda: collections.Counter("aabc").elements())
"""

MATCHES = """
        run(lambda: re.finditer(r"(a|b)(x)?", "abaxbbaxa"), lambda: re.finditer(r"x*|y", "axbxxyyc"),
            lambda: re.compile(r"(?<=a).").finditer("ab\\u20aca\\U0001F600aa", 1, 6), lambda: re.compile(rb".").finditer(b"abcdef", 1, 5),
            lambda: iter(re.compile(r"x*|y").scanner("axbxxyyc").search, None),
            lambda: iter(re.compile(r"x|a|b").scanner("axbxxyyc").match, None))
"""

ROWS = """
        run(lambda: csv.reader(["a,b", '"c\\n', 'd",e', "f"]), lambda: csv.DictReader(["a,b", "1,2", "3,4"]),
            lambda: io.StringIO("a\\nb\\nc\\nd\\n"), lambda: io.BytesIO(b"a\\nb\\nc\\n"))
"""

NESTED = """
        run(lambda: map(lambda a, b: (a, b), zip(gen(), gen()), enumerate(filter(None, gen()))),
            lambda: itertools.islice(itertools.chain.from_iterable(itertools.zip_longest(gen(), map(str, gen(3)))), 1, None),
            lambda: itertools.compress(gen(9), itertools.cycle(gen(2))), lambda: itertools.cycle(gen(3)),
            lambda: itertools.product(gen(2), gen(2)), lambda: itertools.accumulate(gen(), lambda a, b: (a, b), initial=None))
"""

RECENT = """
        makers = []
        if sys.version_info >= (3, 11):
            makers.append(lambda: iter(list[int]))
        if sys.version_info >= (3, 13):
            makers.append(lambda: itertools.batched(gen(7), 2, strict=True))
        if sys.version_info >= (3, 14):
            makers.append(lambda: iter(eval('t"a{1}b{2}c"').strings))
            makers.append(lambda: map(str, eval('t"a{1}b{2}c"')) and iter([part and str(part)[:3] for part in eval('t"a{1}b"')]))
            makers.append(lambda: map(pow, gen(5), [1, 2, 3], strict=True))
        run(lambda: zip(gen(4), [1, 2, 3], **({"strict": True} if sys.version_info >= (3, 10) else {})), *makers)
"""

PROGRAMS = {
    "sequences": SEQUENCES,
    "containers": CONTAINERS,
    "matches": MATCHES,
    "rows": ROWS,
    "nested": NESTED,
    "recent": RECENT,
}


def program(text):
    return "\n" + PHASES.lstrip("\n") + text.strip("\n") + "\n    "


@pytest.mark.parametrize("name", PROGRAMS)
def test_iterators_in_every_phase(same, name):
    same(program(PROGRAMS[name]))


def test_exhausted_iterators_stay_so_and_others_see_what_is_added(same):
    same(
        program("""
        def made():
            items, more, text, numbers = [1, 2], bytearray(b"ab"), "ab", array.array("i", [1, 2])
            queue, members, table = collections.deque([1, 2]), {1, 2}, {1: 1, 2: 2}
            return [items, more, numbers, queue], [iter(each) for each in (items, more, numbers, queue, text, members, table)]
        done, started = made(), made()
        for iterator in done[1]:
            list(iterator)
        for iterator in started[1]:
            next(iterator)
        hop()
        for containers in (done[0], started[0]):
            for container in containers[:3]:
                container.append(9)
        print([[give(iterator) for _ in range(4)] for iterator in done[1] + started[1]])
        """)
    )


CHANGES = """
        table, members, queue = dict.fromkeys("abcd"), {1, 2, 3, 4}, collections.deque([1, 2, 3])
        ordered, full = collections.OrderedDict.fromkeys("abc"), collections.deque([1, 2, 3], 3)
        names = {"alpha", "beta", "gamma", "delta"}
        iterators = [iter(table), iter(table.values()), iter(table.items()), reversed(table), iter(members), iter(queue),
                     reversed(queue), iter(ordered), iter(ordered.items()), iter(full), iter(names)]
        for iterator in iterators:
            next(iterator)
        def change():
            table["z"], ordered["y"] = 1, 1
            members.add(1 << 50), names.add("more"), queue.append(9), full.append(7)
        def put_back():
            del table["z"], ordered["y"]
            members.remove(1 << 50), names.remove("more"), queue.pop()
        def show():
            print([[give(iterator) for _ in range(3)] for iterator in iterators])
"""


@pytest.mark.parametrize(
    "steps",
    ["change() hop() show()", "hop() change() show()", "change() show() hop() show() put_back() show()"],
)
def test_a_change_during_iteration_is_told_as_at_home(same, steps):
    lines = "\n".join("        " + step for step in steps.split())
    same(program(CHANGES + lines))


def test_members_of_a_set_that_hash_by_identity_come_once_each(same):
    same(
        program("""
        class Thing: pass
        members = {Thing() for _ in range(9)} | {"a", "b", None, ...}
        order = list(members)
        iterator = iter(members)
        done = [next(iterator), next(iterator)]
        hop()
        left = [next(iterator)]
        hop()
        left += iterator
        print(all(a is b for a, b in zip(done + left, order)), len(left), set(order) == members, give(iterator))
        """)
    )


def test_iterators_that_are_in_what_they_go_through(same):
    same(
        program("""
        queue, table, numbers = collections.deque([0]), {"x": 0, "y": 1}, [None]
        over, back = iter(queue), reversed(queue)
        queue[0] = over, back
        items = iter(table.items())
        table["x"] = items
        numbers[0] = pairs = enumerate(numbers)
        class Holder:
            def __hash__(self):
                return 1
        holder = Holder()
        members = {holder}
        holder.over = iter(members)
        hop()
        print(next(over) == (over, back), next(back)[1] is back, give(over), give(back), next(items)[1] is items, next(items))
        print(next(pairs)[1] is pairs, next(holder.over) is holder, give(holder.over))
        """)
    )


def test_iterators_of_built_in_types_over_who_derives_from_these(same):
    same(
        program("""
        class Odd:
            def __len__(self):
                return 77
            def __iter__(self):
                return iter("no")
            def __getitem__(self, index):
                return "no"
        def derived(base, *args):
            kind = type("Own", (Odd, base), {})
            return base.__iter__(kind(*args)), kind
        made = [derived(collections.deque, [1, 2, 3]), derived(set, [1, 2, 3]), derived(frozenset, [1, 2, 3]), derived(dict, {1: 1, 2: 2, 3: 3}),
                derived(list, [1, 2, 3]), derived(tuple, [1, 2, 3]), derived(bytes, b"abc"), derived(bytearray, b"abc"), derived(str, "abc"),
                derived(collections.OrderedDict, {1: 1, 2: 2, 3: 3})]
        iterators = [iterator for iterator, _kind in made]
        backwards = collections.deque.__reversed__(made[0][1]([1, 2, 3]))
        print([give(iterator) for iterator in [*iterators, backwards]])
        hop()
        print([[give(iterator) for _ in range(3)] for iterator in [*iterators, backwards]])
        """)
    )


def test_a_dictionary_that_has_other_keys_and_as_many(same):
    same(
        program("""
        one, some, none = {1: 1}, dict.fromkeys("abcd"), dict.fromkeys("ab")
        iterators = [iter(one), iter(some), iter(some.items()), reversed(some), iter(none)]
        for iterator in iterators:
            next(iterator)
        del one[1], some["b"], some["c"]
        one[2] = some["x"] = some["y"] = 2
        none.clear()
        hop()
        print([[give(iterator) for _ in range(5)] for iterator in iterators])
        """)
    )


def test_what_cannot_move_is_named_though_iterators_with_holes_are_on_the_way(move):
    run = move("""
        import itertools, socket
        def main():
            longest = itertools.zip_longest([1], [1, 2], [socket.socket()])
            next(longest), next(longest)
            stopped = itertools.product([], [socket.socket()])
            list(stopped)
            try:
                teleport()
            except UnmovableError as refusal:
                for path, _reason in refusal.culprits:
                    print(path)
            return next(longest, "end")
        print(main())
    """)
    assert run.returncode == 0, run.stderr
    assert run.ended_in == "home"
    assert "main() → longest in zip_longest" in run.stdout
    assert "main() → stopped in product" in run.stdout
    assert run.stdout.endswith("end\n")


@pytest.mark.skipif(sys.version_info < (3, 14), reason="templates came later")
def test_an_iterator_over_a_template(same):
    same(
        program("""
        iterator = iter(eval('t"a{1}b{2}c"'))
        first = next(iterator), next(iterator).value
        hop()
        print(first, next(iterator), next(iterator).value, next(iterator), give(iterator))
        """)
    )
