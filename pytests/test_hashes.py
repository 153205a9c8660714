"""Hashes, and what depends on them: the order of sets, iterators over them, numbers that the program made of them."""

import subprocess
import sys

import harness
import pytest

WAYS = ("local", "bash", "dump")

LATER = """
        def later(members, number=0):
            for step in range(60):
                number = (number * 13 + 5) % 101
                member = make(number)
                if number % 3:
                    members.add(member)
                else:
                    members.discard(member)
            return [list(members), members.pop(), members.pop(), list(members)]
"""
HISTORY = """
        def history(members, count=90, number=7):
            for step in range(count):
                number = (number * 29 + 11) % 127
                (members.discard if step % 4 == 3 else members.add)(make(number))
                if step % 30 == 29:
                    members.pop()
            return members
"""


def test_sets_of_numbers_keep_their_order_and_what_they_will_do(same):
    same(
        """
        class Own(set):
            pass
        def make(number):
            return number * 37
        """
        + LATER
        + HISTORY
        + """
        plain, own, small, large = history(set()), history(Own()), history(set(), 5), history(set(), 4000)
        emptied = set(range(100))
        for number in range(100):
            emptied.discard(number)
        frozen = frozenset(history(set(), 61))
        reached = {(1, plain.pop()): frozen, "frozen": [frozen]}
        hop()
        print(list(plain), list(own), list(small), list(large), list(frozen), type(own).__name__, reached)
        print(later(plain), later(own), later(small), later(large), later(emptied), hash(frozen) == hash(frozenset(frozen)))
        hop()
        print(list(plain), list(own), list(small), frozen | {5}, later(emptied), frozen == set(frozen))
        """
    )


STRINGS = (
    """
        def make(number):
            return "key %d" % number
"""
    + LATER
    + HISTORY
)


def test_sets_of_strings_go_on_in_their_order(run_same_secret):
    run_same_secret(
        STRINGS
        + """
        class Own(frozenset):
            pass
        names, mixed = history(set()), frozenset([("a", b"b"), "c", b"d", 5, 2.5, True])
        own, number = Own("abcdefgh"), hash("text")
        kept = {name: hash(name) for name in names}
        frozen = iter(own)
        begun, rest = [next(frozen)], list(own)[1:]
        for name in names:
            begun.append(name)
            if len(begun) % 9 == 4:
                hop()
        print(begun == [begun[0]] + list(names), list(frozen) == rest, type(frozen).__name__, list(mixed))
        print(hash("text") == number, kept == {name: hash(name) for name in names}, list(names) == list(kept), later(names))
        """
    )


@pytest.fixture
def run_same_secret(move):
    """Runs a program straight and moving, all by one seed: the order of strings differs from run to run."""

    def compare(source, **options):
        straight = move.straight("\n" + source, env={"PYTHONHASHSEED": "11"})
        assert straight.returncode == 0, straight.stderr
        for way in WAYS:
            moved = move("\n" + source, way=way, env={"PYTHONHASHSEED": "11"}, **options)
            assert (moved.stdout, moved.stderr) == (straight.stdout, ""), way
            assert moved.returncode == 0
            assert moved.moves == straight.hops

    return compare


