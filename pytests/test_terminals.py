"""Programs at a terminal that move over ssh: they have one there, and this one is theirs as before."""

import os
import signal
import sys

import pytest
from terminal import Prompt, Terminal

BEGIN = """
import os, sys, signal
from pyteleport import bash_teleport
def move(**options):
    bash_teleport(*{ssh!r}, python=sys.executable, **options)
"""


@pytest.fixture
def far(sshd, tmp_path):
    """far(text, ...) starts a program at a terminal, which calls move() to get over ssh."""
    started = []
    ssh = sshd()

    def start(text, command=None, **env):
        (tmp_path / "program.py").write_text(BEGIN.format(ssh=ssh) + text)
        command = command or [sys.executable, "program.py"]
        started.append(Terminal(command, tmp_path, TERM="xterm", **env))
        return started[-1]

    start.ssh = ssh
    yield start
    for each in started:
        each.close()


def test_a_program_has_a_terminal_there(far):
    shell = far("""
here = os.ttyname(0)
move()
print("<", *[os.isatty(number) for number in range(3)], os.ttyname(0) != here, *os.get_terminal_size(), ">")
print("[" + input("who? ") + "]")
print("error", file=sys.stderr)
sys.exit(21)
""")
    assert shell.matches(r"< (.*) >") == ("True True True True 200 24",)
    shell.shows("who? ")
    shell.types("mee\x7f\r")  # edited there
    shell.shows("[me]")
    shell.shows("error")
    assert shell.ends()[0] == 21


def test_the_terminal_here_is_left_as_it_was(far, tmp_path):
    shell = far("move(); input('ready '); print('more')", ["bash", "--norc", "-i"], PS1="$ ")
    before = "stty -a | md5sum"
    shell.shows("$ ")
    shell.types(before + "\r")
    (first,) = shell.matches(r"([0-9a-f]{32})")
    shell.types(f"{sys.executable} program.py\r")
    shell.shows("ready ")
    shell.types("\r")
    shell.shows("more")
    shell.shows("$ ")
    shell.types(before + "\r")
    assert shell.matches(r"([0-9a-f]{32})") == (first,)
    shell.types("exit\r")
    shell.ends()


def test_the_size_of_the_window_is_that_of_home(far):
    shell = far("""
def told(number, frame):
    print("now", *os.get_terminal_size(), ".")
signal.signal(signal.SIGWINCH, told)
move()
print("size", *os.get_terminal_size(), ".")
while sys.stdin.readline() != "end\\n":
    pass
""")
    shell.shows("size 200 24 .")
    shell.child.setwinsize(33, 111)
    shell.shows("now 111 33 .")
    shell.types("end\r")
    assert shell.ends()[0] == 0


def test_ctrl_c_and_ctrl_d_there(far):
    shell = far("""
move()
try:
    print("wa" "its")
    signal.pause()
except KeyboardInterrupt:
    print("interrupted", repr(sys.stdin.read()))
signal.signal(signal.SIGQUIT, lambda *_: sys.exit(8))
print("wa" "its again")
signal.pause()
""")
    shell.shows("waits")
    shell.types("\x03")
    shell.shows("^C")
    shell.types("line\r\x04")
    shell.shows("interrupted 'line\\n'")
    shell.shows("waits again")
    shell.types("\x1c")
    assert shell.ends()[0] == 8


def test_signals_to_home_arrive_there(far):
    shell = far("""
for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGTERM):
    signal.signal(number, lambda number, frame: print("got", number))
move()
for _ in range(3):
    print("waits")
    signal.pause()
sys.exit(5)
""")
    for number in (signal.SIGUSR1, signal.SIGINT, signal.SIGTERM):
        shell.shows("waits")
        os.kill(shell.pid, number)
        shell.shows(f"got {int(number)}")
    assert shell.ends()[0] == 5


def test_ctrl_z_and_fg(far):
    shell = far(
        """
signal.signal(signal.SIGCONT, lambda *_: print("continued"))
move()
while True:
    line = input("> ")
    print("<" + line + ">")
    if line == "end":
        sys.exit(3)
""",
        ["bash", "--norc", "-i"],
        PS1="$ ",
    )
    shell.shows("$ ")
    shell.types(f"{sys.executable} program.py\r")
    for turn in "ab":
        shell.shows("> ")
        shell.types(turn + "\r")
        shell.shows(f"<{turn}>")
        shell.shows("> ")
        shell.types("\x1a")
        shell.shows("Stopped")
        shell.shows("$ ")
        shell.types("echo at $((40 + 2))\r")  # the terminal is the shell's again
        shell.shows("at 42")
        shell.types("fg\r")
        shell.shows("continued")
        shell.types("\r")
        shell.shows("<>")
    shell.types("end\r")
    shell.shows("<end>")
    shell.shows("$ ")
    shell.types("echo status $?\r")
    shell.shows("status 3")
    shell.types("exit\r")
    shell.ends()


