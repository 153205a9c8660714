"""Moves that are typed at a prompt: the next one is at the peer."""

import sys

import harness
import pytest
from terminal import KINDS, Prompt


@pytest.fixture(params=KINDS)
def prompt(request, tmp_path):
    """prompt(*arguments, ...) starts Python with a prompt, in a terminal."""
    started = []

    def start(*arguments, **options):
        started.append(Prompt(tmp_path, request.param, arguments, **options))
        return started[-1]

    start.kind = request.param
    yield start
    for each in started:
        each.close()


BEGIN = "import os, sys; from pyteleport import teleport"


def test_the_next_prompt_is_at_the_peer(prompt):
    shell = prompt()
    shell.says(BEGIN)
    shell.says("x = []; y = [x]; z = x")
    shell.says("def f(): return y[0] is z", "")
    home = shell.gives("os.getpid()")
    assert home == str(shell.pid)
    shell.moves()
    assert shell.gives("f(), x is z, __name__") == "(True, True, '__main__')"
    shell.moves()
    shell.says("x.append(sys.stdin.isatty())")
    assert shell.gives("y") == "[[True]]"
    shell.exits(7)


def test_the_rest_of_the_line_runs_at_the_peer(prompt):
    shell = prompt()
    shell.says(BEGIN)
    shell.says("a = os.getpid(); teleport(); b = os.getpid(); a != b, 'twe' + 'lve'")
    shell.shows("(True, 'twelve')")
    assert shell.gives("_") == "(True, 'twelve')"
    assert shell.gives("a != b and b == os.getpid()") == "True"
    shell.says("[(n, teleport())[0] * 11 for n in (1, 2, 3)]")
    shell.shows("[11, 22, 33]")
    shell.exits(0)


def test_an_exception_after_the_move_leads_to_the_prompt(prompt):
    shell = prompt()
    shell.says(BEGIN)
    shell.says("def f(): return 1 / 0", "")
    shell.says("teleport(); f()")
    shell.shows("Traceback (most recent call last)")
    shell.shows("ZeroDivisionError: division by zero")
    assert (
        shell.gives("type(sys.last_value), os.getpid() != %d" % shell.pid)
        == "(<class 'ZeroDivisionError'>, True)"
    )
    shell.says("teleport(); sys.exit(5)")
    assert shell.ends()[0] == 5


@pytest.mark.skipif(sys.version_info < (3, 13), reason="what is typed has no lines in tracebacks before 3.13")
def test_the_lines_of_what_was_typed(prompt):
    shell = prompt()
    shell.says(BEGIN)
    shell.says("def f(): return 1 / 0 # at home", "")
    shell.moves()
    for name in "abc":
        shell.says("def %s(): return f() # at the peer" % name, "")
    shell.moves()
    shell.says("b()")
    shell.shows("def b(): return f() # at the peer")
    shell.shows("def f(): return 1 / 0 # at home")
    shell.shows("ZeroDivisionError")
    shell.exits(0)


def test_a_move_that_fails_leaves_the_prompt_at_home(prompt):
    shell = prompt()
    shell.says(BEGIN)
    shell.says("teleport(['false'])")
    shell.shows("TransportError")
    assert shell.gives("os.getpid()") == str(shell.pid)
    shell.moves()
    shell.exits(3)


def test_ctrl_c_and_ctrl_d(prompt):
    shell = prompt()
    shell.says(BEGIN)
    shell.moves()
    shell.says("while print('run' 'ning') is None:", "    while True: pass", "")
    shell.shows("running")
    shell.types("\x03")
    shell.shows("KeyboardInterrupt")
    shell.prompts()
    shell.types("12 +")
    shell.shows("12 +")
    shell.types("\x03")
    shell.shows("KeyboardInterrupt")
    assert shell.gives("1 + 1") == "2"
    shell.prompts()
    shell.types("\x04")
    assert shell.ends()[0] == 0


