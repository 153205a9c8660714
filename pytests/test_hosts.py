"""Journeys over several hosts, and lines between them that are cut: nothing lost, never two."""

import os
import signal
import sys

import harness
import pytest
from hosts import start


@pytest.fixture
def network(hosts):
    return hosts("home", "a", "b")


def tour(network, *names):
    return [network.url(name) for name in names]


def streams(process):
    out, err = harness.finish(process)
    return out.decode(), err.decode()


JOURNEY = """
        import hashlib, os, socket, sys
        def numbers():
            n = 0
            while True:
                n += yield n
        def journey(targets):
            sums, going = [], numbers()
            next(going)
            for turn, target in enumerate(targets):
                try:
                    line = sys.stdin.readline()
                    digest = [hashlib.sha256(line.encode() * k).hexdigest()[:8] if k != 1 else (
                        teleport(target), trail("hop", socket.gethostname()), k)[2] for k in range(3)]
                    raise KeyError(digest)
                except KeyError as error:
                    sums.append((going.send(turn), error.args))
                finally:
                    print("turn", turn, sums[-1], flush=True)
                    print("error", turn, file=sys.stderr, flush=True)
            return sums
        result = journey({targets!r})
        sys.stdout.write(sys.stdin.read())
        print(result)
        sys.exit(42)
"""


def test_a_journey_is_as_if_there_had_been_none(move, network):
    source = JOURNEY.format(targets=tour(network, "a", "b", "home", "a", "a", "b"))
    data = b"".join(b"line %d\n" % n for n in range(6)) + bytes(range(128)) * 5000
    straight = move.straight(source, stdin=data)
    program = move.write(source)
    home = network.python("home")
    run = move.follow(
        [program], {"moves": "all", "way": "local"}, harness.environment(), stdin=data, pythons=[home]
    )
    assert (run.stdout, run.stderr) == (straight.stdout, straight.stderr)
    assert (run.returncode, straight.returncode) == (42, 42)
    assert [more for what, more in run.told if what == "hop"] == ["a", "b", "home", "a", "a", "b"]


SIGNALLED = """
        import os, signal, socket, sys
        for target in {targets!r}:
            teleport(target)
        def told(number, frame):
            print(signal.Signals(number).name, socket.gethostname(), flush=True)
            if number == signal.SIGTERM:
                sys.exit(7)
        signal.signal(signal.SIGTERM, told)
        signal.signal(signal.SIGUSR1, told)
        print("ready", flush=True)
        while True:
            try:
                while True:
                    signal.pause()
            except KeyboardInterrupt:
                print("interrupted", flush=True)
"""


def test_signals_find_the_program_through_every_stop(move, network):
    process, _ = start(
        move, SIGNALLED.format(targets=tour(network, "a", "b", "home")), network.python("home")
    )
    said = [process.stdout.readline()]
    for number in (signal.SIGINT, signal.SIGUSR1, signal.SIGTERM):
        os.kill(process.pid, number)
        said.append(process.stdout.readline())
    out, err = streams(process)
    assert (said, out, err) == ([b"ready\n", b"interrupted\n", b"SIGUSR1 home\n", b"SIGTERM home\n"], "", "")
    assert process.returncode == 7


@pytest.mark.parametrize(
    ("ending", "status"), [("os.kill(os.getpid(), signal.SIGKILL)", -9), ("os._exit(200)", 200), ("1 / 0", 1)]
)
def test_the_end_reaches_home_through_every_stop(move, network, ending, status):
    source = f"""
        import os, signal
        for target in {tour(network, "a", "b", "home")!r}:
            teleport(target)
        {ending}
    """
    process, _ = start(move, source, network.python("home"))
    out, err = streams(process)
    assert (out, process.returncode) == ("", status)
    assert "ZeroDivisionError" in err if status == 1 else err == ""


def test_where_nothing_is_installed(move, network, tmp_path):
    temp = tmp_path / "temp"
    temp.mkdir()
    naked = [
        network.url(name, python=f"{sys.executable} -I -S", before=[f"export TMPDIR={temp}"])
        for name in ("a", "b")
    ]
    source = f"""
        import os, socket, sys
        for target in {naked!r}:
            teleport(target)
            print(socket.gethostname(), os.path.dirname(os.path.dirname(os.path.dirname(__import__("pyteleport").__file__))))
        sys.exit(3)
    """
    process, _ = start(move, source, network.python("home"))
    assert (*streams(process), process.returncode) == (f"a {temp}\nb {temp}\n", "", 3)
    assert os.listdir(temp) == []


def test_copies_at_two_hosts(move, network):
    """Those at the first have copies of their own at the second."""
    source = f"""
        import socket, sys
        from pyteleport import channel, fork
        a, b = {tour(network, "a", "b")!r}
        def answer(part, ask=None):
            while True:
                asked = channel().recv()
                others = ask(asked) if ask else []
                if asked is None:
                    sys.exit(part)
                channel().send([(socket.gethostname(), part, asked * part), *others])
        copies = fork(a, [2, 3])
        if not isinstance(copies, list):
            part, copies = copies, fork(b, [5])
            if not isinstance(copies, list):
                answer(10 * part + copies)
            def ask(asked):
                copies[0].channel.send(asked)
                return copies[0].channel.recv() if asked is not None else [copies[0].wait()]
            answer(part, ask)
        for turn in range(3):
            for copy in copies:
                copy.channel.send(turn)
            print([copy.channel.recv() for copy in copies])
        for copy in copies:
            copy.channel.send(None)
        print([copy.wait() for copy in copies])
    """
    process, _ = start(move, source, network.python("home"))
    expected = [
        [[("a", k, turn * k), ("b", 10 * k + 5, turn * (10 * k + 5))] for k in (2, 3)] for turn in range(3)
    ]
    lines = "".join(f"{each}\n" for each in [*expected, [2, 3]])
    out, err = streams(process)
    assert (err, out, process.returncode) == ("", lines, 0)


def test_there_and_back_over_hosts(move, network):
    source = f"""
        import os, socket, sys
        from pyteleport import home, on
        a, b = {tour(network, "a", "b")!r}
        start, where = os.getpid(), socket.gethostname
        left, right = socket.socketpair()
        def work():
            seen = [where()]
            with on(a):
                seen.append(where())
                with on(b):
                    seen.append(where())
                    print("at", where(), flush=True)
                    home()
                    seen.append(where())
                seen.append(where())
                try:
                    with on(b):
                        raise KeyError(where())
                except KeyError as error:
                    seen.append(error.args)
            seen.append(where())
            left.send(b"same")
            return seen, right.recv(4), os.getpid() == start
        print(work())
    """
    process, _ = start(move, source, network.python("home"))
    seen = ["home", "a", "b", "a", "a", ("b",), "home"]
    assert (*streams(process), process.returncode) == (f"at b\n({seen}, b'same', True)\n", "", 0)
