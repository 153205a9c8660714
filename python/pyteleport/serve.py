"""The server of warm peers: ``python -m pyteleport serve``.

It keeps processes that have started and wait (spares), each for what it is: which interpreter, with which
options and hash secret, of which user, session, limits and so on. A home says what a peer would be that it
started itself; a spare that is the same to the letter gets home's own socket, and from there on the two need
nobody else, until the end: the server is its parent, and tells whoever waits for the program how it ended.
``transport/src/warm.rs`` is their side of it.
"""

from __future__ import annotations

import array
import os
import selectors
import signal
import socket
import struct
import sys
import time

from . import _native, imports

__builtins__ = imports.BUILTINS

# How long after a spare was taken the next one is started, in seconds: the program that moves comes first.
_LATER = 0.05

# What nobody can be started as, whatever is tried; so many are remembered.
_HOPELESS = 64


class Spare:
    """A process that waits for a home.

    Attributes:
        wanted: what it was started to be.
        key: what it says that it is; ``None`` until it has started.
        asked: when it, or another like it, was asked for last.
    """

    def __init__(self, pid, line, wanted):
        self.pid = pid
        self.line = line
        self.wanted = wanted
        self.key = None
        self.heard = b""
        self.asked = time.monotonic()


class Server:
    """Listens, starts, hands over, and tells ends.

    Args:
        path: where to listen.
        pool: how many spares there are at most.
    """

    def __init__(self, path, pool):
        self.path = path
        self.pool = pool
        self.spares = []
        self.serving = {}  # pid: where its end is told
        self.waiting = []  # (socket, key) of who waits for a spare
        self.hopeless = []
        self.later = []  # (when, what `provide` is then called with)
        self.selector = selectors.DefaultSelector()
        self.listening = _listen(path)
        self.selector.register(self.listening, selectors.EVENT_READ, self.accept)
        self.ended, wakes = socket.socketpair()
        for each in (self.ended, wakes):
            each.setblocking(False)
        self.wakes = wakes
        self.selector.register(self.ended, selectors.EVENT_READ, self.reap)
        self.stopping = False

    def run(self):
        """Serves until a signal asks for the end, and then until the last program of its processes ends."""
        signal.set_wakeup_fd(self.wakes.fileno(), warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self.stop)
        while not (self.stopping and not self.serving):
            due = min((when for when, _ in self.later), default=None)
            for key, _ in self.selector.select(due and max(0, due - time.monotonic())):
                # What is done about one may let another go.
                if self.selector.get_map().get(key.fd) is key:
                    key.data(key.fileobj)
            now = time.monotonic()
            for each in [each for each in self.later if each[0] <= now]:
                self.later.remove(each)
                self.provide(*each[1])
        return 0

    def stop(self, *_):
        """Takes no more homes, and lets the spares go."""
        if self.stopping:
            os._exit(1)
        self.stopping = True
        self.selector.unregister(self.listening)
        os.unlink(self.path)
        self.listening.close()
        for spare in list(self.spares):
            self.drop(spare)
        for waiting, _ in self.waiting:
            waiting.close()

    # ---- homes

    def accept(self, listening):
        """Takes what a home says; one that dawdles is not waited for."""
        try:
            home, _ = listening.accept()
        except OSError:
            return
        try:
            home.settimeout(0.5)
            if _user_at(home) == os.geteuid():
                self.answer(home, *_request(home))
                return
        except (OSError, ValueError, struct.error):
            pass
        home.close()

    def answer(self, home, ask, key, argv, env):
        """Gives a home what it asks for, if it is there; and has it there the next time."""
        fitting = [spare for spare in self.spares if spare.key == key]
        if ask == b"p":
            self.provide(key, argv, env)
            self.waiting.append((home, key))
            self.tell_waiting()
            return
        given = any(self.hand_over(spare, home) for spare in fitting)
        if not given:
            home.sendall(b"n\0\0\0\0")
        home.close()
        self.later.append((time.monotonic() + _LATER, (key, argv, env)))

    def hand_over(self, spare, home):
        """Lets a home have a spare; false if that has died."""
        self.selector.unregister(spare.line)
        self.spares.remove(spare)
        ours, theirs = socket.socketpair()
        try:
            _send(home, b"y" + struct.pack("<i", spare.pid), theirs)
            _send(spare.line, b"home!", home)
        except OSError:
            ours.close()
            return False
        finally:
            theirs.close()
            spare.line.close()
        self.serving[spare.pid] = ours
        return True

    # ---- spares

    def provide(self, key, argv, env):
        """Sees to it that there is a spare for who asks next; the one asked for longest ago makes room."""
        there = [spare for spare in self.spares if key in (spare.key, spare.wanted)]
        for spare in there:
            spare.asked = time.monotonic()
        if there or key in self.hopeless or self.stopping or not self.pool:
            return
        while len(self.spares) >= self.pool:
            self.drop(min(self.spares, key=lambda spare: spare.asked))
        self.start(key, argv, env)

    def start(self, key, argv, env):
        """Starts one."""
        ours, theirs = socket.socketpair()
        argv = [word.replace(b"{fd}", b"%d" % theirs.fileno()) for word in argv]
        nothing = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in (0, 1)]
        try:
            theirs.set_inheritable(True)
            pid = os.posix_spawnp(
                argv[0],
                argv,
                env,
                file_actions=nothing,
                setsigmask=(),
                setsigdef=(signal.SIGPIPE, signal.SIGXFSZ),
            )
        except OSError:
            ours.close()
            self.hopeless = [*self.hopeless[-_HOPELESS:], key]
            return
        finally:
            theirs.close()
        ours.setblocking(False)
        spare = Spare(pid, ours, key)
        self.spares.append(spare)
        self.selector.register(ours, selectors.EVENT_READ, lambda _: self.listen(spare))

    def listen(self, spare):
        """Takes what a spare says that it is, or its end."""
        try:
            heard = spare.line.recv(65536)
        except OSError:
            heard = b""
        if not heard:
            self.hopeless = [*self.hopeless[-_HOPELESS:], spare.wanted]
            self.drop(spare)
            return
        spare.heard += heard
        if len(spare.heard) < 4 or len(spare.heard) < 4 + struct.unpack("<I", spare.heard[:4])[0]:
            return
        spare.key = spare.heard[4:]
        if spare.wanted not in (None, spare.key):
            # It would be the same the next time.
            self.hopeless = [*self.hopeless[-_HOPELESS:], spare.wanted]
        self.tell_waiting()

    def drop(self, spare):
        """Lets a spare go: it ends when its line does."""
        self.selector.unregister(spare.line)
        self.spares.remove(spare)
        spare.line.close()
        self.tell_waiting()

    def tell_waiting(self):
        """Tells those who wait for a spare whether there is one, once that is known."""
        still = []
        for home, key in self.waiting:
            if any(spare.key == key for spare in self.spares):
                answer = b"y\0\0\0\0"
            elif key in self.hopeless or not any(spare.wanted == key for spare in self.spares):
                answer = b"n\0\0\0\0"
            else:
                still.append((home, key))
                continue
            try:
                home.sendall(answer)
            except OSError:
                pass
            home.close()
        self.waiting = still

    # ---- ends

    def reap(self, ended):
        """Tells how processes have ended."""
        try:
            ended.recv(4096)
        except OSError:
            pass
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            line = self.serving.pop(pid, None)
            if line is None:
                continue
            if os.WIFSIGNALED(status):
                told = b"s" + struct.pack("<i", os.WTERMSIG(status))
            else:
                told = b"c" + struct.pack("<i", os.WEXITSTATUS(status))
            try:
                line.sendall(told)
            except OSError:
                pass  # nobody waits for it any more
            line.close()


