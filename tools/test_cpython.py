#!/usr/bin/env python3
"""PYTHON tools/test_cpython.py [--quick] [MODULE ...]: CPython's own tests, with and without the recording hook.

Run by the interpreter that is tested, from an environment where pyteleport is installed. Each module of CPython's
test suite runs in a process of its own that has the hook from its start, and so has every Python that the tests start
themselves. What fails there runs again without the hook: a test that fails only with it fails this program, unless
test_cpython.json names it and gives the reason. A test counts as failing with the hook if it does so twice, as some
are not steady on a busy machine; a process that dies counts at once.
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

# Modules of CPython's suite, and whether they take no more than a few seconds each.
QUICK = """
    test_generators test_coroutines test_asyncgen test_with test_contextlib test_contextlib_async test_exceptions
    test_except_star test_exception_group test_raise test_sys test_sys_settrace test_sys_setprofile test_monitoring
    test_context test_dis test_frame test_inspect test_scope test_super test_call test_unpack_ex test_pickle test_class
    test_descr test_import test_builtin test_iter test_dict test_set test_list test_gc test_traceback
""".split()
SLOW = "test_threading test_queue test_asyncio".split()

# The line of a failure in what unittest prints, and in what doctest does.
HEADING = re.compile(r"^={70}\n(?:ERROR|FAIL): (.+)$", re.MULTILINE)
EXAMPLE = re.compile(r'^\*{70}\nFile "[^"]*", (line \d+, in \S+)$', re.MULTILINE)
RAN = re.compile(r"^Ran (\d+) tests? in ", re.MULTILINE)
DOCTESTS = re.compile(r"^doctest \(\S+\) \.\.\. (\d+) tests with zero failures$", re.MULTILINE)

# What starts an evaluator that does nothing.
OTHER = "import ctypes; ctypes.PyDLL({!r}).set_passing()\n"

ENDS = {0: None, 2: None, 3: "changes the environment", 4: None}


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
    """The two environments, with the hook and without, and the known differences between them."""

    def __init__(self, folder, timeout, evaluator):
        self.timeout = timeout
        import pyteleport

        package = Path(pyteleport.__file__).parent
        start = "import pyteleport.startup; pyteleport.startup.start()\n"
        if evaluator:
            start = OTHER.format(str(evaluator.resolve()))
        self.with_hook = self.environment(folder / "hook", package, start)
        self.without = self.environment(folder / "plain", package, None)
        asked = "import pyteleport; print(pyteleport.hook_status())"
        for python, expected in (self.with_hook, "recording"), (self.without, "armed"):
            said = subprocess.run(
                [python, "-I", "-c", asked], stdout=subprocess.PIPE, check=True
            ).stdout.decode()
            assert evaluator or said.startswith(expected), said
        known = json.loads((ROOT / "tools/test_cpython.json").read_text())
        self.known = {
            test for difference in known if RELEASE in difference["releases"] for test in difference["tests"]
        }

    @staticmethod
    def environment(folder, package, start):
        venv.create(str(folder), symlinks=True, with_pip=False)
        site_packages = folder / "lib" / ("python" + RELEASE) / "site-packages"
        (site_packages / package.name).symlink_to(package)
        if start:
            (site_packages / "start.pth").write_text(start)
        return str(folder / "bin" / "python")

    def run(self, python, module):
        env = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
        command = [python, "-m", "test", "-v", "--fail-env-changed", "--timeout", str(self.timeout), module]
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            env=env,
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
        unknown = self.unknown(hooked.failing)
        if hooked.failing:
            plain = self.run(self.without, module)
            unknown -= plain.failing
        unsteady = set()
        if unknown and not hooked.died:
            again = self.run(self.with_hook, module)
            unsteady = unknown - again.failing
            unknown -= unsteady
            if again.died:
                hooked, unknown = again, unknown | self.unknown(again.failing)
        return Row(module, hooked, plain, unknown, unsteady)

    def unknown(self, failing):
        return {name for name in failing if test_id(name) not in self.known}


class Row:
    def __init__(self, module, hooked, plain, added, unsteady):
        self.module, self.hooked, self.plain = module, hooked, plain
        self.added, self.unsteady = added, unsteady

    def __str__(self):
        without = "-" if self.plain is None else len(self.plain.failing)
        return "%-24s %6d %10d %10s %8.1f s" % (
            self.module,
            self.hooked.tests,
            len(self.hooked.failing),
            without,
            self.hooked.seconds,
        )

    def told(self):
        for name in sorted(self.added):
            yield "    FAILS ONLY WITH THE HOOK: " + name
        for name in sorted(self.unsteady):
            yield "    failed once with the hook, and passed: " + name
        if self.plain is not None:
            for name in sorted(self.hooked.failing - self.added - self.unsteady):
                yield "    %s: %s" % ("fails both ways" if name in self.plain.failing else "known", name)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--quick", action="store_true", help="only the modules that take a few seconds")
    parser.add_argument("--jobs", type=int, default=int(os.environ.get("JOBS") or os.cpu_count()))
    parser.add_argument("--timeout", type=int, default=1200, help="seconds for a module")
    parser.add_argument("--keep", type=Path, help="a folder for what the runs print")
    parser.add_argument(
        "--evaluator", type=Path, help="a library built of pytests/passer.rs, instead of the hook"
    )
    parser.add_argument("modules", nargs="*")
    options = parser.parse_args()
    modules = options.modules or QUICK + ([] if options.quick else SLOW)
    if importlib.util.find_spec("test.libregrtest") is None:
        print("CPython %s: its test suite is not installed" % RELEASE)
        return 1
    modules = [module for module in modules if importlib.util.find_spec("test." + module)]
    folder = Path(tempfile.mkdtemp(prefix="pyteleport-cpython-"))
    try:
        suite = Suite(folder, options.timeout, options.evaluator)
        print("CPython %s          tests  with hook    without" % RELEASE, flush=True)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            rows = []
            for row in pool.map(suite.compare, modules):
                rows.append(row)
                print(row, *row.told(), sep="\n", flush=True)
                if options.keep:
                    keep(options.keep, row)
    finally:
        shutil.rmtree(str(folder), ignore_errors=True)
    added = sum(len(row.added) for row in rows)
    print(
        "%d modules, %d tests, %d fail only with the hook"
        % (len(rows), sum(r.hooked.tests for r in rows), added)
    )
    return int(added > 0)


def keep(folder, row):
    folder.mkdir(parents=True, exist_ok=True)
    for name, outcome in ("hook", row.hooked), ("plain", row.plain):
        if outcome is not None:
            (folder / ("%s.%s.txt" % (row.module, name))).write_text(outcome.output)


if __name__ == "__main__":
    sys.exit(main())
