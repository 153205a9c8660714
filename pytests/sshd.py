"""Fixtures: real servers on the loopback, with keys and a configuration of their own."""

import os
import shutil
import socket
import subprocess

import pytest

SSHD = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.fixture(scope="session")
def keys(tmp_path_factory):
    folder = tmp_path_factory.mktemp("keys")
    for name in ("host", "user"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", folder / name], check=True
        )
    (folder / "authorized").write_text((folder / "user.pub").read_text())
    (folder / "authorized").chmod(0o600)
    return folder


@pytest.fixture
def sshd(keys, tmp_path):
    """sshd(*lines) starts a server with these lines of configuration too, and gives the client's ssh command."""
    assert SSHD, "openssh-server is needed for these tests"
    if os.geteuid() == 0:
        os.makedirs("/run/sshd", mode=0o755, exist_ok=True)  # its privilege separation folder
    servers = []

    def start(*lines):
        port = free_port()
        config = tmp_path / f"sshd{len(servers)}"
        config.write_text(
            "\n".join(
                [
                    f"Port {port}",
                    "ListenAddress 127.0.0.1",
                    f"HostKey {keys}/host",
                    f"AuthorizedKeysFile {keys}/authorized",
                    f"PidFile {tmp_path}/pid{len(servers)}",
                    "StrictModes no",
                    "PermitRootLogin yes",
                    "PasswordAuthentication no",
                    "UsePAM no",
                    "PrintMotd no",
                    f"SetEnv HOME={tmp_path}",  # the tester's own shell start-up files stay out of it
                    *lines,
                    "",
                ]
            )
        )
        server = subprocess.Popen(
            [SSHD, "-D", "-e", "-f", config], stderr=subprocess.PIPE, stdin=subprocess.DEVNULL
        )
        servers.append(server)
        for line in server.stderr:
            if b"listening" in line:
                break
        else:
            raise AssertionError(f"sshd did not start: {server.wait()}")
        return client(port)

    def client(port):
        known = tmp_path / "known"
        public = (keys / "host.pub").read_text()
        known.write_text("".join(f"[127.0.0.1]:{p} {public}" for p in [port]))
        config = tmp_path / "ssh_config"
        config.write_text(
            f"Host far\n HostName 127.0.0.1\n Port {port}\n IdentityFile {keys}/user\n IdentitiesOnly yes\n"
            f" UserKnownHostsFile {known}\n GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n"
            " BatchMode yes\n ConnectTimeout 20\n"
        )
        return ["ssh", "-F", str(config), "far"]

    start.client = client
    yield start
    for server in servers:
        server.terminate()
        server.stderr.close()
        server.wait()
