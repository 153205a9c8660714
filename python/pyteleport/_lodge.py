"""What a Python runs that has no pyteleport and is to receive a program: home sends it this text, and the
package.

That is unpacked into a temporary folder, of this user alone, and this process goes on in a fresh interpreter
that has it (``_peer.py``). Whoever runs from that folder holds a shared lock of a file in it: a guard waits
for all of them to end, and removes the folder. It is a session of its own, and no signal for the others
ends it; most often the last of them has removed the folder already (``transport/src/folder.rs``).
"""

import sys

if sys.path[:1] == [""]:
    del sys.path[0]

import fcntl
import io
import os
import shutil
import signal
import subprocess
import tempfile
import zipfile

# Both names are known in `transport/src/folder.rs` and `_peer.py`.
PREFIX = "pyteleport-"
LOCK = ".pyteleport-was-sent-here"


def lodge(read, output, words):
    """Goes on as a process that receives; returns an exit status if that cannot be.

    Args:
        read: a function that gives so many bytes from home.
        output: the descriptor that leads home.
        words: what ``receive`` is told.
    """
    package = read(int(read(8)))
    folder = None
    try:
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=place())
        lock = os.open(os.path.join(folder, LOCK), os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
        fcntl.flock(lock, fcntl.LOCK_SH)
        guard(folder)
        zipfile.ZipFile(io.BytesIO(package)).extractall(folder)
        os.set_inheritable(lock, True)
        peer = os.path.join(folder, "pyteleport", "_peer.py")
        flags = subprocess._args_from_interpreter_flags()
        argv = [sys.executable or "/proc/self/exe", *flags, peer, "--lodger", str(lock), *words]
        os.execv("/proc/self/exe", argv)
    except OSError as error:
        if folder is not None:
            shutil.rmtree(folder, ignore_errors=True)
        fail(output, "pyteleport cannot be put into a temporary folder at the far end: %s" % error)
    return 1


def place():
    """Where code may be run from."""
    for folder in (tempfile.gettempdir(), "/var/tmp", "/dev/shm"):
        try:
            allows = not os.statvfs(folder).f_flag & os.ST_NOEXEC
        except OSError:
            continue
        if allows and os.access(folder, os.W_OK | os.X_OK):
            return folder
    raise OSError("no code may be run from any of them; set TMPDIR")


def guard(folder):
    """Starts the process that removes the folder once nobody uses it."""
    if os.fork():
        return
    try:
        os.setsid()
        os.chdir("/")
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        # Whoever waits for the end of what we have open must not wait for us.
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in range(3):
            os.dup2(nothing, number)
        for number in map(int, os.listdir("/proc/self/fd")):
            if number > 2:
                os.closerange(number, number + 1)
        fcntl.flock(os.open(os.path.join(folder, LOCK), os.O_RDWR), fcntl.LOCK_EX)
        # The file stays until the rest is gone: who finds it locked waits for us.
        shutil.rmtree(os.path.join(folder, "pyteleport"), ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
    finally:
        os._exit(0)


def fail(output, text):
    """Tells home, in a packet."""
    body = b"".join(bytes(length(len(part))) + part for part in (b"TransportError", text.encode()[:9999]))
    head = b"\x00\xffpyteleport\r\n\x00\x00\x05" + len(body).to_bytes(4, "little")
    os.write(output, head + body)


def length(number):
    """A number in the way of postcard."""
    while number > 127:
        yield number & 127 | 128
        number >>= 7
    yield number


if "r" in globals():  # run by what `bare.begin` has started
    sys.exit(lodge(r, o, sys.argv[1:]))  # noqa: F821
