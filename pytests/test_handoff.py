"""The hand-off: nothing lost, never two; then it ends as the program ends."""

import os
import signal
import sys

import harness
import pytest

# ---- a peer that dies -------------------------------------------------------------------------------------

ONCE = """
        import os, sys
        payload = os.urandom({size})
        def f():
            steps = ["before"]
            try:
                {statement}
            except TransportError as error:
                trail("stayed")
                return steps + ["stayed"], bool(str(error)), len(payload)
            trail("gone")
            return steps + ["gone"], True, len(payload)
        print(f())
"""
STAYED = "(['before', 'stayed'], True, {size})\n"
GONE = "(['before', 'gone'], True, {size})\n"


def outcome(run, size):
    """ "stayed" or "gone", after making sure that the program went on exactly once."""
    went_on = [what for what, _ in run.trail if what in ("stayed", "gone")]
    assert len(went_on) <= 1, run.trail
    if went_on == ["stayed"]:
        assert run.stdout == STAYED.format(size=size), run.stderr
        assert run.returncode == 0, run.stderr
        assert run.ended_in == "home"
        return "stayed"
    # It was committed: home did not go on, whatever became of the peer, and did not end well if the peer did not.
    assert "stayed" not in run.stdout
    # (Its last bytes may have come through and its exit status not.)
    assert run.stdout == GONE.format(size=size) or run.returncode != 0, run.stderr
    return "gone"


@pytest.mark.parametrize("direction", ["to-peer", "from-peer"])
def test_peer_killed_after_any_number_of_bytes(move, cutter, direction):
    size = 100_000
    source = ONCE.format(statement=harness.WAYS["pipes"], size=size)
    whole = move(source, env=cutter())
    assert outcome(whole, size) == "gone"
    points = [0, 1, 7, 20, 50, 90, 150, 300, 1000, 50_000, 10_000_000]
    if direction == "from-peer":
        points = [0, 1, 5, 10, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 250, 300, 400, 10_000_000]
    outcomes = [outcome(move(source, env=cutter(f"{direction}:{n}")), size) for n in points]
    # in the middle of Hello the program has not left
    assert outcomes[:4] == ["stayed"] * 4
    assert outcomes[-1] == "gone"
    # once committed, it stays committed with more bytes
    assert outcomes == sorted(outcomes, key=("stayed", "gone").index)


@pytest.mark.parametrize("direction", ["to-peer", "from-peer"])
def test_home_killed_after_any_number_of_bytes(move, cutter, direction):
    """The peer alone must not become a second program, nor stay for ever."""
    source = """
        import os, sys
        os.environ["CUT_WHOM"] = str(os.getpid())
        bash_teleport('bash', '-c', python=os.environ['CUTTER'])
        trail("gone")
    """
    for n in (0, 10, 100, 1000):
        run = move(source, env=cutter(f"{direction}:{n}"))  # returns when all ends of its pipes are closed
        # a peer that has less than that to say is never cut
        assert run.returncode == -signal.SIGKILL or (n >= 100 and run.returncode == 0), run.stderr
        assert [what for what, _ in run.trail] in (["start"], ["start", "gone"], ["start", "gone", "end"])


@pytest.mark.parametrize(
    "python",
    [
        "'/nonexistent/python'",
        "'kill -KILL $$; false'",
        "'exit 3; false'",
        "'true'",
        "'cat /dev/zero | head -c 1000000; false'",
        "'echo Python 2.7; false'",
    ],
)
def test_peer_that_never_says_hello(move, python):
    run = move(f"""
        try:
            bash_teleport("bash", "-c", python={python})
        except TransportError as error:
            print("error:", str(error)[:2000] != "")
        trail("here")
        hop()
        print("moved after all")
    """)
    assert run.stdout.endswith("error: True\nmoved after all\n"), run.stderr
    assert run.returncode == 0
    assert [what for what, _ in run.trail] == ["start", "here", "hop", "end"]


def test_shell_that_is_not_there(move):
    run = move("""
        try:
            bash_teleport("/nonexistent/shell", "-c")
        except TransportError as error:
            print("/nonexistent/shell" in str(error))
        trail("here")
    """)
    assert run.stdout == "True\n", run.stderr
    assert run.ended_in == "home"


BOMB = """
        import os, sys
        class Bomb:
            def __reduce__(self):
                return exec, ({code!r},)
        def f(bomb):
            try:
                {statement}
            except TeleportError as error:
                trail("stayed")
                return type(error).__name__, str(error)
            trail("gone")
            return "gone"
        print(f(Bomb()))
        trail("here")
        hop()
        print("moved after all")
"""


