"""Modules that hop while they are imported: importlib's frames are on the stack, its locks are held, the modules half-done."""

import sys
import textwrap

import pytest

# A module that is installed is imported once more at the peer, before there is a program.
HOP = "hop = __import__('__main__').__dict__.get('hop', lambda value=None: value)\n"


@pytest.fixture
def modules(move):
    """modules(name=source, …) writes modules beside the program: a dot in a name is a folder's slash."""

    def write(**sources):
        for name, source in sources.items():
            path = move.folder / (name.replace(".", "/") + ".py")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(HOP + textwrap.dedent(source))

    return write


STATEMENTS = {
    "import": "import one; print(one.VALUE)",
    "import as": "import one as other; print(other.VALUE)",
    "from import": "from one import VALUE, other; print(VALUE, other())",
    "from import star": "from one import *; print(VALUE, other())",
    "import twice": "import one; import one; print(one.VALUE)",
    "import in a function": "(lambda: print(__import__('one').VALUE))()",
    "__import__ with arguments": "print(__import__('one', fromlist=['VALUE']).VALUE)",
    "__import__ with unpacked arguments": "print(__import__(*('one',), **{'level': 0}).VALUE)",
    "import_module": "import importlib; print(importlib.import_module('one').VALUE)",
    "importlib.__import__": "import importlib; print(importlib.__import__('one').VALUE)",
    "reload": "import one, importlib; print(importlib.reload(one) is one, one.VALUE)",
    "spec and exec_module": """
            import importlib.util, sys
            spec = importlib.util.spec_from_file_location("another", one_file)
            module = sys.modules["another"] = importlib.util.module_from_spec(spec)
            spec.loader.exec_module(module)
            print(module.VALUE)""",
    "exec of a module's body": """
            import sys, types
            module = sys.modules["made"] = types.ModuleType("made")
            exec(compile(open(one_file).read(), one_file, "exec"), module.__dict__)
            print(module.VALUE, module.other())""",
    "runpy.run_path": "import runpy; print(runpy.run_path(one_file)['VALUE'])",
    "runpy.run_module": "import runpy; print(runpy.run_module('one')['VALUE'])",
    "in a try": "\n            try: import one\n            except ImportError: pass\n            print(one.VALUE)",
}


@pytest.mark.parametrize("statement", STATEMENTS.values(), ids=STATEMENTS)
def test_a_module_that_hops(same, modules, move, statement):
    modules(
        one="""
        import sys
        class Kept: pass
        kept = Kept()
        VALUE = [hop(1), "still"]
        assert sys.modules.get(__name__, kept).__dict__.get("kept", kept) is kept
        def other():
            return hop("other"), type(kept) is Kept
        for VALUE[1] in range(2):
            hop()
        print(__name__, getattr(__spec__, "name", None))
        """
    )
    same(f"""
        one_file = {str(move.folder / "one.py")!r}
        if True:
            {statement}
        hop()
    """)


PACKAGE = {
    "package.__init__": """
        hop()
        from . import inner
        from .inner.deep import VALUE as DEEP
        hop(DEEP)
        def __getattr__(name):
            if name == "made_up":
                return hop(name)
            raise AttributeError(name)
    """,
    "package.inner.__init__": """
        hop()
        __all__ = ["deep"]
        from . import deep
        from .deep import *
        hop()
    """,
    "package.inner.deep": """
        import package, sys
        VALUE = hop(["deep"])
        for n in range(2):
            VALUE.append(hop(n))
        assert sys.modules["package.inner"].__spec__._initializing
    """,
    "package.late": "VALUE = hop('late')",
}
PACKAGES = {
    "dotted": "import package.inner.deep; print(package.inner.deep.VALUE)",
    "dotted as": "import package.inner.deep as deep; print(deep.VALUE)",
    "from": "from package import inner, late; print(inner.deep.VALUE, late.VALUE)",
    "from star": "from package.inner import *; print(deep.VALUE)",
    "from what is no module": "from package import made_up; print(made_up)",
    "import_module, relative": "import importlib; print(importlib.import_module('.late', 'package').VALUE)",
    "__import__ of a submodule": "print(__import__('package.inner.deep').inner.deep.VALUE)",
    "__import__ with a list": "print(__import__('package', fromlist=['late']).late.VALUE)",
}


@pytest.mark.parametrize("statement", PACKAGES.values(), ids=PACKAGES)
def test_packages_whose_modules_hop(same, modules, statement):
    """Each imports the next in its own body, and hops before and behind that."""
    modules(**PACKAGE)
    same(f"""
        {statement}
        import package.inner, sys
        print(package.DEEP, package.inner.VALUE is package.DEEP)
        print(sorted(name for name in sys.modules if name.startswith("package")))
        print(package.__spec__._initializing)
        hop()
    """)


