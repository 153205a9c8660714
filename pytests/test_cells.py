"""`%%on TARGET`: cells of IPython's and of Jupyter's that run elsewhere and come home."""

import json
import os
import re
import select
import sys

import harness
import pytest
from terminal import Prompt


class Lines(Prompt):
    """IPython's prompt, which takes a cell line by line."""

    def __init__(self, folder):
        pytest.importorskip("IPython")
        own = ["-m", "IPython", "--no-banner", "--no-confirm-exit", "--colors=NoColor", "--simple-prompt"]
        super().__init__(folder, "basic", own)

    def prompts(self):
        self.matches(r"In \[(\d+)\]: ")

    def runs(self, *lines):
        """Wait for the prompt, and type a cell."""
        self.prompts()
        for line in (*lines, ""):
            self.types(line + "\r")
            self.shows("...: ")
        self.types("\r")


@pytest.fixture
def ipython(tmp_path):
    """A session of IPython's, with the magics."""
    shell = Lines(tmp_path)
    shell.says("%load_ext pyteleport")
    shell.says("import os, socket; home = os.getpid(); x = []; y = [x]; left, right = socket.socketpair()")
    yield shell
    shell.close()


def test_a_cell_runs_there_and_its_names_come_home(ipython):
    ipython.runs(
        "%%on", "x.append(os.getpid()); print('prin' + 'ted', type(left).__name__)", "'va' + 'lue', y"
    )
    ipython.shows("printed Away")
    ipython.shows("Out[3]: ('value', [[")
    assert ipython.gives("x[0] != os.getpid() == home, y[0] is x, _[1] is y, Out[3] is _3 is _, len(In)") == (
        "(True, True, True, True, 5)"
    )
    ipython.says("left.send(b'x'); right.recv(1) + b'yz'")
    ipython.shows("Out[5]: b'xyz'")
    assert ipython.gives("_, __[0]") == "(b'xyz', 'value')"
    ipython.runs("%%on local:", "%time z = get_ipython().execution_count", "!echo from the 'sh'ell")
    ipython.shows("Wall time")
    ipython.shows("from the shell")
    ipython.says("exit")
    assert ipython.ends()[0] == 0


def test_what_a_cell_raises_is_raised_at_home(ipython):
    ipython.says("def f(): return 1 / 0 # at home")
    ipython.types("\r")
    ipython.runs("%%on", "def g(): return f()", "g() # away")
    ipython.shows("ZeroDivisionError")
    ipython.shows("Cell In[4], line 2" if sys.version_info >= (3, 9) else "line 2")
    ipython.shows("g() # away")
    ipython.shows("def f(): return 1 / 0 # at home")
    ipython.shows("ZeroDivisionError: division by zero")
    ipython.runs("%%on", "s = socket.socket()")
    ipython.shows("UnmovableError: ")
    ipython.shows("s (socket.socket) cannot move")
    ipython.shows("the program goes on at home, as it was when it left")
    assert ipython.gives("'s' in globals(), os.getpid() == home") == "(False, True)"
    ipython.runs("%%on", "x = 5; os._exit(3)")
    ipython.shows("TransportError: the program has ended with exit status 3")
    assert ipython.gives("x, y[0] is x") == "([], True)"
    ipython.runs("%%on nowhere:", "1")
    ipython.shows("ValueError: target 'nowhere:'")
    ipython.runs("%%on", "print('run' + 'ning'); exec('while 1: pass')")
    ipython.shows("running")
    ipython.types("\x03")
    ipython.shows("KeyboardInterrupt")
    assert ipython.gives("os.getpid() == home") == "True"


