"""Signals, standard streams and terminals follow the program."""

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
        {harness.WAYS[way]}
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