def test_modules_that_import_one_another(same, modules):
    modules(
        first="""
        VALUE = 1
        import second
        hop()
        def both(): return VALUE + second.VALUE
        """,
        second="""
        import first
        VALUE = hop(first.VALUE) + 1
        assert not hasattr(first, "both")
        """,
    )
    same("""
        import first
        print(first.both(), first.second.first is first)
    """)


def test_a_module_that_puts_something_else_in_its_place(same, modules):
    modules(
        replaced="""
        import sys
        class Instead: value = hop(3)
        sys.modules[__name__] = Instead()
        hop()
        """
    )
    same("""
        import replaced
        print(replaced.value, type(replaced).__name__)
    """)


FAILS = {
    "an exception": "raise KeyError('why')",
    "an import that fails": "import nothing_of_that_name",
    "an exception below": "import below",
    "a name that is not there": "from below_that_goes import nothing",
}


@pytest.mark.parametrize("fault", FAILS.values(), ids=FAILS)
@pytest.mark.parametrize("call", ["import failing", "__import__('failing')", "from failing import name"])
def test_an_exception_leaves_the_import_as_at_home(same, modules, fault, call):
    """The module is gone, the locks are free, and the traceback shows importlib where it does at home."""
    modules(
        failing=f"hop()\n{fault}\n",
        below="hop()\nraise OSError('below')\n",
        below_that_goes="hop()\n",
    )
    same(f"""
        import sys, traceback, warnings
        for _ in range(2):
            try:
                {call}
            except Exception as error:
                for entry in traceback.extract_tb(error.__traceback__):
                    name = entry.filename.rpartition("/")[2]
                    print(name.rstrip("0123456789.py"), entry.lineno, entry.name)
                print(type(error).__name__, error)
            print("failing" in sys.modules)
        hop()
    """)


def test_an_uncaught_exception_ends_the_program_as_at_home(move, modules):
    modules(failing="hop()\n1 / 0\n")
    source = """
        import failing
    """
    straight = move.straight(source)
    run = move(source)
    assert run.stderr == straight.stderr.replace("program1", "program2")
    assert run.returncode == straight.returncode == 1
    assert run.ended_in == "peer"


def test_the_programs_own_finder_and_loader(same):
    same("""
        import importlib.abc, importlib.util, sys
        class Finder(importlib.abc.MetaPathFinder):
            def find_spec(self, name, path, target=None):
                if name == "made":
                    return hop(importlib.util.spec_from_loader(name, Loader()))
        class Loader(importlib.abc.Loader):
            def create_module(self, spec):
                return hop(None)
            def exec_module(self, module):
                module.value = hop(5)
        sys.meta_path.insert(0, Finder())
        import made
        print(made.value, type(made.__loader__).__name__)
        del sys.meta_path[0]
    """)


# So that each run reads the source of a module.
UNCACHED = {"PYTHONDONTWRITEBYTECODE": "1"}

OWN_IMPORTS = {
    "a function": "def importer(name, *others): return hop(real(hop(name), *others))",
    "with keywords": "def importer(*args, **keywords): hop(); module = real(*args, **keywords); hop(); return module",
    "a method": """class Importer:
            def method(self, *args): hop(); return hop(real(*args))
        importer = Importer().method""",
    "a callable object": """class Importer:
            def __call__(self, *args): hop(); return hop(real(*args))
        importer = Importer()""",
    "one that makes modules": """def importer(name, *others):
            if name in sys.modules:
                return hop(sys.modules[name])
            module = sys.modules[name] = types.ModuleType(hop(name))
            module.VALUE, module.other = 1, lambda: 2
            return hop(module)""",
}


@pytest.mark.parametrize("importer", OWN_IMPORTS.values(), ids=OWN_IMPORTS)
def test_the_programs_own_import(same, modules, importer):
    """It is asked for what the program imports, and for nothing that a move imports."""
    modules(
        made="VALUE = hop(1)\nimport made_too\ndef other(): return hop(2)",
        made_too="VALUE = hop(3)\nfrom made import VALUE as OTHER",
    )
    same(
        f"""
        import builtins, sys, types
        names = []
        real = builtins.__import__
        {importer}
        def telling(name, *args, **keywords):
            names.append(name)
            return (importer if name.startswith("made") else real)(name, *args, **keywords)
        builtins.__import__ = telling
        import made
        from made import VALUE, other
        import made_too as too
        print(made.VALUE, VALUE, hop(other()), too.VALUE, __import__("made") is made)
        def f():
            import colorsys
            return hop(colorsys.__name__)
        print(f(), builtins.__import__ is telling)
        builtins.__import__ = real
        print(names)
        hop()
    """,
        env=UNCACHED,
    )


