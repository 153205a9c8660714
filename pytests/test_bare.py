"""A far end where nothing is installed: home sends itself along, and nothing of it is left."""

import os
import shutil
import signal
import subprocess
import sys
import time
from shlex import quote

import harness
import pytest
from pyteleport import bare

RELEASE = harness.release_of(sys.executable)


@pytest.fixture(scope="session")
def naked(tmp_path_factory):
    """The python of an environment of the same release in which nothing is installed."""
    folder = tmp_path_factory.mktemp("naked")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    return str(folder / "bin" / "python")


@pytest.fixture
def temp(tmp_path):
    """The folder that processes of the tests take for temporary ones."""
    folder = tmp_path / "temp"
    folder.mkdir()
    return folder


def gone(temp):
    """Waits until nothing is left: what has been killed cannot have removed it itself."""
    end = time.monotonic() + harness.PATIENCE
    while os.listdir(temp):
        assert time.monotonic() < end, os.listdir(temp)
        time.sleep(0.001)
    return True


MOVES = """
        import os, sys
        def f(n):
            here = []
            for i in range(n):
                here.append(i)
                if i == 1:
                    {statement}
                    trail("gone")
            return here
        print("before", flush=True)
        print(f(3), sum(1 for _ in sys.stdin))
        folder = os.path.dirname(os.path.dirname(__import__("pyteleport").__file__))
        print(os.path.dirname(folder), oct(os.stat(folder).st_mode & 0o777))
        sys.exit(7)
"""


@pytest.mark.parametrize("way", ["bash", "pipes", "sudo", "ssh"])
def test_a_program_moves_to_where_nothing_is_installed(move, way, naked, temp, tmp_path, cutter, request):
    env = {"TMPDIR": str(temp)}
    if way == "pipes":
        env.update(cutter("never"), CUT_PYTHON=naked)
        statement = harness.WAYS["pipes"]
    elif way == "ssh":
        ssh = request.getfixturevalue("sshd")()
        statement = f"bash_teleport(*{ssh!r}, python={naked!r}, before='export TMPDIR={temp}')"
    elif way == "sudo":
        tool = tmp_path / "sudo"
        tool.write_text('#!/bin/sh\nshift 3\nexec "$@"\n')
        tool.chmod(0o755)
        env["PATH"] = f"{tmp_path}:{os.environ['PATH']}"
        statement = f"teleport('sudo://me?python={naked}')"
    else:
        statement = f"bash_teleport('bash', '-c', python={naked!r})"
    run = move(MOVES.format(statement=statement), env=env, stdin=b"a\nb\n")
    assert run.stdout == f"before\n[0, 1, 2] 2\n{temp} 0o700\n", run.stderr
    assert (run.stderr, run.returncode, run.ended_in) == ("", 7, "peer")
    assert os.listdir(temp) == []


def test_where_it_is_installed_nothing_is_sent(move, temp):
    run = move(
        """
        import pyteleport, os, sys
        own = pyteleport.__file__
        bash_teleport("bash", "-c", python=sys.executable)
        trail("gone")
        import pyteleport
        print(pyteleport.__file__ == own, os.listdir(os.environ["TMPDIR"]))
    """,
        env={"TMPDIR": str(temp)},
    )
    assert run.stdout == "True []\n", run.stderr
    assert run.ended_in == "peer"


def test_on_and_back_from_there(move, naked, temp):
    run = move(
        f"""
        import os, sys
        def where():
            return __import__("pyteleport").__file__.startswith(os.environ["TMPDIR"])
        home = where()
        bash_teleport("bash", "-c", python={naked!r})
        trail("hop")
        first = where()
        teleport()
        trail("hop")
        second = where()
        bash_teleport("sh", "-c", python={naked!r})
        trail("hop")
        third = where()
        folders = len(os.listdir(os.environ["TMPDIR"]))
        bash_teleport("sh", "-c", python={sys.executable!r})
        trail("hop")
        print(home, first, second, third, folders, where())
    """,
        env={"TMPDIR": str(temp)},
    )
    assert run.stdout == "False True True True 2 False\n", run.stderr
    assert (run.stderr, run.returncode, run.moves) == ("", 0, 4)
    assert os.listdir(temp) == []


