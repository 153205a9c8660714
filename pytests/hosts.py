"""Fixture: hosts on this machine, each with a network, an address, a name and a real sshd of its own.

    network = hosts("home", "a", "b")
    network.url("a")              a target, from any of them
    network.cut("a")              nothing gets to `a` or from it any more, and nobody is told
    network.cut("a", "home")      only what `home` sends to it is lost
    network.mend()

Each is a network namespace; a switch in one more connects them. They share files, processes and users.
"""

import errno
import itertools
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from urllib.parse import quote

import harness
import pytest
from sshd import SSHD

_numbers = itertools.count()

# Of a host: a connection on which something was sent is given up after seconds, not a quarter of an hour.
QUICK_TO_GIVE_UP = {"net/ipv4/tcp_retries2": "3", "net/ipv4/tcp_orphan_retries": "20"}

# Of an ssh target: a line that is cut is noticed soon.
SOON = ("ServerAliveInterval=1", "ServerAliveCountMax=1")


def ip(*words):
    subprocess.run(["ip", *words], check=True, stdout=subprocess.DEVNULL)


def inside(space, *words):
    """A command that runs in a network namespace. (That of `ip netns exec` needs a root that is a mount.)"""
    return ["nsenter", f"--net=/run/netns/{space}", *words]


def ip_in(space, *words):
    subprocess.run(inside(space, "ip", *words), check=True, stdout=subprocess.DEVNULL)


def why_not():
    """Why there can be no namespaces; empty if there can."""
    if os.geteuid() != 0:
        return "only root makes network namespaces"
    missing = [tool for tool in ("ip", "nsenter", "unshare", "ssh") if not shutil.which(tool)]
    if missing or not SSHD:
        return f"there is no {' '.join(missing) or 'sshd'}"
    name = f"pyteleport{os.getpid()}"
    tried = subprocess.run(["ip", "netns", "add", name], stderr=subprocess.PIPE)
    if tried.returncode:
        return tried.stderr.decode().strip()
    ip("netns", "del", name)
    return ""


class Host:
    """One of them."""

    def __init__(self, name, number, network):
        self.name, self.network = name, network
        self.space = f"{network.space}-{name}"
        self.address = f"10.77.0.{number}"
        self.folder = network.folder / name
        self.folder.mkdir()
        self.server = None

    def connect(self):
        """A line to the switch."""
        switch = self.network.switch
        ip("netns", "add", self.space)
        ip(
            "link",
            "add",
            "eth0",
            "netns",
            self.space,
            "type",
            "veth",
            "peer",
            "name",
            self.name,
            "netns",
            switch,
        )
        ip_in(switch, "link", "set", "dev", self.name, "up", "master", "switch")
        ip_in(self.space, "address", "add", f"{self.address}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            ip_in(self.space, "link", "set", "dev", device, "up")

    def words(self, *argv):
        """A command that runs there."""
        name = ["unshare", "--uts", "sh", "-c", 'hostname "$0" && exec "$@"', self.name]
        return inside(self.space, *name, *(str(word) for word in argv))

    def settle(self, settings):
        """Sets what is the network's own of /proc/sys."""
        for name, value in settings.items():
            subprocess.run(
                self.words("tee", f"/proc/sys/{name}"),
                input=value.encode(),
                check=True,
                stdout=subprocess.DEVNULL,
            )

    def serve(self, *lines):
        """Starts its sshd."""
        keys = self.network.keys
        config = self.folder / "sshd_config"
        lines = [
            f"ListenAddress {self.address}",
            f"HostKey {keys}/host",
            f"AuthorizedKeysFile {keys}/authorized",
            f"PidFile {self.folder}/pid",
            "StrictModes no",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "UsePAM no",
            "PrintMotd no",
            f"SetEnv HOME={self.folder}",
            *lines,
        ]
        config.write_text("\n".join([*lines, ""]))
        command = self.words(SSHD, "-D", "-e", "-f", config)
        self.server = subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL)
        for line in self.server.stderr:
            if b"listening" in line:
                break
        else:
            raise AssertionError(f"sshd did not start: {self.server.wait()}")

    def processes(self):
        """Numbers of what runs there."""
        found = subprocess.run(["ip", "netns", "pids", self.space], check=True, stdout=subprocess.PIPE)
        return [int(word) for word in found.stdout.split()]

    def down(self):
        """Ends all that runs there, which is nobody else's, and takes it away."""
        while True:
            left = self.processes()
            for process in left:
                try:
                    os.kill(process, signal.SIGKILL)
                except ProcessLookupError:
                    pass
            if self.server:
                self.server.stderr.close()
                self.server.wait()
                self.server = None
            if not left:
                break
        ip("netns", "del", self.space)


