"""Between two builds of one release, each in a root file system of its own: of another micro version, for another
machine."""

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import pytest

OTHER = os.environ.get("PYTELEPORT_TEST_ELSEWHERE")
PROGRAMS = [
    path
    for path in sorted((Path(__file__).parent / "programs").glob("*.py"))
    if not path.stem.startswith("py31")
]

pytestmark = pytest.mark.skipif(
    not OTHER, reason="PYTELEPORT_TEST_ELSEWHERE names no other build of this release"
)

# A way out of the other root: hands the command, and the streams that it is to have, to who listens at home.
DOOR = """
import socket, sys
home = socket.socket(socket.AF_UNIX)
home.connect(sys.argv[1])
socket.send_fds(home, [sys.argv[2].encode()], [0, 1, 2])
sys.exit(int(home.makefile().readline()))
"""


WHICH = "import os, sys; which = lambda: (*sys.version_info[:3], os.uname()[4])"


@pytest.fixture(scope="session")
def builds():
    """(micro version, machine) of this end and of the other."""
    ends = []
    for python in (sys.executable, OTHER):
        command = [python, "-c", WHICH + "; print(*which())"]
        ends.append(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.decode().split())
    here, other = ends
    assert other[:2] == here[:2]
    assert other != here
    return " ".join(here), " ".join(other)


@pytest.fixture
def door(tmp_path):
    """The words of a command that runs one more, a shell command, outside of the other root."""
    path = str(tmp_path / "door")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def serve(client):
        with client:
            words, streams, *_ = socket.recv_fds(client, 1 << 16, 3)
            process = subprocess.Popen(
                ["sh", "-c", words], stdin=streams[0], stdout=streams[1], stderr=streams[2]
            )
            for each in streams:
                os.close(each)
            client.sendall(b"%d\n" % process.wait())

    def listen():
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=serve, args=(client,), daemon=True).start()

    threading.Thread(target=listen, daemon=True).start()
    script = tmp_path / "door.py"
    script.write_text(DOOR)
    yield [OTHER, str(script), path]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()


@pytest.mark.parametrize("start", ["here", "there"])
@pytest.mark.parametrize("program", PROGRAMS, ids=lambda path: path.stem)
def test_to_and_fro_through_files(move, builds, program, start):
    straight = move.straight(program)
    pythons = (sys.executable, OTHER) if start == "here" else (OTHER, sys.executable)
    moved = move(program, way="dump", pythons=pythons)
    assert moved.stdout == straight.stdout, moved.stderr
    assert (moved.stderr, moved.returncode) == (straight.stderr, 0)
    assert moved.moves == straight.hops


@pytest.mark.parametrize("flags", [(), ("-X", "teleport")], ids=["armed", "recording"])
def test_to_and_fro_through_pipes(move, builds, door, flags):
    here, other = builds
    run = move(
        f"""
        {WHICH}
        def values(n):
            for i in range(n):
                try:
                    if i % 2:
                        bash_teleport(*{door!r}, python={sys.executable!r})
                    else:
                        bash_teleport("sh", "-c", python={OTHER!r})
                finally:
                    trail("hop")
                yield which()
        print(*which())
        for each in [each for each in values(4)]:
            print(*each)
        print(input(), sys.exc_info()[0])
        sys.exit(7)
        """,
        stdin=b"line\n",
        flags=flags,
    )
    assert run.stdout.splitlines() == [here, other, here, other, here, "line None"], run.stderr
    assert (run.stderr, run.returncode) == ("", 7)
