"""Views of memory and matches in texts; small objects of C modules that no API shows whole."""

import sys

import pytest


def test_views_of_parts_share_the_memory(same):
    same("""
        import array, struct
        base, numbers = bytearray(b"abcdefgh"), array.array("i", [1, 2, 3, 4])
        whole = memoryview(base)
        ints = memoryview(bytearray(16)).cast("i")
        views = [whole, whole[2:6], whole[::2], whole[::-1], whole[6:1:-2], whole.toreadonly(), whole.toreadonly()[1:3], whole[3:3], whole[2:6][1:3],
                 whole[::3][1:], ints, ints[1:3], ints[::-2], memoryview(b"xyz")[1:], memoryview(numbers)[1:], memoryview(numbers)[::-1],
                 memoryview(numbers).cast("B")[4:8], memoryview(bytearray(12)).cast("B", (3, 4)), memoryview(bytearray(8)).cast("h"),
                 memoryview(bytearray(24))[8:].cast("h", (2, 4)), memoryview(numbers)[:0], ints[3:3]]
        released = memoryview(b"q")
        released.release()
        def facts(view):
            return view.tolist(), view.format, view.shape, view.strides, view.readonly, view.nbytes
        before = list(map(facts, views))
        hop()
        print([pair for pair in zip(before, map(facts, views)) if pair[0] != pair[1]])
        views[1][0], views[11][0], views[14][0], views[3][0], views[12][0] = 90, 7, 9, 33, 8
        print(base, views[10].tolist(), numbers, views[1].obj is base, views[14].obj is numbers, hash(views[13]) == hash(b"yz"))
        for change in (lambda: base.append(1), lambda: numbers.append(1), lambda: released[0]):
            try:
                change()
            except Exception as error:
                print(type(error).__name__, error)
        hop()
        print(list(map(facts, views)), base, numbers)
    """)


def test_matches_keep_where_they_were_looked_for(same):
    same("""
        import re
        found = [re.search(r"(?P<x>b)(c)?(d)?", "abcx"), re.compile(rb"\\d+").match(b"123abc"), re.fullmatch("(a)*", "aaa"),
                 *re.finditer(r"x*", "axxb"), re.compile("(?<=a)b").search("ab", 1, 2), re.match(b"a(.)", bytearray(b"abc")),
                 re.compile("o").search("xfoo", 1, 3), re.search("(a)|(b)", "b")]
        re.sub(r"(\\w)(?=(b))", lambda match: found.append(match) or "", "abbb")
        def facts(match):
            return (match.group(), match.groups(), match.span(), match.pos, match.endpos, match.lastindex, match.lastgroup, match.regs,
                    match.string, match.re.pattern, match.groupdict(), repr(match))
        before = list(map(facts, found))
        hop()
        print([pair for pair in zip(before, map(facts, found)) if pair[0] != pair[1]])
        print(found[0]["x"], found[0].expand(r"<\\1>") if found[0].group(1) else "", found[-1].re is found[-2].re, found[3].string is found[4].string)
    """)


def test_a_match_within_its_own_string(same):
    same("""
        import re
        class Text(str):
            pass
        text = Text("abc")
        text.match = re.search("b", text)
        hop()
        print(text.match.string is text, text.match.span())
    """)


def test_keys_queues_scanners_and_sources(same):
    same("""
        import functools, json, queue, random
        calls = []
        Key = functools.cmp_to_key(lambda a, b: calls.append((a, b)) or b - a)
        keys = [Key(1), Key(2), Key(3)]
        itself = Key([])
        itself.obj.append(itself)
        fifo, empty, used = queue.SimpleQueue(), queue.SimpleQueue(), queue.SimpleQueue()
        for item in (1, [fifo], [1]):
            fifo.put(item)
        for number in range(20):
            used.put([number])
        for number in range(18):
            used.get()
        one = queue.SimpleQueue()
        one.put([one])
        scan = json.JSONDecoder(object_hook=lambda found: ("h", found)).scan_once
        class Own(random.SystemRandom):
            pass
        own = Own()
        own.extra = own
        hop()
        print([key.obj for key in sorted(keys)], calls[:1], Key(5) < Key(2), type(keys[0]) is type(Key(0)), itself.obj[0] is itself)
        print(fifo.qsize(), fifo.get(), fifo.get()[0] is fifo, fifo.get(), fifo.empty(), empty.qsize(), [used.get(), used.get()], used.empty())
        print(one.get()[0] is one, scan('{"a": [1]}', 0), own.extra is own, 0 <= own.random() < 1)
    """)