def test_history_and_completion(prompt):
    pytest.importorskip("readline")
    shell = prompt()
    shell.says(BEGIN)
    shell.says("some_long_name = 'so' 'me'")
    shell.says("some_long_name + '-typed-at-home'")
    shell.shows("some-typed-at-home")
    shell.moves()
    # The statement that moved, what was asked before it, and the one that is wanted.
    shell.prompts()
    shell.types("\x10" * 4)
    shell.shows("typed-at-home'")
    shell.types("\r")
    shell.shows("some-typed-at-home")
    shell.prompts()
    shell.types("some_lo\t")
    shell.shows("some_long_name")
    shell.types(" * 2\r")
    shell.shows("somesome")
    shell.exits(0)


def test_prompts_of_ones_own(prompt):
    shell = prompt()
    shell.says(BEGIN)
    shell.says("sys.ps1 = 'what? >>> '; sys.ps2 = 'and? ... '")
    shell.moves()
    shell.shows("what? ")
    shell.types("[\r")
    shell.shows("and? ")
    shell.types("]; exit(8)\r")
    assert shell.ends()[0] == 8


def test_callbacks_run_once_at_the_end(prompt):
    shell = prompt()
    shell.says(BEGIN + "; import atexit")
    shell.says("atexit.register(lambda: print('the ' + 'end of', os.getpid()))")
    pid = shell.moves()
    pid = shell.moves()
    shell.says("exit(4)")
    status, shown = shell.ends()
    assert status == 4
    assert [line for line in shown.splitlines() if "the end" in line] == ["the end of %d" % pid]


SCRIPT = """
from pyteleport import teleport
import os, sys
def f():
    here = os.getpid()
    teleport()
    return here != os.getpid()
moved = f()
print("script " + "done", sys.flags.interactive, sys.flags.inspect)
"""


