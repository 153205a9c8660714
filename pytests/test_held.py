"""What the modules of installed libraries hold, and the program refers to or has registered."""

import pytest

KINDS = """
import functools, sys

@functools.singledispatch
def show(thing):
    return "thing"

class Shower:
    @functools.singledispatchmethod
    def show(self, thing):
        return "any"
class Mark:
    def __repr__(self):
        return "<mark>"

class App:
    __slots__ = ("routes", "name", "__dict__")
    def __init__(self, name):
        self.name, self.routes = name, {}
    def route(self, path):
        return lambda function: self.routes.setdefault(path, function)

class Careful:
    def __init__(self, level):
        self.level = level
    def __getstate__(self):
        return {"level": self.level}
    def __setstate__(self, state):
        self.level = state["level"]

class Lazy:
    _inner = None
    def configure(self, **settings):
        self._inner = settings
    def __getattr__(self, name):
        return self.__dict__["_inner"][name]
    def __reduce__(self):
        return Lazy, ()

class Spec:
    def __init__(self, entry):
        self.entry = entry

class LikeModule:
    # as cffi has them
    __class__ = property(lambda self: type(sys))
    __reduce__ = None

class Plugin:
    known, names = [], set()
    def __init_subclass__(cls):
        Plugin.known.append(cls)
        Plugin.names.add(cls)

class Loader(Plugin):
    @classmethod
    def add(cls, tag, function):
        if "makers" not in vars(cls):
            cls.makers = {}
        cls.makers[tag] = function
"""
HOLDER = """
import socket, threading
import sys
from ._kinds import App, Careful, Lazy, LikeModule, Loader, Mark, Plugin, Shower, Spec, show
sys.modules["toolkit.lib"] = LikeModule()
settings, specs = Lazy(), {"usual": Spec(str)}
MISSING, LAST = Mark(), Mark()
app, careful, _client = App("usual"), Careful(1), None
formats, order = {"text": str}, ["a"]
handlers, seen = {"end": [print]}, []
_here, _lines = threading.local(), threading.local()

def client():
    global _client
    if _client is None:
        _client = App("client")
    return _client

def get(name, default=MISSING):
    return "none" if default is MISSING else default

def connection():
    if "line" not in _lines.__dict__:
        _lines.line = socket.socket()
    return _lines.line

class within:
    def __init__(self, name):
        self.name = name
    def __enter__(self):
        _here.__dict__.setdefault("stack", []).append(self)
        return self
    def __exit__(self, *_):
        assert _here.stack.pop() is self

def current():
    return [each.name for each in _here.__dict__.get("stack", [])]
"""


@pytest.fixture
def toolkit(tmp_path):
    """The environment of a program that has a library installed."""
    package = tmp_path / "lib" / "site-packages" / "toolkit"
    package.mkdir(parents=True)
    (package / "_kinds.py").write_text(KINDS)
    (package / "__init__.py").write_text(HOLDER)
    return {"PYTHONPATH": str(package.parent)}


def test_it_is_the_librarys_own(same, toolkit):
    """A mark, an instance, a list and a dictionary are those of the library at the peer, with home's state."""
    same(
        """
        import toolkit
        def main():
            mark, marks, app, careful = toolkit.MISSING, {toolkit.LAST: 1}, toolkit.app, toolkit.careful
            formats, order, client = toolkit.formats, toolkit.order, toolkit.client()
            settings = toolkit.settings
            settings.configure(debug=True)
            app.route("/")(main)
            app.extra, formats["own"], careful.level = 5, main, 7
            del app.name
            order.insert(0, "z")
            hop()
            print(mark is toolkit.MISSING, mark is toolkit.LAST, marks[toolkit.LAST], toolkit.get("x", mark))
            print(app is toolkit.app, toolkit.app.routes == {"/": main}, app.extra, hasattr(app, "name"))
            print(careful is toolkit.careful, toolkit.careful.level)
            print(formats is toolkit.formats, list(formats), formats["own"] is main, order is toolkit.order, order)
            print(client is toolkit.client(), client.name)
            print(settings is toolkit.settings, toolkit.settings.debug)
            toolkit.formats["more"] = hop
            hop()
            print(list(formats), formats is toolkit.formats)
        main()
        """,
        env=toolkit,
    )


def test_what_it_leads_back_to(same, toolkit):
    """Registries that hold themselves, or what refers to them."""
    same(
        """
        import toolkit
        formats, app = toolkit.formats, toolkit.app
        formats["self"], formats["app"], app.formats, app.app = formats, app, formats, app
        toolkit.order.append(toolkit.order)
        order = toolkit.order
        hop()
        print(formats["self"] is formats is toolkit.formats, formats["app"] is toolkit.app is app.app, app.formats is formats)
        print(order[-1] is order is toolkit.order)
        """,
        env=toolkit,
    )


