"""Targets as texts and objects: each makes the words of a command, and a program moves by them."""

import os
import subprocess
import sys
from shlex import quote

import pytest
from pyteleport.targets import Command, Url, command_of

PYTHON = quote(sys.executable)

# A command of another system: notes its words, and runs what it was to run elsewhere.
TOOL = """#!/bin/sh
printf '%s\\n' "$(basename "$0")" "$@" > "$TOOL_LOG"
while [ "$1" != sh ]; do shift; done
exec "$@"
"""

MOVES = """
import os
here = os.getpid()
squares = [n * n if n != 2 else (teleport({target!r}), trail("there"), n * n)[2] for n in range(4)]
print(squares, "MARK=set" in open("/proc/self/environ").read(), os.getpid() != here)
"""

# What has ssh notice that its line was cut.
ALIVE = ["-o", "ServerAliveInterval=15"]

WORDS = [
    ("ssh://far", ["ssh", *ALIVE, "far"]),
    ("ssh://me@far:2222", ["ssh", "-p", "2222", *ALIVE, "me@far"]),
    ("ssh://me@[::1]:22", ["ssh", "-p", "22", *ALIVE, "me@::1"]),
    (
        "ssh://far?config=/a%20b&option=A=b&option=C=d",
        ["ssh", "-F", "/a b", "-o", "A=b", "-o", "C=d", *ALIVE, "far"],
    ),
    ("ssh://far?option=serveraliveinterval 0", ["ssh", "-o", "serveraliveinterval 0", "far"]),
    ("sudo://", ["sudo", "--", "sh", "-c"]),
    ("sudo://postgres", ["sudo", "-u", "postgres", "--", "sh", "-c"]),
    ("docker://Box_1", ["docker", "exec", "-i", "Box_1", "sh", "-c"]),
    ("docker://me@box", ["docker", "exec", "-i", "--user", "me", "box", "sh", "-c"]),
    ("podman://box", ["podman", "exec", "-i", "box", "sh", "-c"]),
    ("kubectl://pod", ["kubectl", "exec", "-i", "pod", "--", "sh", "-c"]),
    (
        "kubectl://space/pod?container=main&context=far",
        ["kubectl", "--context", "far", "exec", "-i", "-n", "space", "pod", "-c", "main", "--", "sh", "-c"],
    ),
    ("srun://", ["srun", "--ntasks=1", "sh", "-c"]),
    (
        "srun://n7?partition=gpu&exclusive",
        ["srun", "--ntasks=1", "--nodelist=n7", "--partition=gpu", "--exclusive", "sh", "-c"],
    ),
    ("local:", None),
    ("local:?before=true", ["sh", "-c"]),
]


@pytest.mark.parametrize(("text", "words"), WORDS, ids=[text for text, _ in WORDS])
def test_what_a_text_comes_to(text, words):
    assert command_of(text).argv == words


def test_options_that_all_have():
    command = command_of("ssh://far?python=~/env/bin/python&before=cd%20/data&before=. env.sh")
    assert command == Command(["ssh", *ALIVE, "far"], "~/env/bin/python", "cd /data; . env.sh")
    assert command_of("sudo://") == Command(["sudo", "--", "sh", "-c"], PYTHON)


@pytest.mark.parametrize(("line", "ours"), [("ServerAliveInterval 60", []), ("ServerAliveCountMax 9", ALIVE)])
def test_what_the_configuration_of_ssh_says_holds(tmp_path, line, ours):
    (tmp_path / "config").write_text(f"Host f*\n  {line}\n")
    assert command_of(f"ssh://far?config={tmp_path}/config").argv == [
        "ssh",
        "-F",
        f"{tmp_path}/config",
        *ours,
        "far",
    ]


WRONG = [
    ("telnet://far", "scheme"),
    ("far", "scheme"),
    ("ssh:", "where"),
    ("ssh://far/folder", "folder"),
    ("ssh://far?pyhton=3", "pyhton"),
    ("ssh://far:port", "port"),
    ("ssh://me:secret@far", "password"),
    ("ssh://-oProxyCommand=touch%20x", "ProxyCommand"),
    ("ssh://far#1", "#"),
    ("docker://box:80", "port"),
    ("local://far", "local:"),
    ("sudo://me@far", "sudo://me"),
]


