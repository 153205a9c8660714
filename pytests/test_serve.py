"""Warm peers: processes that a server has started before anybody asked. A program cannot tell them from its own."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import harness
import pytest


@pytest.fixture
def run_folder():
    """A folder whose path is short enough for a socket's."""
    folder = tempfile.mkdtemp(prefix="tp-")
    yield folder
    shutil.rmtree(folder)


# What starts a server and then a program in one session, as somebody at a terminal does.
SESSION = """
import os, signal, subprocess, sys
server = subprocess.Popen(
    [sys.executable, *{flags!r}, "-m", "pyteleport", "serve", *{options!r}],
    stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, preexec_fn=os.setpgrp, env={{**os.environ, **{env!r}}},
)
ready = server.stdout.readline()
assert ready.startswith(b"pyteleport serves at "), ready
os.environ["SERVER"] = str(server.pid)
try:
    sys.exit(subprocess.call(sys.argv[1:]) % 256)
finally:
    server.terminate()
    server.wait()
"""


@pytest.fixture
def served(move, run_folder, tmp_path):
    """served(source, ...) runs a program beside a server of its session; `warm()` in it says whether it is in a process
    of that, and `hop()` waits for one and moves."""

    def run(source, options=(), flags=(), server_env=None, server_flags=(), env=None, **more):
        (tmp_path / "session.py").write_text(
            SESSION.format(options=list(options), env=server_env or {}, flags=list(server_flags))
        )
        _, _, rest = source.partition("\n")
        prelude = """
        import os, sys
        from pyteleport import prepare
        def warm():
            words = open("/proc/self/cmdline").read().split("\\0")
            return "--warm" in words
"""
        program = move.write(prelude + rest)
        environment = harness.environment(XDG_RUNTIME_DIR=run_folder, **(env or {}))
        command = [tmp_path / "session.py", sys.executable, *flags, program]
        return move.follow(command, {"moves": "all", "way": "local"}, environment, **more)

    return run


def test_a_program_moves_to_a_process_that_waits(served):
    run = served(
        """
        print("before", prepare())
        squares = [n * n if n != 2 else (teleport(), trail("gone"), n * n)[2] for n in range(4)]
        print(squares, warm(), sys.stdin.read())
        sys.exit(3)
    """,
        stdin=b"rest",
    )
    assert run.stdout == "before True\n[0, 1, 4, 9] True rest\n", run.stderr
    assert (run.stderr, run.returncode) == ("", 3)


def test_every_move_after_the_first_is_to_one(served):
    run = served("""
        seen = []
        for _ in range(4):
            teleport()
            seen.append(warm())
            assert prepare()
        print(seen)
    """)
    assert run.stdout == "[False, True, True, True]\n", run.stderr


def test_sets_and_hashes_are_as_at_home(served):
    run = served("""
        words = {"word %d" % n for n in range(100)}
        before = list(words), hash("text")
        assert prepare()
        teleport()
        print((list(words), hash("text")) == before, "word 7" in words, warm())
    """)
    assert run.stdout == "True True True\n", run.stderr


def test_with_a_seed_the_first_finds_one_that_was_there(served):
    run = served(
        """
        import time
        while not warm():
            teleport()
        print("there")
    """,
        env={"PYTHONHASHSEED": "0"},
    )
    assert run.stdout == "there\n", run.stderr


SAME = """
        import json, os, resource, signal, sys
        def facts():
            return {{
                "cwd": os.getcwd(), "environ": dict(os.environ), "group": os.getpgrp(), "session": os.getsid(0),
                "umask": os.umask(os.umask(0o27)), "nice": os.nice(0), "limits": resource.getrlimit(resource.RLIMIT_NOFILE),
                "flags": list(sys.flags), "argv": sys.argv, "path": sys.path, "xoptions": dict(sys._xoptions),
                "affinity": sorted(os.sched_getaffinity(0)), "orig": getattr(sys, "orig_argv", None),
                "fds": sorted(n for n in os.listdir("/proc/self/fd") if int(n) < 500), "links": [os.fstat(n).st_ino for n in range(3)],
                "handlers": [str(signal.getsignal(n)) for n in range(1, 32) if n not in (9, 19)],
                "mask": sorted(signal.pthread_sigmask(signal.SIG_BLOCK, [])),
                "streams": [(s.name, s.encoding, s.errors, s.line_buffering, s.mode) for s in (sys.stdin, sys.stdout, sys.stderr)],
            }}
        os.chdir({folder!r})
        os.environ["MARK"] = "set here"
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
        before = facts()
        {move}
        after = facts()
        trail("gone")
        for name in before:
            if before[name] != after[name]:
                print(name, before[name], after[name])
        print("compared", warm())
"""


