"""Functions made of functions: decorators, partials, dispatch, operator chains, closures in loops."""

import functools
import itertools
import operator


def trace(prefix):
    depth = 0

    def decorate(function):
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            nonlocal depth
            depth += 1
            print(prefix * depth, function.__name__, args, kwargs)
            try:
                return function(*args, **kwargs)
            finally:
                depth -= 1

        return wrapper

    return decorate


@trace("-")
def hanoi(n, a="A", b="B", c="C"):
    if n == 0:
        return 0
    moves = hanoi(n - 1, a, c, b) + 1
    if n == 2:
        hop()
    return moves + hanoi(n - 1, c=a, a=c, b=b)


print(hanoi(3))


@functools.singledispatch
def show(x):
    return "object %r" % (hop(x),)


@show.register(int)
def _(x):
    return "int %d" % hop(x)


@show.register(list)
def _(x):
    return "list of " + ", ".join([show(item) for item in x])


print(show([1, "a", [2]]))

pipeline = [functools.partial(operator.mul, 3), lambda n: n - 1, str, functools.partial(hop), len]
value = 1234
for step in pipeline:
    value = step(value)
    print(value)


def compose(*functions):
    def composed(x):
        for function in reversed(functions):
            x = function(x)
        return x

    return composed


adders = [compose(lambda x, i=i: x + i, hop) for i in range(3)]
print([add(10) for add in adders])


class Registry(dict):
    def register(self, name):
        def keep(function):
            self[name] = function
            return function

        return keep


commands = Registry()


@commands.register("double")
def double(x):
    return hop(x) * 2


@commands.register("fail")
def fail(x):
    raise LookupError(hop(x))


for name, x in itertools.product(commands, [1, 2]):
    try:
        print(name, commands[name](x))
    except LookupError as error:
        print(name, "failed with", error)


@functools.lru_cache(maxsize=None)
def partitions(n, largest):
    if n == 0:
        return 1
    return sum([partitions(n - k, k) for k in range(1, min(n, largest) + 1)])


print(partitions(10, 10))
hop()
print(partitions(20, 20))
