"""States kept in files: dump, resume, `python state.tp`, any number of times."""

import os
import sys

import harness
import pytest

COUNTING = """
        import sys
        def count(state):
            total = 0
            for i in range(5):
                total += i
                if i == 2:
                    kept = dump(state)
                    print("resumed" if kept else "kept", kept is None, flush=True)
            return total
        print(count({state!r}), sys.argv[1:])
"""

WAYS = {
    "python state.tp": lambda state: [sys.executable, state],
    "python -m pyteleport resume": lambda state: [sys.executable, "-m", "pyteleport", "resume", state],
    "resume()": lambda state: [sys.executable, "-c", f"import pyteleport; pyteleport.resume({str(state)!r})"],
}


def go(argv, **options):
    process = harness.spawn(argv, **options)
    out, err = harness.finish(process)
    return process.returncode, out.decode(), err.decode()


@pytest.mark.parametrize("way", WAYS)
def test_dump_returns_none_here_and_something_true_there(move, way):
    state = move.folder / "state.tp"
    run = move(COUNTING.format(state=str(state)), args=["-v", "one"], env={"KEPT": "there"})
    assert run.stdout == "kept True\n10 ['-v', 'one']\n", run.stderr
    before = state.read_bytes()
    for _ in range(3):
        assert go(WAYS[way](state)) == (0, "resumed False\n10 ['-v', 'one']\n", "")
    assert state.read_bytes() == before


def test_value_given_to_resume_is_what_dump_returns(move):
    state = move.folder / "state.tp"
    move(f"""
        got = dump({str(state)!r})
        print(got)
    """)
    code = f"import pyteleport; pyteleport.resume({str(state)!r}, value={{'a': [1]}})"
    assert go([sys.executable, "-c", code]) == (0, "{'a': [1]}\n", "")


def test_nothing_of_the_resuming_program_runs_after_resume(move):
    state = move.folder / "state.tp"
    move(COUNTING.format(state=str(state)))
    code = f"""
import atexit, pyteleport
atexit.register(print, "of the old program")
try:
    pyteleport.resume({str(state)!r})
finally:
    print("never")
print("never")
"""
    assert go([sys.executable, "-c", code]) == (0, "resumed False\n10 []\n", "")


def test_file_objects_and_bytes_in_memory(move):
    state = move.folder / "state.tp"
    run = move(f"""
        import io
        memory = io.BytesIO()
        with open({str(state)!r}, "wb") as file:
            got = dump(file)
            if got:
                print("from the file", got)
                raise SystemExit(4)
        if dump(memory):
            print("from memory", memory.closed)
            raise SystemExit(5)
        open({str(state)!r} + "2", "wb").write(memory.getvalue())
        print("kept twice", len(memory.getvalue()) > 100)
    """)
    assert run.stdout == "kept twice True\n", run.stderr
    assert go([sys.executable, state]) == (4, "from the file True\n", "")
    code = f"import io, pyteleport; pyteleport.resume(io.BytesIO(open({str(state) + '2'!r}, 'rb').read()))"
    assert go([sys.executable, "-c", code]) == (5, "from memory False\n", "")


def test_a_checkpoint_in_each_turn_of_a_loop(move):
    folder = str(move.folder)
    run = move(f"""
        def work():
            log = []
            for i in range(4):
                came = dump({folder!r} + "/turn%d.tp" % i)
                log.append((i, bool(came)))
            return log
        print(work())
    """)
    fresh = [(i, False) for i in range(4)]
    assert run.stdout == f"{fresh}\n", run.stderr
    for k in (3, 2, 0):  # a resumed run keeps the turns after its own again
        expected = [(i, i == k) for i in range(4)]
        assert go([sys.executable, f"{folder}/turn{k}.tp"])[1] == f"{expected}\n"


def test_resumed_in_the_folder_of_the_program_without_its_source(move):
    state = move.folder / "state.tp"
    work = move.folder / "work"
    work.mkdir()
    run = move(
        f"""
        import os
        if dump({str(state)!r}):
            print(os.getcwd(), os.environ["COLOUR"])
            1 / 0
        os.remove(__file__)
    """,
        cwd=work,
        env={"COLOUR": "red"},
    )
    assert run.returncode == 0, run.stderr
    code, out, err = go([sys.executable, state], cwd="/")
    assert out == f"{work} red\n"
    assert code == 1
    assert "1 / 0" in err
    assert err.endswith("ZeroDivisionError: division by zero\n")
    assert "pyteleport" not in err


