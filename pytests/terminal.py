"""Programs in real terminals: what is typed, and waiting for what is shown."""

import os
import re
import sys

import harness
import pexpect

# The interpreter's own prompt, and the one that is made in Python.
KINDS = ["basic"] + ["coloured"] * (sys.version_info >= (3, 13))

# What a terminal is told beside what it is to show, and that.
_TOLD = r"\x1b(?:\[[0-9;?]*[@-~]|[=>])"

# What each does when it begins to read.
_BEGINS = {"basic": r">>> ", "coloured": r"\x1b\[\?2004h"}


class Terminal:
    """A command in a terminal of its own."""

    def __init__(self, command, folder, **env):
        variables = harness.environment(HOME=str(folder), NO_COLOR="1", **env)
        variables.pop("PYTHONFAULTHANDLER")
        self.child = pexpect.spawn(
            str(command[0]),
            [str(word) for word in command[1:]],
            env=variables,
            cwd=str(folder),
            encoding="utf-8",
            codec_errors="replace",
            timeout=harness.PATIENCE,
            dimensions=(24, 200),
        )
        self.child.delaybeforesend = None
        self.pid = self.child.pid

    def shows(self, text):
        """Wait for a text."""
        self.child.expect(f"(?:{_TOLD})*".join(re.escape(each) for each in text))

    def matches(self, pattern):
        """Wait for what a pattern describes: its groups."""
        self.child.expect(pattern)
        return self.child.match.groups()

    def types(self, keys):
        """Type them."""
        self.child.send(keys)

    def ends(self):
        """Wait for the end: the exit status, or a signal as a negative number; and what was shown last."""
        self.child.expect(pexpect.EOF)
        self.child.wait()
        signalled = self.child.signalstatus
        return (self.child.exitstatus if signalled is None else -signalled), re.sub(
            _TOLD, "", self.child.before
        )

    def close(self):
        """End whatever is left."""
        self.child.close(force=True)


class Prompt(Terminal):
    """A Python prompt of one of the kinds."""

    def __init__(self, folder, kind, arguments=(), python=sys.executable, **env):
        own = {"basic": {"TERM": "dumb", "PYTHON_BASIC_REPL": "1"}, "coloured": {"TERM": "xterm"}}[kind]
        super().__init__([python, *arguments], folder, **{**own, **env})
        self.kind = kind

    def prompts(self):
        """Wait for the prompt."""
        self.child.expect(_BEGINS[self.kind])

    def says(self, *lines):
        """Wait for the prompt, and type a statement."""
        self.prompts()
        for line in lines[:-1]:
            self.types(line + "\r")
            self.shows("... ")
        self.types(lines[-1] + "\r")

    def gives(self, expression):
        """The value of an expression, as text."""
        self.says("print('<' '<', (%s), '>' '>')" % expression)
        return self.matches(r"<< (.*?) >>")[0]

    def moves(self, call="teleport()"):
        """Move by a call, and say which process has gone on."""
        before = self.gives("os.getpid()")
        self.says(call)
        after = self.gives("os.getpid()")
        assert before != after
        return int(after)

    def exits(self, status):
        """Leave with a status."""
        self.says("exit(%d)" % status)
        assert self.ends()[0] == status


os.environ.pop("PYTHON_HISTORY", None)