def test_copies_where_nothing_is_installed(move, naked, temp):
    run = move(
        f"""
        made = fork({f"local:?python={quote(naked)}"!r}, [1, 2])
        if not isinstance(made, list):
            from pyteleport import channel
            channel().send((made, __import__("pyteleport").__file__.startswith(__import__("os").environ["TMPDIR"])))
        else:
            print(sorted(copy.channel.recv() for copy in made), [copy.wait() for copy in made])
    """,
        env={"TMPDIR": str(temp)},
    )
    assert run.stdout == "[(1, True), (2, True)] [0, 0]\n", run.stderr
    assert gone(temp)


def test_another_pyteleport_there_does_not_matter(move, naked, temp, tmp_path):
    package = tmp_path / "old" / "pyteleport"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("__version__ = '0.1'\n")
    statement = (
        f"bash_teleport('bash', '-c', python={'env PYTHONPATH=' + str(package.parent) + ' ' + naked!r})"
    )
    run = move(MOVES.format(statement=statement), env={"TMPDIR": str(temp)}, stdin=b"")
    assert run.stdout == f"before\n[0, 1, 2] 0\n{temp} 0o700\n", run.stderr
    assert os.listdir(temp) == []


def test_what_python_prints_when_it_starts_there_is_passed_on(move, naked, temp, tmp_path, cutter):
    (tmp_path / "sitecustomize.py").write_text(
        "import sys\nsys.stdout.write('started')\nsys.stdout.flush()\n"
    )
    env = {"TMPDIR": str(temp), **cutter("never"), "CUT_PYTHON": naked, "NOISE": str(tmp_path)}
    statement = (
        "bash_teleport('bash', '-c', python='env PYTHONPATH=\"$NOISE\" CUT_PYTHON=' + os.environ['CUT_PYTHON']"
        " + ' ' + os.environ['CUTTER'])"
    )
    run = move(MOVES.format(statement=statement), env=env, stdin=b"")
    out = run.stdout
    assert out.startswith("before\n"), run.stderr
    assert out.endswith(f"[0, 1, 2] 0\n{temp} 0o700\n"), run.stderr
    assert "started" in out
    assert run.returncode == 7


# ---- whatever the end -------------------------------------------------------------------------------------


def test_a_program_that_is_refused_there_leaves_nothing(move, naked, temp):
    run = move(
        f"""
        class Bomb:
            def __reduce__(self):
                return exec, ("raise LookupError('not for me')",)
        bomb = Bomb()
        try:
            bash_teleport("bash", "-c", python={naked!r})
        except TeleportError as error:
            print(error)
        del bomb
        trail("here")
        print(__import__("os").listdir({str(temp)!r}))
    """,
        env={"TMPDIR": str(temp)},
    )
    assert "not for me" in run.stdout, run.stderr
    assert run.stdout.endswith("[]\n")
    assert run.ended_in == "home"


@pytest.mark.parametrize("whom", ["home", "peer"])
@pytest.mark.parametrize("count", [10, 100_000, 1_000_000])
def test_who_is_killed_on_the_way_leaves_nothing(move, naked, temp, cutter, whom, count):
    run = move(
        """
        import os
        if os.environ["CUT_WHOM"] == "home":
            os.environ["CUT_WHOM"] = str(os.getpid())
        data = os.urandom(1_000_000)
        try:
            bash_teleport("bash", "-c", python=os.environ["CUTTER"])
        except TransportError:
            trail("stayed")
        else:
            trail("gone")
    """,
        env={"TMPDIR": str(temp), **cutter(f"to-peer:{count}", whom), "CUT_PYTHON": naked},
    )
    went_on = [what for what, _ in run.trail if what in ("stayed", "gone")]
    assert went_on == (["stayed"] if whom == "peer" else [])
    assert gone(temp)


def test_a_program_and_all_with_it_killed_there_leave_nothing(move, naked, temp):
    run = move(
        f"""
        import os, signal
        bash_teleport("bash", "-c", python={naked!r})
        trail("gone")
        print(len(os.listdir(os.environ["TMPDIR"])), flush=True)
        os.killpg(0, signal.SIGKILL)
    """,
        env={"TMPDIR": str(temp)},
    )
    assert (run.stdout, run.returncode) == ("1\n", -signal.SIGKILL), run.stderr
    assert gone(temp)


