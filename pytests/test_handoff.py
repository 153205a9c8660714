"""The hand-off: nothing lost, never two; then status, signals and streams follow the program."""

import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

import harness
import pytest

CUTTER = Path(__file__).with_name("cutter.py")

# Ways to a peer, as statements of a program: a descriptor of its own, the shell's, and plain pipes.
WAYS = {
    "local": "teleport()",
    "bash": "bash_teleport('bash', '-c', python=sys.executable)",
    "pipes": "bash_teleport('bash', '-c', python=os.environ['CUTTER'])",
}


@pytest.fixture
def cutter(tmp_path):
    """cutter(when, whom="peer"): the environment for a program whose peer is killed on the way."""
    script = tmp_path / "python-behind-pipes"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} {CUTTER} "$@"\n')
    script.chmod(0o755)

    def environment(when="never", whom="peer"):
        return {"CUTTER": str(script), "CUT_PYTHON": sys.executable, "CUT_WHEN": when, "CUT_WHOM": str(whom)}

    return environment


@pytest.fixture(params=WAYS)
def way(request, cutter):
    """(statement, environment) for each way to a peer."""
    return WAYS[request.param], cutter()


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
    source = ONCE.format(statement=WAYS["pipes"], size=size)
    whole = move(source, env=cutter())
    assert outcome(whole, size) == "gone"
    points = [0, 1, 7, 20, 50, 90, 150, 300, 1000, 50_000, 10_000_000]
    if direction == "from-peer":
        points = [0, 1, 5, 10, 20, 40, 60, 80, 100, 120, 140, 160, 180, 200, 250, 300, 400, 10_000_000]
    outcomes = [outcome(move(source, env=cutter(f"{direction}:{n}")), size) for n in points]
    assert outcomes[0] == "stayed"
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


# ---- signals ----------------------------------------------------------------------------------------------


def start(move, source, env, **options):
    """The program's process, for a dialogue over its standard streams."""
    program = move.write(source)
    _, plan = move.plan("all", "local")
    env = harness.environment(PYTELEPORT_TEST_PLAN=plan, **env)
    options.setdefault("stdin", subprocess.PIPE)
    return harness.spawn([sys.executable, program], env=env, bufsize=0, **options)


@pytest.fixture
def leash():
    """Ends what is left of the given processes' groups when a test is over, whatever became of it."""
    processes = []
    yield lambda process: processes.append(process) or process
    for process in processes:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()