class Network:
    """Hosts that are connected."""

    def __init__(self, folder, keys):
        self.folder, self.keys = folder, keys
        self.space = f"pt{os.getpid()}-{next(_numbers)}"
        self.switch = f"{self.space}-switch"
        self.hosts = {}
        self._cut = []

    def up(self, names, lines=(), settings=QUICK_TO_GIVE_UP):
        ip("netns", "add", self.switch)
        ip_in(self.switch, "link", "add", "switch", "type", "bridge")
        ip_in(self.switch, "link", "set", "dev", "switch", "up")
        for number, name in enumerate(names, 1):
            host = self.hosts[name] = Host(name, number, self)
            host.connect()
            host.settle(settings)
            host.serve(*lines)
        public = (self.keys / "host.pub").read_text()
        known = self.folder / "known"
        known.write_text("".join(f"{host.address} {public}" for host in self))
        general = [
            f"IdentityFile {self.keys}/user",
            "IdentitiesOnly yes",
            f"UserKnownHostsFile {known}",
            "GlobalKnownHostsFile /dev/null",
            "StrictHostKeyChecking yes",
            "BatchMode yes",
            "ConnectTimeout 20",
        ]
        self.config = self.folder / "ssh_config"
        each = [f"Host {host.name}\n HostName {host.address}\n" for host in self]
        self.config.write_text("".join([*each, "Host *\n", *(f" {line}\n" for line in general)]))

    def __iter__(self):
        return iter(self.hosts.values())

    def __getitem__(self, name):
        return self.hosts[name]

    def url(self, name, *options, python=sys.executable, before=()):
        """A target; options are lines of a configuration of ssh."""
        words = [f"config={quote(str(self.config))}", f"python={quote(str(python))}"]
        words += [f"option={quote(option)}" for option in options]
        words += [f"before={quote(command)}" for command in before]
        return f"ssh://{name}?" + "&".join(words)

    def python(self, name):
        """A command that is Python at a host, for programs that begin there."""
        command = self[name].folder / "python"
        words = " ".join(f"'{word}'" for word in self[name].words(sys.executable))
        command.write_text(f'#!/bin/sh\nexec {words} "$@"\n')
        command.chmod(0o755)
        return str(command)

    def cut(self, name, sender=None):
        """Cuts its line to the switch; with a sender, all that this one sends to it goes astray instead."""
        if sender is None:
            ip_in(self.switch, "link", "set", "dev", name, "down")
            self._cut.append(lambda: ip_in(self.switch, "link", "set", "dev", name, "up"))
            return
        neighbour = [self[name].address, "dev", "eth0"]
        ip_in(
            self[sender].space,
            "neighbour",
            "replace",
            *neighbour,
            "lladdr",
            "02:00:00:00:00:99",
            "nud",
            "permanent",
        )
        self._cut.append(lambda: ip_in(self[sender].space, "neighbour", "del", *neighbour))

    def mend(self):
        """All is connected again."""
        for mend in self._cut:
            mend()
        self._cut.clear()

    def down(self):
        for host in self:
            host.down()
        ip("netns", "del", self.switch)


@pytest.fixture(scope="session")
def namespaces():
    reason = why_not()
    if reason:
        pytest.skip(f"no network namespaces: {reason}")


@pytest.fixture
def hosts(namespaces, keys, tmp_path):
    """hosts(*names, lines=(), settings=...): a `Network`; lines are for each sshd's configuration."""
    networks = []
    os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # its privilege separation folder

    def connect(*names, **options):
        folder = tmp_path / f"network{len(networks)}"
        folder.mkdir()
        networks.append(Network(folder, keys))
        networks[-1].up(names, **options)
        return networks[-1]

    yield connect
    for network in networks:
        network.down()


class Crossing:
    """A place that a program comes by, in two files: it says that it is there, and waits to hear that it may go on."""

    def __init__(self, folder, name):
        self.reached, self.go = folder / f"{name}-reached", folder / f"{name}-go"
        for path in (self.reached, self.go):
            os.mkfifo(path)

    def shell(self):
        """The shell commands of one that comes by."""
        return f"echo $$ > {self.reached}; read go < {self.go}"

    def code(self):
        """The same in Python, as an expression; `os` is needed."""
        return f"(open({str(self.reached)!r}, 'w').write(str(os.getpid())), open({str(self.go)!r}).read())"

    def wait(self):
        """Waits for it; the number of the process."""
        file = os.open(self.reached, os.O_RDONLY | os.O_NONBLOCK)
        said = b""

        def is_said():
            nonlocal said
            said += os.read(file, 100) if select.select([file], [], [], 0.1)[0] else b""
            return said

        until(is_said)
        os.close(file)
        return int(said)

    def open(self):
        """It may go on."""

        def is_open():
            try:
                file = os.open(self.go, os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno == errno.ENXIO:  # nobody waits yet
                    return False
                raise
            os.write(file, b"go\n")
            os.close(file)
            return True

        until(is_open)


def start(move, source, python, **options):
    """Starts a program at a host: (process, its trail)."""
    program = move.write(source)
    trail, plan = move.plan("all", "local")
    env = harness.environment(PYTELEPORT_TEST_PLAN=plan)
    return harness.spawn([python, program], env=env, **options), trail


def until(happened, patience=harness.PATIENCE):
    """Waits for what no descriptor tells of."""
    deadline = time.monotonic() + patience
    while not happened():
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.01)


def parent(process):
    """The parent of a process."""
    with open(f"/proc/{process}/stat") as file:
        return int(file.read().rpartition(")")[2].split()[1])


def children(process):
    """The children of a process."""
    with open(f"/proc/{process}/task/{process}/children") as file:
        return [int(word) for word in file.read().split()]
