"""Lines between hosts that are cut, and processes at them that are killed, at each step: nothing lost, never two."""

import os
import signal
import sys

import harness
import pytest
from hosts import SOON, Crossing, children, parent, start, until


@pytest.fixture
def network(hosts):
    return hosts("home", "a")


@pytest.fixture
def crossing(tmp_path):
    return Crossing(tmp_path, "crossing")


def streams(process):
    out, err = harness.finish(process)
    return out.decode(), err.decode()


def what(trail):
    """What happened, without where."""
    return [line.split()[0] for line in trail.read_text().splitlines()]


def alone(host):
    """Whether nothing but its server runs there."""
    return host.processes() == [host.server.pid]


# ---- before Commit ----------------------------------------------------------------------------------------

MOVES = """
        import os, socket, sys
        class Passes:
            def __reduce__(self):
                return eval, ({decoding!r}, {{"os": os}})
        def told(progress):
            if progress.phase == "send" and 0 < progress.done < progress.total and "told" not in seen:
                seen.append("told")
                {sending}
        seen = []
        def f(passes):
            steps, payload = ["before"], os.urandom({size})
            try:
                teleport({target!r}, progress=told)
            except TransportError as error:
                trail("stayed", str(error))
                return [*steps, "stayed", len(payload), socket.gethostname()]
            trail("gone")
            return [*steps, "gone", len(payload), socket.gethostname()]
        print(*f(Passes()))
"""
STEPS = ("connecting", "sending", "decoding")


def at(step, network, crossing, tmp_path, *options):
    """A program that comes by the crossing in this step of its move to `a`."""
    python, decoding, sending = sys.executable, "None", "pass"
    size = 20_000_000 if step == "sending" else 100_000
    if step == "connecting":
        python = tmp_path / "python"
        python.write_text(f'#!/bin/sh\n{crossing.shell()}\nexec {sys.executable} "$@"\n')
        python.chmod(0o755)
    elif step == "sending":
        sending = crossing.code()
    else:
        decoding = crossing.code()
    target = network.url("a", *options, python=python)
    return MOVES.format(target=target, size=size, decoding=decoding, sending=sending), size


@pytest.mark.parametrize("step", STEPS)
def test_cut_before_commit_the_program_stays(move, network, crossing, tmp_path, step):
    source, size = at(step, network, crossing, tmp_path, *SOON)
    process, trail = start(move, source, network.python("home"))
    crossing.wait()
    network.cut("a")
    crossing.open()
    out, err = streams(process)
    assert (out, process.returncode) == (f"before stayed {size} home\n", 0), err
    assert what(trail) == ["start", "stayed", "end"]
    assert "not responding" in trail.read_text()
    network.mend()
    until(lambda: alone(network["a"]))
    assert what(trail) == ["start", "stayed", "end"]


@pytest.mark.parametrize("step", STEPS)
def test_a_cut_that_is_mended_is_none(move, network, crossing, tmp_path, step):
    source, size = at(step, network, crossing, tmp_path)
    process, trail = start(move, source, network.python("home"))
    crossing.wait()
    network.cut("a")
    crossing.open()
    network.mend()
    assert (*streams(process), process.returncode) == (f"before gone {size} a\n", "", 0)
    assert what(trail) == ["start", "gone", "end"]
    until(lambda: alone(network["a"]))


KILLED = {
    "the process there": lambda there, home: there,
    "the server's for it": lambda there, home: next(p for p in lineage(there) if comm(p).startswith("sshd")),
    "ssh": lambda there, home: children(home)[0],
}


def lineage(process):
    while process > 1:
        process = parent(process)
        yield process


def comm(process):
    with open(f"/proc/{process}/comm") as file:
        return file.read()


@pytest.mark.parametrize("whom", KILLED)
@pytest.mark.parametrize("step", ["connecting", "decoding"])
def test_killed_before_commit_the_program_stays(move, network, crossing, tmp_path, step, whom):
    source, size = at(step, network, crossing, tmp_path)
    process, trail = start(move, source, network.python("home"))
    os.kill(KILLED[whom](crossing.wait(), process.pid), signal.SIGKILL)
    out, err = streams(process)
    assert (out, process.returncode) == (f"before stayed {size} home\n", 0), err
    if step == "connecting" and whom != "the process there":
        crossing.open()  # it is no Python yet, that could see that home is gone
    until(lambda: alone(network["a"]))
    assert what(trail) == ["start", "stayed", "end"]


def test_when_home_is_killed_nothing_goes_on_there(move, network, crossing, tmp_path):
    source, _ = at("decoding", network, crossing, tmp_path)
    process, trail = start(move, source, network.python("home"))
    crossing.wait()
    process.kill()
    streams(process)
    until(lambda: alone(network["a"]))
    assert what(trail) == ["start"]


# ---- Commit itself ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("mended", [True, False])
def test_commit_is_cut_off(move, network, crossing, tmp_path, mended):
    """Ready comes through, and what home says to it goes astray."""
    source, size = at("decoding", network, crossing, tmp_path, *(() if mended else SOON))
    process, trail = start(move, source, network.python("home"))
    crossing.wait()
    network.cut("a", "home")
    crossing.open()
    until(lambda: comm(process.pid) != "" and is_pump(process.pid))
    if mended:
        network.mend()
        assert (*streams(process), process.returncode) == (f"before gone {size} a\n", "", 0)
        assert what(trail) == ["start", "gone", "end"]
        return
    out, err = streams(process)
    assert (out, process.returncode) == ("", 255)
    assert "the peer went away" in err
    assert what(trail) == ["start"]
    network.mend()
    until(lambda: alone(network["a"]))
    assert "stayed" not in what(trail)


