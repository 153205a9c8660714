"""A small Lisp with closures and tail calls by exceptions."""

import operator as op


class Tail(Exception):
    def __init__(self, function, args):
        self.function, self.args_ = function, args


class Env(dict):
    def __init__(self, names=(), values=(), outer=None):
        super().__init__(zip(names, values))
        self.outer = outer

    def find(self, name):
        scope = self
        while scope is not None:
            if name in scope:
                return scope
            scope = scope.outer
        raise NameError(name)


def read(text):
    stack = [[]]
    for token in text.replace("(", " ( ").replace(")", " ) ").split():
        if token == "(":
            stack.append([])
        elif token == ")":
            done = stack.pop()
            stack[-1].append(done)
        else:
            try:
                stack[-1].append(int(token))
            except ValueError:
                stack[-1].append(token)
    return stack[0]


def run(x, env):
    if isinstance(x, str):
        return env.find(x)[x]
    if not isinstance(x, list):
        return x
    head, *rest = x
    if head == "if":
        return run(rest[1] if run(rest[0], env) else rest[2], env)
    if head == "define":
        env[rest[0]] = run(rest[1], env)
        return None
    if head == "lambda":
        names, body = rest
        return lambda *values: run(body, Env(names, values, env))
    if head == "set!":
        env.find(rest[0])[rest[0]] = run(rest[1], env)
        return None
    if head == "begin":
        value = None
        for part in rest:
            value = run(part, env)
        return value
    if head == "tail":
        raise Tail(run(rest[0], env), [run(r, env) for r in rest[1:]])
    function = run(head, env)
    args = [run(r, env) for r in rest]
    while True:
        try:
            return function(*args)
        except Tail as tail:
            function, args = tail.function, tail.args_


base = Env(
    ["+", "-", "*", "<", "=", "hop", "list"],
    [op.add, op.sub, op.mul, op.lt, op.eq, hop, lambda *a: list(a)],
)
PROGRAM = """
(define fact (lambda (n) (if (< n 2) (hop 1) (* n (fact (- n 1))))))
(define counter (lambda (n) (lambda () (begin (set! n (+ n 1)) (hop n)))))
(define c (counter 10))
(define loop (lambda (n acc) (if (= n 0) (hop acc) (tail loop (- n 1) (+ acc n)))))
(list (fact 10) (c) (c) (loop 20 0))
(define compose (lambda (f g) (lambda (x) (f (g x)))))
((compose hop (lambda (x) (* x x))) (hop 7))
"""
for expression in read(PROGRAM):
    value = run(expression, base)
    if value is not None:
        print(value)
