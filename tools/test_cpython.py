#!/usr/bin/env python3
"""PYTHON tools/test_cpython.py [--quick] [MODULE ...]: CPython's own tests with the recording hook, and
without.

Run by the interpreter that is tested, from an environment where pyteleport is installed. Each module of
CPython's test suite runs in a process of its own that has the hook from its start, and so has every Python
that the tests start themselves. What fails there runs again without the hook: a test that fails only with
it fails this program. A test counts as failing with the hook if it does so twice, as some are not steady on
a busy machine; a process that dies counts at once.

test_cpython.json names the tests that fail with any evaluator that is not CPython's own, and the reasons.
They are left out here. --prove LIBRARY has them back, one at a time, with an evaluator that does nothing
(pytests/passer.rs), which has to fail them.
"""

import argparse
import concurrent.futures
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
RELEASE = "%d.%d" % sys.version_info[:2]

# Modules of CPython's suite: those that take some seconds at most, and the others.
QUICK = [
    "test_generators",
    "test_coroutines",
    "test_asyncgen",
    "test_with",
    "test_contextlib",
    "test_contextlib_async",
    "test_exceptions",
    "test_except_star",
    "test_exception_group",
    "test_raise",
    "test_sys",
    "test_sys_settrace",
    "test_sys_setprofile",
    "test_monitoring",
    "test_context",
    "test_dis",
    "test_frame",
    "test_inspect",
    "test_scope",
    "test_super",
    "test_call",
    "test_unpack_ex",
    "test_pickle",
    "test_class",
    "test_descr",
    "test_import",
    "test_builtin",
    "test_iter",
    "test_dict",
    "test_set",
    "test_list",
    "test_gc",
    "test_traceback",
]
SLOW = ["test_threading", "test_queue", "test_asyncio"]

# The line of a failure in what unittest prints, and in what doctest does.
HEADING = re.compile(r"^={70}\n(?:ERROR|FAIL): (.+)$", re.MULTILINE)
EXAMPLE = re.compile(r'^\*{70}\nFile "[^"]*", (line \d+, in \S+)$', re.MULTILINE)
RAN = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
DOCTESTS = re.compile(r"^doctest \(\S+\) \.\.\. (\d+) tests with zero failures$", re.MULTILINE)

# How `python -m test` ends: well, with failures, with a changed environment, or without a test. Else it died.
ENDS = {0: None, 2: None, 3: "changes the environment", 4: None}

# What the environment with the hook has beside the startup file, and one with another evaluator.
ASK_FOR_HOOK = "import sys; sys._xoptions['teleport'] = True\n"
SET_OTHER = "import ctypes; ctypes.PyDLL({!r}).set_passing()\n"


class Outcome:
    """What came out of one run of a module: how many tests, the failing ones by name, the output."""

    def __init__(self, status, output, seconds):
        self.output = output
        self.seconds = seconds
        self.tests = sum(int(n) for n in RAN.findall(output) + DOCTESTS.findall(output))
        names = HEADING.findall(output) + ["doctest: " + where for where in EXAMPLE.findall(output)]
        self.failing = {re.sub(r"0x[0-9a-f]{6,}", "0x", name) for name in names}
        self.died = status not in ENDS
        if self.died:
            self.failing.add("the process ended with " + status_name(status))
        elif ENDS[status]:
            self.failing.add("the module " + ENDS[status])
        elif status == 2 and not self.failing:
            self.failing.add("the module fails")


def status_name(status):
    if status is None:
        return "a time-out"
    return signal.Signals(-status).name if status < 0 else "status %d" % status


def test_id(name):
    """`test_a (test.test_b.C.test_a) (n=1)`, and the shorter form before 3.11, as test_b.C.test_a."""
    match = re.match(r"(\w+) \(([\w.]+)\)", name)
    if not match:
        return name
    test, place = match.groups()
    place = re.sub(r"^(test\.)+", "", place)
    return place if place.endswith("." + test) else place + "." + test


