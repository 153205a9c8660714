"""Programs in real processes: run straight, or moving; what came out, and where they ended."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import zlib
from dataclasses import dataclass, field
from pathlib import Path

HERE = Path(__file__).resolve().parent
PRELUDE = HERE / "prelude.py"
KEPT = 77  # the prelude's exit status for "go on from my file"
PATIENCE = float(os.environ.get("PYTELEPORT_TEST_PATIENCE", "30"))

# Ways to a peer, as statements of a program: a descriptor of its own, the shell's, and plain pipes.
WAYS = {
    "local": "teleport()",
    "bash": "bash_teleport('bash', '-c', python=sys.executable)",
    "pipes": "bash_teleport('bash', '-c', python=os.environ['CUTTER'])",
}


@dataclass
class Run:
    """One program's way through its processes."""

    stdout: str = ""
    stderr: str = ""
    returncode: int = 0
    trail: list = field(default_factory=list)  # (what, pid)
    told: list = field(default_factory=list)  # (what, text)
    home: int = 0

    @property
    def hops(self):
        """How many calls of hop() came back."""
        return sum(what == "hop" for what, _ in self.trail)

    @property
    def moves(self):
        """How many calls of hop() came back in another process than they were made in."""
        pids = [pid for _, pid in self.trail]
        return sum(a != b for a, b in zip(pids, pids[1:]))

    @property
    def ended_in(self):
        """ "home" or "peer": where the last line of the trail was written."""
        assert self.trail, f"the program left no trail:\n{self.stderr}"
        return "home" if self.trail[-1][1] == self.home else "peer"


def environment(**more):
    """The environment of a program under test: nothing of the tester's own settings for Python."""
    own = ("PYTHON", "PYTELEPORT", "COV")
    env = {k: v for k, v in os.environ.items() if not k.startswith(own) or k == "PYTHON_JIT"}
    env.update(PYTHONFAULTHANDLER="1", LC_ALL="C.UTF-8", **more)
    return env


def spawn(argv, **options):
    """A process in a session of its own, so that all of it can be ended by its group."""
    options.setdefault("stdin", subprocess.DEVNULL)
    options.setdefault("stdout", subprocess.PIPE)
    options.setdefault("stderr", subprocess.PIPE)
    options.setdefault("env", environment())
    return subprocess.Popen([str(a) for a in argv], start_new_session=True, **options)


def finish(process, data=None, patience=PATIENCE):
    """(stdout, stderr) as bytes, all of them; nothing of the process's group is left when it took too long."""
    try:
        return process.communicate(data, timeout=patience)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        out, err = process.communicate()
        raise AssertionError(
            f"not done after {patience} s\n--- stdout\n{out.decode(errors='replace')}"
            f"\n--- stderr\n{err.decode(errors='replace')}"
        ) from None


class Runner:
    """Runs programs in a folder of its own."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.programs = self.runs = 0

    def write(self, source, prelude=True, name=None):
        """The program's file. The prelude takes the place of an empty first line: line numbers stay."""
        self.programs += 1
        path = self.folder / (name or f"program{self.programs}.py")
        if prelude:
            first, _, rest = source.partition("\n")
            assert not first.strip(), "the first line of a program is left empty for the prelude"
            source = f"exec(compile(open({str(PRELUDE)!r}).read(), {str(PRELUDE)!r}, 'exec'))\n"
            source += textwrap.dedent(rest) + "\ntrail('end')\n"
        path.write_text(source)
        return path

    def plan(self, moves, way, **more):
        self.runs += 1
        trail = self.folder / f"trail{self.runs}"
        plan = {"moves": moves, "way": way, "trail": str(trail), "state": str(self.folder / f"s{self.runs}")}
        return trail, json.dumps({**plan, **more})

    def __call__(self, source, moves="all", way="local", args=(), env=None, **options):
        """Run a program's text, or its file, to the end; on its way through files, in each of pythons by turns."""
        if isinstance(source, Path):
            source = "\n" + source.read_text()
        program = self.write(source)
        return self.follow(
            [program, *args], {"moves": moves, "way": way}, environment(**(env or {})), **options
        )

    def follow(
        self,
        command,
        plan,
        env,
        flags=(),
        stdin=None,
        patience=PATIENCE,
        pythons=(sys.executable,),
        **options,
    ):
        """Run a command of Python's that has the prelude, by a plan for it, through all its processes."""
        way = plan["way"]
        trail, plan = self.plan(**plan)
        env = {**env, "PYTELEPORT_TEST_PLAN": plan}
        run = Run()
        argv = [pythons[0], *flags, *command]
        while True:
            process = spawn(
                argv, stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE, env=env, **options
            )
            run.home = run.home or process.pid
            out, err = finish(process, stdin, patience)
            run.stdout += out.decode("utf-8", "replace")
            run.stderr += err.decode("utf-8", "replace")
            run.returncode = process.returncode
            lines = trail.read_text().splitlines() if trail.exists() else []
            words = [line.split(" ", 2) for line in lines]
            run.trail = [(what, int(pid)) for what, pid, _ in words]
            run.told = [(what, json.loads(more)) for what, _, more in words]
            if process.returncode != KEPT or way != "dump":
                return run
            kept = sum(what == "kept" for what, _ in run.trail)
            state = max(self.folder.glob(f"s{self.runs}-*.tp"), key=lambda p: int(p.stem.rpartition("-")[2]))
            python = pythons[kept % len(pythons)]
            argv = [python, state] if kept % 2 else [python, "-m", "pyteleport", "resume", state]

    def straight(self, source, **options):
        """The same program with calls that do nothing, in one process without pyteleport."""
        return self(source, moves="none", **options)


