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


def test_numbers_and_texts_that_were_set_in_installed_modules(same):
    same("""
        import colorsys, http.client, json.encoder, re, socket, sys, tempfile
        json.encoder.FLOAT_REPR = "%.3f"
        socket._x, sys.mine, sys.ps1 = 3, {"a": [1]}, "my> "
        colorsys.ONE_THIRD, http.client._MAXHEADERS = 7.5, 7
        setattr(re, "MINE", {"a": (1, None)})
        tempfile.template, tempfile.tempdir = "mine", "/var/tmp"
        kept = re.MINE
        hop()
        import http.client as client
        print(json.encoder.FLOAT_REPR, socket._x, sys.mine, sys.ps1, colorsys.ONE_THIRD, client._MAXHEADERS)
        print(re.MINE is kept, kept, tempfile.template, tempfile.gettempdir(), json.encoder.INFINITY)
        colorsys.ONE_THIRD = 1.0 / 3.0
        hop()
        print(json.encoder.FLOAT_REPR, socket._x, colorsys.ONE_THIRD, sys.mine, re.MINE is kept)
    """)


def test_what_was_deleted_in_installed_modules_and_classes(same):
    same("""
        import colorsys, fractions, json
        del colorsys.ONE_SIXTH, json.load, fractions.Fraction.limit_denominator
        hop()
        print([hasattr(colorsys, name) for name in ("ONE_SIXTH", "ONE_THIRD")], hasattr(json, "load"), hasattr(json, "loads"))
        print(hasattr(fractions.Fraction, "limit_denominator"), fractions.Fraction(1, 2) + 1)
        colorsys.ONE_SIXTH = 1.0
        hop()
        print(colorsys.ONE_SIXTH, hasattr(json, "load"), hasattr(fractions.Fraction, "limit_denominator"))
    """)


def test_methods_that_were_put_into_installed_classes(same):
    same("""
        import collections, email.message, fractions, json
        def total2(self):
            return sum(self.values()) * 2
        real = json.JSONEncoder.default
        def default(self, thing):
            try:
                return real(self, thing)
            except TypeError as error:
                return str(error)[:14]
        collections.Counter.total2, json.JSONEncoder.default = total2, default
        fractions.Fraction.half = property(lambda self: self / 2)
        fractions.Fraction.made = classmethod(lambda cls: cls(1, 3))
        fractions.Fraction.five = staticmethod(lambda: 5)
        json.JSONEncoder.item_separator, email.message.Message.extra = ";", 4
        hop()
        print(collections.Counter("aab").total2(), collections.Counter.total2 is total2, json.dumps([1, {2}]))
        half = fractions.Fraction(1, 2)
        print(half.half, half.made(), half.five(), json.JSONEncoder.item_separator, email.message.Message().extra)
        json.JSONEncoder.default = real
        del collections.Counter.total2
        hop()
        try:
            json.dumps({2})
        except TypeError as error:
            print(error)
        print(hasattr(collections.Counter, "total2"), half.half)
    """)


def test_what_a_library_counts_itself(same, tmp_path):
    """Numbers that are all of its state go along; others are in keeping with the rest of it at the peer."""
    library = tmp_path / "lib" / "site-packages"
    library.mkdir(parents=True)
    (library / "counting.py").write_text(
        "count = 0\nlimit = 5\ndef bump():\n    global count\n    count += 1\n    return count\n"
    )
    (library / "caching.py").write_text(
        "ready = False\ncache = {}\ndef get(key):\n    global ready\n    if not ready:\n"
        "        cache['first'] = 1\n        ready = True\n    return cache[key]\n"
    )
    same(
        """
        import caching, counting, py_compile
        counting.bump(), counting.bump()
        caching.get("first")
        counting.limit = 9
        hop()
        print(counting.bump(), counting.count, counting.limit, caching.get("first"), caching.ready)
        hop()
        print(counting.bump(), counting.limit, caching.get("first"))
        """,
        env={"PYTHONPATH": str(library)},
    )