def test_an_import_of_another_namespace(same):
    same("""
        import types
        def importer(name, *others):
            return hop(types.SimpleNamespace(x=hop(5), name=name))
        names = {"__builtins__": {"__import__": importer}}
        exec("import one as first\\nfrom two import x, name", names)
        print(names["first"].name, names["x"], names["name"])
        hop()
    """)


def test_an_import_that_c_code_asks_for_is_refused(refused, modules):
    modules(made="VALUE = 1")
    texts = refused(
        """
        import builtins
        real = builtins.__import__
        def importer(name, *others):
            if name == "_io":
                attempt()
            return real(name, *others)
        builtins.__import__ = importer
        import made
        print(made.VALUE)
        builtins.__import__ = real
    """,
        env=UNCACHED,
    )
    assert all("open_code" in text for text in texts), texts


LAZY = {
    "import": "lazy import one\nprint('before')\nprint(one.VALUE, one.other())",
    "from import": "lazy from one import VALUE, other\nprint('before')\nprint(VALUE, other())",
    "of a package": "lazy import pack.part\nprint('before')\nprint(pack.part.VALUE)",
    "in another module": "import two\nprint('before')\nprint(two.f())",
    "that fails": "lazy import failing\ntry: failing\nexcept ImportError as error: print(repr(error), repr(error.__cause__))",
}


@pytest.mark.skipif(sys.version_info < (3, 15), reason="new in 3.15")
@pytest.mark.parametrize("name", LAZY)
def test_a_module_that_is_loaded_by_a_lazy_import_is_refused(refused, modules, name):
    """C code has to put the module, or an error of its own, in its place: any name may lead there."""
    modules(
        one="attempt = __import__('__main__').attempt\nVALUE = attempt(1)\ndef other(): return 2",
        two="lazy import one\ndef f(): return one.VALUE",
        failing="__import__('__main__').attempt()\nraise ImportError('failed')",
        **{"pack/__init__": "VALUE = 3", "pack/part": "from one import VALUE"},
    )
    texts = refused("\n" + LAZY[name] + "\n")
    assert all("_find_and_load" in text for text in texts), texts


@pytest.mark.skipif(sys.version_info < (3, 15), reason="new in 3.15")
def test_a_lazy_import_that_is_needed_before_the_move(same, modules):
    modules(one="VALUE = 1\ndef other(): return hop(2)")
    same("\nlazy import one\nprint(one.VALUE)\nhop()\nprint(one.other())\nhop()\n")


@pytest.mark.skipif(sys.version_info < (3, 15), reason="new in 3.15")
def test_a_lazy_import_that_is_not_needed_yet_does_not_move(move, modules):
    modules(one="VALUE = 1")
    run = move("""
        lazy import one
        try:
            teleport()
        except UnmovableError as refusal:
            print(refusal)
        trail("refused")
        print(one.VALUE)
    """)
    assert run.returncode == 0, run.stderr
    assert "__main__ → one (lazy_import) cannot move: " in run.stdout
    assert "use it before the move" in run.stdout
    assert run.stdout.endswith("\n1\n")
    assert run.ended_in == "home"


def test_a_module_run_with_m(move, modules):
    modules(tool="print('tool', __name__, hop(1))")
    (move.folder / "started.py").write_text("")
    source = move.write("\nimport tool, sys\nprint(__name__, __spec__.name, hop(2), sys.argv[1:])\n")
    name = source.stem
    import harness

    results = []
    for moves in ("none", "all"):
        trail, plan = move.plan(moves, "local")
        trail.unlink() if trail.exists() else None
        env = harness.environment(PYTELEPORT_TEST_PLAN=plan)
        process = harness.spawn([sys.executable, "-m", name, "a"], env=env, cwd=move.folder)
        out, err = harness.finish(process)
        assert process.returncode == 0, err.decode()
        results.append(out)
        pids = {line.split()[1] for line in trail.read_text().splitlines()}
        assert len(pids) == (1 if moves == "none" else 3), err.decode()
    assert results[0] == results[1]


@pytest.mark.parametrize("name", ["installed", "installed_package"])
def test_a_module_that_is_installed_travels_half_done(same, modules, move, name):
    modules(
        **{
            "site-packages.installed": "VALUE = hop(1)\nimport json\nREST = json.dumps(hop([VALUE]))",
            "site-packages.installed_package.__init__": """
            from . import part
            from .part import REST
            VALUE = hop(1)
            """,
            "site-packages.installed_package.part": "REST = hop('rest')",
        }
    )
    source = f"""
        import sys
        import {name} as found
        print(found.VALUE, found.REST)
        hop()
        print(found.__name__, sys.modules[found.__name__] is found)
    """
    same(source, env={"PYTHONPATH": str(move.folder / "site-packages")})
