"""Many captures in one process, and long chains of moves: counts and memory level off."""

import pytest

MEASURE = """
        import gc, io, os, sys
        def resident():
            return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") // 1024
        def objects():
            gc.collect()
            return len(gc.get_objects())
"""


@pytest.mark.parametrize("hook", [(), ("-X", "teleport")], ids=["armed", "recording"])
@pytest.mark.parametrize("ending", ["kept", "refused", "unmovable"])
def test_1000_captures(move, ending, hook):
    attempt = {
        "kept": "assert dump(io.BytesIO()) is None",
        "refused": "sorted([1], key=inside)",
        "unmovable": "unmovable()",
    }[ending]
    run = move(
        f"""{MEASURE}
        import socket
        class Thing:
            def __init__(self, n):
                self.n, self.me = n, self
        def inside(n):
            try:
                dump(io.BytesIO())
            except BoundaryError:
                return n
            raise AssertionError
        def unmovable():
            sock = socket.socket()
            try:
                dump(io.BytesIO())
            except UnmovableError:
                pass
            else:
                raise AssertionError
            sock.close()
        def work(depth, things):
            if depth:
                for item in (things, things):
                    return work(depth - 1, [item, depth, Thing(depth)])
            squares = (n for n in range(10))
            next(squares)
            try:
                raise KeyError("k")
            except KeyError:
                {attempt}
        marks = []
        for turn in range(1000):
            work(5, ["data" * 100])
            if turn in (99, 499, 999):
                marks.append((objects(), resident()))
        (o1, _), (o2, r2), (o3, r3) = marks
        print("objects grew by", o3 - o1 if o3 > o1 + 20 else 0)
        print("memory grew by", r3 - r2 if r3 > r2 + 1024 else 0, file=sys.stdout)
    """,
        flags=hook,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "objects grew by 0\nmemory grew by 0\n"


@pytest.mark.parametrize("hook", [(), ("-X", "teleport")], ids=["armed", "recording"])
def test_chain_of_200_moves(move, hook):
    run = move(
        f"""{MEASURE}
        marks = []
        def work(depth):
            if depth:
                return work(depth - 1) + 1
            for turn in range(200):
                hop()
                if turn in (9, 99, 199):
                    marks.append((objects(), resident()))
            return 0
        total = work(5)
        (o1, r1), (o2, r2), (o3, r3) = marks
        print(total, _hops)
        print("objects grew by", o3 - o2 if o3 > o2 + 20 else 0)
        print("memory grew by", r3 - r1 if r3 > r1 + 2048 else 0)
    """,
        flags=hook,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout == "5 200\nobjects grew by 0\nmemory grew by 0\n"
    assert run.moves == 200
