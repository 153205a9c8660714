"""There and not back: what ends a trip, what refuses one, and what home is then."""

import os
import resource
import signal
import subprocess
import sys
import textwrap

import pytest
from harness import environment, finish, spawn
from trips import WAYS, program


@pytest.mark.parametrize("whom", ["the program", "the way"])
def test_peer_that_dies_in_the_block_leaves_the_program_at_home(trip, place, whom):
    target, env = place
    out = trip(
        f"""
        import signal
        def work():
            state = ["left"]
            try:
                with on({target}):
                    state.append("there")
                    os.kill(os.getpid() if {whom == "the program"} else os.getppid(), signal.SIGKILL)
                    if {whom == "the way"}:
                        signal.pause()
                    print("never")
            except TransportError as error:
                print(error, state, back())
            try:
                os.waitpid(-1, 0)
            except ChildProcessError:
                print("no children")
            with on({target}):
                state.append("again")
            return state
        print(work(), back())
    """,
        env={**env, "PYTELEPORT_ALIVE": "0.1"},  # home waits for as long as a program there could be alive
    )
    first, second, third = out.splitlines()
    if whom == "the program":
        assert first.startswith(
            "the program was ended by SIGKILL while it was away; the program goes on at home"
        )
    else:
        assert first.startswith("the way to the program broke while it was away; the program goes on at home")
    assert first.endswith("['left'] True")
    assert (second, third) == ("no children", "['left', 'again'] True")


def test_program_that_has_come_another_way_has_no_home(trip):
    out = trip("""
        with on():
            got = pyteleport.fork(values=["copy"])
            if got == "copy":
                try:
                    pyteleport.home()
                except TeleportError as error:
                    print("copy:", str(error).split(": ")[1], flush=True)
                os._exit(0)
            print(got[0].wait(), flush=True)
            for move in (pyteleport.teleport, lambda: pyteleport.bash_teleport("bash", "-c")):
                try:
                    move()
                except pyteleport.CaptureError as error:
                    print(error, away(), flush=True)
            if os.fork() == 0:
                try:
                    pyteleport.home()
                except TeleportError as error:
                    print("child:", str(error).split(": ")[1], flush=True)
                os._exit(0)
            os.wait()
            got = None
        print(back())
    """)
    # What a copy writes comes out when it does.
    assert sorted(out.splitlines()) == sorted(
        [
            "copy: it has no home to return to",
            "0",
            *["the program is away from home, by on(): come home first, or use on() from here, too True"] * 2,
            "child: it has no home to return to",
            "True",
        ]
    )


def test_what_fails_before_leaves_the_program_as_it_was(trip):
    out = trip("""
        left, right = socket.socketpair()
        def key(n):
            with on():
                print("never")
            return n
        for attempt in (lambda: sorted([2, 1], key=key), lambda: on(["false"]).__enter__(), lambda: on(7)):
            try:
                attempt().__enter__()
            except (TeleportError, TypeError) as error:
                print(type(error).__name__)
        def in_thread():
            try:
                with on(): print("never")
            except TeleportError as error:
                print(error)
        thread = threading.Thread(target=in_thread)
        thread.start(); thread.join()
        async def loop():
            try:
                with on(): print("never")
            except TeleportError as error:
                print(error)
        import asyncio
        asyncio.run(loop())
        left.send(b"x")
        print(right.recv(1), back())
    """)
    assert out.splitlines() == [
        "BoundaryError",
        "TransportError",
        "TypeError",
        "on() brings back the main thread, and this is another one",
        "on() cannot bring an event loop back that runs in this thread; use ateleport(), or leave it",
        "b'x' True",
    ]


def test_what_was_made_there_and_cannot_travel_is_refused_there(trip):
    out = trip("""
        def work():
            try:
                with on():
                    conn, other = socket.socketpair()
                    made = 1
            except pyteleport.UnmovableError as error:
                print(away(), [path for path, _reason in error.culprits])
                conn.close(); other.close()
                stop = threading.Event()
                thread = threading.Thread(target=stop.wait)
                thread.start()
                try:
                    pyteleport.home()
                except pyteleport.CaptureError as error:
                    print(error)
                stop.set()
                thread.join()
                pyteleport.home()
            print(made, back(), conn)
        work()
    """)
    first, second, third = out.splitlines()
    assert first == "True ['work() → conn (socket.socket)', 'work() → other (socket.socket)']"
    assert (
        second == "threads that were started away from home run here: join them before the program comes back"
    )
    assert third.startswith("1 True <socket.socket [closed] fd=-1")


