"""The bytes of a state: broken ones are an error, big ones are moved without a second copy."""

import os
import subprocess
import sys

import harness
import pytest

KEEP = """
        import os
        data = [os.urandom(20_000), {"a": [1, 2.5, None]}, bytearray(b"x" * 70_000)]
        def f(n):
            squares = (i * i for i in range(n))
            next(squares)
            for name in ("a", "b"):
                try:
                    if dump(STATE):
                        print("RESUMED")
                        os._exit(50)
                finally:
                    data.append(name)
        f(5)
"""


@pytest.fixture
def state(move):
    path = move.folder / "state.tp"
    run = move(KEEP.replace("STATE", repr(str(path))))
    assert run.returncode == 0, run.stderr
    return path


BREAK = """
import io, random, sys
import pyteleport
whole = open(sys.argv[1], "rb").read()
end = whole.rindex(b"PK\x03\x04")  # behind the payload is a small zip file, by which Python knows what to run
good, behind = whole[:end], whole[end:]
chosen = random.Random(int(sys.argv[3]))
other = []
def noise(n):
    return bytes(chosen.getrandbits(8) for _ in range(n))
def attempt(what, data):
    try:
        pyteleport.resume(io.BytesIO(data))
    except pyteleport.PayloadError as error:
        assert str(error), what
    except BaseException as error:
        other.append((what, repr(error)))
    else:
        other.append((what, "no error"))
head = min(600, len(good))
if sys.argv[2] == "flipped":
    places = list(range(head)) + [chosen.randrange(len(good)) for _ in range(400)]
    for place in places:
        flipped = bytes([good[place] ^ chosen.choice([1, 128, 255])])
        attempt("byte %d" % place, good[:place] + flipped + good[place + 1:] + behind)
elif sys.argv[2] == "cut":
    for place in list(range(head)) + [chosen.randrange(len(good)) for _ in range(200)] + [len(good) - 1]:
        attempt("cut at %d" % place, good[:place])
elif sys.argv[2] == "mixed":
    for _ in range(300):
        a, b = sorted(chosen.randrange(len(good) - 1) for _ in range(2))  # what is whole may have more behind
        attempt("without %d:%d" % (a, b + 1), good[:a] + good[b + 1:] + behind)
        attempt("%d:%d twice" % (a, b + 1), good[:b + 1] + good[a:] + behind)
        attempt("random %d" % a, good[:a] + noise(b - a + 1) + good[b + 1:] + behind)
    attempt("nothing", b"")
    attempt("text", b"import sys\\n" * 100)
    attempt("no payload", behind)
print("tried, not a PayloadError:", other[:5], len(other))
"""


@pytest.mark.parametrize("how", ["flipped", "cut", "mixed"])
def test_broken_bytes_are_a_payload_error(state, how):
    """In one process: it is still itself after each of them. Resuming would print, and end it."""
    process = harness.spawn([sys.executable, "-c", BREAK, state, how, "1"])
    out, err = harness.finish(process)
    assert process.returncode == 0, out.decode() + err.decode()
    assert out.decode() == "tried, not a PayloadError: [] 0\n"


def test_the_state_itself_was_fine(state):
    process = harness.spawn([sys.executable, state])
    out, err = harness.finish(process)
    assert (process.returncode, out) == (50, b""), err  # os._exit() leaves the buffer unwritten


def moved_peak(move, source):
    """(run's stdout, peak resident memory in MB of the biggest process on the program's way)."""
    program = move.write(source)
    _, plan = move.plan("all", "local")
    process = harness.spawn(
        [sys.executable, program], env=harness.environment(PYTELEPORT_TEST_PLAN=plan), stderr=None
    )
    out = process.stdout.read()
    # ru_maxrss of a reaped process is the largest of itself, also before an exec, and of those it reaped.
    _, status, usage = os.wait4(process.pid, 0)
    process.stdout.close()
    process.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    assert process.returncode == 0
    return out.decode(), usage.ru_maxrss / 1024


GIGABYTE = 1 << 30


def test_a_gigabyte_of_bytes_in_a_local(move):
    out, peak = moved_peak(
        move,
        """
        import os, zlib
        def f():
            data = bytes(1 << 30)
            hop()
            return len(data), data.count(0), data[-1]
        pid = os.getpid()
        print(f(), os.getpid() != pid)
    """,
    )
    assert out == f"({GIGABYTE}, {GIGABYTE}, 0) True\n"
    assert peak < 1024 + 200, f"{peak:.0f} MB"


def test_a_gigabyte_of_numpy_in_a_local(move):
    out, peak = moved_peak(
        move,
        """
        import numpy as np
        def f():
            data = np.arange(1 << 27, dtype=np.int64)
            hop()
            data[0] = 7
            return data.nbytes, int(data[-1]), int(data[123456789]), data.flags.writeable
        print(f())
    """,
    )
    assert out == f"({GIGABYTE}, {(1 << 27) - 1}, 123456789, True)\n"
    assert peak < 1024 + 200, f"{peak:.0f} MB"


def test_big_data_over_pipes(move, same):
    same(
        """
        import hashlib
        data = bytes(range(256)) * 200_000
        view = bytearray(data)
        def f():
            copy = data[1:]
            hop()
            return hashlib.sha1(copy).hexdigest(), hashlib.sha1(view).hexdigest(), len(data)
        print(f())
    """,
        ways=("bash", "dump"),
        hooks=("armed",),
    )


def test_a_trivial_script_keeps_little(tmp_path):
    """Its own lines, its environment, and where it looks for modules."""
    script, state = tmp_path / "trivial.py", tmp_path / "state.tp"
    script.write_text("import sys\nfrom pyteleport import dump\ndump(sys.argv[1])\n")
    subprocess.run([sys.executable, script, state], env={"PATH": os.environ["PATH"]}, check=True)
    assert state.stat().st_size < 4096