@pytest.mark.parametrize("flags", [(), ("-O", "-X", "dev"), ("-I",)], ids=str)
def test_all_that_a_child_would_have_from_home(served, tmp_path, flags):
    source = SAME.format(folder=str(tmp_path), move="prepare(); teleport()")
    run = served(source, flags=flags)
    assert run.stdout == "compared True\n", run.stderr


@pytest.mark.parametrize(
    ("ending", "status"),
    [
        ("sys.exit(3)", 3),
        ("os._exit(200)", 200),
        ("pass", 0),
        ("raise ValueError", 1),
        ("os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("raise KeyboardInterrupt", -signal.SIGINT),
    ],
)
def test_home_ends_as_the_program_ends(served, ending, status):
    run = served(f"""
        import signal
        assert prepare()
        teleport()
        trail("gone")
        print(warm(), flush=True)
        {ending}
    """)
    assert run.stdout == "True\n", run.stderr
    assert run.returncode == status % 256


def test_signals_reach_the_program(served):
    run = served("""
        import signal
        home = os.getpid()
        assert prepare()
        teleport()
        trail("gone")
        got = []
        signal.signal(signal.SIGUSR1, lambda number, frame: got.append(number))
        assert home != os.getpid()
        os.kill(home, signal.SIGUSR1)
        while not got:
            pass
        print(got == [signal.SIGUSR1], warm())
    """)
    assert run.stdout == "True True\n", run.stderr


def test_only_home_and_the_program_are_left_of_a_chain(served):
    run = served("""
        home = os.getpid()
        for turn in range(5):
            assert prepare()
            teleport()
        def children(pid):
            return [int(word) for word in open("/proc/%d/task/%d/children" % (pid, pid)).read().split()]
        def group():
            found = []
            for name in os.listdir("/proc"):
                try:
                    if name.isdigit() and os.getpgid(int(name)) == os.getpgrp():
                        found.append(int(name))
                except OSError:
                    pass
            return sorted(found)
        parent = int(open("/proc/%d/stat" % home).read().rpartition(")")[2].split()[1])
        expected = sorted([parent, home, os.getpid()])
        while group() != expected:
            pass
        print("alone", warm())
        sys.exit(5)
    """)
    assert run.stdout == "alone True\n", run.stderr
    assert run.returncode == 5


def test_cold_and_warm_by_turns(served):
    run = served("""
        seen = []
        for turn in range(6):
            if turn % 2:
                assert prepare()
                teleport()
            else:
                teleport("local:?cold")
            seen.append(warm())
        print(seen)
        sys.exit(9)
    """)
    assert run.stdout == "[False, True, False, True, False, True]\n", run.stderr
    assert run.returncode == 9


def test_a_move_that_fails_there_leaves_the_program_at_home(served):
    run = served("""
        class Bomb:
            def __reduce__(self):
                return exec, ("raise LookupError('not for me')",)
        bomb = Bomb()
        assert prepare()
        try:
            teleport()
        except ResumeError as error:
            print(error)
        del bomb
        assert prepare()
        teleport()
        print(warm())
    """)
    assert run.stdout.endswith("LookupError: not for me\nTrue\n"), run.stderr


def test_a_spare_that_dies_is_not_missed(served):
    run = served("""
        import signal
        def spares():
            server = os.environ["SERVER"]
            return [int(word) for word in open("/proc/%s/task/%s/children" % (server, server)).read().split()]
        assert prepare()
        for pid in spares():
            os.kill(pid, signal.SIGKILL)
        teleport()
        print(warm())
    """)
    assert run.stdout == "False\n", run.stderr


@pytest.mark.parametrize("what", ["STOP", "KILL"])
def test_a_server_that_does_not_answer_is_not_missed(served, what):
    run = served(f"""
        import signal
        assert prepare()
        server = int(os.environ["SERVER"])
        os.kill(server, signal.SIG{what})
        teleport()
        print(warm())
        os.kill(server, signal.SIGCONT)
    """)
    assert run.stdout == "False\n", run.stderr


def test_a_program_goes_on_without_its_server(served):
    run = served("""
        import signal
        assert prepare()
        teleport()
        os.kill(int(os.environ["SERVER"]), signal.SIGKILL)
        teleport()
        print(warm(), flush=True)
        os._exit(7)
    """)
    assert run.stdout == "False\n", run.stderr


DIFFERENT = {
    "limits": "import resource; resource.setrlimit(resource.RLIMIT_NOFILE, (200, 200))",
    "what the kernel ends first": "open('/proc/self/oom_score_adj', 'w').write('900')",
    "session": "os.setsid()",
    "a descriptor": "os.set_inheritable(os.open('/dev/null', os.O_RDONLY), True)",
    "variables": "os.environ['LC_ALL'] = 'C'",
}


@pytest.mark.parametrize("what", DIFFERENT)
def test_what_does_not_fit_goes_to_a_fresh_process(served, what):
    run = served(f"""
        if os.fork():  # one that leads no group
            os._exit(os.wait()[1] >> 8)
        assert prepare()
        {DIFFERENT[what]}
        teleport()
        print(warm(), flush=True)
    """)
    assert run.stdout == "False\n", run.stderr


def test_the_pool_has_a_size(served):
    run = served(
        """
        server = os.environ["SERVER"]
        def spares():
            return len(open("/proc/%s/task/%s/children" % (server, server)).read().split())
        counts = []
        for turn in range(3):
            assert prepare()
            counts.append(spares())
            teleport()
        print(max(counts) <= 3)
    """,
        options=["--pool", "1"],
    )
    assert run.stdout == "True\n", run.stderr


def test_a_socket_of_ones_own(served, run_folder):
    path = f"{run_folder}/own/socket"
    run = served(
        f"""
        import stat
        there = os.stat({path!r}), os.stat({os.path.dirname(path)!r})
        print([oct(stat.S_IMODE(facts.st_mode)) for facts in there])
        teleport()
        print(warm())
        assert prepare("local:?socket={path}")
        teleport("local:?socket={path}")
        print(warm())
    """,
        options=["--socket", path],
    )
    assert run.stdout == "['0o600', '0o700']\nFalse\nTrue\n", run.stderr


@pytest.fixture
def serving(run_folder):
    """serving(*options) starts a server."""
    servers = []

    def start(*options):
        server = subprocess.Popen(
            [sys.executable, "-m", "pyteleport", "serve", *options],
            env=harness.environment(XDG_RUNTIME_DIR=run_folder),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        servers.append(server)
        return server

    yield start
    for server in servers:
        server.kill()
        server.communicate()


def test_a_folder_that_others_may_enter_is_refused(run_folder, serving):
    os.mkdir(f"{run_folder}/pyteleport", 0o755)
    out, err = serving().communicate(timeout=harness.PATIENCE)
    assert b"0700" in err
    assert out == b""


def test_there_is_one_server_and_its_end_leaves_nothing(run_folder, serving):
    server = serving("--pool", "1")
    assert server.stdout.readline().startswith(b"pyteleport serves at ")
    other = serving()
    _, err = other.communicate(timeout=harness.PATIENCE)
    assert (other.returncode, b"listens at" in err) == (1, True)
    server.terminate()
    server.communicate(timeout=harness.PATIENCE)
    assert server.returncode == 0
    assert os.listdir(f"{run_folder}/pyteleport") == []


@pytest.mark.parametrize(
    "said", [b"", b"\xff\xff\xff\xff", b"\5\0\0\0s\xff\xff\xff\xff", b"\1\0\0\0s", b"GET / HTTP/1.1\r\n\r\n"]
)
def test_nonsense_does_not_end_it(serving, said):
    server = serving("--pool", "0")
    path = server.stdout.readline().split()[-1]
    for _ in range(2):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(harness.PATIENCE)
            client.connect(path)
            client.sendall(said)
            client.shutdown(socket.SHUT_WR)
            with contextlib.suppress(ConnectionResetError):  # it has not read all of that
                assert client.recv(10) == b""
    server.terminate()
    _, err = server.communicate(timeout=harness.PATIENCE)
    assert (server.returncode, err) == (0, b"")