RANDOM = """
        import os
        assert "PYTHONHASHSEED" not in os.environ
        names = {"name %d" % number for number in range(60)}
        frozen = frozenset(names)
        before, secret = list(names), [hash("text"), hash(b"bytes"), hash(("a", 1))]
        iterators = [iter(names), iter(frozen), enumerate(names), map(str.upper, frozen)]
        begun = [[next(each) for turn in range(turns)] for turns, each in enumerate(iterators, 1)]
        hop()
        for turns, rest in enumerate([list(each) for each in iterators]):
            begun[turns] += rest
        whole = list(names)
        print(begun == [whole, list(frozen), list(enumerate(whole)), [name.upper() for name in frozen]])
        print(whole == before, secret == [hash("text"), hash(b"bytes"), hash(("a", 1))])
        names.discard("name 3")
        hop()
        going = iter(names)
        next(going)
        names.add("another")
        hop()
        try:
            next(going)
        except RuntimeError as error:
            print(error)
        print({}.get("PYTELEPORT_HASHES"), [name for name in os.environ if "PYTELEPORT" in name or "PRELOAD" in name])
        print(os.popen("env | grep -c -e PYTELEPORT_H -e LD_PRELOAD").read())
"""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("flags", [(), ("-B", "-O")])
def test_a_secret_that_no_seed_stands_for_goes_along(move, way, flags):
    run = move("\n" + RANDOM, way=way, flags=flags)
    assert run.stderr == ""
    assert run.stdout == "True\nTrue True\nSet changed size during iteration\nNone []\n0\n\n"
    assert run.moves == 3


@pytest.mark.parametrize("seed", ["0", "5"])
@pytest.mark.parametrize("way", WAYS)
def test_a_seed_that_was_changed_meanwhile_is_the_childrens(move, way, seed):
    run = move(
        """
        import os, sys
        before = list({str(number) for number in range(40)}), hash("a")
        flag = sys.flags.hash_randomization
        os.environ["PYTHONHASHSEED"] = "9"
        hop()
        print(before == (list({str(number) for number in range(40)}), hash("a")), flag == sys.flags.hash_randomization)
        print(os.environ["PYTHONHASHSEED"], os.popen("echo $PYTHONHASHSEED").read())
        """,
        way=way,
        env={"PYTHONHASHSEED": seed},
    )
    assert run.stdout == "True True\n9 9\n\n", run.stderr


def test_resumed_where_the_hashes_are_others(move):
    """Iterators still give what was left, in their order."""
    state = move.folder / "state.tp"
    run = move(
        f"""
        names = {{"name %d" % number for number in range(50)}}
        frozen = frozenset(names)
        order = list(names)
        going, other, done = iter(names), iter(frozen), iter(names)
        first = [next(going), next(going), next(other)]
        same = all(done) and going
        kept = dump({str(state)!r})
        second = dump({str(state)!r} + "2") if kept else None
        print([*first[:2], *going] == order, [first[2], *other] == order, list(done), same is going)
        print(names == frozen == set(order), len(names), list(frozen) == order, type(going).__name__, kept, second)
        """
    )
    assert run.stdout == "True True [] True\nTrue 50 True set_iterator None None\n", run.stderr
    for seed in ("1", "2"):
        code = f"import pyteleport; pyteleport.resume({str(state)!r})"
        env = harness.environment(PYTHONHASHSEED=seed)
        out = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, check=True).stdout
        assert out == b"True True [] True\nTrue 50 False set_iterator True None\n"
    code = f"import pyteleport; pyteleport.resume({str(state)!r} + '2')"
    env = harness.environment(PYTHONHASHSEED="3")
    out = subprocess.run([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, check=True).stdout
    assert out == b"True True [] True\nTrue 50 False set_iterator True True\n"


def test_members_that_are_hashed_by_their_addresses(same):
    same("""
        class Thing:
            def __init__(self, name):
                self.name = name
        class Named(Thing):
            def __hash__(self):
                return hash(self.name)
            def __eq__(self, other):
                return self.name == other.name
        things = {Thing(number) for number in range(30)}
        named = {Named(number) for number in range(30)}
        going, second = iter(things), iter(named)
        first = [next(going) for turn in range(7)] + [next(second)]
        left = len(things) - 7
        rest = [thing.name for thing in list(things)[7:]]
        hop()
        print([thing.name for thing in going] == rest, len(things), set(first[:7]) < things, first[7] in named)
        print([thing.name for thing in second], Named(5) in named, all(thing in things for thing in list(things)))
        things.add(Thing(0))
        hop()
        print(len(things), all(thing in things for thing in list(things)))
    """)
