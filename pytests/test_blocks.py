"""for, while, try/except/else/finally and with, the hop in each part, and exceptions being handled."""

import pytest

ITERABLES = {
    "list": "[1, 2, 3]",
    "list grown on the way": "growing",
    "tuple": "(1, 2, 3)",
    "range": "range(1, 9, 3)",
    "range down": "range(5, 0, -2)",
    "huge range": "range(2**70, 2**70 + 3)",
    "str": "'abc'",
    "bytes": "b'abc'",
    "bytearray": "bytearray(b'abc')",
    "dict": "{'a': 1, 'b': 2, 'c': 3}",
    "dict items": "{'a': 1, 'b': 2, 'c': 3}.items()",
    "dict values": "{'a': 1, 'b': 2, 'c': 3}.values()",
    "set of numbers": "{1, 2, 3}",
    "enumerate": "enumerate('abc', 5)",
    "zip": "zip('abc', [1, 2, 3])",
    "map": "map(str, [1, 2, 3])",
    "filter": "filter(None, [1, 0, 2, 3])",
    "reversed list": "reversed([1, 2, 3])",
    "reversed dict": "reversed({'a': 1, 'b': 2})",
    "sequence protocol": "Sequence()",
    "iterator class": "Down(3)",
    "sentinel": "iter(iter([1, 2, 0, 5]).__next__, 0)",
    "chain": "itertools.chain('ab', [1, 2])",
    "count": "itertools.islice(itertools.count(3, 2), 3)",
    "product": "itertools.product('ab', repeat=2)",
    "permutations": "itertools.permutations([1, 2, 3], 2)",
    "combinations": "itertools.combinations('abc', 2)",
    "accumulate": "itertools.accumulate([1, 2, 3])",
    "starmap": "itertools.starmap(pow, [(2, 3), (3, 2)])",
    "zip_longest": "itertools.zip_longest('ab', 'c')",
    "groupby keys": "[k for k, _ in itertools.groupby('aabbc')]",
    "deque": "collections.deque([1, 2, 3])",
    "Counter": "collections.Counter('aab').most_common()",
    "array": "array.array('i', [1, 2, 3])",
    "generator expression": "(i * i for i in range(3))",
    "generator": "squares(3)",
}


@pytest.mark.parametrize("iterable", ITERABLES.values(), ids=ITERABLES)
def test_for_goes_on_with_the_next_item(same, iterable):
    same(f"""
        import array, collections, itertools
        class Sequence:
            def __getitem__(self, k):
                if k > 2:
                    raise IndexError
                return k * 10
        class Down:
            def __init__(self, n):
                self.n = n
            def __iter__(self):
                return self
            def __next__(self):
                self.n -= 1
                if self.n < 0:
                    raise StopIteration
                return self.n
        def squares(n):
            for i in range(n):
                yield i * i
        growing = [1]
        def f():
            seen = []
            for item in {iterable}:
                if len(growing) < 4:
                    growing.append(len(growing) + 1)
                seen.append(hop(item))
            else:
                seen.append("else")
            return seen
        print(f())
    """)


def test_nested_loops_with_break_continue_and_else(same):
    same("""
        def f():
            seen = []
            for i in range(3):
                for j in range(3):
                    if j == 1:
                        hop()
                        continue
                    if i == 2:
                        break
                    seen.append((i, j))
                else:
                    hop()
                    seen.append("inner else")
            else:
                seen.append("outer else")
            n = 0
            while n < 3:
                n += hop(1)
                if n == 2:
                    continue
                seen.append(n)
            else:
                seen.append(hop("while else"))
            while True:
                n += 1
                if hop(n) > 5:
                    break
            return seen, n
        print(f())
    """)


def test_while_with_the_hop_in_its_condition(same):
    same("""
        n = 0
        while hop(n) < 3:
            n += 1
            print(n)
    """)


PARTS = ["body", "except", "else", "finally", "after"]


