"""A script and its own modules, with a point in each function, line or turn of a loop where it may move.

    python [-X teleport] chained.py SCRIPT ARGS...

The plan (see prelude.py) says where the points are ("at") and that each Nth moves ("every", 0 for none).
What the points add to the trail is "hop", "refused" with the refusal, "failed" with an error that ought
not to be, and at the end "points" with their number.
"""

import ast
import sys
from importlib.machinery import PathFinder, SourceFileLoader
from os.path import abspath, dirname

import prelude

POINT = "_chain_point_"


def is_own(path):
    """Whether a file is part of the program, rather than of what is installed or of its tester."""
    installed = (sys.prefix, sys.base_prefix, dirname(abspath(ast.__file__)), dirname(abspath(__file__)))
    return not path.startswith(installed) and "-packages/" not in path


# ---- the points in a source -------------------------------------------------------------------------------


class Placer(ast.NodeTransformer):
    """Puts calls of the point in; no line of the program gets another number."""

    def __init__(self, at):
        self.at = at

    def call(self, node):
        name = ast.copy_location(ast.Name(POINT, ast.Load()), node)
        return ast.copy_location(ast.Call(name, [], []), node)

    def before(self, node):
        """A statement of its own, at the place where this one begins."""
        first = min([node, *getattr(node, "decorator_list", ())], key=lambda part: part.lineno)
        return ast.copy_location(ast.Expr(self.call(first)), first)

    def placed(self, body, everywhere=False):
        """A body with a point at its beginning, or before each statement, but behind what must come first."""
        fixed = 0
        if isinstance(body[0], ast.Expr) and isinstance(getattr(body[0].value, "value", None), str):
            fixed = 1
        while fixed < len(body) and getattr(body[fixed], "module", None) == "__future__":
            fixed += 1
        rest = body[fixed:]
        if everywhere:
            return body[:fixed] + [part for node in rest for part in (self.before(node), node)]
        return [*body[:fixed], self.before((rest or body)[0]), *rest]

    def generic_visit(self, node):
        super().generic_visit(node)
        if self.at == "line":
            for name in ("body", "orelse", "finalbody"):
                body = getattr(node, name, None)
                if isinstance(body, list) and body:
                    setattr(node, name, self.placed(body, everywhere=True))
        elif self.at == "function":
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                node.body = self.placed(node.body)
            elif isinstance(node, ast.Lambda):  # the point is true
                both = ast.BoolOp(ast.And(), [self.call(node.body), node.body])
                node.body = ast.copy_location(both, node.body)
        elif isinstance(node, (ast.For, ast.AsyncFor, ast.While)):
            node.body = self.placed(node.body)
        elif isinstance(node, ast.comprehension):
            node.ifs.insert(0, self.call(node.target))
        return node


def compiled(source, path, at):
    """The code of a source with its points."""
    tree = compile(source, path, "exec", ast.PyCF_ONLY_AST, dont_inherit=True)
    return compile(ast.fix_missing_locations(Placer(at).visit(tree)), path, "exec", dont_inherit=True)


# ---- modules ----------------------------------------------------------------------------------------------


class Finder:
    """Finds the program's own modules, before anybody else does."""

    def __init__(self, at):
        self.at = at

    def find_spec(self, name, path=None, target=None):
        spec = PathFinder.find_spec(name, path, target)
        if spec is None or type(spec.loader) is not SourceFileLoader or not is_own(spec.origin):
            return None
        spec.loader = Loader(name, spec.origin, self.at)
        return spec


class Loader(SourceFileLoader):
    """Loads a module with its points."""

    def __init__(self, name, path, at):
        super().__init__(name, path)
        self.at = at

    def get_code(self, name):
        return compiled(self.get_data(self.path), self.path, self.at)

    def exec_module(self, module):
        setattr(module, POINT, point)
        super().exec_module(module)


# ---- the program ------------------------------------------------------------------------------------------


every = prelude._plan["every"]
points, due = 0, every or -1
moving = False


def point():
    """Counts, and moves when it is time. What a move itself calls, a reducer for one, does not count."""
    global points, due, moving
    if moving:
        return True
    points += 1
    if points == due:
        due += every
        moving = True
        try:
            prelude._move()
        except prelude.CaptureError as refusal:
            prelude.trail("refused", "%s: %s" % (type(refusal).__name__, refusal))
        except prelude.TeleportError as error:
            prelude.trail("failed", "%s: %s" % (type(error).__name__, error))
            raise
        else:
            prelude.trail("hop")
        finally:
            moving = False
    return True


def main():
    """Runs the script as Python runs it, and is all that is below it on the stack."""
    script = sys.argv[1]
    del sys.argv[0]
    sys.path[0] = dirname(abspath(script))
    at = prelude._plan["at"]
    sys.meta_path.insert(0, Finder(at))
    namespace = sys.modules["__main__"].__dict__
    own = {"__name__": "__main__", "__doc__": None, "__package__": None, "__spec__": None, "__file__": script}
    own.update(__builtins__=namespace["__builtins__"], __loader__=SourceFileLoader("__main__", script))
    namespace.clear()
    namespace.update(own, **{POINT: point})
    try:
        with open(script, "rb") as file:
            code = compiled(file.read(), script, at)
        exec(code, namespace)
    except Exception as error:
        error = error.with_traceback(error.__traceback__.tb_next)
        sys.excepthook(type(error), error, error.__traceback__)
        return 1
    finally:
        prelude.trail("points", points)
    return 0


if __name__ == "__main__":
    import chained

    sys.exit(chained.main())