def same(run, source, ways=("local",), hooks=("armed", "recording"), singles=False, **options):
    """Runs a program straight and moving at all its hops; what it prints must not tell which it was."""
    straight = run.straight(source, **options)
    assert straight.returncode == 0, straight.stderr
    hops = straight.hops
    assert hops, "the program never called hop()"
    if "PYTELEPORT_TEST_QUICK" in os.environ:
        hooks = [hooks[zlib.crc32(source.encode()) % len(hooks)]]
    for way in ways:
        for hook in hooks:
            flags = ("-X", "teleport") if hook == "recording" else ()
            plans = ["all"] + ([[k] for k in range(1, hops + 1)] if singles and hops > 1 else [])
            for moves in plans:
                moved = run(source, moves=moves, way=way, flags=flags, **options)
                what = f"{way}, {hook}, moving at {moves} of {hops} hops"
                explain = f"{what}: exit status {moved.returncode}\n{moved.stderr}"
                assert moved.stdout == straight.stdout, explain
                assert moved.returncode == 0, explain
                assert moved.stderr == straight.stderr, explain
                assert moved.moves == (hops if moves == "all" else len(moves)), f"{what}: {moved.trail}"
                assert moved.ended_in == "peer", what
    return moved


def refused(run, source, flags=(), error="BoundaryError", **options):
    """Runs a program straight and with its attempts to move, all of which are refused; what the refusals say."""
    straight = run.straight(source, **options)
    assert straight.returncode == 0, straight.stderr
    assert straight.hops, "the program never called attempt()"
    tried = run(source, flags=flags, **options)
    assert tried.returncode == 0, tried.stderr
    assert (tried.stdout, tried.stderr) == (straight.stdout, straight.stderr)
    assert tried.ended_in == "home"
    texts = [text for what, text in tried.told if what == "refused"]
    assert len(texts) == straight.hops, f"{len(texts)} of {straight.hops} refused: {texts}"
    unexpected = [text for text in texts if not text.startswith(error + ": ")]
    assert not unexpected, unexpected
    return texts


# Who drives coroutines by hand: a program's beginning.
DRIVER = """
import inspect, sys, types
@types.coroutine
def pause(value=None):
    return (yield value)
def drive(coro, *answers):
    answers = list(answers)
    value = None
    try:
        while True:
            print("yields", coro.send(value))
            value = answers.pop(0) if answers else None
    except StopIteration as stop:
        return stop.value
"""

# Whose hops may be refused: what a program says instead of the prelude's hop().
REFUSING = """
        def hop(value):
            try:
                teleport()
            except BoundaryError as refusal:
                trail("refused")
            else:
                trail("moved")
            return value
"""


def release_of(python):
    """The release of an interpreter, "3.N"."""
    words = "import sys; print('%d.%d' % sys.version_info[:2])"
    return subprocess.run([python, "-c", words], stdout=subprocess.PIPE, check=True).stdout.decode().strip()


def build_passer(folder, python=sys.executable):
    """The library of passer.rs, an evaluator that is not ours, for an interpreter: its path. PYTELEPORT_TEST_PASSER
    names one built before, for where there is no compiler."""
    if "PYTELEPORT_TEST_PASSER" in os.environ:
        return Path(os.environ["PYTELEPORT_TEST_PASSER"])
    library = Path(folder) / "libpasser.so"
    if not library.exists():
        part = library.with_suffix(f".{os.getpid()}")
        rustc = ["rustc", "--edition", "2021", "-O", "--crate-type", "cdylib", "-o", part, HERE / "passer.rs"]
        if release_of(python) == "3.8":
            rustc += ["--cfg", "without_functions"]
        subprocess.run(rustc, check=True)
        part.replace(library)
    return library