def _listen(path):
    """A socket there, of this user alone.

    Raises:
        OSError: it cannot be.
    """
    folder = os.path.dirname(os.path.abspath(path))
    os.makedirs(folder, mode=0o700, exist_ok=True)
    facts = os.stat(folder)
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise PermissionError(f"{folder} must be this user's, and nobody else's (mode 0700)")
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listening.connect(path)
    except OSError:
        pass  # nobody is there, only what one has left perhaps
    else:
        raise FileExistsError(f"a server listens at {path} already")
    listening.close()
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    if os.path.exists(path):
        os.unlink(path)
    before = os.umask(0o177)
    try:
        listening.bind(path)
    finally:
        os.umask(before)
    listening.listen(64)
    listening.setblocking(False)
    return listening


def _user_at(connection):
    """The user at the other end."""
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return struct.unpack("3i", credentials)[1]


def _request(home):
    """What a home says: what it asks, for what, and how that is started."""
    length = struct.unpack("<I", _exactly(home, 4))[0]
    if length > 8 << 20:
        raise ValueError("a request that is too long")
    request = _exactly(home, length)
    parts, at = [], 1
    while at < len(request):
        size = struct.unpack_from("<I", request, at)[0]
        parts.append(request[at + 4 : at + 4 + size])
        at += 4 + size
    key, count, *words = parts
    count = struct.unpack("<I", count)[0]
    env = words[count:]
    return request[:1], key, words[:count], dict(zip(env[::2], env[1::2]))


def _exactly(home, count):
    data = b""
    while len(data) < count:
        block = home.recv(count - len(data))
        if not block:
            raise ValueError("it ended in the middle")
        data += block
    return data


def _send(to, data, attached):
    to.sendmsg([data], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [attached.fileno()]))])


def serve(arguments):
    """Serves until it is told to end; returns an exit status.

    Args:
        arguments: ``--pool N``, how many processes wait at most; ``--socket PATH``, where to listen.
    """
    from .api import _local_command
    from .interpreter import environment_of_peer

    options = dict(zip(arguments[::2], arguments[1::2]))
    path = os.path.abspath(options.get("--socket") or _native.server_path())
    pool = int(options.get("--pool", 4))
    try:
        server = Server(path, pool)
        os.chdir("/")  # so are its processes, until a program brings its own folder
    except OSError as error:
        print(f"pyteleport: {error}", file=sys.stderr)
        return 1
    env = dict(os.environb)
    for name, value in environment_of_peer():
        if value is None:
            env.pop(os.fsencode(name), None)
        else:
            env[os.fsencode(name)] = os.fsencode(value)
    argv = [os.fsencode("--warm" if word == "--fd" else word) for word in _local_command()]
    for _ in range(pool):
        server.start(None, argv, env)
    print(f"pyteleport serves at {path}", flush=True)
    return server.run()