def test_a_process_that_is_left_behind_there_keeps_it(move, naked, temp):
    run = move(
        f"""
        import os
        bash_teleport("bash", "-c", python={naked!r})
        trail("gone")
        ours, theirs = os.pipe()
        if os.fork() == 0:
            os.close(theirs)
            os.setsid()
            os.read(ours, 1)  # until the program has ended
            from pyteleport import matching  # not loaded before
            with open({str(temp.parent / "daemon")!r}, "w") as file:
                file.write(matching.__name__)
            os._exit(0)
        os.close(ours)
        print(len(os.listdir(os.environ["TMPDIR"])))
    """,
        env={"TMPDIR": str(temp)},
    )
    assert (run.stdout, run.returncode) == ("1\n", 0), run.stderr
    assert gone(temp)
    assert (temp.parent / "daemon").read_text() == "pyteleport.matching"


# ---- where it cannot be ------------------------------------------------------------------------------------

TRIES = """
        try:
            bash_teleport("bash", "-c", python={python!r})
        except TransportError as error:
            print(error)
            trail("stayed")
        else:
            trail("gone")
        hop()
        print("moved after all")
"""

STAND_IN = """
import os, sys
name, value = {fact!r}
if name == "suffix":
    class Imp:
        extension_suffixes = staticmethod(lambda: [value])
    sys.modules["_imp"] = Imp
else:
    setattr(sys, name, value)
sys.path[:] = []
_, text, *sys.argv[1:] = sys.argv[1:]
exec(text)
"""

OTHERS = {
    "2.7": (
        ("version", "2.7.18 (default)"),
        [f"install CPython {RELEASE} there", f"python='python{RELEASE}'", "2.7.18"],
    ),
    "3.6": (("version", "3.6.15 (main)"), [f"install CPython {RELEASE} there", "3.6.15"]),
    "musl": (
        ("suffix", f".cpython-{RELEASE.replace('.', '')}-x86_64-linux-musl.so"),
        ["linux-musl.so", f"`{sys.executable} -m pip install pyteleport=="],
    ),
    "free-threaded": (
        ("suffix", f".cpython-{RELEASE.replace('.', '')}t-x86_64-linux-gnu.so"),
        ["another build", f"the usual one of CPython {RELEASE}"],
    ),
}


@pytest.mark.parametrize("other", OTHERS)
def test_an_interpreter_that_does_not_fit_says_what_to_install(move, temp, tmp_path, other):
    fact, words = OTHERS[other]
    (tmp_path / "stand_in.py").write_text(STAND_IN.format(fact=fact))
    python = f"{sys.executable} -S {tmp_path / 'stand_in.py'}"
    run = move(TRIES.format(python=python), env={"TMPDIR": str(temp)})
    assert run.stdout.endswith("\nmoved after all\n"), run.stderr
    assert [what for what, _ in run.trail] == ["start", "stayed", "hop", "end"]
    for word in words:
        assert word in run.stdout
    assert os.listdir(temp) == []


def test_another_release_without_pyteleport(move, temp):
    other = os.environ.get("PYTELEPORT_TEST_OTHER")
    if not other:
        pytest.skip("PYTELEPORT_TEST_OTHER names no interpreter of another release")
    run = move(TRIES.format(python=f"{other} -S"), env={"TMPDIR": str(temp)})
    assert f"install CPython {RELEASE} there" in run.stdout, run.stderr
    assert harness.release_of(other) in run.stdout
    assert run.stdout.endswith("\nmoved after all\n")


def test_no_room_for_it_there_is_said(move, naked, temp, tmp_path):
    """A package of which nothing can be unpacked."""
    python = f"ulimit -f 8 && {naked}"
    run = move(TRIES.format(python=f"trap '' XFSZ; {python}"), env={"TMPDIR": str(temp)})
    assert "cannot be put into a temporary folder at the far end" in run.stdout, run.stderr
    assert run.stdout.endswith("\nmoved after all\n")
    assert gone(temp)


# ---- the text ----------------------------------------------------------------------------------------------


def test_the_text_is_one_word_in_any_shell():
    text = bare.begin()
    for odd in ("'", "\n", "\\\\", "!"):
        assert odd not in text
    assert len(text) < 1000  # old shells have no longer words
    for shell in ("sh", "bash", "dash", "zsh", "fish", "csh", "tcsh"):
        if shutil.which(shell):
            shown = subprocess.run([shell, "-c", f"printf %s '{text}'"], stdout=subprocess.PIPE, check=True)
            assert shown.stdout.decode() == text, shell
