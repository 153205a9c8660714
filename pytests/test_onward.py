"""On and on: a program that has moved moves again, and stops that have nothing left to do there go."""

import os
import signal
import sys

import harness
import pytest

# A stop goes when the program runs on already: to be waited for.
WAITS = """
        import time
        def waits(process):
            while os.getppid() != process or children(process) != [os.getpid()]:
                time.sleep(0.001)
            return True
        def children(pid):
            return [int(word) for word in open("/proc/%d/task/%d/children" % (pid, pid)).read().split()]
"""


def test_100_local_moves_leave_one_pump(move):
    run = move(f"""{WAITS}
        import os, sys
        home = os.getpid()
        seen = set()
        for turn in range(100):
            hop()
            seen.add(os.getpid())
        print(len(seen), waits(home))
        sys.exit(7)
    """)
    assert run.stdout == "100 True\n", run.stderr
    assert (run.stderr, run.returncode, run.moves) == ("", 7, 100)


@pytest.mark.parametrize("way", ["bash", "pipes"])
def test_local_moves_behind_a_command_leave_one_relay(move, way, cutter):
    run = move(
        f"""{WAITS}
        import os, sys
        {harness.WAYS[way]}
        trail("there")
        relay = os.getppid()
        for turn in range(5):
            teleport()
            trail("on")
        print(waits(relay))
        print(sys.stdin.read())
        sys.exit(7)
    """,
        env=cutter("never"),
        stdin=b"all of it",
    )
    assert run.stdout == "True\nall of it\n", run.stderr
    assert (run.stderr, run.returncode, run.ended_in) == ("", 7, "peer")


@pytest.mark.parametrize("between", ["", "env A=b "])
def test_moves_through_shells_leave_one_relay(move, between):
    """A shell that has become the peer has nothing to do once the program is not behind it any more."""
    run = move(
        f"""{WAITS}
        import os, sys
        way = {[*between.split(), "bash", "-c"]!r}
        bash_teleport(*way, python=sys.executable)
        trail("there")
        relay = os.getppid()
        for turn in range(20):
            if turn % 4 == 3:
                teleport()
            else:
                bash_teleport(*way, python=sys.executable)
            trail("on")
            print(turn, file=sys.stderr if turn % 2 else sys.stdout, flush=True)
        print(waits(relay))
        print(sys.stdin.read())
        sys.exit(7)
    """,
        stdin=b"all of it",
    )
    assert run.stdout == "".join(f"{n}\n" for n in range(0, 20, 2)) + "True\nall of it\n", run.stderr
    assert run.stderr == "".join(f"{n}\n" for n in range(1, 20, 2))
    assert (run.returncode, run.ended_in) == (7, "peer")


KEPT_BETWEEN = {
    "a shell that waits": ["bash", "-c", 'bash -c "$0"; exit $?'],
    "a child of the shell": ["bash", "-c", 'sleep 1000 & exec bash -c "$0"'],
}


@pytest.mark.parametrize("between", KEPT_BETWEEN.values(), ids=KEPT_BETWEEN)
def test_a_command_that_is_more_than_a_way_stays(move, between):
    run = move(f"""{WAITS}
        import os, signal, sys
        teleport()
        trail("there")
        stop = os.getpid()
        bash_teleport(*{between!r}, python=sys.executable)
        trail("on")
        while b"_pump" not in open("/proc/%d/cmdline" % stop, "rb").read():
            time.sleep(0.001)
        relay = os.getppid()
        print(relay != stop, len(children(stop)))
        for other in children(relay):
            if other != os.getpid():
                os.kill(other, signal.SIGKILL)
        sys.exit(9)
    """)
    assert run.stdout == "True 1\n", run.stderr
    assert (run.stderr, run.returncode) == ("", 9)


def test_a_command_in_the_middle_of_local_moves(move):
    """Its shell has become the peer: it is no stop either, once the program is there."""
    run = move(
        f"""{WAITS}
        import os, sys
        home = os.getpid()
        teleport()
        teleport()
        trail("there")
        print(waits(home))
        bash_teleport("bash", "-c", python=sys.executable)
        trail("on")
        print(waits(home))
        teleport()
        teleport()
        trail("on")
        print(waits(home), sys.stdin.read())
        sys.exit(9)
    """,
        stdin=b"all of it",
    )
    assert run.stdout == "True\nTrue\nTrue all of it\n", run.stderr
    assert (run.stderr, run.returncode) == ("", 9)