def test_program_that_cannot_be_built_at_home_goes_on_there_as_it_left(trip):
    out = trip("""
        class Fragile:
            def __init__(self): self.born = os.getpid()
            def __getstate__(self): return {"born": self.born}
            def __setstate__(self, state):
                self.__dict__.update(state)
                if os.getpid() == HOME:
                    raise ValueError("not here")
        made = None
        mark = ["left"]
        def work():
            global made
            try:
                with on():
                    made = Fragile()
                    mark.append("there")
                    globals()["new"] = 1
            except pyteleport.ResumeError as error:
                print(error, made, mark, "new" in globals(), back())
        main = sys.modules["__main__"]
        work()
        made = None
        with on():
            mark.append("again")
        print(mark, back(), main is sys.modules["__main__"])
    """)
    assert out.splitlines() == [
        "the objects cannot be built here: ValueError: not here None ['left'] False True",
        "['left', 'again'] True True",
    ]


@pytest.mark.parametrize("ending", ["sys.exit(3)", "os._exit(4)", "quits()"])
def test_program_that_ends_away_ends(move, ending):
    run = move(
        program(f"""
        def quits():
            pyteleport.home()
            sys.exit(5)
        try:
            with on():
                print("goes", flush=True)
                {ending}
            print("never")
        finally:
            print("finally", back())
    """)
    )
    expected = "goes\n" if "_exit(4)" in ending else "goes\nfinally True\n"
    assert (run.stdout, run.stderr, run.returncode) == (
        expected,
        "",
        int(ending[-2]) if "exit" in ending else 5,
    )


SIGNALLED = (
    textwrap.indent(WAYS, "    ")
    + """
    import signal, time, pyteleport
    home = os.getpid()
    def usr1(number, frame):
        print("usr1", os.getpid() != home, flush=True)
    signal.signal(signal.SIGUSR1, usr1)
    try:
        with pyteleport.on({target}):
            print("there", flush=True)
            while True:
                time.sleep(0.01)  # one that comes just before pause() would not end it
    except KeyboardInterrupt:
        print("interrupted", os.getpid() == home, flush=True)
"""
)


@pytest.mark.parametrize("target", ["None", "Through()"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_for_home_reach_the_program(tmp_path, cutter, target, number):
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(SIGNALLED.replace("{target}", target)))
    process = spawn([sys.executable, path], env=environment(**cutter("never")))
    assert process.stdout.readline() == b"there\n"
    process.send_signal(signal.SIGUSR1)
    assert process.stdout.readline() == b"usr1 True\n"
    process.send_signal(number)
    out, err = finish(process)
    if number == signal.SIGINT:
        assert (out, err, process.returncode) == (b"interrupted True\n", b"", 0)
    else:
        assert (out, err, process.returncode) == (b"", b"", -signal.SIGTERM)


def test_guest_ends_with_its_home(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(
        textwrap.dedent("""
        import os, signal, pyteleport
        with pyteleport.on():
            print(os.getpid(), flush=True)
            while True:
                signal.pause()
    """)
    )
    process = spawn([sys.executable, path])
    guest = int(process.stdout.readline())
    descriptor = os.pidfd_open(guest) if hasattr(os, "pidfd_open") else None
    process.kill()
    # Its standard output is home's: that ends with the last process which has it.
    assert finish(process) == (b"", b"")
    if descriptor is not None:
        os.close(descriptor)


def test_trips_end_with_an_error_where_the_stack_does(tmp_path):
    # Each leaves frames on the C stack at home.
    source = """
        def down(n):
            try:
                return down(n + 1)
            except RecursionError:
                return n
        def nested(n):
            made = []
            for _ in range(n):
                made = [made]
            return repr(made)
        def tour():
            for n in range(100_000):
                try:
                    with on():
                        pass
                except pyteleport.CaptureError as error:
                    return n, str(error)
        most = down(0)
        n, text = tour()
        print(10 < n < 1000, text.split(" for ")[0], back(), down(0) == most)
        try:
            nested(sys.getrecursionlimit() * 100)
        except RecursionError:
            print("deep")
        again = tour()
        print(again[0] < 10, again[1].split(" for ")[0])
    """
    path = tmp_path / "program.py"
    path.write_text(textwrap.dedent(program(source)))

    def limited():
        resource.setrlimit(resource.RLIMIT_STACK, (1280 << 10, 1536 << 10))

    run = subprocess.run(
        [sys.executable, path], preexec_fn=limited, env=environment(), capture_output=True, text=True
    )
    assert (run.stderr, run.returncode) == ("", 0)
    said = "the C stack has no room"
    assert run.stdout.splitlines() == [f"True {said} True True", "deep", f"True {said}"]
