"""How far a move has come: told to a function, shown on a terminal, logged; and silent otherwise."""

import os
import pty
import select
import signal
import sys
import time

import harness
import pytest
from pyteleport import Progress

TOLD = """
        import os, sys
        told = []
        data = os.urandom(30_000_000)
        def tell(progress):
            told.append(progress)
            print("told", progress.phase)
        {statement}
        trail("gone")
"""


def phases(run):
    told = [line.split()[1] for line in run.stdout.splitlines() if line.startswith("told ")]
    return [phase for at, phase in enumerate(told) if told[at - 1 : at] != [phase]]


WAYS = {
    "local": "teleport(progress=tell)",
    "bash": "bash_teleport('bash', '-c', python=sys.executable, progress=tell)",
    "pipes": "bash_teleport('bash', '-c', python=os.environ['CUTTER'], progress=tell)",
    "dummy": "tp_dummy(progress=tell)",
}


@pytest.mark.parametrize("way", WAYS)
def test_a_function_is_told_of_a_move(move, way, cutter):
    run = move(TOLD.format(statement=WAYS[way]), env=cutter())
    assert (run.stderr, run.returncode, run.ended_in) == ("", 0, "peer")
    told = phases(run)
    assert told[:3] == ["connect", "capture", "send"], run.stdout
    assert set(told[3:]) <= {"start"}


def test_a_function_is_told_of_copies(move):
    run = move("""
        import os
        told = []
        data = os.urandom(10_000_000)
        made = fork(values=[1], progress=told.append)
        if isinstance(made, list):
            made[0].wait()
            assert told[-1].done == told[-1].total > len(data), told
            assert [p.seconds for p in told] == sorted(p.seconds for p in told)
            print(sorted({p.phase for p in told} - {"start"}))
    """)
    assert run.stdout == "['capture', 'connect', 'send']\n", run.stderr


def test_a_function_is_told_of_a_dump(move, tmp_path):
    run = move(f"""
        import io, os
        data = os.urandom(30_000_000)
        for place in ({str(tmp_path / "state.tp")!r}, io.BytesIO()):
            told = []
            if not dump(place, progress=told.append):
                size = os.path.getsize(place) if isinstance(place, str) else len(place.getvalue())
                print(told[0].phase, told[-1].phase, told[-1].done == told[-1].total <= size, told[-1].total > 30_000_000)
    """)
    assert run.stdout == "capture write True True\n" * 2, run.stderr


def test_what_it_is_told_is_frozen():
    told = Progress("send", 1, 2, 0.5)
    with pytest.raises(AttributeError):
        told.done = 2
    assert (told.phase, told.done, told.total, told.seconds) == ("send", 1, 2, 0.5)


@pytest.mark.parametrize("phase", ["connect", "capture", "send"])
def test_its_exception_is_that_of_the_call_and_nothing_has_moved(move, phase):
    run = move(f"""
        import os
        data = os.urandom(5_000_000)
        def tell(progress):
            if progress.phase == {phase!r}:
                raise LookupError("enough")
        try:
            teleport(progress=tell)
        except LookupError as error:
            trail("stayed")
            print(error)
        try:
            print(os.waitpid(-1, os.WNOHANG))
        except ChildProcessError:
            print("no child")
        hop()
        print("moved after all")
    """)
    assert run.stdout == "enough\nno child\nmoved after all\n", run.stderr
    assert run.trail[1] == ("stayed", run.home)


def test_a_dump_that_it_stops_leaves_no_file(move, tmp_path):
    path = tmp_path / "states" / "state.tp"
    path.parent.mkdir()
    run = move(f"""
        import os
        data = os.urandom(5_000_000)
        def tell(progress):
            if progress.phase == "write":
                raise LookupError("enough")
        try:
            dump({str(path)!r}, progress=tell)
        except LookupError as error:
            print(error, os.listdir({str(path.parent)!r}))
    """)
    assert run.stdout == "enough []\n", run.stderr


def test_a_move_that_it_makes_is_refused(move):
    run = move("""
        def tell(progress):
            if progress.phase == "send":
                teleport()
        try:
            teleport(progress=tell)
        except BoundaryError:
            trail("stayed")
            print("refused")
    """)
    assert run.stdout == "refused\n", run.stderr
    assert run.ended_in == "home"


@pytest.mark.parametrize("option", ["1", "'yes'", "object()"])
def test_what_is_no_function_is_refused(move, option):
    run = move(f"""
        try:
            teleport(progress={option})
        except TypeError as error:
            print("progress" in str(error))
    """)
    assert run.stdout == "True\n", run.stderr


# ---- on a terminal -----------------------------------------------------------------------------------------

