"""`finally` bodies and exit methods, by all ways in which they are entered, and moves within them."""

import pytest


def test_a_finally_body_entered_by_every_way(same):
    same(
        """
        def value(*given):
            return hop(given)
        def ways(k):
            try:
                if k == 0:
                    return value(k), "returned"
                if k == 1:
                    return "constant"
                if k == 2:
                    raise ValueError(k)
            finally:
                print(k, value(1, value(2)), [value(3), *value(4)])
            return "on"
        for k in range(4):
            try:
                print(ways(k))
            except ValueError as error:
                print(repr(error), error.__traceback__.tb_next.tb_lineno)
    """,
        singles=True,
    )


# From 3.14 on the compiler warns, and names the file.
QUIET = {"PYTHONWARNINGS": "ignore::SyntaxWarning"}


def test_finally_bodies_within_each_other(same):
    same(
        """
        def inner(k):
            try:
                try:
                    if k == 0:
                        return hop("a")
                    if k == 1:
                        raise KeyError(hop("b"))
                    if k == 2:
                        return "c"
                finally:
                    try:
                        if k == 3:
                            return hop("d")
                        print(k, hop("e"))
                    except IndexError:
                        print("never")
                    finally:
                        print(k, hop("f"), hop("g") + hop("h"))
            finally:
                print(k, hop("i"))
                try:
                    hop("j")
                finally:
                    print(hop("k"))
            return hop("l")
        for k in range(5):
            try:
                print(inner(k))
            except KeyError as error:
                print(repr(error), repr(error.__context__))
    """,
        env=QUIET,
    )


def test_finally_bodies_that_leave_loops(same):
    same(
        """
        def leaves(k):
            for each in range(3):
                try:
                    if k < 2:
                        return hop(("first", each))
                    if k < 4:
                        raise ValueError(k)
                    if k == 4:
                        continue
                    if k == 5:
                        break
                finally:
                    print(k, each, hop("on the way out"))
                    if k % 2:
                        break
                    if each == 1:
                        continue
                    hop("staying")
            while True:
                try:
                    return hop(["second", k])
                finally:
                    if k == 3:
                        return hop("third")
                    print(hop("fourth"))
        for k in range(7):
            try:
                print(leaves(k))
            except ValueError as error:
                print(repr(error))
    """,
        env=QUIET,
    )


def test_a_handler_that_names_its_exception_is_left(same):
    same("""
        import sys
        def handles(k):
            for each in range(2):
                try:
                    try:
                        raise (ValueError, TypeError, KeyError)[k % 3](each)
                    except ValueError as error:
                        print("value", hop(str(error)), sys.exc_info()[1] is error)
                        if k == 3:
                            continue
                        return hop((each, error.args))
                    except TypeError as error:
                        try:
                            if k == 4:
                                break
                            raise
                        finally:
                            print("type", hop(repr(error)), sys.exc_info()[1] is error)
                    finally:
                        print("last", hop(k), sys.exc_info()[0])
                except TypeError as again:
                    print("again", hop(repr(again)), again.__context__)
            return "on"
        for k in range(6):
            try:
                print(handles(k))
            except KeyError as error:
                print(repr(hop(error)))
        print(sys.exc_info())
    """)


@pytest.mark.parametrize("first", range(12, 62, 2))
def test_a_returned_number_may_be_any(same, first):
    """CPython 3.8 keeps the place to go back to as a number beside what is returned."""
    same(f"""
        def gives(k, n):
            try:
                if k == 0:
                    return n
                if k == 1:
                    return 7
                if k == 2:
                    return 8, n
                if k == 3:
                    return n + 0
            finally:
                hop()
                print(k, n)
            return n
        print([gives(k, {first}) for k in range(5)], [gives(k, {first + 80}) for k in range(4)])
    """)


MANAGERS = """
        class Manager:
            swallows = False
            def __init__(self, name, swallows=None):
                self.name = name
                if swallows is not None:
                    self.swallows = swallows
            def __enter__(self):
                print("enter", hop(self.name))
                return self
            def __exit__(self, kind, error, traceback):
                print("exit", self.name, kind, repr(error), traceback is None)
                return hop(self.swallows)
        class Loose(Manager):
            def __exit__(self, *what):
                print("exit", self.name, [each is None for each in what])
                hop()
                return self.swallows
        class Looser(Manager):
            def __exit__(*what):
                print("exit", what[0].name, [each is None for each in what])
                hop()
                return what[0].swallows
        class Static(Manager):
            @staticmethod
            def __exit__(kind, error, traceback):
                print("exit", kind, repr(error))
                hop()
        class Class(Manager):
            @classmethod
            def __exit__(cls, kind, error, traceback):
                print("exit", cls.__name__, repr(error))
                return hop(cls.swallows)
        class Rebinding(Manager):
            def __exit__(self, kind, error, traceback):
                name, self, kind, error = self.name, None, None, repr(error)
                print("exit", name, error)
                hop()
        class Closing(Manager):
            def __exit__(self, kind, error, traceback):
                tell = lambda: (self.name, repr(error))
                print("exit", *tell())
                return hop(self.swallows)
        def decorated(function):
            def wrapper(*arguments, **options):
                try:
                    return function(*arguments, **options)
                finally:
                    hop()
            return wrapper
        class Decorated(Manager):
            __exit__ = decorated(Manager.__exit__)
        class Truth:
            def __init__(self, value):
                self.value = value
            def __bool__(self):
                print("asked")
                return hop(self.value)
        class Asking(Manager):
            def __exit__(self, *what):
                return Truth(self.swallows)
"""
KINDS = ["Manager", "Loose", "Looser", "Static", "Class", "Rebinding", "Closing", "Decorated", "Asking"]