def test_a_dump_that_fails_keeps_the_file_that_was_there(move):
    state = move.folder / "state.tp"
    run = move(f"""
        import socket
        dump({str(state)!r})
        first = open({str(state)!r}, "rb").read()
        sock = socket.socket()
        try:
            dump({str(state)!r})
        except UnmovableError:
            print("refused", open({str(state)!r}, "rb").read() == first)
        sock.close()
    """)
    assert run.stdout == "refused True\n", run.stderr
    assert [p.name for p in move.folder.iterdir() if "state" in p.name] == ["state.tp"]


def test_dump_to_a_folder_that_is_not_there(move):
    run = move("""
        try:
            dump("/nonexistent/folder/state.tp")
        except OSError as error:
            print(type(error).__name__)
        except TeleportError as error:
            print("told", "/nonexistent/folder" in str(error))
        print("gone on")
    """)
    assert run.stdout in ("FileNotFoundError\ngone on\n", "told True\ngone on\n"), run.stderr


@pytest.mark.parametrize("way", WAYS)
def test_a_broken_file_is_one_clear_error(move, way):
    state = move.folder / "state.tp"
    move(COUNTING.format(state=str(state)))
    good = state.read_bytes()
    state.write_bytes(good[: len(good) // 3] + bytes([good[len(good) // 3] ^ 1]) + good[len(good) // 3 + 1 :])
    code, out, err = go(WAYS[way](state))
    assert code == 1
    assert out == ""
    assert "PayloadError" in err or "payload" in err.lower(), err


def test_a_file_of_another_release_says_so(move):
    other = os.environ.get("PYTELEPORT_TEST_OTHER")
    if not other:
        pytest.skip("PYTELEPORT_TEST_OTHER names no interpreter of another release with pyteleport in it")
    state = move.folder / "state.tp"
    move(COUNTING.format(state=str(state)))
    code, out, err = go([other, "-m", "pyteleport", "resume", state])
    assert code == 1
    assert out == ""
    assert harness.release_of(sys.executable) in err
    assert harness.release_of(other) in err


def test_states_made_by_a_resumed_program_resume_too(move):
    first, second = move.folder / "first.tp", move.folder / "second.tp"
    move(f"""
        def f():
            names = ["start"]
            if dump({str(first)!r}):
                names.append("first")
                if dump({str(second)!r}):
                    names.append("second")
            return names
        print(f())
    """)
    assert go([sys.executable, first])[1] == "['start', 'first']\n"
    assert go([sys.executable, "-m", "pyteleport", "resume", second])[1] == "['start', 'first', 'second']\n"
    assert go([sys.executable, second])[1] == "['start', 'first', 'second']\n"


def test_show_tells_what_each_variable_takes_and_runs_nothing(move):
    state = move.folder / "state.tp"
    run = move(f"""
        import array
        class Loud:
            def __init__(self):
                self.kept = b"k" * 3000
            def __reduce__(self):
                print("asked", flush=True)
                return make, (self.kept,)
        def make(kept):
            print("made", flush=True)
            return Loud()
        class Node:
            def __init__(self, text, near):
                self.text, self.near = text, near
        def work(given):
            large, cell = "x" * 100000, [array.array("d", [0.0]) * 5000]
            def inner():
                return cell
            parts = dict(enumerate(str(n) * 3 for n in range(1000)))
            return sum([len(large), dump({str(state)!r}) or 0, len(inner()), len(parts)])
        def steps():
            held = bytes(20000)
            yield held
        shared = Node("s" * 50000, None)
        left, right = Node("left", shared), [shared]
        loud, running = Loud(), steps()
        next(running)
        print(work(right))
    """)
    assert run.stdout.startswith("asked"), run.stderr
    code, out, err = go([sys.executable, "-m", "pyteleport", "show", state])
    assert (code, err) == (0, "")
    first, second, third, *lines = out.splitlines()
    assert first.endswith("in 2 frames")
    assert "program1.py" in first
    assert harness.release_of(sys.executable) in second
    assert third.split()[0] == f"{state.stat().st_size:,}"
    sizes = {line.split(None, 1)[1]: int(line.split()[0].replace(",", "")) for line in lines}
    expected = {
        "work() → large": 100000,
        "work() → cell": 40000,
        "work() → given": 50000,
        "__main__ → shared": 50000,
        "__main__ → left": 50000,
        "__main__ → right": 50000,
        "__main__ → loud": 3000,
        "__main__ → running": 20000,
    }
    for name, size in expected.items():
        assert size <= sizes[name] < size + 2500, (name, sizes)
    assert 3000 < sizes["work() → parts"] < 30000
    assert sizes["work() → large"] == max(sizes.values())
    assert sorted(sizes.values(), reverse=True) == list(sizes.values())
    state.write_bytes(state.read_bytes()[:-5000])
    code, out, err = go([sys.executable, "-m", "pyteleport", "show", state])
    assert code == 1
    assert out == ""
    assert "payload" in err