def test_the_prompt_after_a_script(prompt, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    shell = prompt("-i", "script.py", "word")
    shell.shows("script done 1 1")
    assert shell.gives("moved, os.getpid() != %d, sys.argv, sys.flags.inspect" % shell.pid) == (
        "(True, True, ['script.py', 'word'], 1)"
    )
    shell.moves()
    assert shell.gives("f(), sys.flags.interactive") == "(True, 1)"
    shell.exits(9)


@pytest.mark.parametrize(
    ("ending", "shown"), [("f() / 0", "ZeroDivisionError"), ("sys.exit(3)", "SystemExit: 3")]
)
def test_the_prompt_after_a_script_that_raised(prompt, tmp_path, ending, shown):
    (tmp_path / "script.py").write_text(SCRIPT + ending)
    shell = prompt("-i", "script.py")
    shell.shows("script done 1 1")
    shell.shows("Traceback (most recent call last)")
    shell.shows(shown)
    assert shell.gives("moved, type(sys.last_value).__name__") == "(True, '%s')" % shown.partition(":")[0]
    shell.prompts()
    shell.types("\x04")
    assert shell.ends()[0] == 0


def test_the_prompt_that_a_script_asks_for(prompt, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT + "os.environ['PYTHONINSPECT'] = '1'\n")
    shell = prompt("script.py")
    shell.shows("script done 0 0")
    assert shell.gives("moved, sys.flags.inspect") == "(True, 0)"
    shell.exits(2)


def test_a_script_ends_without_a_prompt(prompt, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    shell = prompt("script.py")
    shell.shows("script done 0 0")
    assert shell.ends()[0] == 0


def test_a_prompt_of_the_program_itself(tmp_path):
    script = "from pyteleport import teleport\nimport code, os\ncode.interact(banner='', exitmsg='')\nprint('af' 'ter')\n"
    (tmp_path / "script.py").write_text(script)
    shell = Prompt(tmp_path, "basic", ["script.py"])
    try:
        shell.says("import os; from pyteleport import teleport")
        shell.says("x = 5")
        shell.moves()
        assert shell.gives("x") == "5"
        shell.prompts()
        shell.types("\x04")
        shell.shows("after")
        assert shell.ends()[0] == 0
    finally:
        shell.close()


def test_features_that_were_chosen_at_the_prompt(prompt):
    shell = prompt()
    shell.says(BEGIN)
    shell.says("from __future__ import annotations")
    shell.moves()
    shell.says("def f(x: nowhere): pass", "")
    assert shell.gives("f.__annotations__") == "{'x': 'nowhere'}"
    shell.exits(0)


def test_a_state_that_is_kept_at_the_prompt(prompt):
    shell = prompt()
    shell.says(BEGIN + ", dump")
    shell.says("x = 5")
    shell.says("'there' if dump('state.tp') else 'he' + 're'")
    shell.shows("'here'")
    shell.exits(0)
    again = prompt("state.tp")
    again.shows("'there'")
    assert again.gives("x") == "5"
    again.exits(6)


def test_a_block_runs_there_and_the_prompt_is_home_s_own(prompt):
    shell = prompt()
    shell.says(BEGIN + ", on; import socket; left, right = socket.socketpair()")
    shell.says("a = []; b = [a]; before = id(left)")
    assert shell.gives("os.getpid()") == str(shell.pid)
    for times in (1, 2):
        shell.says(
            "with on():", "    there = os.getpid(); a.append(there); print('th' + 'ere', type(left))", ""
        )
        shell.shows("there <class 'pyteleport.away.Away'>")
        assert shell.gives(
            "there != os.getpid() == %d, len(a), b[0] is a, id(left) == before" % shell.pid
        ) == ("(True, %d, True, True)" % times)
    shell.says("left.send(b'x'); right.recv(1) + b'yz'")
    shell.shows("b'xyz'")
    assert shell.gives("_") == "b'xyz'"
    shell.says("left.close(); right.close(); del left, right")
    shell.moves()
    assert shell.gives("len(a), b[0] is a") == "(2, True)"
    shell.exits(7)


def test_a_block_in_a_function_and_the_rest_of_the_line(prompt):
    shell = prompt()
    shell.says(BEGIN + ", on")
    shell.says("text = 'def f(n):|  with on():|    here = os.getpid() == %d|  return n, here'" % shell.pid)
    shell.says("exec(text.replace('|', chr(10)))")
    shell.says("[f(n) for n in (1, 2)], os.getpid() == %d, 'twe' + 'lve'" % shell.pid)
    shell.shows("([(1, False), (2, False)], True, 'twelve')")
    assert shell.gives("_[2]") == "twelve"
    shell.says("from pyteleport import home")
    shell.says("on().__enter__(); there = os.getpid(); home(); there != os.getpid() == %d" % shell.pid)
    shell.shows("True")
    shell.exits(0)


def test_an_exception_in_a_block_leads_home_and_to_the_prompt(prompt):
    shell = prompt()
    shell.says(BEGIN + ", on; import signal")
    shell.says("def f(): return 1 / 0", "")
    shell.says("with on(): f()", "")
    shell.shows("Traceback (most recent call last)")
    shell.shows("ZeroDivisionError: division by zero")
    assert (
        shell.gives("os.getpid() == %d, sys.last_type" % shell.pid) == "(True, <class 'ZeroDivisionError'>)"
    )
    shell.says("with on(): os.kill(os.getpid(), signal.SIGKILL)", "")
    shell.shows("TransportError: the program was ended by SIGKILL")
    assert shell.gives("os.getpid() == %d" % shell.pid) == "True"
    shell.says("with on(['false']): print('nowhere')", "")
    shell.shows("TransportError")
    # not all(... for ...): CPython 3.14's table of exceptions leaves out a jump of its own in that
    shell.says("with on(): print('run' 'ning'); exec('while 1: pass')", "")
    shell.shows("running")
    shell.types("\x03")
    shell.shows("KeyboardInterrupt")
    assert shell.gives("os.getpid() == %d" % shell.pid) == "True"
    shell.says("with on(): sys.exit(5)", "")
    assert shell.ends()[0] == 5


def test_history_after_a_block(prompt):
    pytest.importorskip("readline")
    shell = prompt()
    shell.says(BEGIN + ", on")
    shell.says("some_long_name = 'so' 'me'")
    shell.says("some_long_name + '-typed-before'")
    shell.shows("some-typed-before")
    shell.says("with on(): some_long_name += 'thing'", "")
    shell.prompts()
    shell.types("\x10" * 2)
    shell.shows("typed-before'")
    shell.types("\r")
    shell.shows("something-typed-before")
    shell.prompts()
    shell.types("some_lo\t")
    shell.shows("some_long_name")
    shell.types(" * 2\r")
    shell.shows("somethingsomething")
    shell.exits(0)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="what is typed has no lines in tracebacks before 3.13")
def test_the_lines_of_what_was_typed_after_a_block(prompt):
    shell = prompt()
    shell.says(BEGIN + ", on")
    shell.says("def f(): return 1 / 0 # before", "")
    shell.says("with on():", "    def g(): return f() # away", "")
    shell.says("def h(): return g() # after", "")
    shell.says("h()")
    shell.shows("def h(): return g() # after")
    shell.shows("def g(): return f() # away")
    shell.shows("def f(): return 1 / 0 # before")
    shell.shows("ZeroDivisionError")
    shell.exits(0)


def test_blocks_of_a_script_and_at_the_prompt_after_it(prompt, tmp_path):
    source = "import os\nfrom pyteleport import on, teleport\nwith on():\n    there = os.getpid()\nprint('script', 'done')\n"
    (tmp_path / "script.py").write_text(source)
    shell = prompt("-i", "script.py")
    shell.shows("script done")
    assert shell.gives("there != os.getpid() == %d" % shell.pid) == "True"
    shell.says("with on(): there = os.getpid(), 'th' + 'ere'", "")
    assert shell.gives("there[0] != os.getpid() == %d, there[1]" % shell.pid) == "(True, 'there')"
    shell.exits(9)


def test_copies_have_no_prompt(prompt):
    shell = prompt()
    shell.says(BEGIN + ", fork")
    shell.says("copies = fork(values=[1, 2]); print('is ' + 'one', copies if type(copies) is int else '')")
    shell.shows("is one")
    shell.says("[copy.wait() for copy in copies]")
    shell.shows("[0, 0]")
    shell.exits(1)


LINES = """import os, sys; from pyteleport import teleport
home = os.getpid()
def f(n):
    if n == 2:
        teleport()
    return n * 11

[f(n) for n in range(4)]
os.getpid() != home
teleport()
sys.exit(12)
"""


def test_statements_from_a_file(tmp_path):
    path = tmp_path / "statements"
    path.write_text(LINES)
    with open(path) as file:
        process = harness.spawn([sys.executable, "-i", "-q"], stdin=file)
        out, err = harness.finish(process)
    assert process.returncode == 12, err
    assert out == b"[0, 11, 22, 33]\nTrue\n"


BLOCKS = """import os; from pyteleport import on
home = os.getpid()
with on():
    there = os.getpid()

there != home == os.getpid()
with on(): there = 5

there
exit(12)
"""


@pytest.mark.parametrize("pipe", [False, True])
def test_blocks_from_a_file_or_a_pipe(tmp_path, pipe):
    path = tmp_path / "statements"
    path.write_text(BLOCKS)
    with open(path) as file:
        process = harness.spawn([sys.executable, "-i", "-q"], stdin=harness.subprocess.PIPE if pipe else file)
        out, err = harness.finish(process, BLOCKS.encode() if pipe else None)
    assert process.returncode == 12, err
    assert out == b"True\n5\n"


def test_statements_from_a_pipe_are_refused():
    process = harness.spawn([sys.executable, "-i", "-q"], stdin=harness.subprocess.PIPE)
    out, err = harness.finish(process, LINES.encode())
    assert process.returncode == 12, err
    assert out == b"False\n"
    assert err.count(b"CaptureError: the prompt reads ahead from a pipe") == 2


class IPython(Prompt):
    """IPython's prompt."""

    def __init__(self, folder, **env):
        pytest.importorskip("IPython")
        own = ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--colors=NoColor"]
        super().__init__(folder, "basic", own, PROMPT_TOOLKIT_NO_CPR="1", **env)

    def prompts(self):
        self.matches(r"In \[(\d+)\]: ")


@pytest.fixture
def ipython(tmp_path):
    """A session of IPython's."""
    shell = IPython(tmp_path)
    yield shell
    shell.close()


def test_ipython_goes_on(ipython, tmp_path):
    ipython.says(BEGIN)
    ipython.says("x = []; y = [x]")
    ipython.says("x is y[0], 'at ' 'home'")
    ipython.shows("Out[3]: (True, 'at home')")
    ipython.says("a = os.getpid(); teleport(); b = os.getpid(); (a != b, x is y[0])")
    ipython.shows("Out[4]: (True, True)")
    assert ipython.gives("Out, [In[n][0] for n in (1, 2, 3, 4)], _3[1]") == (
        "({3: (True, 'at home'), 4: (True, True)}, ['i', 'x', 'x', 'a'], 'at home')"
    )
    assert ipython.gives("get_ipython().user_ns is globals(), len(In)") == "(True, 7)"
    ipython.moves()
    ipython.says("%history -n 2")
    ipython.shows("x = []; y = [x]")
    ipython.says("exit")
    assert ipython.ends()[0] == 0


def test_ipython_shows_what_a_cell_raised(ipython):
    ipython.says(BEGIN)
    ipython.says("def f(): return 1 / 0")
    ipython.says("teleport(); f()")
    ipython.shows("ZeroDivisionError")
    ipython.shows("Cell In[3]")
    ipython.shows("Cell In[2]")
    ipython.shows("ZeroDivisionError: division by zero")
    ipython.says("(teleport(), f())")
    ipython.shows("Cell In[4]")
    ipython.shows("ZeroDivisionError: division by zero")
    ipython.says("teleport(); sys.exit(4)")
    ipython.shows("SystemExit: 4")
    assert ipython.gives("1 + 1") == "2"
    ipython.says("exit")
    assert ipython.ends()[0] == 0


def test_a_block_in_ipython(ipython):
    ipython.says(BEGIN + ", on; import socket; left, right = socket.socketpair(); x = []; y = [x]")
    ipython.says("with on(): x.append(os.getpid()); print('th' + 'ere', type(left).__name__)\n")
    ipython.types("\r")
    ipython.shows("there Away")
    assert ipython.gives("x[0] != os.getpid() == %d, y[0] is x" % ipython.pid) == "(True, True)"
    ipython.says("left.send(b'x'); right.recv(1) + b'yz'")
    ipython.shows("Out[4]: b'xyz'")
    ipython.says("def f(): return 1 / 0")
    ipython.types("\r")
    ipython.says("on().__enter__(); f()")
    ipython.shows("ZeroDivisionError")
    assert (
        ipython.gives("os.getpid() == %d, Out[4], _4, len(In)" % ipython.pid) == "(True, b'xyz', b'xyz', 8)"
    )
    ipython.says("left.close(); right.close(); del left, right")
    ipython.moves()
    ipython.says("exit")
    assert ipython.ends()[0] == 0


def test_ipython_has_a_magic(ipython):
    ipython.says("%load_ext pyteleport")
    ipython.says("import os; here = os.getpid()")
    ipython.says("%teleport")
    assert ipython.gives("here != os.getpid()") == "True"
    here = ipython.gives("os.getpid()")
    ipython.says("%teleport local:")
    assert ipython.gives("os.getpid()") != here
    ipython.says("exit")
    assert ipython.ends()[0] == 0


def test_a_move_that_fails_leaves_ipython_at_home(ipython):
    ipython.says(BEGIN + "; import threading")
    threads = ipython.gives("sorted(type(t).__name__ for t in threading.enumerate())")
    ipython.says("teleport(['false'])")
    ipython.shows("TransportError")
    assert ipython.gives("os.getpid()") == str(ipython.pid)
    assert ipython.gives("sorted(type(t).__name__ for t in threading.enumerate())") == threads
    ipython.moves()
    ipython.says("exit")
    assert ipython.ends()[0] == 0