@pytest.mark.parametrize("raises", [None, "KeyError", "OSError"], ids=["clean", "caught", "uncaught"])
@pytest.mark.parametrize("part", PARTS)
def test_try_with_the_hop_in_each_part(same, part, raises):
    statement = {p: "hop()" if p == part else "pass" for p in PARTS}
    fault = f"raise {raises}('why')" if raises else "pass"
    reached = {"except": raises == "KeyError", "else": raises is None, "after": raises != "OSError"}
    source = f"""
        import sys
        log = []
        def f():
            try:
                log.append("body")
                {statement["body"]}
                {fault}
            except KeyError as error:
                log.append(("except", repr(error)))
                {statement["except"]}
                log.append(repr(sys.exc_info()[1]))
            else:
                log.append("else")
                {statement["else"]}
                log.append("else done")
            finally:
                log.append("finally")
                {statement["finally"]}
                log.append(repr(sys.exc_info()[1]))
            {statement["after"]}
            return "returned"
        try:
            log.append(f())
        except OSError as error:
            log.append(("out", repr(error), repr(error.__context__)))
        log.append(sys.exc_info())
        {"" if reached.get(part, True) else "hop()"}
        print(*log, sep="\\n")
    """
    same(source)


def test_finally_on_return_break_and_continue(same):
    same(
        """
        log = []
        def returning():
            try:
                return hop("value")
            finally:
                log.append("returning")
                hop()
        def overriding():
            for i in range(2):
                try:
                    return i
                finally:
                    hop()
                    if i == 0:
                        continue
            return "end"
        def breaking():
            for i in range(3):
                try:
                    if i == 1:
                        break
                    continue
                finally:
                    log.append(("breaking", hop(i)))
            return i
        def swallowing():
            try:
                raise ValueError
            finally:
                return hop("swallowed")
        print(returning(), overriding(), breaking(), swallowing(), log)
    """,
        env={"PYTHONWARNINGS": "ignore::SyntaxWarning"},
    )  # of 3.14 and later, with the file's name


def test_an_exception_raised_after_the_hop_finds_the_handlers_of_all_frames_above(same):
    same("""
        def inner():
            hop()
            raise ValueError("from inside")
        def middle():
            try:
                inner()
            except KeyError:
                print("not mine")
            finally:
                print("finally in the middle")
        def outer():
            try:
                middle()
            except ValueError as error:
                print("caught", error)
                return "handled"
        print(outer())
    """)


def test_the_handled_exception_is_handled_there_too(same):
    same("""
        import sys
        def f():
            try:
                raise KeyError("k")
            except KeyError:
                print(repr(sys.exc_info()[1]))
                hop()
                print(repr(sys.exc_info()[1]))
                try:
                    raise ValueError("v")
                except ValueError as error:
                    hop()
                    print(repr(error.__context__), error.__context__ is sys.exc_info()[1].__context__)
                print(repr(sys.exc_info()[1]))
                raise
        try:
            f()
        except KeyError as error:
            print("again", repr(error), error.__context__)
        print(sys.exc_info())
    """)


def test_handlers_nested_across_frames(same):
    same("""
        import sys
        def inner():
            try:
                raise ValueError("v")
            except ValueError:
                hop()
                handled = sys.exc_info()[1]
                return repr(handled), repr(handled.__context__)
        out = []
        try:
            raise KeyError("k")
        except KeyError:
            out.append(inner())
            out.append(repr(sys.exc_info()[1]))
        out.append(sys.exc_info())
        print(out)
    """)


def test_context_and_cause_are_set_after_the_move(same):
    same("""
        def f():
            try:
                1 / 0
            except ZeroDivisionError as error:
                hop()
                raise RuntimeError("wrapped") from error
        try:
            f()
        except RuntimeError as error:
            hop()
            print(repr(error.__cause__), error.__cause__ is error.__context__, error.__suppress_context__)
        try:
            try:
                {}["k"]
            except KeyError:
                hop()
                None.missing
        except AttributeError as error:
            print(repr(error), repr(error.__context__))
    """)