def test_signals_find_the_program_while_it_moves_through_shells(move):
    run = move(f"""{WAITS}
        import os, signal, sys
        home, got = os.getpid(), []
        signal.signal(signal.SIGUSR1, lambda *_: got.append(1))
        for turn in range(10):
            os.kill(home, signal.SIGUSR1)
            bash_teleport("bash", "-c", python=sys.executable)
            trail("on")
            before = len(got)
            os.kill(home, signal.SIGUSR1)
            while len(got) == before:
                time.sleep(0.001)
        print(len(got) >= 11, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert run.stdout == "True\n", run.stderr
    assert (run.stderr, run.returncode) == ("", -signal.SIGKILL)


SIGNALLED = """
import os, signal, sys, time
home = os.getpid()
def handler(number, frame):
    os.write(1, b"got %s\\n" % signal.Signals(number).name.encode())
    if number == signal.SIGTERM:
        sys.exit(5)
for number in (signal.SIGUSR1, signal.SIGTERM):
    signal.signal(number, handler)
for turn in range(20):
    os.kill(home, signal.SIGUSR1)
    teleport()
    trail("on")
print("ready", flush=True)
while True:
    signal.pause()
"""


def test_signals_find_the_program_while_it_moves_on(move):
    """Each is sent just before a move: it has to come through the pump while the next process takes over."""
    program = move.write(SIGNALLED)
    _, plan = move.plan("all", "local")
    env = {**harness.environment(), "PYTELEPORT_TEST_PLAN": plan}
    process = harness.spawn([sys.executable, program], env=env)
    heard = []
    for line in process.stdout:
        heard.append(line.decode().strip())
        if line == b"ready\n":
            os.kill(process.pid, signal.SIGTERM)
    process.wait(harness.PATIENCE)
    # Signals of one kind that wait are one: at least one is heard, and those to come.
    assert heard[-1] == "got SIGTERM", process.stderr.read()
    assert "got SIGUSR1" in heard
    assert process.returncode == 5


def test_a_program_that_a_signal_ends_ends_its_home_so(move):
    run = move("""
        import os, signal
        for turn in range(3):
            teleport()
            trail("on")
        os.kill(os.getpid(), signal.SIGKILL)
    """)
    assert run.returncode == -signal.SIGKILL
    assert run.stderr == ""


def test_a_child_of_the_program_says_nothing_for_it(move):
    """A process that the program has forked is not the one that its home waits for."""
    run = move("""
        import os, sys
        teleport()
        trail("there")
        child = os.fork()
        if child == 0:
            mine = os.getpid()
            teleport()
            print("moved" if os.getpid() != mine else "not", flush=True)
            os._exit(3)
        print(os.WEXITSTATUS(os.waitpid(child, 0)[1]))
        sys.exit(4)
    """)
    assert run.stdout == "moved\n3\n", run.stderr
    assert (run.stderr, run.returncode) == ("", 4)


def test_closed_descriptors_cut_no_way(move, tmp_path):
    """The program has closed all but its standard streams, and opened files in their place."""
    run = move(
        """
        import os, sys
        teleport()
        trail("there")
        home = os.getppid()
        os.closerange(3, 4096)
        file = open("mine", "w+")
        for number in range(3, 600):
            if number != file.fileno():
                os.dup2(file.fileno(), number)
        os.closerange(file.fileno() + 1, 4096)
        teleport()
        trail("on")
        file.seek(0)
        print(repr(file.read()), os.getppid() != home)
        sys.exit(4)
    """,
        cwd=tmp_path,
    )
    assert run.stdout == "'' True\n", run.stderr
    assert (run.stderr, run.returncode) == ("", 4)


def test_a_daemon_of_the_program_goes_to_init(move, tmp_path):
    run = move(
        """
        import os, time
        teleport()
        trail("there")
        home = os.getppid()
        if os.fork() == 0:
            between = os.getpid()
            if os.fork() == 0:
                while os.getppid() == between:
                    time.sleep(0.001)
                with open("part", "w") as file:
                    file.write("home" if os.getppid() == home else "elsewhere")
                os.rename("part", "parent")
            os._exit(0)
        os.wait()
        while not os.path.exists("parent"):
            time.sleep(0.001)
        print(open("parent").read())
    """,
        cwd=tmp_path,
    )
    assert run.stdout == "elsewhere\n", run.stderr
