"""Writes golden/code_3_N.txt: the code objects of samples/ as this interpreter sees them.

    python3.11 make_golden.py

Run it once with each CPython release; tests/code_facts.rs holds the analysis in Rust against what
it wrote. The depths come from a second implementation, below, which decodes with `dis` and iterates
to a fixed point, so the two have nothing in common but CPython's stack effects.

A golden file is lines of words:

    rules SharedFinally|BlockStack|ExceptionTable JUMP_BYTES
    op OPCODE NAME arg|- rel|abs|- CACHES
    code NAME BYTES TABLE                 both in hexadecimal, `-` for nothing
    names KIND NAME...                    `locals`, `cells`, `free` and, from 3.11 on, `slots`
    i FIRST UNIT NEXT NAME ARG TARGET DEPTH    one per instruction, `-` for none; the greatest depth
    s DEPTH BLOCKS WAYS                    3.8: what a frame may hold in the middle of that instruction:
                                           KIND:HANDLER:LEVEL of each block, and PLACE:ADDRESS of what
                                           says how a `finally` was entered, `-` for NULL
    h START END TARGET DEPTH OFFSET       one per handler
    effect OPCODE ARG JUMP EFFECT         every stack effect that was asked for
"""

import dis
import opcode
import pathlib
import sys
import types

RELEASE = sys.version_info[:2]
HERE = pathlib.Path(__file__).parent
ENDS = {
    "RETURN_VALUE",
    "RETURN_CONST",
    "RAISE_VARARGS",
    "RERAISE",
    "JUMP_FORWARD",
    "JUMP_ABSOLUTE",
    "JUMP_BACKWARD",
    "JUMP_BACKWARD_NO_INTERRUPT",
}


def cache_count(number):
    caches = getattr(opcode, "_inline_cache_entries", {})
    if isinstance(caches, list):
        return caches[number]
    return caches.get(opcode.opname[number], 0)


def takes_argument(number):
    if hasattr(dis, "hasarg"):
        return number in dis.hasarg
    return number >= dis.HAVE_ARGUMENT


