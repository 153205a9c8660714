"""C code that goes through what the `__iter__` of an object makes, or through iterators in C over the program's."""

import sys

import harness
import pytest

OBJECTS = """
        import collections, io, array

        class Numbers:
            def __init__(self, n):
                self.n = n
            def __iter__(self):
                for i in range(self.n):
                    yield hop(i)
            def __len__(self):
                print("asked how many")
                return 2

        class Pairs(Numbers):
            def __iter__(self):
                for i in super().__iter__():
                    yield "key %d" % i, i

        class Words(Numbers):
            def __iter__(*own):
                for i in range(own[0].n):
                    yield str(hop(i))

        class Listed(list):
            def __iter__(self):
                for item in super().__iter__():
                    yield hop(item) * 2

        class Keys(Words):
            def keys(self):
                return self
            def __getitem__(self, key):
                return key + "!"

        class Nodes:
            def __init__(self, name, *nodes):
                self.name, self.nodes = name, nodes
            def __iter__(self):
                hop(self.name)
                for node in self.nodes:
                    yield node
            def __repr__(self):
                return self.name

        class Itself:
            __repr__ = lambda self: "itself"
            done = False
            def __iter__(self):
                if not self.done:
                    self.done = True
                    yield self
                    yield "a", "b"
                else:
                    yield "key"
                    yield hop("value")

        class Ending:
            def __iter__(self):
                yield 1
                yield hop(2)
                hop("end")

        class Failing(Numbers):
            def __iter__(self):
                yield 1
                hop(2)
                raise ValueError("three")

        class Changing:
            def __iter__(self):
                self = hop(1)
                yield self

        def attempt(work):
            try:
                return work()
            except ValueError as error:
                return repr(error)

        def fill(container, method, items):
            getattr(container, method)(items)
            return container
"""

COLLECTED = {
    "list": "list(Numbers(4))",
    "tuple": "tuple(Numbers(3))",
    "sum": "sum(Numbers(4), 0.5)",
    "min and max": "[min(Numbers(3)), max(Words(3))]",
    "set": "sorted(set(Numbers(3)))",
    "frozenset": "sorted(frozenset(Words(3)))",
    "dict": "dict(Pairs(3))",
    "dict.fromkeys": "dict.fromkeys(Words(3))",
    "sorted": "sorted(Numbers(4), key=lambda n: -n)",
    "join": "'-'.join(Words(3))",
    "deque": "collections.deque(Numbers(4), 2)",
    "a target each": "[(a, b, c) for a, b, c in [Numbers(3)]]",
    "a target each, and its end": "[(a, b) for a, b in [Ending()]]",
    "targets with a star": "[(a, b) for a, *b in [Numbers(4)]]",
    "of a list that goes its own way": "[list(Listed([1, 2])), sorted(Listed([3, 4])), sum(Listed([1, 2, 3]))]",
    "objects in objects": "list(Nodes('a', Nodes('b'), Nodes('c')))",
    "one in the other": "sum(len(list(Numbers(n))) for n in list(Numbers(4)))",
    "one that fails": "attempt(lambda: list(Failing(3)))",
}

FILLED = {
    "list.extend": "fill([7], 'extend', Numbers(3))",
    "list.extend, of a list that goes its own way": "fill([7], 'extend', Listed([1, 2]))",
    "set.update": "sorted(fill({7}, 'update', Numbers(3)))",
    "dict.update": "fill({'k': 7}, 'update', Pairs(3))",
    "deque.extend": "fill(collections.deque([7]), 'extend', Numbers(3))",
    "deque.extendleft": "fill(collections.deque([7]), 'extendleft', Numbers(3))",
    "array.extend": "fill(array.array('i', [7]), 'extend', Numbers(3)).tolist()",
    "writelines": "fill(io.StringIO(), 'writelines', Words(3)).getvalue()",
    "Counter": "collections.Counter(Words(3))",
    "any and all": "[any(Numbers(4)), all(Words(3))]",
    "one in the other": "fill([7], 'extend', fill([8], 'extend', Numbers(2)))",
    "one that fails": "(lambda found: [attempt(lambda: found.extend(Failing(3))), found])([7])",
}

DISPLAYED = {
    "list": "[7, *Numbers(3), 8, *Words(2)]",
    "set": "sorted({7, *Numbers(3)})",
    "tuple": "(7, *Numbers(3))",
}


def program(expression, hop=""):
    return f"""{OBJECTS}{hop}
        def f():
            return ["before", ({expression}), "after"]
        print(f())
        hop()
    """


@pytest.mark.parametrize("expression", COLLECTED.values(), ids=COLLECTED)
def test_what_is_collected_from_an_object(same, expression):
    same(program(expression), hooks=("recording",))


@pytest.mark.parametrize("expression", FILLED.values(), ids=FILLED)
def test_what_is_filled_from_an_object(same, expression):
    same(program(expression))


@pytest.mark.skipif(
    sys.version_info < (3, 9), reason="CPython 3.8 keeps what a display with stars has collected in C"
)
@pytest.mark.parametrize("expression", DISPLAYED.values(), ids=DISPLAYED)
def test_what_is_unpacked_from_an_object_in_a_display(same, expression):
    same(program(expression))


REFUSED = {
    "keys of a mapping": "dict(Keys(2))",
    "keys of a mapping that are added": "fill({}, 'update', Keys(2))",
    "which of two generators over an object": "dict(Itself())",
    "which of two generators over an object, while filling": "fill({}, 'update', Itself())",
    "sorted by what goes through items": "sorted(Itself(), key=list)",
    "where the object's name is bound anew": "list(Changing())",
}


@pytest.mark.parametrize("expression", REFUSED.values(), ids=REFUSED)
def test_what_is_not_known_to_be_the_objects_own_is_refused(move, expression):
    source = program(expression, harness.REFUSING).replace("        hop()\n    ", "")
    straight, moved = move.straight(source), move(source, flags=("-X", "teleport"))
    assert moved.returncode == 0, moved.stderr
    assert moved.stdout == straight.stdout
    assert {what for what, _ in moved.trail} == {"start", "refused", "end"}


@pytest.mark.parametrize("expression", ["list(Numbers(3))", "sum(Numbers(3))"])
def test_without_the_hook_what_is_collected_is_refused(move, expression):
    named = harness.REFUSING.replace('"refused"', '"refused"); print("install_hook" in str(refusal)')
    moved = move(program(expression, named).replace("        hop()\n    ", ""))
    assert moved.returncode == 0, moved.stderr
    assert "True\nTrue\n" in moved.stdout
    assert "False" not in moved.stdout
    assert {what for what, _ in moved.trail} == {"start", "refused", "end"}