class Suite:
    """An environment with the hook and one without, and the known differences between them."""

    def __init__(self, folder, timeout, other):
        self.timeout = timeout
        import pyteleport

        self.package = Path(pyteleport.__file__).parent
        startup = {path.name: path.read_text() for path in (ROOT / "startup/purelib").iterdir()}
        if other:
            startup = {"other.pth": SET_OTHER.format(str(other.resolve()))}
        else:
            startup["ask.pth"] = ASK_FOR_HOOK
        self.with_hook = self.environment(folder / "hook", startup)
        self.without = self.environment(folder / "plain", {})
        asked = "import pyteleport; print(pyteleport.hook_status())"
        said = subprocess.run([self.with_hook, "-I", "-c", asked], stdout=subprocess.PIPE, check=True).stdout
        assert said == (b"armed\n" if other else b"recording\n"), said
        differences = json.loads((ROOT / "tools/test_cpython.json").read_text())
        self.known = [
            test
            for difference in differences
            if RELEASE in difference["releases"]
            for test in difference["tests"]
        ]

    def environment(self, folder, startup):
        """The Python of a bare environment with pyteleport and files in site-packages."""
        venv.create(str(folder), symlinks=True, with_pip=False)
        site_packages = folder / "lib" / ("python" + RELEASE) / "site-packages"
        (site_packages / self.package.name).symlink_to(self.package)
        for name, text in startup.items():
            (site_packages / name).write_text(text)
        return str(folder / "bin" / "python")

    def run(self, python, module, but=None):
        """One run of a module, without the known tests but this one."""
        command = [python, "-m", "test", "-v", "--fail-env-changed", "--timeout", str(self.timeout)]
        for test in self.known:
            if test.startswith(module + ".") and test != but:
                command += ["--ignore", "*" + test]
        began = time.monotonic()
        process = subprocess.Popen(
            [*command, module],
            env={key: value for key, value in os.environ.items() if not key.startswith("PYTHON")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            output, _ = process.communicate(timeout=self.timeout + 30)
            status = process.returncode
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            status = None
        return Outcome(status, output.decode("utf-8", "replace"), time.monotonic() - began)

    def compare(self, module):
        """A row of the table, and what is to be told of it."""
        hooked = self.run(self.with_hook, module)
        plain = None
        added, unsteady = set(hooked.failing), set()
        if added:
            plain = self.run(self.without, module)
            added -= plain.failing
        if added and not hooked.died:
            again = self.run(self.with_hook, module)
            unsteady = added - again.failing
            added -= unsteady
            if again.died:
                hooked, added = again, added | again.failing
        return Row(module, hooked, plain, added, unsteady)

    def prove(self, test):
        """Whether a known test fails with the other evaluator, and without it passes."""
        module = test.split(".")[0]
        other, plain = (self.run(python, module, test) for python in (self.with_hook, self.without))
        failing, otherwise = ({test_id(name) for name in outcome.failing} for outcome in (other, plain))
        proved = test in failing and test not in otherwise
        print("%-6s %s" % ("proved" if proved else "WRONG", test), flush=True)
        return proved


class Row:
    def __init__(self, module, hooked, plain, added, unsteady):
        self.module, self.hooked, self.plain = module, hooked, plain
        self.added, self.unsteady = added, unsteady

    def __str__(self):
        without = "-" if self.plain is None else len(self.plain.failing)
        counts = self.hooked.tests, len(self.hooked.failing), without
        return "%-24s %6d %10d %10s %8.1f s" % (self.module, *counts, self.hooked.seconds)

    def told(self):
        for name in sorted(self.added):
            yield "    FAILS ONLY WITH THE HOOK: " + name
        for name in sorted(self.unsteady):
            yield "    failed once with the hook, and passed: " + name
        for name in sorted(self.hooked.failing - self.added - self.unsteady):
            yield "    fails both ways: " + name

    def keep(self, folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, outcome in ("hook", self.hooked), ("plain", self.plain):
            if outcome is not None:
                (folder / ("%s.%s.txt" % (self.module, name))).write_text(outcome.output)


def compare_all(suite, options):
    modules = options.modules or QUICK + ([] if options.quick else SLOW)
    modules = [module for module in modules if importlib.util.find_spec("test." + module)]
    rows = []
    print("%-24s %6s %10s %10s" % ("CPython " + RELEASE, "tests", "with hook", "without"), flush=True)
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        for row in pool.map(suite.compare, modules):
            rows.append(row)
            print(row, *row.told(), sep="\n", flush=True)
            if options.keep:
                row.keep(options.keep)
    tests, added = sum(row.hooked.tests for row in rows), sum(len(row.added) for row in rows)
    left_out = sum(test.split(".")[0] in modules for test in suite.known)
    print(
        "%d modules, %d tests, %d left out, %d fail only with the hook" % (len(rows), tests, left_out, added)
    )
    return not added


def prove_all(suite, options):
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        return all(list(pool.map(suite.prove, suite.known)))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument(
        "--quick", action="store_true", help="only the modules that take some seconds at most"
    )
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("JOBS") or os.cpu_count()))
    parser.add_argument("--timeout", type=int, default=1200, help="seconds for a module")
    parser.add_argument("--keep", type=Path, help="a folder for what the runs print")
    parser.add_argument("--prove", type=Path, metavar="LIBRARY", help="an evaluator that does nothing")
    parser.add_argument("modules", nargs="*")
    options = parser.parse_args()
    if importlib.util.find_spec("test.test_generators") is None:
        print("CPython %s: its test suite is not installed" % RELEASE)
        return 1
    # a shell's background job ignores this one, and so would all that it starts
    signal.signal(signal.SIGINT, signal.default_int_handler)
    folder = Path(tempfile.mkdtemp(prefix="pyteleport-cpython-"))
    try:
        suite = Suite(folder, options.timeout, options.prove)
        return 0 if (prove_all if options.prove else compare_all)(suite, options) else 1
    finally:
        shutil.rmtree(str(folder), ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