@pytest.mark.parametrize("kind", KINDS)
def test_exit_methods_when_the_body_comes_to_its_end(same, kind):
    same(f"""{MANAGERS}
        with {kind}("one") as one, {kind}("two"):
            print("in", one.name)
        print("out")
    """)


@pytest.mark.parametrize("kind", KINDS)
def test_exit_methods_when_the_body_is_left(same, kind):
    same(f"""{MANAGERS}
        def leaves(kind, k):
            for each in range(2):
                with kind(each):
                    with kind("inner"):
                        if k == 0:
                            return hop("value")
                        if k == 1:
                            return 5
                        if k == 2:
                            break
                        if k == 3:
                            continue
            return "on"
        print([leaves({kind}, k) for k in range(4)])
    """)


@pytest.mark.parametrize("swallows", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_exit_methods_when_the_body_raises(same, kind, swallows):
    same(f"""{MANAGERS}
        import sys
        def raises(kind):
            with kind("outer", True):
                with kind("inner", {swallows}):
                    raise ValueError(hop("what"))
                print("inner swallowed it")
            print("swallowed", sys.exc_info())
            return "on"
        Class.swallows = {swallows}
        try:
            print(raises({kind}))
        except ValueError as error:
            print("out", repr(error), repr(error.__context__), sys.exc_info()[1] is error)
    """)


def test_exit_methods_that_raise(same):
    same("""
        class Raising:
            def __enter__(self):
                return self
            def __exit__(self, kind, error, traceback):
                hop()
                raise KeyError("from exit") from error
        def runs(k):
            for each in range(2):
                try:
                    with Raising():
                        with Raising():
                            if k == 0:
                                return hop("value")
                            if k == 1:
                                raise ValueError
                except KeyError as error:
                    print(repr(error), repr(error.__cause__), repr(error.__context__), repr(error.__context__.__context__))
                finally:
                    hop()
            return "on"
        print([runs(k) for k in range(3)])
    """)


def test_exit_methods_within_finally_bodies(same):
    same(f"""{MANAGERS}
        def runs(k):
            try:
                if k == 0:
                    return hop("value")
                if k == 1:
                    raise ValueError
            finally:
                with Manager("in finally", True) as one, Loose("too", k > 2):
                    hop(one)
                    if k > 1:
                        raise KeyError(hop(k))
            return "on"
        for k in range(4):
            try:
                print(runs(k))
            except (ValueError, KeyError) as error:
                print(repr(error), repr(error.__context__))
    """)


def test_asynchronous_exit_methods(same):
    same("""
        class Pause:
            def __await__(self):
                yield "pause"
        async def steps(value):
            await Pause()
            hop()
            return value
        class Manager:
            def __init__(self, swallows):
                self.swallows = swallows
            async def __aenter__(self):
                return await steps(self)
            async def __aexit__(self, kind, error, traceback):
                print("exit", kind, repr(error), traceback is None)
                return await steps(self.swallows)
        async def runs(k, swallows):
            for each in range(2):
                async with Manager(swallows) as one:
                    try:
                        if k == 0:
                            return await steps("value")
                        if k == 1:
                            raise ValueError(each)
                        if k == 2:
                            continue
                    finally:
                        await steps(each)
            return "on"
        async def main():
            for k in range(4):
                for swallows in (False, True):
                    try:
                        print(k, swallows, await runs(k, swallows))
                    except ValueError as error:
                        print(repr(error))
        running, pauses = main(), 0
        try:
            while True:
                running.send(None)
                pauses += 1
        except StopIteration:
            print(pauses)
    """)


def test_generators_suspended_in_finally_bodies(same):
    same("""
        def walks(k):
            try:
                if k == 0:
                    return hop(5)
                if k == 1:
                    return 6
                if k == 2:
                    raise ValueError(k)
                yield "body"
            finally:
                yield "finally", hop(k)
                try:
                    yield from (hop(each) for each in "ab")
                finally:
                    yield hop("last")
            return "on"
        def exhaust(walk):
            try:
                while True:
                    print(next(walk))
                    hop()
            except StopIteration as end:
                print("end", end.value)
            except ValueError as error:
                print(repr(error))
        all = [walks(k) for k in range(4)]
        for walk in all:
            print(next(walk))
        hop()
        for walk in all:
            exhaust(walk)
        left = walks(3)
        next(left)
        hop()
        print(left.throw(KeyError), next(left), next(left), next(left))
        hop()
        try:
            next(left)
        except KeyError as error:
            print(repr(error))
    """)


def test_finally_in_the_bodies_of_modules_and_classes(same):
    same("""
        class Body:
            for each in range(2):
                try:
                    size = hop(each)
                    if each:
                        continue
                finally:
                    size = (size, hop("class"))
        print(Body.size)
        for each in range(3):
            try:
                if each == 1:
                    raise KeyError(each)
                if each == 2:
                    break
            except KeyError as error:
                print(hop(repr(error)))
            finally:
                print(hop("module"), each)
    """)


def test_what_is_contained_is_asked_once(same):
    same("""
        class Box:
            def __init__(self, *items):
                self.items = items
            def __contains__(self, item):
                print("asked for", item)
                return hop(item in self.items)
        box = Box(1, 2)
        print(1 in box, 3 in box, 1 not in box, 3 not in box, [k for k in range(3) if k in box])
        if hop(2) in box and hop(4) not in box:
            print("both")
    """)
