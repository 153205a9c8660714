"""Programs started in every way that Python starts one, and modules of their own."""

import subprocess
import sys
import zipapp

import harness
import pytest

PROGRAM = """
import os, sys
from pyteleport import teleport
first = os.getpid()
def f(n):
    for i in range(n):
        if i == 1:
            teleport()
    return i
print(f(3), os.getpid() != first, __name__, __package__, __spec__ and __spec__.name, sys.argv[1:])
"""


def ended(argv, cwd, data=None):
    """(status, stdout, stderr) of a Python started in a folder."""
    stdin = subprocess.DEVNULL if data is None else subprocess.PIPE
    process = harness.spawn([sys.executable, *argv], cwd=cwd, stdin=stdin)
    out, err = harness.finish(process, data)
    return process.returncode, out.decode(), err.decode()


def test_a_module(tmp_path):
    (tmp_path / "prog.py").write_text(PROGRAM)
    assert ended(["-m", "prog", "a"], tmp_path) == (0, "2 True __main__  prog ['a']\n", "")


def test_a_package(tmp_path):
    package = tmp_path / "pkg"
    package.mkdir()
    (package / "__init__.py").write_text("from .part import part\n")
    (package / "part.py").write_text("def part(n):\n    return n + 1\n")
    (package / "__main__.py").write_text(f"from . import part\n{PROGRAM}\nprint(part(1))\n")
    assert ended(["-m", "pkg"], tmp_path) == (0, "2 True __main__ pkg pkg.__main__ []\n2\n", "")


def test_a_command(tmp_path):
    status, out, err = ended(["-c", PROGRAM, "a", "b"], tmp_path)
    assert (status, out, err) == (0, "2 True __main__ None None ['a', 'b']\n", "")


def test_standard_input(tmp_path):
    status, out, err = ended(["-", "a"], tmp_path, PROGRAM.encode())
    assert (status, out, err) == (0, "2 True __main__ None None ['a']\n", "")


def test_a_folder(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text("from part import part\n" + PROGRAM + "print(part(1))\n")
    (tmp_path / "app" / "part.py").write_text("def part(n):\n    return n + 1\n")
    assert ended(["app"], tmp_path) == (0, "2 True __main__  __main__ []\n2\n", "")


def test_a_zip_file(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__main__.py").write_text("from part import part\n" + PROGRAM + "print(part(1))\n")
    (tmp_path / "app" / "part.py").write_text("def part(n):\n    return n + 1\n")
    zipapp.create_archive(tmp_path / "app", tmp_path / "app.pyz")
    assert ended(["app.pyz"], tmp_path) == (0, "2 True __main__  __main__ []\n2\n", "")


@pytest.mark.parametrize("flags", [["-O"], ["-B", "-u"], ["-W", "error"], ["-X", "dev"], ["-I"]])
def test_flags_go_along(tmp_path, flags):
    code = "\nimport sys\nprint(sys.flags, sys.warnoptions, __debug__)\n"
    (tmp_path / "stay.py").write_text(code)
    (tmp_path / "move.py").write_text("from pyteleport import teleport\nteleport()" + code)
    status, out, err = ended([*flags, "move.py"], tmp_path)
    assert (status, err) == (0, "")
    assert out == ended([*flags, "stay.py"], tmp_path)[1]


def test_state_of_the_programs_own_modules(tmp_path):
    (tmp_path / "part.py").write_text("""
from pyteleport import teleport
state = {"n": 0}
class Counter:
    made = 0
    def __init__(self):
        Counter.made += 1
def work(n):
    state["n"] += n
    counter = Counter()
    teleport()
    state["n"] += 1
    return state["n"], type(counter) is Counter, Counter.made
""")
    (tmp_path / "main.py").write_text("""
import sys
import part
from part import state, Counter
for n in (3, 4):
    print(part.work(n), part.state, state is part.state, sys.modules["part"] is part, part.Counter is Counter)
""")
    expected = "(4, True, 1) {'n': 4} True True True\n(9, True, 2) {'n': 9} True True True\n"
    assert ended(["main.py"], tmp_path) == (0, expected, "")


def test_a_module_that_is_being_imported(tmp_path):
    (tmp_path / "inner.py").write_text("from pyteleport import teleport\nteleport()\nvalue = 3\n")
    (tmp_path / "main.py").write_text(
        "import os\nhome = os.getpid()\nimport inner\nprint(inner.value, os.getpid() == home)\n"
    )
    assert ended(["main.py"], tmp_path) == (0, "3 False\n", "")