@pytest.mark.parametrize(("text", "culprit"), WRONG, ids=[text for text, _ in WRONG])
def test_a_text_that_says_nothing_is_refused(text, culprit):
    with pytest.raises(ValueError) as raised:
        command_of(text)
    assert culprit in str(raised.value)
    assert repr(text) in str(raised.value)


@pytest.mark.parametrize("target", [7, [], [1], b"ssh://far"], ids=repr)
def test_what_is_no_target_is_refused(target):
    with pytest.raises(TypeError) as raised:
        command_of(target)
    assert repr(target) in str(raised.value)


def tools(folder, *names):
    """The environment of a program that finds these commands first."""
    for name in names:
        (folder / name).write_text(TOOL)
        (folder / name).chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}", "TOOL_LOG": str(folder / "words")}


@pytest.mark.parametrize("text", ["sudo://me", "docker://box", "podman://box", "kubectl://a/b", "srun://"])
def test_a_program_moves_by_a_text(move, tmp_path, text):
    query = Url.of(text).text + f"?python={PYTHON}&before=export%20MARK=set"
    run = move(MOVES.format(target=query), env=tools(tmp_path, text.partition(":")[0]))
    assert run.stdout == "[0, 1, 4, 9] True True\n", run.stderr
    assert (run.stderr, run.returncode, run.ended_in) == ("", 0, "peer")
    words = (tmp_path / "words").read_text().splitlines()
    assert words[: len(command_of(text).argv)] == command_of(text).argv


@pytest.mark.parametrize("text", ["local:", "local:?before=export%20MARK=set"])
def test_a_program_moves_to_this_machine(move, text):
    run = move(MOVES.format(target=text))
    assert run.stdout == f"[0, 1, 4, 9] {'MARK' in text} True\n", run.stderr
    assert (run.stderr, run.returncode, run.ended_in) == ("", 0, "peer")


def test_a_program_moves_by_ssh(move, sshd):
    _, _, config, host = sshd()
    run = move(
        MOVES.format(target=f"ssh://{host}?config={config}&python={PYTHON}&before=MARK=set;export MARK")
    )
    assert run.stdout == "[0, 1, 4, 9] True True\n", run.stderr
    assert (run.stderr, run.returncode, run.ended_in) == ("", 0, "peer")


OF_ONES_OWN = """
import os, sys
class Here:
    def command(self):
        return ["bash", "-c"]
class There:
    def command(self):
        from pyteleport.targets import Command
        from shlex import quote
        return Command(["bash", "-c"], python=quote(sys.executable), before="export MARK=set")
teleport(There())
trail("there")
print("MARK=set" in open("/proc/self/environ").read())
class Wrong:
    def command(self):
        return "bash -c"
try:
    teleport(Wrong())
except TypeError as error:
    print("Wrong object" in str(error), "'bash -c'" in str(error))
"""


def test_a_target_of_ones_own(move):
    run = move(OF_ONES_OWN)
    assert run.stdout == "True\nTrue True\n", run.stderr
    assert run.ended_in == "peer"


PLUGIN = """
from pyteleport.targets import Command
def far(url):
    url.only("python", "before")
    return url.command(["env", "PLACE=" + url.host, "sh", "-c"])
"""


def test_targets_of_other_packages(move, tmp_path):
    (tmp_path / "farther.py").write_text(PLUGIN)
    info = tmp_path / "farther-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: farther\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[pyteleport.targets]\nfar = farther:far\n")
    program = f"""
    teleport("far://off?python={PYTHON}")
    trail("there")
    print("PLACE=off" in open("/proc/self/environ").read())
    """
    run = move(program, env={"PYTHONPATH": str(tmp_path)})
    assert run.stdout == "True\n", run.stderr
    assert (run.stderr, run.returncode, run.ended_in) == ("", 0, "peer")
    known = subprocess.run(
        [sys.executable, "-c", "import pyteleport; pyteleport.teleport('fra://off')"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        stderr=subprocess.PIPE,
        check=False,
    )
    assert b"far:" in known.stderr
