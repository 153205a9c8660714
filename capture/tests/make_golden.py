"""Writes golden/code_3_N.txt: the code objects of samples/ as this interpreter sees them.

    python3.11 make_golden.py

Run it once with each CPython release; tests/code_facts.rs holds the analysis in Rust against what
it wrote. The depths come from a second implementation, below, which decodes with `dis` and iterates
to a fixed point, so the two have nothing in common but CPython's stack effects.

A golden file is lines of words:

    rules BlockStack|ExceptionTable JUMP_BYTES
    op OPCODE NAME arg|- rel|abs|- CACHES
    code NAME BYTES TABLE                 both in hexadecimal, `-` for nothing
    names KIND NAME...                    `locals`, `cells`, `free` and, from 3.11 on, `slots`
    i FIRST UNIT NEXT NAME ARG TARGET DEPTH    one per instruction, `-` for none
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


def codes_in(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            yield from codes_in(constant)


def samples():
    """The samples that this release can compile, as code objects."""
    for path in sorted(HERE.glob("samples/since_3_*.py.txt")):
        since = int(path.name.split(".")[0].split("_")[-1])
        if since <= RELEASE[1]:
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
    block_stack = RELEASE < (3, 11)
    yield "rules", "BlockStack" if block_stack else "ExceptionTable", 1 if RELEASE < (3, 10) else 2
    for number in range(256):
        name = opcode.opname[number]
        if not name.startswith("<"):
            jump = "rel" if number in dis.hasjrel else "abs" if number in dis.hasjabs else None
            argument = "arg" if takes_argument(number) else None
            yield "op", number, name, argument, jump, cache_count(number)
    asked = {}
    for found in samples():
        code = Code(found)
        known = depths(code, asked)
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