class Kernel:
    """A kernel of Jupyter's, and a frontend of it."""

    def __init__(self, folder):
        jupyter_client = pytest.importorskip("jupyter_client")
        pytest.importorskip("ipykernel")
        self.manager = jupyter_client.KernelManager(kernel_name="python3")
        variables = harness.environment(
            HOME=str(folder), IPYTHONDIR=str(folder), JUPYTER_CONFIG_DIR=str(folder)
        )
        command = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}", "--colors=NoColor"]
        self.manager.kernel_spec.argv[:] = command
        self.manager.start_kernel(env=variables, cwd=str(folder))
        self.client = self.manager.blocking_client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=harness.PATIENCE)
        self.runs("%load_ext pyteleport\nimport os, socket, sys; home = os.getpid(); x = []; y = [x]")

    def runs(self, code, hears=lambda kind, content: None):
        """Run a cell: its reply, and what came out of it, as texts and dictionaries by the kind of message."""
        out = {}

        def hear(message):
            kind, content = message["msg_type"], message["content"]
            if kind == "stream":
                name = content["name"]
                out[name] = out.get(name, "") + content["text"]
            elif kind not in ("status", "execute_input"):
                out.setdefault(kind, []).append(content)
            hears(kind, content)

        reply = self.client.execute_interactive(code, timeout=harness.PATIENCE, output_hook=hear)
        return reply["content"], out

    def gives(self, expression):
        """The value of an expression that JSON knows."""
        reply, out = self.runs("import json; print(json.dumps(%s))" % expression)
        assert reply["status"] == "ok", out
        return json.loads(out["stdout"])

    def close(self):
        """End it."""
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=True)
        self.manager.cleanup_resources()


@pytest.fixture
def kernel(tmp_path):
    """A kernel, with the magics."""
    started = Kernel(tmp_path)
    yield started
    started.close()


