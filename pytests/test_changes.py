"""What a program has changed in modules that are installed: replaced functions, builtins, finders for imports."""


def test_replaced_functions_of_installed_modules(same):
    same("""
        import functools, re, time
        calls = []
        real = re.compile
        def traced(pattern, flags=0):
            calls.append(pattern)
            return real(pattern, flags)
        class Clock:
            def __call__(self):
                return 12.5
            def monotonic(self):
                return 7.0
        @functools.wraps(time.sleep)
        def sleep(seconds):
            calls.append(seconds)
        re.compile, time.time, time.sleep, time.monotonic = traced, Clock(), sleep, Clock().monotonic
        hop()
        import sched
        print(re.compile("a+").findall("aabaa"), time.time(), time.monotonic(), time.sleep(3), calls)
        print(re.compile is traced, sched._time())
        re.compile = real
        hop()
        print(re.compile("b").pattern, calls)
    """)


def test_replaced_classes_of_installed_modules(same):
    same("""
        import json, queue
        real = json.JSONEncoder
        class Encoder(real):
            def default(self, thing):
                return "?"
        json.JSONEncoder = queue.SimpleQueue = Encoder
        simple = real()
        hop()
        print(json.dumps([1, {2}], cls=json.JSONEncoder), json.JSONEncoder is Encoder, Encoder.__bases__[0] is real)
        print(type(simple) is real, queue.SimpleQueue is Encoder, real.encode(simple, [1]))
        json.JSONEncoder = real
        hop()
        import json.encoder
        print(json.JSONEncoder is json.encoder.JSONEncoder, isinstance(Encoder(), json.JSONEncoder))
    """)


def test_what_is_put_into_installed_modules(same, tmp_path):
    (tmp_path / "part.py").write_text("number = 4\n")
    same(
        """
        import json
        import part
        class Extra:
            pass
        json.part, json.Extra, json.extra = part, Extra, Extra()
        json.extra.of = json.Extra
        hop()
        import json as again
        print(again.part.number, again.part is part, again.extra.of is Extra, type(again.extra) is Extra)
        """,
        env={"PYTHONPATH": str(tmp_path)},
    )


def test_names_in_builtins(same):
    same("""
        import builtins, gettext
        gettext.install("nothing")
        builtins.DEBUG = 3
        kept = print
        def shout(*words):
            kept(*[str(word).upper() for word in words])
        builtins.print = shout
        hop()
        print(_("words"), DEBUG, print is shout, len("abc"))
        builtins.print = kept
        hop()
        print(_("words"), DEBUG)
    """)


FINDERS = """
        import importlib.abc, importlib.machinery, sys
        class Loader(importlib.abc.Loader):
            def __init__(self, text):
                self.text = text
            def create_module(self, spec):
                return None
            def exec_module(self, module):
                exec(self.text, module.__dict__)
        class Finder(importlib.abc.MetaPathFinder):
            def __init__(self, **texts):
                self.texts = texts
            def find_spec(self, name, path=None, target=None):
                if name in self.texts:
                    return importlib.machinery.ModuleSpec(name, Loader(self.texts[name]))
        first, last = Finder(one="n = 1", colorsys="n = 'not colours'"), Finder(two="n = 2", statistics="n = 0")
        sys.meta_path.insert(0, first)
        sys.meta_path.append(last)
        hop()
        import one, two, colorsys, statistics
        print(one.n, two.n, colorsys.n, hasattr(statistics, "mean"), sys.meta_path[-1] is last)
        hop()
        sys.meta_path.remove(first)
        hop()
        print(first in sys.meta_path, last in sys.meta_path)
"""


def test_finders_of_the_program_go_on_finding(same):
    same(FINDERS)


def test_hooks_for_paths_go_on_finding(same):
    same("""
        import importlib.machinery, sys
        class Source(importlib.machinery.SourceFileLoader):
            def get_data(self, path):
                return b"where = %r" % path.encode()
            def get_filename(self, name):
                return "/of its own/" + name
            def path_stats(self, path):
                raise OSError
        class Entry:
            def __init__(self, path):
                if not path.startswith("own:"):
                    raise ImportError
            def find_spec(self, name, target=None):
                if name.startswith("of_own"):
                    loader = Source(name, "/of its own/" + name)
                    return importlib.machinery.ModuleSpec(name, loader, origin="/of its own/" + name)
        sys.path_hooks.insert(0, Entry)
        sys.path.append("own:here")
        hop()
        import of_own_first
        hop()
        import of_own_second
        print(of_own_first.where, of_own_second.where)
    """)


def test_submodules_that_were_imported_are_attributes_still(same, tmp_path):
    (tmp_path / "pack").mkdir()
    (tmp_path / "pack" / "__init__.py").write_text("")
    (tmp_path / "pack" / "part.py").write_text(
        "import wsgiref.util\nnumber = wsgiref.util.guess_scheme({})\n"
    )
    same(
        """
        import sys
        import pack.part
        import xml.dom.minidom
        from os import path
        dom = xml.dom
        hop()
        print(dom.minidom.parseString("<a><b/></a>").documentElement.firstChild.tagName)
        print(pack.part.number, pack.part.wsgiref.util.guess_scheme({}), path is sys.modules["os.path"])
        """,
        env={"PYTHONPATH": str(tmp_path)},
    )