def test_an_exception_kept_in_a_variable_keeps_its_traceback(same):
    same("""
        import traceback
        def fail(n):
            if n:
                fail(n - 1)
            raise ValueError(n)
        try:
            fail(2)
        except ValueError as error:
            kept = error
        hop()
        print("".join(traceback.format_exception(type(kept), kept, kept.__traceback__)).replace(__file__, "me"))
        print(kept.__traceback__.tb_frame.f_code.co_name, kept.__traceback__.tb_next.tb_lineno)
    """)


@pytest.mark.parametrize("part", ["enter", "body", "exit"])
@pytest.mark.parametrize("ending", ["pass", "return 'early'", "raise KeyError('k')", "raise OSError('o')"])
def test_with_and_the_hop_in_each_part(same, part, ending):
    place = {p: "hop()" if p == part else "pass" for p in ("enter", "body", "exit")}
    same(f"""
        import sys
        log = []
        class Manager:
            def __init__(self, name):
                self.name = name
            def __enter__(self):
                {place["enter"]}
                log.append(("enter", self.name))
                return self
            def __exit__(self, kind, error, traceback):
                {place["exit"]}
                log.append(("exit", self.name, repr(error), repr(sys.exc_info()[1])))
                return kind is KeyError
        def f():
            with Manager(1) as one, Manager(2):
                {place["body"]}
                log.append(one.name)
                {ending}
            return "end"
        try:
            log.append(f())
        except OSError as error:
            log.append(repr(error))
        print(*log, sep="\\n")
    """)


def test_with_contextlib(same):
    same("""
        import contextlib, io
        @contextlib.contextmanager
        def tag(name):
            print("<%s>" % name)
            try:
                yield name
            except ValueError as error:
                print("suppressed", error)
            finally:
                print("</%s>" % name)
        with tag("a") as a, contextlib.suppress(KeyError):
            hop()
            print(a)
            {}["missing"]
        with contextlib.ExitStack() as stack:
            for name in "bc":
                stack.enter_context(tag(name))
            hop()
            stack.callback(print, "callback")
            raise ValueError("bang")
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            print("captured")
            hop()
            print("too")
        print(repr(out.getvalue()))
    """)


def test_try_in_a_loop_in_a_with_in_a_try(same):
    same("""
        import contextlib
        def f():
            out = []
            try:
                with contextlib.ExitStack() as stack:
                    stack.callback(out.append, "unwound")
                    for i in range(4):
                        try:
                            if i == 1:
                                raise KeyError(i)
                            out.append(hop(i))
                        except KeyError as error:
                            out.append(repr(error))
                            hop()
                            continue
                        else:
                            out.append("else")
                        finally:
                            out.append(hop("finally"))
                        if i == 2:
                            raise LookupError("out")
            except LookupError as error:
                hop()
                out.append(repr(error))
            return out
        print(f())
    """)


def test_deeply_nested_blocks(same):
    depth = 15
    lines = ["def f():", "    out = []"]
    for level in range(depth):
        pad = "    " * (level + 1)
        lines.append(
            pad
            + ("try:" if level % 3 == 0 else f"for i{level} in (1, 2):" if level % 3 == 1 else "while True:")
        )
    lines.append("    " * (depth + 1) + "out.append(hop(len(out)))")
    lines.append("    " * (depth + 1) + "if len(out) > 3: raise KeyError('deep')")
    for level in reversed(range(depth)):
        pad = "    " * (level + 1)
        if level % 3 == 0:
            lines += [pad + "finally:", pad + f"    out.append('level {level}')"]
        elif level % 3 == 2:
            lines.append(pad + "    break")
    lines += [
        "try:",
        "    f()",
        "except KeyError as error:",
        "    print(error, error.__traceback__.tb_next.tb_frame.f_locals['out'])",
    ]
    body = "\n".join("        " + line for line in lines)
    same("\n" + body)