@pytest.mark.parametrize(
    "code",
    ["import os; os.kill(os.getpid(), 9)", "import os; os._exit(0)", "import os; os.abort()"],
)
def test_peer_that_dies_while_decoding(move, way, code):
    statement, env = way
    run = move(BOMB.format(code=code, statement=statement), env=env)
    assert "TransportError" in run.stdout, run.stderr
    assert run.trail[1] == ("stayed", run.home)


def test_error_while_decoding_is_raised_at_home(move, way):
    statement, env = way
    run = move(BOMB.format(code="raise LookupError('not for me')", statement=statement), env=env)
    assert "not for me" in run.stdout, run.stderr
    assert run.trail[1] == ("stayed", run.home)


def test_no_process_is_left_of_a_failed_move(move, way):
    statement, env = way
    run = move(
        f"""
        import os, socket, sys
        def f():
            sock = socket.socket()
            for _ in range(3):
                try:
                    {statement}
                except UnmovableError:
                    trail("refused")
            sock.close()
        f()
        try:
            print(os.waitpid(-1, os.WNOHANG))
        except ChildProcessError:
            print("no child")
        print(len(os.listdir("/proc/self/fd")) < 10)
    """,
        env=env,
    )
    assert run.stdout == "no child\nTrue\n", run.stderr
    assert [what for what, _ in run.trail].count("refused") == 3
    assert run.ended_in == "home"


def test_child_processes_of_the_program_are_refused_or_left_alone(move):
    run = move("""
        import subprocess
        child = subprocess.Popen(["cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        try:
            teleport()
        except TeleportError as refusal:
            trail("refused")
            print("child" in str(refusal) or "Popen" in str(refusal))
        print(child.communicate(b"still there"))
    """)
    assert run.stdout == "True\n(b'still there', None)\n", run.stderr
    assert run.ended_in == "home"


# ---- the exit status --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("sys.exit(3)", 3),
        ("os._exit(200)", 200),
        ("pass", 0),
        ("raise ValueError", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("os.kill(os.getpid(), signal.SIGSEGV)", -signal.SIGSEGV),
        ("raise KeyboardInterrupt", -signal.SIGINT),
    ],
)
def test_home_ends_as_the_program_ends(move, way, ending, status):
    statement, env = way
    run = move(
        f"""
        import faulthandler, os, signal, sys
        faulthandler.disable()
        {statement}
        trail("gone")
        {ending}
    """,
        env=env,
    )
    assert run.returncode == status, run.stderr
    assert run.ended_in == "peer"
    assert "TransportError" not in run.stderr


# ---- options ----------------------------------------------------------------------------------------------


def test_keywords_of_the_original_call(move, tmp_path):
    work = tmp_path / "work here"
    work.mkdir()
    (tmp_path / "data.txt").write_text("contents")
    run = move(
        f"""
        import os, sys
        os.chdir({str(tmp_path)!r})
        bash_teleport("bash", "-c", python=sys.executable, before=["echo before one", "echo before two"],
                      env={{"ADDED": "a b'c"}}, cwd={str(work)!r}, files=["data.txt"])
        trail("gone")
        print(os.getcwd(), os.environ["ADDED"], os.environ["KEPT"])
        print(open("data.txt").read())
    """,
        env={"KEPT": "from home"},
    )
    lines = run.stdout.splitlines()
    assert lines[:2] == ["before one", "before two"], run.stderr
    assert lines[2:] == [f"{work} a b'c from home", "contents"]
    assert (work / "data.txt").read_text() == "contents"
    assert run.ended_in == "peer"


def test_aliases_and_the_dummy(move):
    run = move("""
        import sys
        print(tp_bash is bash_teleport or tp_bash.__name__, tp_shell is bash_teleport or tp_shell.__name__)
        tp_bash("bash", "-c", python=sys.executable)
        trail("hop")
        tp_shell("sh", "-c", python=sys.executable)
        trail("hop")
        tp_dummy()
        trail("hop")
        tp_dummy(env={"ADDED": "there"})
        trail("hop")
        import os
        print(os.environ["ADDED"])
    """)
    assert run.stdout == "True True\nthere\n", run.stderr
    assert run.moves == 4


def test_python_is_found_by_name_in_the_shell(move):
    folder = os.path.dirname(sys.executable)
    run = move(
        """
        bash_teleport("bash", "-c")
        trail("hop")
        print("there")
    """,
        env={"PATH": f"{folder}:{os.environ['PATH']}"},
    )
    assert run.stdout == "there\n", run.stderr
    assert run.moves == 1