def is_pump(process):
    with open(f"/proc/{process}/cmdline", "rb") as file:
        return b"_pump" in file.read()


# ---- after Commit -----------------------------------------------------------------------------------------

RUNS = """
        import os, signal, sys
        teleport({target!r}, **{options!r})
        trail("gone")
        print("there", flush=True)
        {crossing}
        print("goes on", flush=True)
        trail("goes on")
        sys.exit(5)
"""

# The far end asks often.
ASKING = ["export PYTELEPORT_ALIVE=0.2"]


def runs(network, crossing, *options, **more):
    target = network.url("a", *options, before=ASKING)
    return RUNS.format(target=target, crossing=crossing.code(), options=more)


def crossed(process, crossing):
    """Waits until the program is there, and what it has said is here: the number of its process."""
    assert process.stdout.readline() == b"there\n", process.stderr.read()
    return crossing.wait()


@pytest.mark.parametrize("mended", [True, False])
def test_cut_after_commit_the_program_is_hung_up(move, network, crossing, mended):
    """Also where the line is mended later, and by then nobody is there any more."""
    process, trail = start(move, runs(network, crossing, *SOON), network.python("home"))
    crossed(process, crossing)
    network.cut("a")
    out, err = streams(process)
    assert (out, process.returncode) == ("", 255)
    assert "not responding" in err
    assert "the peer went away" in err
    if mended:
        network.mend()
    until(lambda: alone(network["a"]))
    assert what(trail) == ["start", "gone"]


def test_cut_after_commit_and_mended_in_time_nothing_is_lost(move, network, crossing):
    process, trail = start(move, runs(network, crossing), network.python("home"))
    crossed(process, crossing)
    network.cut("a")
    crossing.open()
    until(lambda: "goes" in what(trail))
    network.mend()
    assert (*streams(process), process.returncode) == ("goes on\n", "", 5)


def test_cut_after_commit_a_program_that_is_detached_lives_on(move, network, crossing):
    source = runs(network, crossing, *SOON, detach=True)
    process, trail = start(move, source, network.python("home"))
    there = crossed(process, crossing)
    network.cut("a")
    out, err = streams(process)
    assert (out, process.returncode) == ("", 255)
    assert "the program goes on there" in err
    kept = network["a"].folder / f".local/state/pyteleport/{there}.out"
    until(kept.exists)
    crossing.open()
    until(lambda: alone(network["a"]))
    assert kept.read_text() == "goes on\n"
    assert what(trail) == ["start", "gone", "goes"]


@pytest.mark.parametrize("whom", KILLED)
def test_killed_after_commit_home_ends(move, network, crossing, whom):
    process, trail = start(move, runs(network, crossing), network.python("home"))
    there = crossed(process, crossing)
    os.kill(KILLED[whom](there, process.pid), signal.SIGKILL)
    streams(process)
    assert process.returncode == (-signal.SIGKILL if whom == "the process there" else 255)
    until(lambda: alone(network["a"]))
    assert what(trail) == ["start", "gone"]


# ---- a guest, and copies ----------------------------------------------------------------------------------

GUEST = """
        import os, signal, socket, sys
        from pyteleport import on
        class Passes:
            def __reduce__(self):
                if {step!r} == "returning" and os.getpid() != home:
                    eval({crossing!r})
                return Passes, ()
        home = os.getpid()
        passes, note = Passes(), {note!r}
        state = ["left"]
        try:
            with on({target!r}):
                state.append("there")
                with open(note, "w") as file:
                    file.write(str(os.getpid()))
                if {step!r} == "running":
                    eval({crossing!r})
        except TransportError as error:
            with open(note) as file:
                print("alive" if os.path.exists("/proc/" + file.read()) else "ended", error)
        print(state, os.getpid() == home)
"""


@pytest.mark.parametrize("mended", [True, False])
@pytest.mark.parametrize("step", ["running", "returning"])
def test_a_guest_has_ended_before_home_goes_on_in_its_place(move, network, crossing, tmp_path, step, mended):
    target = network.url("a", *(() if mended else SOON), before=["export PYTELEPORT_ALIVE=1"])
    source = GUEST.format(target=target, note=str(tmp_path / "note"), crossing=crossing.code(), step=step)
    process, _ = start(move, source, network.python("home"))
    crossing.wait()
    network.cut("a")
    if mended:
        crossing.open()
        network.mend()
        assert (*streams(process), process.returncode) == ("['left', 'there'] True\n", "", 0)
        return
    out, err = streams(process)
    assert process.returncode == 0, err
    assert out.splitlines()[0].startswith("ended the way to the program broke while it was away")
    assert out.splitlines()[1:] == ["['left'] True"]
    network.mend()
    until(lambda: alone(network["a"]))


def test_copies_behind_a_line_that_is_cut(move, network, tmp_path):
    source = f"""
        import os, signal, sys
        from pyteleport import channel, fork
        got = fork({network.url("a", *SOON, before=ASKING)!r}, [1, 2])
        if not isinstance(got, list):
            channel().send(got)
            while True:
                signal.pause()
        print([copy.channel.recv() for copy in got], flush=True)
        for copy in got:
            try:
                copy.channel.recv()
            except EOFError:
                print("at its end")
        print([copy.wait() for copy in got])
    """
    process, _ = start(move, source, network.python("home"))
    assert process.stdout.readline() == b"[1, 2]\n", process.stderr.read()
    network.cut("a")
    out, _ = streams(process)
    assert (out, process.returncode) == ("at its end\nat its end\n[255, 255]\n", 0)
    until(lambda: alone(network["a"]))
