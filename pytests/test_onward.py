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


def test_a_command_in_the_middle_of_local_moves(move):
    run = move(f"""{WAITS}
        import os, sys
        home = os.getpid()
        teleport()
        teleport()
        trail("there")
        second = waits(home)
        first_stop = os.getpid()
        bash_teleport("bash", "-c", python=sys.executable)
        teleport()
        teleport()
        trail("on")
        os.kill(first_stop, 0)  # it carries what goes to and fro
        print(second, os.getppid() != home)
        sys.exit(9)
    """)
    assert run.stdout == "True True\n", run.stderr
    assert (run.stderr, run.returncode) == ("", 9)


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
