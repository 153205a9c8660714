"""Sets and frozen sets: in what order they are gone through, now and after each change."""

import pytest

ORDERS = """
        import random
        def made(key):
            draw, sets = random.Random(1), []
            for _ in range(40):
                members = set()
                for _ in range(draw.randrange(1, 150)):
                    members.add(key(draw.randrange(1 << 30)))
                    if draw.random() < .4:
                        members.discard(draw.choice(sorted(members)))
                sets.append(members)
            return sets
        def orders(sets):
            return [list(members) for members in sets]
"""


@pytest.mark.parametrize(
    "key", ["int", "float", "lambda n: -n", "lambda n: (n, n % 3)", "lambda n: (n, ((), 1.5, True))"]
)
def test_sets_keep_their_order_and_go_on_as_at_home(same, key):
    same(f"""
{ORDERS}
        sets = made({key})
        frozen = [frozenset(members) for members in sets]
        kept = orders(sets), orders(frozen)
        hop()
        print(orders(sets) == kept[0], orders(frozen) == kept[1], hash(frozen[5]))
        for number, members in enumerate(sets):
            members.add(({key})(number)), members.add(({key})(1 << 40))
        popped = [members.pop() for members in sets]
        hop()
        more = [members.pop() for members in sets if members]
        print(popped, more, orders(sets), [members | {{({key})(5)}} for members in sets[:5]])
    """)


def test_sets_of_several_kinds_and_of_sets(same):
    same("""
        sets = [{10**30, -1, 0, 1.5, 2j, True}, {frozenset([1, 2]), frozenset(), frozenset([3.5])}, {(1, (2, frozenset([7])))}, set(),
                frozenset(), frozenset([1])]
        shared = frozenset(range(9))
        sets.append({shared, 5})
        hop()
        print(sets, any(member is shared for member in sets[-1]), 10**30 in sets[0], frozenset([2, 1]) in sets[1])
    """)


def test_sets_of_texts_where_hashes_are_the_same(same):
    same(
        f"""
{ORDERS}
        sets = made(str) + made(lambda n: str(n).encode()) + made(lambda n: (str(n), n))
        kept = orders(sets)
        hop()
        print(orders(sets) == kept, [members.pop() for members in sets], {{"a"}} | sets[0])
    """,
        env={"PYTHONHASHSEED": "7"},
    )


def test_sets_of_texts_hold_what_they_held(same):
    same("""
        names = {"alpha", "beta", "gamma", b"delta", "epsilon", None, 1}
        kept = sorted(map(str, names))
        hop()
        print(sorted(map(str, names)) == kept, "beta" in names, b"delta" in names, "zeta" in names)
        names.add("zeta"), names.discard("alpha")
        hop()
        print(sorted(map(str, names)))
    """)


def test_a_set_that_leads_to_itself(same):
    same("""
        class Node:
            def __init__(self):
                self.all = {1, 2, self}
        node = Node()
        pair = frozenset([node, (3, 4)])
        node.pair = pair
        hop()
        print(node in node.all, len(node.all), node in pair, (3, 4) in node.pair, node.pair is pair)
    """)


def test_sets_of_own_classes_keep_their_order_too(same):
    same(f"""
{ORDERS}
        class Tags(set):
            pass
        class Frozen(frozenset):
            __slots__ = ("name",)
        class Named(frozenset):
            pass
        sets = made(int)
        kept = [kind(members) for members in sets for kind in (Tags, Frozen, Named)]
        kept += [Named(list(members)) | {{1, 9, 17}} for members in sets]
        for members in kept[::3]:
            if type(members) is Tags:
                members.discard(min(members))
        kept[1].name, kept[2].own = "first", kept[2]
        before, iterators = orders(kept), [iter(members) for members in kept]
        for iterator in iterators:
            next(iterator, None)
        hop()
        print(orders(kept) == before, [list(rest) for rest in iterators] == [order[1:] for order in before])
        print(kept[1].name, kept[2].own is kept[2], len({{members for members in kept if type(members) is Frozen}}))
        print([members.pop() for members in kept if type(members) is Tags and members])
    """)
