"""Modules of the program and installed ones: what travels by value and what by name, and what is imported later."""

import shutil
import subprocess
import sys

import harness
import pytest


@pytest.fixture
def package(tmp_path):
    """A folder with a package of the program's own."""
    folder = tmp_path / "own"
    (folder / "pack" / "deep").mkdir(parents=True)
    (folder / "pack" / "__init__.py").write_text("state = [1]\n")
    (folder / "pack" / "first.py").write_text("from . import state\nstate.append(2)  # once\n")
    (folder / "pack" / "second.py").write_text(
        "from .first import state\nfrom . import first\nfrom .deep import inner\nvalue = 7\n"
        "def f():\n    raise KeyError(value)  # here\n"
    )
    (folder / "pack" / "deep" / "__init__.py").write_text("")
    (folder / "pack" / "deep" / "inner.py").write_text("from ..first import state as seen\n")
    (folder / "beside.py").write_text("import pack.first\nbeside = len(pack.first.state)\n")
    (folder / "unmentioned.py").write_text("")
    return folder


IMPORTS = """
        import importlib, inspect, sys, traceback
        sys.path.insert(0, {folder!r})
        import pack.first
        kept = pack.state
        {move}
        import pack.second, beside
        print(kept is pack.second.state, kept, pack.second.value, pack.second.first is pack.first, pack.deep.inner.seen is kept)
        try:
            pack.second.f()
        except KeyError:
            print(traceback.format_exc().splitlines()[-2].strip())
        print(inspect.getsource(pack.second.f).split()[-1], inspect.getsource(pack.first).split()[-1], beside.beside)
        importlib.reload(pack.first)
        print(pack.state, pack.first.__spec__.name, pack.first.__file__ == {folder!r} + "/pack/first.py", kept is pack.state)
"""


def test_submodules_are_imported_after_a_move(same, package):
    same(IMPORTS.format(folder=str(package), move="hop()"), ways=("local", "bash"))


def test_submodules_are_imported_where_their_folder_is_not(move, package):
    """Also after one more move, and from there to a file."""
    state = move.folder / "state.tp"
    source = IMPORTS.format(folder=str(package), move="hop()")
    straight = move.straight(source)
    source = source.replace("hop()", f"there = dump({str(state)!r})\n        if there: teleport()")
    out = move(source)
    assert out.returncode == 0, out.stderr
    assert out.stdout == straight.stdout
    elsewhere = move.folder / "elsewhere"
    elsewhere.mkdir()
    shutil.move(str(state), str(elsewhere / "state.tp"))
    shutil.rmtree(str(package))
    for script in move.folder.glob("program*.py"):
        script.unlink()
    process = harness.spawn([sys.executable, elsewhere / "state.tp"])
    printed, errors = harness.finish(process)
    assert printed.decode() == straight.stdout, errors.decode()


INSTALLED = (
    "state = []\nclass Thing:\n    def name(self):\n        return type(self).__module__, len(state)\n"
)


@pytest.fixture
def installed(tmp_path):
    """A folder like that of what is installed, with a package in it."""
    library = tmp_path / "lib" / "site-packages"
    (library / "lib_tp").mkdir(parents=True)
    (library / "lib_tp" / "__init__.py").write_text(INSTALLED)
    (library / "lib_tp" / "part.py").write_text("from . import state\nnumber = 1\n")
    (library / "other_tp.py").write_text("number = 2\n")
    return library


SHIPPED = """
        import sys
        import lib_tp.part, other_tp
        thing = lib_tp.Thing()
        lib_tp.state.append(5)
        {move}
        print(thing.name(), lib_tp.part.state is lib_tp.state, lib_tp.part.number, type(thing) is lib_tp.Thing, other_tp.number)
"""


@pytest.mark.parametrize(
    "ship", ["['lib_tp', other_tp]", "{lib_tp: 'value', 'other_tp': 'value'}", "('lib_tp', 'other_tp')"]
)
@pytest.mark.parametrize(
    "call", ["teleport(ship={ship})", "bash_teleport('bash', '-c', python=sys.executable, ship={ship})"]
)
def test_installed_modules_travel_by_value_if_asked_to(move, installed, ship, call):
    """The peer has none of them, after a second move neither."""
    gone = f"import shutil; shutil.move({str(installed)!r}, {str(installed)!r} + '-gone'); "
    run = move(
        SHIPPED.format(move=gone + call.format(ship=ship) + "; teleport(); trail('there')"),
        env={"PYTHONPATH": str(installed)},
    )
    assert run.stdout == "('lib_tp', 1) True 1 True 2\n", run.stderr
    assert run.ended_in == "peer"