# The far end is stopped for a while, as a slow line would: the pipe is full meanwhile.
SLOW = """
        import os, sys
        def main():
            huge, small = bytes(range(256)) * 100_000, b"x" * 20_000
            bash_teleport("bash", "-c", python="sleep 1.5;" + sys.executable{option})
            return len(huge) + len(small)
        print(main())
"""
WAITING = """
        import os, sys, time
        class Slow:
            def __reduce__(self):
                return exec, ("import time; time.sleep(1.5)",)
        def main():
            huge, small, slow = bytes(range(256)) * 100_000, b"x" * 20_000, Slow()
            {statement}
            return len(huge) + len(small)
        print(main())
"""


def shown(move, source, env):
    """What a program shows on a terminal that is its standard error, and what it prints."""
    program = move.write(source)
    _, plan = move.plan("all", "local")
    ours, theirs = pty.openpty()
    process = harness.spawn(
        [sys.executable, program],
        stderr=theirs,
        env=harness.environment(PYTELEPORT_TEST_PLAN=plan, TERM="xterm", COLUMNS="200", **env),
    )
    os.close(theirs)
    seen = b""
    end = time.monotonic() + harness.PATIENCE
    while time.monotonic() < end:
        if not select.select([ours], [], [], 1)[0]:
            continue
        try:
            block = os.read(ours, 65536)
        except OSError:  # nobody has it open
            break
        if not block:
            break
        seen += block
    else:
        os.killpg(process.pid, signal.SIGKILL)
    out = process.stdout.read()
    process.stdout.close()
    os.close(ours)
    assert process.wait() == 0, seen
    return seen.decode(), out.decode()


def without_rich(tmp_path):
    (tmp_path / "rich.py").write_text("raise ImportError('not here')\n")
    return {"PYTHONPATH": str(tmp_path)}


def test_a_terminal_shows_a_line_once_it_takes_long(move, tmp_path):
    seen, out = shown(move, WAITING.format(statement="teleport()"), without_rich(tmp_path))
    assert out == "25620000\n"
    assert "of 25.6 MB" in seen or "of 25.7 MB" in seen, seen
    assert "MB/s (main() → huge 25.6 MB" in seen
    assert "waiting for the other end 100 %" in seen
    assert seen.endswith("\r\x1b[K")  # and it is gone


def test_with_rich_it_is_a_bar(move):
    pytest.importorskip("rich")
    seen, out = shown(move, WAITING.format(statement="teleport()"), {})
    assert out == "25620000\n"
    assert "25.6/25.6 MB" in seen or "25.7/25.7 MB" in seen, seen
    assert "main() → huge" in seen


@pytest.mark.parametrize("statement", ["teleport(progress=False)", "hop()"])
def test_nothing_is_shown_where_nobody_wants_it_or_it_is_fast(move, tmp_path, statement):
    source = WAITING.format(statement=statement)
    if statement == "hop()":
        source = source.replace("time.sleep(1.5)", "pass")
    seen, out = shown(move, source, without_rich(tmp_path))
    assert (seen, out) == ("", "25620000\n")


def test_a_connection_that_takes_long_is_no_payload(move, tmp_path):
    seen, out = shown(move, SLOW.format(option=""), without_rich(tmp_path))
    assert (seen, out) == ("", "25620000\n")


# ---- the steps ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["local", "bash", "pipes"])
def test_the_steps_are_logged_at_both_ends(move, way, cutter):
    run = move(
        f"""
        import os, sys
        {harness.WAYS[way]}
        trail("gone")
        print("there")
    """,
        env={"PYTELEPORT_LOG": "debug", **cutter()},
    )
    assert (run.stdout, run.returncode) == ("there\n", 0)
    lines = [line.split(maxsplit=4) for line in run.stderr.splitlines()]
    assert {line[0] for line in lines} == {"pyteleport"}, run.stderr
    said = {int(pid): [] for _, pid, *_ in lines}
    for _, pid, passed, unit, text in lines:
        assert (float(passed) >= 0, unit) == (True, "ms:")
        said[int(pid)].append(text)
    home = said.pop(run.home)
    for step in ("spawn", "hello", "capture", "encode", "send", "committed"):
        assert any(text.startswith(step) for text in home), home
    there = [text for texts in said.values() for text in texts]
    for step in ("receive", "offered", "decode", "build", "ready", "goes on"):
        assert any(text.startswith(step) for text in there), there


@pytest.mark.parametrize("level", [None, "off", "error"])
def test_without_it_nothing_is_said(move, level):
    run = move("\n        hop()\n        print(1)\n", env={} if level is None else {"PYTELEPORT_LOG": level})
    assert (run.stdout, run.stderr) == ("1\n", "")