def plain(errors):
    """The traceback that is shown, without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(errors[0]["traceback"]))


def data_of(messages):
    return [message["data"] for message in messages]


def test_a_cell_of_a_kernel_runs_there(kernel):
    reply, out = kernel.runs(
        "left, right = socket.socketpair(); before = left, sys.stdout, get_ipython(), input"
    )
    assert reply["status"] == "ok"
    reply, out = kernel.runs(
        "%%on\n"
        "from IPython.display import HTML, clear_output, display\n"
        "x.append(os.getpid())\n"
        "print('printed', type(left).__name__)\n"
        "handle = display(HTML('<b>bold</b>'), display_id=True)\n"
        "print('err', file=sys.stderr)\n"
        "clear_output(wait=True)\n"
        "handle.update(HTML('<i>slanted</i>'))\n"
        "'value', y"
    )
    assert reply["status"] == "ok", out
    assert (out["stdout"], out["stderr"]) == ("printed Away\n", "err\n")
    assert [data["text/html"] for data in data_of(out["display_data"])] == ["<b>bold</b>"]
    assert [data["text/html"] for data in data_of(out["update_display_data"])] == ["<i>slanted</i>"]
    assert out["clear_output"] == [{"wait": True}]
    shown = out["execute_result"][0]
    assert shown["execution_count"] == reply["execution_count"] == 3
    assert shown["data"]["text/plain"].startswith("('value', [[")
    assert (
        kernel.gives("[x[0] != os.getpid() == home, y[0] is x, Out[3] is _3 is _, _[1] is y]") == [True] * 4
    )
    assert kernel.gives("before == (left, sys.stdout, get_ipython(), input)") is True
    assert kernel.gives("[left.send(b'x'), right.recv(1) == b'x']") == [1, True]
    reply, out = kernel.runs("_[0], 'next'")
    assert data_of(out["execute_result"]) == [{"text/plain": "('value', 'next')"}]
    reply, out = kernel.runs(
        "%%on local:\n%time z = [1, 2]\nimport asyncio\nawait asyncio.sleep(0)\n!echo from it\nz;"
    )
    assert (reply["status"], "execute_result" in out) == ("ok", False), out
    assert "Wall time" in out["stdout"]
    assert "from it" in out["stdout"]
    assert kernel.gives("z") == [1, 2]


def test_what_a_cell_of_a_kernel_raises_comes_home(kernel):
    kernel.runs("def f(): return 1 / 0 # at home")
    reply, out = kernel.runs("%%on\ndef g(): return f()\ng() # away")
    assert (reply["status"], reply["ename"], reply["evalue"]) == (
        "error",
        "ZeroDivisionError",
        "division by zero",
    )
    shown = plain(out["error"])
    assert "g() # away" in shown
    assert "return 1 / 0 # at home" in shown
    assert "run_cell" not in shown
    assert "pyteleport" not in shown
    assert kernel.runs("g()")[0]["ename"] == "ZeroDivisionError"
    reply, out = kernel.runs("%%on\nx =")
    assert reply["ename"] == "SyntaxError"
    reply, out = kernel.runs("%%on\nx = 5; s = socket.socket()")
    assert reply["ename"] == "UnmovableError"
    assert "as it was when it left" in reply["evalue"]
    reply, out = kernel.runs("%%on\nprint('th' + 'is', flush=True); x = 5; os.kill(os.getpid(), 9)")
    assert out["stdout"] == "this\n"
    assert reply["ename"] == "TransportError"
    assert "ended by SIGKILL" in reply["evalue"]
    reply, out = kernel.runs("%%on\ninput()")
    assert (reply["ename"], reply["evalue"]) == (
        "EOFError",
        "a cell that runs away from its kernel cannot ask",
    )
    assert kernel.gives("[x, y[0] is x, 's' in globals()]") == [[], True, False]


def test_threads_of_a_kernel_and_what_they_are_talked_to_with_stay(kernel):
    source = "import queue, threading\njobs, answers = queue.Queue(), queue.Queue()\n"
    source += (
        "thread = threading.Thread(target=lambda: [answers.put(job + 1) for job in iter(jobs.get, None)])\n"
    )
    kernel.runs(source + "thread.start(); before = id(thread), id(jobs)")
    reply, _ = kernel.runs("%%on\njobs.put(1)")
    assert reply["ename"] == "AwayError"
    assert "jobs (queue.Queue) has stayed at home" in reply["evalue"]
    assert kernel.gives("[before == (id(thread), id(jobs)), jobs.put(1), answers.get()]") == [True, None, 2]
    kernel.runs("jobs.put(None); thread.join()")


def test_a_kernel_that_is_interrupted_interrupts_its_cell(kernel):
    def hears(kind, content):
        if kind == "stream" and "running" in content["text"]:
            kernel.manager.interrupt_kernel()

    source = (
        "%%on\ndef f(): exec('while 1: pass')\nprint('running', flush=True)\nf() # until it is interrupted"
    )
    for _ in (1, 2):
        reply, out = kernel.runs(source + "\nx.append(1)", hears)
        assert reply["ename"] == "KeyboardInterrupt"
        assert "until it is interrupted" in plain(out["error"])
    caught = "try:\n    f()\nexcept KeyboardInterrupt:\n    x.append(os.getpid())"
    reply, out = kernel.runs("%%on\nprint('running', flush=True)\n" + caught, hears)
    assert reply["status"] == "ok", out
    assert kernel.gives("[len(x), x[0] != os.getpid() == home]") == [1, True]


def test_a_block_in_a_kernel_is_refused(kernel):
    reply, _ = kernel.runs("import pyteleport\nwith pyteleport.on(): pass")
    assert reply["ename"] == "CaptureError"
    assert "event loop" in reply["evalue"]
    assert kernel.gives("os.getpid() == home") is True


def test_the_session_of_a_kernel_goes_and_comes_home(kernel):
    kernel.runs("left, right = socket.socketpair(); before = left, sys.stdout, get_ipython(), input")
    assert kernel.runs("%teleport local:")[0]["status"] == "ok"
    reply, out = kernel.runs(
        "there = os.getpid(); x.append(there)\nprint('printed', type(left).__name__)\n'value', y"
    )
    assert out["stdout"] == "printed Away\n"
    assert out["execute_result"][0]["execution_count"] == reply["execution_count"] == 4
    assert kernel.gives(
        "[x == [os.getpid()] == [there], y[0] is x, there != home, _[1] is y, In[4][:5]]"
    ) == ([True] * 4 + ["there"])
    reply, out = kernel.runs("def f(): return 1 / 0 # there\nf()")
    assert (reply["status"], reply["ename"], reply["evalue"]) == (
        "error",
        "ZeroDivisionError",
        "division by zero",
    )
    assert "return 1 / 0 # there" in plain(out["error"])
    reply, out = kernel.runs(
        "from IPython.display import HTML, display\ndisplay(HTML('<b>bold</b>'))\n[1, 2];"
    )
    assert data_of(out["display_data"])[0]["text/html"] == "<b>bold</b>"
    assert "execute_result" not in out
    assert kernel.runs("x = = 1")[0]["ename"] == "SyntaxError"
    reply, out = kernel.runs("%teleport\n1")
    assert reply["ename"] == "UsageError"
    assert "is away from its kernel" in out["stderr"]

    def hears(kind, content):
        if kind == "stream" and "running" in content["text"]:
            kernel.manager.interrupt_kernel()

    for _ in (1, 2):
        reply, out = kernel.runs("print('run' 'ning', flush=True); exec('while 1: pass')", hears)
        assert reply["ename"] == "KeyboardInterrupt"
    assert kernel.runs("%%on\nfurther = os.getpid(); x.append(further)")[0]["status"] == "ok"
    assert (
        kernel.gives("[further not in (there, home), there == os.getpid(), x == [there, further]]")
        == [True] * 3
    )
    kernel.runs("opened = socket.socket()")
    reply, out = kernel.runs("%teleport --home")
    assert reply["ename"] == "UnmovableError"
    assert "opened (socket.socket)" in reply["evalue"]
    kernel.runs("opened.close(); del opened; last = 'thing'")
    assert kernel.runs("%teleport --home")[0]["status"] == "ok"
    assert kernel.gives("[x == [there, further], y[0] is x, os.getpid() == home, last, len(In)]") == (
        [True, True, True, "thing", int(kernel.runs("1")[0]["execution_count"])]
    )
    assert kernel.gives("before == (left, sys.stdout, get_ipython(), input)") is True
    assert kernel.gives("[left.send(b'x'), right.recv(1) == b'x', Out[4][1] is y]") == [1, True, True]
    assert "return 1 / 0 # there" in plain(kernel.runs("f()")[1]["error"])
    reply, out = kernel.runs("%teleport --home")
    assert reply["status"] == "error"
    assert "the session is at home" in out["stderr"]


def test_a_session_that_is_lost_is_at_home_as_it_was(kernel):
    kernel.runs("%teleport")
    reply, out = kernel.runs("x.append(1); there = os.getpid()")
    assert kernel.gives("[x, os.getpid() != home]") == [[1], True]
    reply, out = kernel.runs("print('th' 'is'); os.kill(os.getpid(), 9)")
    assert (reply["ename"], out["stdout"]) == ("TransportError", "this\n")
    assert "as it was when it left" in reply["evalue"]
    assert kernel.gives("[x, y[0] is x, 'there' in globals(), os.getpid() == home]") == [
        [],
        True,
        False,
        True,
    ]
    reply, out = kernel.runs("%teleport nowhere:")
    assert reply["ename"] == "ValueError"
    kernel.runs("%teleport")
    there = kernel.gives("os.getpid()")
    os.kill(there, 9)
    assert kernel.runs("1")[0]["ename"] == "TransportError"
    assert kernel.gives("os.getpid() == home") is True


def test_a_session_ends_with_its_kernel(kernel):
    kernel.runs("%teleport")
    there = os.pidfd_open(kernel.gives("os.getpid()")) if hasattr(os, "pidfd_open") else None
    kernel.client.shutdown()
    if there is not None:
        assert select.select([there], [], [], harness.PATIENCE)[0]


def test_classes_and_magics_of_a_cell_come_home(kernel):
    source = "class C:\n    def __repr__(self): return 'a C'\n"
    source += "from IPython.core.magic import register_line_magic\n@register_line_magic\ndef shout(line): return line.upper()\n"
    _, out = kernel.runs("%%on\n" + source + "c = C(); c")
    assert data_of(out["execute_result"]) == [{"text/plain": "a C"}], out
    _, out = kernel.runs("%shout hello")
    assert data_of(out["execute_result"]) == [{"text/plain": "'HELLO'"}], out
    assert kernel.gives("[type(c) is C, C.__module__]") == [True, "__main__"]
    _, out = kernel.runs("%%on\nc.n = 1; _shouted = get_ipython().run_line_magic('shout', 'again'); _shouted")
    assert data_of(out["execute_result"]) == [{"text/plain": "'AGAIN'"}], out
    assert kernel.gives("c.n") == 1


os.environ.setdefault("JUPYTER_PLATFORM_DIRS", "1")