def test_context_variables_that_only_a_generator_has_and_tokens(same):
    same("""
        import contextvars
        def tried(function, *args):
            try:
                return function(*args)
            except Exception as error:
                return type(error).__name__
        def work():
            v, w = contextvars.ContextVar("v", default=1), contextvars.ContextVar("w")
            token, other = v.set(5), w.set([1])
            context = contextvars.Context()
            context.run(w.set, "in")
            within = context.run(w.set, "again")
            used = v.set(6)
            v.reset(used)
            yield
            print(v.get(), w.get(), context[w], token.old_value is contextvars.Token.MISSING, token.var is v, within.old_value)
            print(tried(v.reset, used), tried(w.reset, within), context.run(w.reset, within), context[w])
            v.reset(token), w.reset(other)
            print(v.get(), tried(w.get), tried(v.reset, token))
        work = work()
        next(work)
        hop()
        next(work, None)
    """)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        ("import hashlib\nthing = hashlib.blake2b()", "blake2b"),
        ("import zlib\nthing = zlib.decompressobj()", "Decompress"),
        ("import bz2\nthing = bz2.BZ2Compressor()", "BZ2Compressor"),
        ("import lzma\nthing = lzma.LZMADecompressor()", "LZMADecompressor"),
        ("import pickle, io\nthing = pickle.Unpickler(io.BytesIO())", "Unpickler"),
        ("import os\nthing = next(os.scandir('/'))", "DirEntry"),
        ("import selectors\nthing = selectors.DefaultSelector()", "epoll"),
        ("import io\nthing = io.BytesIO(b'x').getbuffer()[:1]", "BytesIO"),
    ],
    ids=lambda value: value.rpartition("thing = ")[2][:24] if "thing =" in value else "",
)
def test_what_has_a_state_out_of_reach_is_refused_and_goes_on(move, make, words):
    lines = "\n".join("        " + line for line in make.splitlines())
    run = move(f"""
{lines}
        try:
            teleport()
        except UnmovableError as refusal:
            print(refusal)
        print(type(thing).__name__)
    """)
    assert run.ended_in == "home", run.stdout + run.stderr
    assert "__main__ → thing" in run.stdout
    assert words in run.stdout
    assert run.stdout.count("\n") >= 2


@pytest.mark.skipif(sys.version_info < (3, 14), reason="templates came later")
def test_templates(same):
    same("""
        template = eval('t"a{1}b{2!r:>5}c"')
        hop()
        print(template.strings, template.values, template.interpolations[1].conversion, template.interpolations[1].format_spec)
    """)


def test_patterns_are_found_again(same):
    same("""
        import re
        first, again, raw = re.compile("a+"), re.compile("a+", re.U), re.compile(b"a+", re.I | re.S)
        inline, local = re.compile("(?i)a+"), re.compile(b"x", re.L)
        gone = re.compile("gone")
        re.purge()
        second = re.compile("a+")
        kept = [re.compile("b" * n) for n in range(1, 5)]
        for turn in range(2):
            hop()
            print(re.compile("a+") is second, first is not second, again is not first, first == second, again.flags)
            print(re.compile("gone") is gone, [re.compile("b" * n) is kept[n - 1] for n in range(1, 5)])
            print(re.search("b", "b").re is kept[0])
            print(raw.flags, raw.match(b"AA").group(), inline.flags, inline.match("A").re is inline, local.flags)
    """)
