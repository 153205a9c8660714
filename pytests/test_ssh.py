"""Over ssh, to a real sshd on the loopback."""

import os
import signal
import subprocess
import sys

import harness
import pytest
from sshd import free_port

MOVE = """
        import os, sys
        def f(n):
            here = []
            for i in range(n):
                here.append(i)
                if i == 1:
                    bash_teleport(*{ssh!r}, python={python!r})
                    trail("gone")
            return here
        print("before", flush=True)
        print(5 * (1 + len(f(3))), "SSH_CONNECTION" in open("/proc/self/environ").read())
"""


def test_a_program_moves_over_ssh(move, sshd):
    run = move(MOVE.format(ssh=sshd(), python=sys.executable))
    assert run.stdout == "before\n20 True\n", run.stderr
    assert run.stderr == ""
    assert run.returncode == 0
    assert run.ended_in == "peer"


def test_command_of_ones_own_in_the_argument(move, sshd):
    ssh = [*sshd(), "cd / && MARK=here;"]
    run = move(MOVE.format(ssh=ssh, python=sys.executable))
    assert run.stdout == "before\n20 True\n", run.stderr
    assert run.ended_in == "peer"


NOISES = {
    "banner": 'echo "Welcome to the far side"; ',
    "no newline": 'printf "no newline"; ',
    "a lot": "head -c 300000 /dev/zero | tr '\\\\0' x; ",
    "binary": "printf '\\\\000\\\\377\\\\001PYTELEPORT\\\\n\\\\200'; ",
    "on stderr": "echo warned >&2; ",
}


@pytest.mark.parametrize("noise", NOISES.values(), ids=NOISES)
def test_noise_of_the_login_shell_is_passed_through(move, sshd, tmp_path, noise):
    login = tmp_path / "login"
    login.write_text(f'#!/bin/sh\n{noise.replace(chr(92) * 2, chr(92))}\neval "$SSH_ORIGINAL_COMMAND"\n')
    login.chmod(0o755)
    expected = subprocess.run([login], capture_output=True, env={**os.environ, "SSH_ORIGINAL_COMMAND": ":"})
    run = move(MOVE.format(ssh=sshd(f"ForceCommand {login}"), python=sys.executable))
    noisy = expected.stdout.decode(errors="replace")
    assert run.stdout == f"before\n{noisy}20 True\n", run.stderr
    assert run.stderr == expected.stderr.decode()
    assert run.returncode == 0
    assert run.ended_in == "peer"


REFUSED = """
        import sys
        def f():
            try:
                bash_teleport(*{ssh!r}, python={python!r})
            except TransportError as error:
                trail("stayed")
                print(error)
                return "gone on"
            trail("gone")
        print(f())
"""


def refused(move, ssh, python=sys.executable):
    """The words of the error that a move over ssh ended in, after which the program went on at home."""
    run = move(REFUSED.format(ssh=ssh, python=str(python)))
    assert run.returncode == 0, run.stderr
    assert [what for what, _ in run.trail] == ["start", "stayed", "end"]
    assert run.ended_in == "home"
    words, _, end = run.stdout.rpartition("\ngone on")
    assert end == "\n"
    assert "Traceback" not in words
    assert len(words.splitlines()) <= 4, words
    return words


def test_missing_python(move, sshd):
    words = refused(move, sshd(), "/nonexistent/python")
    assert "/nonexistent/python" in words
    assert "not found" in words.lower() or "no such file" in words.lower()


def test_another_release(move, sshd):
    other = os.environ.get("PYTELEPORT_TEST_OTHER")
    if not other:
        pytest.skip("PYTELEPORT_TEST_OTHER names no interpreter of another release with pyteleport in it")
    words = refused(move, sshd(), other)
    assert harness.release_of(sys.executable) in words
    assert harness.release_of(other) in words


def test_refused_connection(move, sshd):
    words = refused(move, sshd.client(free_port()))
    assert "refused" in words.lower()


def test_unknown_host_key(move, sshd, tmp_path):
    ssh = sshd()
    (tmp_path / "known").write_text("")
    words = refused(move, ssh)
    assert "host key" in words.lower()


def test_missing_ssh(move):
    words = refused(move, ["/nonexistent/ssh", "far"])
    assert "/nonexistent/ssh" in words


def test_streams_and_status_over_ssh(move, sshd):
    data = bytes(range(256)) * 2000 + b"end"
    program = move.write(f"""
        import sys
        first = sys.stdin.buffer.read(10)
        bash_teleport(*{sshd()!r}, python=sys.executable)
        trail("gone")
        rest = sys.stdin.buffer.read()
        sys.stdout.buffer.write(first + rest)
        sys.stderr.buffer.write(rest[::-1])
        sys.stdout.flush()
        sys.exit(42)
    """)
    _, plan = move.plan("all", "local")
    process = harness.spawn(
        [sys.executable, program], stdin=subprocess.PIPE, env=harness.environment(PYTELEPORT_TEST_PLAN=plan)
    )
    out, err = harness.finish(process, data)
    assert process.returncode == 42, err[-1000:]
    assert out == data
    assert err == data[10:][::-1]


@pytest.mark.parametrize(
    ("ending", "status"),
    [("os.kill(os.getpid(), 15)", -15), ("raise KeyError('k')", 1), ("os._exit(255)", 255)],
)
def test_end_over_ssh(move, sshd, ending, status):
    run = move(f"""
        import os, sys
        bash_teleport(*{sshd()!r}, python=sys.executable)
        trail("gone")
        {ending}
    """)
    assert run.returncode == status, run.stderr
    assert run.ended_in == "peer"
    if status == 1:
        assert run.stderr.endswith("KeyError: 'k'\n")


def test_signals_over_ssh(move, sshd):
    program = move.write(f"""
        import os, signal, sys, time
        bash_teleport(*{sshd()!r}, python=sys.executable)
        trail("gone")
        try:
            os.write(1, b"ready\\n")
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            print("interrupted")
        signal.signal(signal.SIGTERM, lambda n, f: sys.exit(7))
        print("again", flush=True)
        while True:
            time.sleep(0.01)
    """)
    _, plan = move.plan("all", "local")
    process = harness.spawn(
        [sys.executable, program], env=harness.environment(PYTELEPORT_TEST_PLAN=plan), bufsize=0
    )
    try:
        assert process.stdout.readline() == b"ready\n", process.stderr.read()
        os.kill(process.pid, signal.SIGINT)
        assert process.stdout.readline() == b"interrupted\n"
        assert process.stdout.readline() == b"again\n"
        os.kill(process.pid, signal.SIGTERM)
        harness.finish(process)
        assert process.returncode == 7
    finally:
        if process.returncode is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def test_there_and_on_from_there(move, sshd):
    """A chain of two hosts: from the far side over ssh again."""
    run = move(f"""
        import sys
        ssh = {sshd()!r}
        bash_teleport(*ssh, python=sys.executable)
        trail("hop")
        print("one")
        bash_teleport(*ssh, python=sys.executable)
        trail("hop")
        print("two")
        sys.exit(6)
    """)
    assert run.stdout == "one\ntwo\n", run.stderr
    assert run.moves == 2
    assert run.returncode == 6