@pytest.mark.parametrize("number", ["SIGINT", "SIGTERM", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGQUIT"])
def test_signal_reaches_the_program_where_it_is(move, way, leash, number):
    statement, env = way
    process = leash(
        start(
            move,
            f"""
        import os, signal, sys, time
        got = []
        signal.signal(signal.{number}, lambda n, frame: got.append(n))
        home = os.getpid()
        {statement}
        os.write(1, b"ready %d\\n" % (os.getpid() != home))
        while not got:
            time.sleep(0.01)
        print([signal.Signals(n).name for n in got])
        sys.exit(9)
    """,
            env,
        )
    )
    assert process.stdout.readline() == b"ready 1\n", process.stderr.read()
    os.kill(process.pid, getattr(signal, number))
    out, err = harness.finish(process)
    assert out.decode() == f"['{number}']\n", err
    assert process.returncode == 9


def test_ctrl_c_is_a_keyboard_interrupt_there(move, way, leash):
    statement, env = way
    process = leash(
        start(
            move,
            f"""
        import os, signal, sys, time
        def f():
            try:
                {statement}
                os.write(1, b"ready\\n")
                while True:
                    time.sleep(0.01)
            except KeyboardInterrupt:
                return "interrupted"
            finally:
                print("finally")
        print(f())
    """,
            env,
        )
    )
    assert process.stdout.readline() == b"ready\n", process.stderr.read()
    os.kill(process.pid, signal.SIGINT)
    out, err = harness.finish(process)
    assert out == b"finally\ninterrupted\n", err
    assert process.returncode == 0


def test_unhandled_signal_ends_both_ends_by_it(move, way, leash):
    statement, env = way
    process = leash(
        start(
            move,
            f"""
        import os, signal, sys, time
        {statement}
        os.write(1, b"ready\\n")
        while True:
            time.sleep(0.01)
    """,
            env,
        )
    )
    assert process.stdout.readline() == b"ready\n", process.stderr.read()
    os.kill(process.pid, signal.SIGTERM)
    harness.finish(process)
    assert process.returncode == -signal.SIGTERM


# ---- streams ----------------------------------------------------------------------------------------------


def test_streams_are_byte_exact(move, way):
    statement, env = way
    data = bytes(range(256)) * 4096 + os.urandom(300_001) + b"\r\n\x00\x04\x03 no newline at the end"
    program = move.write(f"""
        import os, sys
        first = sys.stdin.buffer.read(1000)  # and more is read ahead
        sys.stdout.buffer.write(first)
        {statement}
        rest = sys.stdin.buffer.read()
        sys.stdout.buffer.write(rest)
        sys.stderr.buffer.write(rest[::-1])
        sys.stderr.buffer.write(b"%d" % len(rest))
    """)
    _, plan = move.plan("all", "local")
    process = harness.spawn(
        [sys.executable, program],
        stdin=subprocess.PIPE,
        env=harness.environment(PYTELEPORT_TEST_PLAN=plan, **env),
    )
    out, err = harness.finish(process, data)
    assert process.returncode == 0, err[-2000:]
    assert out == data
    assert err == data[1000:][::-1] + b"%d" % (len(data) - 1000)


def test_lines_read_ahead_and_not_yet_read(move, way):
    statement, env = way
    run = move(
        f"""
        import os, sys
        print(input(), sys.stdin.readline().strip())
        {statement}
        for number, line in enumerate(sys.stdin):
            print(number, line.strip())
            if number == 1:
                break
        print(sys.stdin.read().split())
    """,
        stdin="one\ntwo\nthree\nfour\nfive ünï\nsix\n".encode(),
        env=env,
    )
    assert run.stdout == "one two\n0 three\n1 four\n['five', 'ünï', 'six']\n", run.stderr


def test_a_dialogue_goes_back_and_forth_in_time(move, way, leash):
    """Each answer is awaited before the next question is asked: bytes held back anywhere would stop it."""
    statement, env = way
    process = leash(
        start(
            move,
            f"""
        import os, sys
        print("hello", flush=True)
        {statement}
        for line in iter(sys.stdin.readline, ""):
            print("got", line.strip(), flush=True)
        print("end of input")
    """,
            env,
        )
    )
    assert process.stdout.readline() == b"hello\n"
    for n in range(50):
        process.stdin.write(b"%d\n" % n)
        assert process.stdout.readline() == b"got %d\n" % n
    process.stdin.close()
    process.stdin = None
    out, err = harness.finish(process)
    assert out == b"end of input\n", err
    assert process.returncode == 0


def test_output_before_the_move_comes_first_though_it_was_buffered(move, way):
    statement, env = way
    run = move(
        f"""
        import os, sys
        print("one")
        sys.stdout.write("two, ")
        {statement}
        sys.stdout.write("three\\n")
    """,
        env=env,
    )
    assert run.stdout == "one\ntwo, three\n", run.stderr


def test_reader_that_goes_away_is_a_broken_pipe_there(move, way, leash):
    statement, env = way
    process = leash(
        start(
            move,
            f"""
        import os, sys
        {statement}
        os.write(1, b"ready\\n")
        sys.stdin.readline()
        try:
            while True:
                os.write(1, b"x" * 65536)
        except BrokenPipeError:
            sys.stderr.write("broken pipe")
            sys.stderr.flush()
            os._exit(6)
    """,
            env,
        )
    )
    assert process.stdout.readline() == b"ready\n", process.stderr.read()
    process.stdout.close()
    process.stdout = None
    process.stdin.write(b"go\n")
    assert process.stderr.read() == b"broken pipe"
    assert process.wait(timeout=60) == 6


class Terminal:
    """A program on a pseudo-terminal of its own, as its controlling terminal."""

    def __init__(self, argv, env):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                os.execve(argv[0], argv, env)
            finally:
                os._exit(127)
        self.text = b""

    def expect(self, words):
        while words not in self.text:
            ready, _, _ = select.select([self.fd], [], [], 60)
            assert ready, self.text
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b""
            assert data, self.text
            self.text += data

    def end(self):
        while True:
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                break
            if not data:
                break
            self.text += data
        _, status = os.waitpid(self.pid, 0)
        os.close(self.fd)
        return status


@pytest.mark.parametrize("way", ["local", "bash"])
def test_a_terminal_stays_a_terminal(move, way):
    program = move.write(f"""
        import os, signal, sys, time
        statement = None
        {WAYS[way]}
        print([os.isatty(n) for n in (0, 1, 2)], tuple(os.get_terminal_size()), os.ttyname(0) == os.ttyname(1))
        got = []
        signal.signal(signal.SIGWINCH, lambda n, f: got.append(n))
        print("size?", flush=True)
        while not got:
            time.sleep(0.01)
        print(tuple(os.get_terminal_size()))
        interrupts = 0
        try:
            print("interrupt?", flush=True)
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            interrupts += 1
        word = input("word? ")
        print("got", word, interrupts)
        sys.exit(5)
    """)
    _, plan = move.plan("all", "local")
    terminal = Terminal(
        [sys.executable, str(program)], harness.environment(PYTELEPORT_TEST_PLAN=plan, TERM="dumb")
    )
    terminal.expect(b"size?")
    assert b"[True, True, True]" in terminal.text
    assert b"True\r\n" in terminal.text
    fcntl.ioctl(terminal.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 33, 77, 0, 0))
    terminal.expect(b"(77, 33)")
    terminal.expect(b"interrupt?")
    os.write(terminal.fd, b"\x03")
    terminal.expect(b"word? ")
    os.write(terminal.fd, b"hello\n")
    terminal.expect(b"got hello 1")
    assert os.WEXITSTATUS(terminal.end()) == 5


def test_home_gives_the_memory_of_the_program_back(move, way, leash):
    statement, env = way
    process = leash(
        start(
            move,
            f"""
        import os, sys
        data = bytearray(os.urandom(1 << 20)) * 200
        {statement}
        print(len(data), flush=True)
        sys.stdin.readline()
    """,
            env,
        )
    )
    assert process.stdout.readline() == b"%d\n" % (200 << 20), process.stderr.read()
    # The program may be a moment ahead of home's change into a pump.
    deadline = time.monotonic() + 60
    while True:
        status = Path(f"/proc/{process.pid}/status").read_text()
        resident = int(status.split("VmRSS:")[1].split()[0]) / 1024
        if resident < 20:
            break
        assert time.monotonic() < deadline, f"{resident:.1f} MB"
    process.stdin.write(b"\n")
    harness.finish(process)
    assert process.returncode == 0


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