def test_only_input_and_output_are_a_terminal(far, tmp_path):
    shell = far(
        "move(); print('<', *[os.isatty(number) for number in range(3)], '>'); print('error', file=sys.stderr)",
        ["sh", "-c", f"exec {sys.executable} program.py 2>errors"],
    )
    assert shell.matches(r"< (.*) >") == ("True True False",)
    assert shell.ends()[0] == 0
    assert (tmp_path / "errors").read_text() == "error\n"


def test_output_to_a_file_needs_no_terminal(far, tmp_path):
    shell = far(
        "move(); print('<', *[os.isatty(number) for number in range(3)], '>')",
        ["sh", "-c", f"exec {sys.executable} program.py >output"],
    )
    assert shell.ends()[0] == 0
    assert (tmp_path / "output").read_text() == "< False False False >\n"


def test_a_program_is_told_when_the_line_breaks(far, tmp_path):
    os.mkfifo(tmp_path / "told")
    shell = far("""
signal.signal(signal.SIGHUP, lambda *_: (open("told", "w").write("hung up"), os._exit(1)))
line = os.getpid()
move()
print("lives")
while True:
    signal.pause()
""")
    shell.shows("lives")
    os.kill(child_of(shell.pid), signal.SIGKILL)
    assert (tmp_path / "told").read_text() == "hung up"
    shell.shows("the peer went away")
    assert shell.ends()[0] == 255


def child_of(pid):
    """The one child of a process: the command that leads to its program."""
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        (child,) = file.read().split()
    return int(child)


DETACHED = """
move(detach=True)
kept = ".local/state/pyteleport/%d.out" % os.getpid()
print("process", os.getpid())
while not os.path.exists(kept):  # made when home is found to be gone
    os.sched_yield()
print("goes on " * 3)
print("on stderr", file=sys.stderr)
while "on stderr" not in open(kept).read():
    os.sched_yield()
open("done", "w").write(str(os.getpid()))
"""


@pytest.mark.parametrize("ending", ["line", "home", "terminal"])
def test_a_program_that_lives_on(far, tmp_path, ending):
    os.mkfifo(tmp_path / "done")
    shell = far(DETACHED)
    (process,) = shell.matches(r"process (\d+)")
    if ending == "line":
        os.kill(child_of(shell.pid), signal.SIGKILL)
        shell.shows("the program goes on there")
        assert shell.ends()[0] == 255
    elif ending == "home":
        os.kill(shell.pid, signal.SIGKILL)
        assert shell.ends()[0] == -signal.SIGKILL
    else:
        os.kill(shell.pid, signal.SIGHUP)
        assert shell.ends()[0] == -signal.SIGHUP
    kept = tmp_path / ".local/state/pyteleport" / f"{process}.out"
    assert (tmp_path / "done").read_text() == process
    text = kept.read_text().replace("\r\n", "\n")
    assert text == "goes on goes on goes on \non stderr\n"
    assert kept.stat().st_mode & 0o777 == 0o600


def test_a_local_move_cannot_be_detached(far):
    shell = far("""
from pyteleport import teleport
try:
    teleport(detach=True)
except ValueError as error:
    print("refused:", error)
""")
    shell.shows("refused: detach needs a target")
    assert shell.ends()[0] == 0


def test_the_prompt_over_ssh(far, tmp_path):
    shell = Prompt(tmp_path, "basic")
    try:
        shell.says("import os, sys; from pyteleport import bash_teleport")
        shell.says("name = 'so' 'me'")
        shell.moves("bash_teleport(*%r, python=sys.executable)" % (far.ssh,))
        assert shell.gives("name, sys.stdin.isatty(), sys.stdout.isatty()") == "('some', True, True)"
        shell.prompts()
        shell.types("\x10\x10\x10\x03")
        shell.shows("KeyboardInterrupt")
        shell.moves("bash_teleport(*%r, python=sys.executable)" % (far.ssh,))
        shell.says("while print('run' 'ning') is None:", "    while True: pass", "")
        shell.shows("running")
        shell.types("\x03")
        shell.shows("KeyboardInterrupt")
        shell.exits(11)
    finally:
        shell.close()