def test_what_a_thread_is_in(same, toolkit):
    """What a library keeps for each thread goes along: the blocks that it is in."""
    same(
        """
        import threading, toolkit
        def work(name):
            with toolkit.within(name):
                ready.set()
                go.wait()
                print(name, toolkit.current())
        ready, go = threading.Event(), threading.Event()
        with toolkit.within("main"):
            thread = threading.Thread(target=work, args=("second",))
            thread.start()
            ready.wait()
            with toolkit.within("inner"):
                hop()
                print(toolkit.current())
            go.set()
            thread.join()
        print(toolkit.current())
        """,
        env=toolkit,
    )


def test_what_it_keeps_for_a_thread_and_cannot_travel(same, toolkit):
    """It begins afresh at the peer: a library's own connection does not keep the program from moving."""
    same(
        """
        import toolkit
        def main():
            toolkit.connection()
            hop()
            print(toolkit.connection().fileno() > 2)
        main()
        """,
        env=toolkit,
    )


def test_what_was_registered(same, toolkit):
    """Classes and functions of the program in lists, sets and dictionaries of modules and classes."""
    same(
        """
        import toolkit
        class Mine(toolkit.Plugin):
            @classmethod
            def make(cls, text):
                return cls.__name__ + text
        toolkit.Loader.add("mine", Mine.make)
        toolkit.handlers["end"].append(Mine)
        toolkit.handlers["begin"] = [(1, Mine.make)]
        toolkit.seen.append({"by": Mine})
        toolkit.specs["mine"] = toolkit.Spec([Mine])
        hop()
        print(toolkit.Plugin.known, toolkit.Plugin.known[-1] is Mine, Mine in toolkit.Plugin.names)
        print(toolkit.Loader.makers["mine"]("!"), sorted(toolkit.handlers), toolkit.handlers["begin"][0][1]("?"))
        print(toolkit.handlers["end"][0] is print, toolkit.handlers["end"][1] is Mine, toolkit.seen[0]["by"] is Mine)
        print(toolkit.specs["usual"].entry, toolkit.specs["mine"].entry[0] is Mine)
        hop()
        print(toolkit.Plugin.known, len(toolkit.seen), toolkit.Loader.makers["mine"]("!"))
        """,
        env=toolkit,
    )


def test_what_was_registered_with_the_standard_library(same):
    """There too, in modules that the program speaks of."""
    same("""
        import shutil
        def pack(name, folder, **options):
            return "packed " + name
        shutil.register_archive_format("mine", pack)
        hop()
        print(("mine", "") in shutil.get_archive_formats(), shutil.make_archive("a", "mine"))
    """)


def test_what_was_registered_after_a_block_is_what_it_has_left(move, toolkit):
    """Once each, and no more if the block has taken it back."""
    source = """
        import contextlib, sys, toolkit
        def on():
            import pyteleport
            return contextlib.nullcontext() if sys.argv[1:] == ["straight"] else pyteleport.on()
        class Mine(toolkit.Plugin):
            pass
        usual = toolkit.specs["usual"]
        def told():
            mine = sum(each.__name__ == "Mine" for each in toolkit.Plugin.known)
            ends = [each is Mine or each for each in toolkit.handlers["end"]]
            return mine, len(toolkit.seen), ends, sorted(toolkit.specs), toolkit.specs["usual"] is usual
        toolkit.seen.append({"by": Mine})
        toolkit.handlers["end"].append(Mine)
        toolkit.specs["usual"] = toolkit.specs["more"] = Mine
        with on():
            print(told())
        print(told())
        with on():
            toolkit.seen.clear()
            toolkit.handlers["end"].remove(Mine)
            toolkit.specs["usual"] = usual
            del toolkit.specs["more"]
        print(told())
    """
    straight = move(source, args=["straight"], env=toolkit)
    moved = move(source, env=toolkit)
    assert (straight.stderr, moved.stderr, moved.stdout) == ("", "", straight.stdout)


def test_what_was_registered_with_a_generic_function(same, toolkit):
    same(
        """
        import toolkit
        class Mine:
            pass
        class Less(Mine):
            pass
        @toolkit.show.register(Mine)
        def show_mine(thing):
            return "mine"
        toolkit.show.register(int, lambda thing: "int")
        toolkit.Shower.__dict__["show"].register(Mine, lambda self, thing: "method")
        print(toolkit.show(Less()))
        hop()
        print([toolkit.show(thing) for thing in (Mine(), Less(), 1, "x")], toolkit.Shower().show(Less()))
        print(toolkit.show.dispatch(Mine) is show_mine, toolkit.Shower().show(1))
        """,
        env=toolkit,
    )
