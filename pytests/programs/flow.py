"""Control flow: every loop and try shape around one another, and results on the way out of all of them."""

import sys

log = []


def note(*what):
    log.append(what)
    return what[0]


def nest(n):
    for i in range(n):
        try:
            while True:
                try:
                    if i == 0:
                        break
                    if i == 1:
                        raise KeyError(hop(i))
                    if i == 2:
                        return note("returned", i)
                    note("never")
                finally:
                    note("inner finally", i, repr(sys.exc_info()[1]))
                    hop()
            note("after break")
        except KeyError as error:
            note("handled", repr(error))
            continue
        else:
            note("else", i)
        finally:
            note("outer finally", i)
            if i == 2:
                hop()
    return None


print(nest(5))


class Guard:
    def __init__(self, name, swallow=()):
        self.name, self.swallow = name, swallow

    def __enter__(self):
        note("enter", hop(self.name))
        return self

    def __exit__(self, kind, error, traceback):
        note("exit", self.name, kind and kind.__name__, traceback is not None)
        hop()
        return kind is not None and issubclass(kind, self.swallow)


def guarded():
    with Guard("outer", (ValueError,)) as outer, Guard("inner"):
        note(outer.name)
        for i in (1, 2):
            with Guard("loop %d" % i, (LookupError,)):
                if i == 1:
                    raise IndexError("swallowed")
                raise ValueError("passes two guards")
    return "after"


print(guarded())


def chain(n):
    try:
        if n == 0:
            raise ValueError("bottom")
        chain(n - 1)
    except ValueError as error:
        if n == 1:
            hop()
        raise ValueError("level %d" % n) from error
    finally:
        note("level", n)


try:
    chain(3)
except ValueError as error:
    hop()
    while error:
        print(error, error.__traceback__ is not None)
        error = error.__cause__


def loop_with_everything(items):
    total = 0
    it = iter(items)
    while (item := next(it, None)) is not None:
        if item % 2:
            continue
        for k in range(item):
            if k == 3:
                break
            total += hop(k)
        else:
            total += 100
        if total > 200:
            break
    else:
        return "exhausted", total
    return "broke", total


print(loop_with_everything([1, 2, 3, 4, 5]), loop_with_everything([2, 2, 2]))
for line in log:
    print(*line)
