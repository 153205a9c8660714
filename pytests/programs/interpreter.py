"""A calculator: tokens from a generator, a recursive descent, errors as exceptions."""

import re

TOKEN = re.compile(r"\s*(?:(\d+\.?\d*)|(.))")


def tokens(text):
    for number, other in TOKEN.findall(text):
        yield ("number", float(number)) if number else ("op", other)
    yield ("end", None)


class Parser:
    def __init__(self, text, names):
        self.stream = tokens(text)
        self.names = names
        self.step()

    def step(self):
        self.kind, self.value = next(self.stream)

    def accept(self, *ops):
        if self.kind == "op" and self.value in ops:
            op = self.value
            self.step()
            return op
        return None

    def expression(self):
        left = self.term()
        while True:
            op = self.accept("+", "-")
            if not op:
                return left
            right = self.term()
            left = left + right if op == "+" else left - right

    def term(self):
        left = self.factor()
        while op := self.accept("*", "/"):
            left = left * self.factor() if op == "*" else left / self.factor()
        return left

    def factor(self):
        if self.accept("-"):
            return -self.factor()
        if self.accept("("):
            inside = self.expression()
            if not self.accept(")"):
                raise SyntaxError("missing )")
            return hop(inside)
        if self.kind == "number":
            value = self.value
            self.step()
            return value
        if self.kind == "op" and self.value in self.names:
            name = self.value
            self.step()
            return self.names[name]
        raise SyntaxError("unexpected %r" % (self.value,))


results = {}
for line in ["1 + 2 * 3", "(1 + 2) * (3 - (4 / 8))", "2 * (3 + ", "x * (y - 1)", "1 / (2 - 2)", "-(-(3))"]:
    try:
        results[line] = hop(Parser(line, {"x": 6.0, "y": 8.0}).expression())
    except (SyntaxError, ZeroDivisionError) as error:
        hop()
        results[line] = "%s: %s" % (type(error).__name__, error)
    else:
        results[line] = round(results[line], 6)
    finally:
        print(line, "=", results.get(line))
print(len(results))