def test_all_installed_modules_that_the_peer_lacks_are_one_error(move, installed):
    gone = f"import shutil; shutil.move({str(installed)!r}, {str(installed)!r} + '-gone')"
    run = move(
        SHIPPED.format(
            move=gone
            + """
        try:
            teleport()
        except ResumeError as error:
            print([name in str(error) for name in ("lib_tp", "lib_tp.part", "other_tp")], len(str(error).splitlines()))
        try:
            teleport(ship=["lib_tp"])
        except ResumeError as error:
            print([name in str(error) for name in ("lib_tp", "lib_tp.part", "other_tp")])
        trail("stays")
            """
        ),
        env={"PYTHONPATH": str(installed)},
    )
    assert run.stdout.splitlines()[:2] == ["[True, True, True] 1", "[False, False, True]"], run.stderr
    assert run.ended_in == "home"


def test_own_modules_travel_by_name_if_asked_to(move, package):
    state = move.folder / "state.tp"
    run = move(
        f"""
        import sys
        sys.path.insert(0, {str(package)!r})
        import pack.first
        pack.state.append("mine")
        dump({str(state)!r}, ship={{"pack": "name"}})
        print(pack.state)
        """
    )
    assert run.stdout == "[1, 2, 'mine']\n", run.stderr
    out = subprocess.run([sys.executable, str(state)], stdout=subprocess.PIPE, check=True).stdout
    assert out == b"[1, 2]\n"


@pytest.mark.parametrize(
    ("ship", "words"),
    [
        ("['nothing_tp']", "ValueError ship: there is no module nothing_tp; import it first"),
        (
            "['itertools']",
            "ValueError ship: itertools is not made in Python, and can only travel by its name",
        ),
        ("{'__main__': 'name'}", "ValueError ship: __main__ has no name that a peer could find"),
        (
            "{'json': 'both'}",
            "TypeError ship names modules, and says 'value' or 'name' of each, not 'json': 'both'",
        ),
        ("[5]", "TypeError ship names modules, and says 'value' or 'name' of each, not 5: 'value'"),
    ],
)
def test_what_cannot_be_shipped_so(move, ship, words):
    run = move(f"""
        try:
            teleport(ship={ship})
        except (TypeError, ValueError) as error:
            print(type(error).__name__, error)
    """)
    assert run.stdout == words + "\n", run.stderr
    assert run.ended_in == "home"


def test_a_library_of_the_standard_one_by_value(move):
    run = move("""
        import json
        import json.tool
        json.extra = [1]
        teleport(ship=[json])
        trail("there")
        print(json.dumps({"a": [1, 2.5]}), json.loads("[1]"), json.extra, json.JSONDecoder().decode("{}"))
    """)
    assert run.stdout == '{"a": [1, 2.5]} [1] [1] {}\n', run.stderr
    assert run.ended_in == "peer"


def test_what_stands_in_sys_modules(same):
    same("""
        import sys, types
        class Fake:
            x = 3
        sys.modules["fake"] = Fake()
        sys.modules["absent"] = None
        made = types.ModuleType("made")
        made.a, sys.modules["made"], sys.modules["alias"] = 1, made, made
        class Lazy(types.ModuleType):
            def __getattr__(self, name):
                return name.upper()
        sys.modules["lazy"] = Lazy("lazy")
        hop()
        import alias, fake, lazy, made as again
        print(fake.x, again is made is alias, again.a, lazy.word, type(lazy).__name__)
        try:
            import absent
        except ImportError as error:
            print(error)
    """)


def test_a_main_module_of_two_names(same):
    """multiprocessing gives it another one."""
    same("""
        import multiprocessing
        key, mine = object(), {}
        mine[key] = [key]
        def work():
            hop()
            return mine[key] == [key]
        print(work())
        hop()
        print(work(), list(mine)[0] is key)
    """)
