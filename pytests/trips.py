"""Programs that go there and back: their beginning, and the fixtures that run them; ways of copies, too."""

import textwrap

import pytest

# Targets: through a Python of which the test decides, and by a shell here.
WAYS = """
import os, sys
class Through:
    def command(self):
        from pyteleport.targets import Command
        return Command(["bash", "-c"], python=os.environ["CUTTER"])
class Here:
    def command(self):
        from pyteleport.targets import Command
        from shlex import quote
        return Command(["bash", "-c"], python=quote(sys.executable))
"""
HEAD = (
    textwrap.indent(WAYS, "    ")
    + """
    import contextlib, pyteleport, socket, threading
    from pyteleport import AwayError, TeleportError, TransportError
    STRAIGHT = sys.argv[1:] == ["straight"]
    def on(target=None, **options):
        return contextlib.nullcontext() if STRAIGHT else pyteleport.on(target, **options)
    HOME = os.getpid()
    def away():
        return STRAIGHT or os.getpid() != HOME
    def back():
        return os.getpid() == HOME
"""
)


def program(source):
    return HEAD + textwrap.indent(textwrap.dedent(source), "    ")


@pytest.fixture
def trip(move):
    """trip(source) runs a program whose blocks run elsewhere."""

    def run(source, **options):
        run = move(program(source), **options)
        assert (run.stderr, run.returncode) == ("", 0)
        assert run.ended_in == "home"
        return run.stdout

    return run


@pytest.fixture
def alike(trip, move):
    """alike(source) compares a program with itself not moving, standard error and exit status too."""

    def run(source, **options):
        straight = move(program(source), args=["straight"], **options)
        moved = move(program(source), **options)
        explain = f"{straight.stderr}\n--- and moving\n{moved.stderr}"
        assert (moved.stdout, moved.returncode) == (straight.stdout, straight.returncode), explain
        assert moved.stderr.replace("program2.py", "program1.py") == straight.stderr
        assert straight.stdout, "the program prints nothing"
        return moved

    return run


@pytest.fixture(params=["None", "Here()", "Through()"], ids=["local", "bash", "pipes"])
def place(request, cutter):
    """(argument of on() or fork(), environment) for each way there."""
    return request.param, cutter("never")
