"""Exception groups, and what else 3.11 has made of exceptions."""

import sys

import pytest
from test_exceptions import with_printer

pytestmark = pytest.mark.skipif(sys.version_info < (3, 11), reason="new in 3.11")


def test_exception_groups(same):
    same(
        with_printer("""
def make():
    found = []
    for n, kind in enumerate((KeyError, ValueError, KeyError, OSError)):
        try:
            raise kind(n)
        except Exception as error:
            found.append(error)
    return ExceptionGroup("several", [found[0], ExceptionGroup("inner", found[1:3]), found[3]])
class Own(ExceptionGroup):
    def derive(self, errors):
        return Own(self.message, errors)
def f(group):
    try:
        try:
            hop()
            raise group
        except* KeyError as some:
            print(text(some))
            hop()
            print(repr(some), repr(sys.exception()))
            raise
        except* ValueError as some:
            hop()
            print(repr(some.exceptions), repr(sys.exception()))
            raise LookupError("instead") from some
        except* TypeError:
            print("never")
        finally:
            hop()
            print("finally", repr(sys.exception()))
    except BaseExceptionGroup as rest:
        hop()
        print(text(rest))
        return rest
kept = f(make())
hop()
print(text(kept), repr(kept.split(KeyError)))
try:
    raise Own("own", [KeyError(1), KeyboardInterrupt.__new__(ValueError, 2)]) if False else Own("own", [KeyError(1), ValueError(2)])
except* ValueError as some:
    hop()
    print(type(some).__name__, text(some))
except* KeyError as some:
    hop()
    print(type(some).__name__, some.exceptions)
try:
    try:
        raise OSError("plain")
    except* OSError as some:
        hop()
        print(repr(some), sys.exception())
        1 / 0
except ExceptionGroup as group:
    print(text(group))
except ZeroDivisionError as error:
    print(text(error))
""")
    )


def test_sys_exception_and_positions(same):
    same(
        with_printer("""
def f(a):
    try:
        hop()
        return a["x"]["y"] + a["x"]["z"][0](hop(1), 2)
    except TypeError as error:
        hop()
        positions = [list(entry.tb_frame.f_code.co_positions())[entry.tb_lasti // 2] for entry in entries(error)]
        print(positions, sys.exception() is error, text(error))
def entries(error):
    entry = error.__traceback__
    while entry:
        yield entry
        entry = entry.tb_next
f({"x": {"y": 1, "z": [None]}})
print(sys.exception())
""")
    )