class Code:
    """One code object, decoded by `dis`."""

    def __init__(self, code):
        self.code = code
        self.length = len(code.co_code) // 2
        self.instructions = []
        prefix = None
        for found in dis.get_instructions(code):
            if found.opname == "CACHE":
                continue
            if found.opname == "EXTENDED_ARG":
                prefix = found.offset if prefix is None else prefix
                continue
            first = found.offset if prefix is None else prefix
            self.instructions.append((first // 2, found))
            prefix = None
        self.firsts = [first for first, _ in self.instructions]
        self.handlers = []
        if RELEASE >= (3, 11):
            for entry in dis._parse_exception_table(code):
                region = (entry.start // 2, entry.end // 2, entry.target // 2)
                self.handlers.append((*region, entry.depth, int(entry.lasti)))

    def target(self, found):
        is_jump = found.opcode in dis.hasjrel or found.opcode in dis.hasjabs
        return found.argval // 2 if is_jump and found.opname != "END_ASYNC_FOR" else None


def effect(found, jump, asked):
    name, arg = found.opname, found.arg
    if name == "RETURN_GENERATOR":
        return +1
    if name == "PRECALL":
        return 0
    if name == "CALL" and RELEASE == (3, 11):
        return -(arg + 1)
    arg = arg if takes_argument(found.opcode) else None
    change = dis.stack_effect(found.opcode, arg, jump=jump)
    asked[found.opcode, arg, jump] = change
    return change


def depths(code, asked):
    """The depth before each reachable instruction: repeated passes until nothing changes."""
    known = {0: int(code.instructions[0][1].opname == "GEN_START")}
    for _, _, target, depth, offset in code.handlers:
        known[target] = depth + offset + 1
    behind = dict(zip(code.firsts, code.firsts[1:]))
    before = None
    while before != known:
        before = dict(known)
        for first, found in code.instructions:
            if first not in known:
                continue
            ways = []
            if found.opname not in ENDS:
                ways.append((behind[first], False))
            if code.target(found) is not None:
                ways.append((code.target(found), True))
            for place, jump in ways:
                depth = known[first] + effect(found, jump, asked)
                assert known.setdefault(place, depth) == depth, (code.code, found)
    assert all(0 <= depth <= code.code.co_stacksize for depth in known.values()), code.code
    return known


class Stack(tuple):
    """The value stack of CPython 3.8, value for value: "value", "null" or an address to go back to."""

    def push(self, *values):
        return Stack(self + values)

    def pop(self, count, *expected):
        assert count <= len(self)
        dropped = self[len(self) - count :]
        assert all(value == "value" for value in dropped) or list(dropped) == list(expected), (self, expected)
        return Stack(self[: len(self) - count])

    def rotate(self, count):
        """The topmost value below `count - 1` others."""
        top = self[len(self) - count :]
        return Stack(self[: len(self) - count] + top[-1:] + top[:-1])


def is_running(blocks):
    return bool(blocks) and blocks[-1][0] == 257


def steps(code, found, stack, blocks, asked):
    """Where an instruction of 3.8 leads to, with what on the stacks: (unit, stack, blocks)."""
    name, arg = found.opname, found.arg
    target = code.target(found)
    behind = found.offset // 2 + 1
    setup = opcode.opmap["SETUP_FINALLY"]

    def handler(depth):
        return target, Stack(stack[:depth]).push(*["value"] * 6), (*blocks, (257, -1, depth))

    if name == "SETUP_FINALLY":
        return [handler(len(stack)), (behind, stack, (*blocks, (setup, 2 * target, len(stack))))]
    if name == "SETUP_WITH":
        entered = (*blocks, (setup, 2 * target, len(stack)))
        return [handler(len(stack)), (behind, stack.push("value"), entered)]
    if name == "SETUP_ASYNC_WITH":
        return [handler(len(stack) - 1), (behind, stack, (*blocks, (setup, 2 * target, len(stack) - 1)))]
    if name == "POP_BLOCK":
        return [(behind, stack, blocks[:-1])]
    if name == "POP_EXCEPT":
        assert is_running(blocks)
        return [(behind, stack.pop(3), blocks[:-1])]
    if name == "BEGIN_FINALLY":
        return [(behind, stack.push("null"), blocks)]
    if name == "CALL_FINALLY":
        return [(target, stack.push(2 * behind), blocks), (behind, stack, blocks)]
    if name == "END_FINALLY":
        if stack[-1] == "null":
            return [(behind, stack.pop(1, "null"), blocks)]
        assert stack[-1] != "value" or is_running(blocks)
        return []
    if name == "POP_FINALLY":
        kept = stack[len(stack) - arg :]
        stack = stack.pop(arg)
        if stack[-1] != "value":
            return [(behind, stack.pop(1, stack[-1]).push(*kept), blocks)]
        assert is_running(blocks)
        return [(behind, stack.pop(6).push(*kept), blocks[:-1])]
    if name == "WITH_CLEANUP_START":
        stack, blocks = called(found, stack, blocks)
        return [(behind, stack.push("value", "value"), blocks)]
    if name == "WITH_CLEANUP_FINISH":
        stack = stack.pop(2)
        if stack[-1] == "null":
            return [(behind, stack, blocks)]
        assert is_running(blocks)
        swallowed = Stack(stack[: blocks[-1][2]]).push("null")
        return [(behind, stack, blocks), (behind, swallowed, blocks[:-1])]
    if name == "END_ASYNC_FOR":
        assert is_running(blocks)
        return [(behind, stack.pop(7), blocks[:-1])]
    if name in ("ROT_TWO", "ROT_THREE", "ROT_FOUR"):
        assert effect(found, False, asked) == 0
        return [(behind, stack.rotate(["ROT_TWO", "ROT_THREE", "ROT_FOUR"].index(name) + 2), blocks)]
    found_ways = []
    for place, jump in ((behind, False), (target, True)):
        if place is None or (not jump and name in ENDS):
            continue
        change = effect(found, jump, asked)
        after = stack.push(*["value"] * change) if change >= 0 else stack.pop(-change)
        found_ways.append((place, after, blocks))
    return found_ways


def called(found, stack, blocks):
    """The stacks while the instruction has called something."""
    if found.opname != "WITH_CLEANUP_START":
        return stack, blocks
    if stack[-1] == "null":
        return stack.pop(2, "value", "null").push("null"), blocks
    (kind, where, level) = blocks[-1]
    assert (kind, level) == (257, len(stack) - 6)
    return stack, (*blocks[:-1], (kind, where, level - 1))


def shapes(code, asked):
    """By the beginnings of instructions: all that CPython 3.8 may have on a frame's stacks there."""
    known = {}
    instructions = dict(code.instructions)
    open_ = [(0, Stack(), ())]
    while open_:
        first, stack, blocks = open_.pop()
        if (stack, blocks) in known.setdefault(first, []):
            continue
        known[first].append((stack, blocks))
        found = instructions[first]
        assert len(stack) <= code.code.co_stacksize, code.code
        open_ += steps(code, found, stack, blocks, asked)
    return known


def shape_words(stack, blocks):
    ways = [
        "{}:{}".format(place, "-" if value == "null" else value)
        for place, value in enumerate(stack)
        if value != "value"
    ]
    held = ["{}:{}:{}".format(*block) for block in blocks]
    return len(stack), ",".join(held) or None, ",".join(ways) or None


def codes_in(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)


def samples():
    """The samples that this release can compile, as code objects."""
    for path in sorted(HERE.glob("samples/*.py.txt")):
        word, _, release = path.name.split(".")[0].split("_")
        if (int(release) >= RELEASE[1]) if word == "until" else (int(release) <= RELEASE[1]):
            yield from codes_in(compile(path.read_text(), path.name, "exec"))


def slot_names(code):
    """The slots of a frame before its value stack, as CPython itself numbers them."""
    names = []
    while True:
        try:
            names.append(code._varname_from_oparg(len(names)))
        except IndexError:
            return names


def lines():
    families = {8: "SharedFinally", 9: "BlockStack", 10: "BlockStack"}
    yield "rules", families.get(RELEASE[1], "ExceptionTable"), 1 if RELEASE < (3, 10) else 2
    for number in range(256):
        name = opcode.opname[number]
        if not name.startswith("<"):
            jump = "rel" if number in dis.hasjrel else "abs" if number in dis.hasjabs else None
            argument = "arg" if takes_argument(number) else None
            yield "op", number, name, argument, jump, cache_count(number)
    asked = {}
    for found in samples():
        code = Code(found)
        several = shapes(code, asked) if RELEASE < (3, 9) else {}
        known = {first: max(len(stack) for stack, _ in held) for first, held in several.items()}
        known = known or depths(code, asked)
        name = getattr(found, "co_qualname", found.co_name)
        table = getattr(found, "co_exceptiontable", b"")
        yield "code", name, found.co_code.hex(), table.hex() or None
        yield "names", "locals", *found.co_varnames
        yield "names", "cells", *found.co_cellvars
        yield "names", "free", *found.co_freevars
        if hasattr(found, "_varname_from_oparg"):
            yield "names", "slots", *slot_names(found)
        nexts = [*code.firsts[1:], code.length]
        for (first, it), following in zip(code.instructions, nexts):
            where = (first, it.offset // 2, following)
            yield ("i", *where, it.opname, it.arg, code.target(it), known.get(first))
            for held in several.get(first, ()):
                yield ("s", *shape_words(*called(it, *held)))
        for handler in code.handlers:
            yield ("h", *handler)
    for (number, arg, jump), change in sorted(asked.items(), key=repr):
        yield "effect", number, arg, int(jump), change


def main():
    words = [["-" if word is None else str(word).replace(" ", "_") for word in line] for line in lines()]
    path = HERE / "golden" / "code_{}_{}.txt".format(*RELEASE)
    path.write_text("".join(" ".join(line) + "\n" for line in words))
    print(path.name, sum(line[0] == "code" for line in words), "code objects")


main()
