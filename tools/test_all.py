#!/usr/bin/env python3
"""tools/test_all.py [--quick] [--strict] [--write] [RELEASE ...]: all tests, on every CPython with a layout.

An interpreter is one of this machine (tools/find-python), else of Debian sid (tools/sid-python). What came
out is printed as a matrix and compared with README.md's; --write puts it there instead. A release without an
interpreter here has the reason in its row; --strict makes that a failure.
"""

import argparse
import atexit
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import matrix

ROOT = Path(__file__).resolve().parent.parent
CACHE = ROOT / ".cache"
JOBS = os.environ.get("JOBS") or str(os.cpu_count())

# The columns, and the files of pytests/ in each. "layouts" are the Rust tests of capture/, "CPython's own"
# those of tools/test_cpython.py.
SUITES = {
    "layouts": [],
    "frames": ["frames", "blocks", "finally", "depth", "traps", "same_output", "hot", "frame_objects"],
    "generators": ["generators", "delegation", "async", "asyncgens"],
    "calls": [
        "entry",
        "boundary",
        "recording",
        "sources",
        "collecting",
        "between",
        "imports",
        "classes",
        "operations",
        "functions",
        "lookups",
        "refusals",
        "signals",
    ],
    "loops": ["loops", "loop_tasks", "loop_threads", "loop_refusals", "trio"],
    "exceptions": ["exceptions", "groups"],
    "objects": [
        *("graph", "objects", "iterators", "in_flight", "sets", "weakrefs", "descriptors", "views", "typing"),
        *("payload", "runtime", "changes", "held", "files", "mappings"),
        *("arrays", "hashes", "modules", "registries", "stores", "databases"),
    ],
    "libraries": ["libraries", "torch"],
    "threads": ["threads"],
    "chains": ["chain", "chain_of_moves", "benchmarks"],
    "hand-off": [
        *("handoff", "streams", "start", "end", "ssh", "targets", "onward", "fork", "docs", "leaks"),
        *("bare", "progress", "serve", "there_and_back", "trips_that_fail", "settings_back"),
        *("prompt", "cells", "terminals", "hosts", "cut_lines"),
    ],
    "hook": ["hook", "unseen", "builds"],
    "micro versions": ["elsewhere"],
    "CPython's own": [],
}


# What depends most on the release: --quick. Each test runs on every fourth release there, and programs are
# moved in one mode each, armed or recording, by turns, rather than in both.
QUICK = [
    "layouts",
    "frames",
    "generators",
    "calls",
    "loops",
    "exceptions",
    "objects",
    "hand-off",
    "hook",
    "micro versions",
]
NOT_QUICK = [
    "bare",
    "progress",
    "serve",
    "settings_back",
    "finally",
    "same_output",
    "payload",
    "arrays",
    "mappings",
    "streams",
    "ssh",
    "targets",
    "leaks",
    "terminals",
    "hosts",
    "cut_lines",
]

# What is tested once more where CPython was built with its JIT, with that switched on.
WITH_JIT = ["frames", "hot", "generators", "entry"]


def ask(*command):
    """(the one line a tool prints, "") or (None, why not)."""
    done = subprocess.run(command, capture_output=True, cwd=ROOT)
    if done.returncode == 0:
        return done.stdout.decode().strip(), ""
    errors = done.stderr.decode().strip()
    return None, (errors.splitlines() or ["there is none"])[-1]


def version_of(python):
    return ask(python, "-c", "import platform; print(platform.python_version())")[0]


class Release:
    """A row: its interpreter, what came out of each suite."""

    def __init__(self, name):
        self.name = name
        self.python = self.tested = self.why_not = None
        self.version = ""
        self.inside = False  # of a root file system of its own
        self.micro = None  # with another micro version
        self.results = {}

    def prepare(self, quick):
        """Finds the interpreters, and installs the wheel built for them in an environment of each."""
        requirements = ["pytests/requirements.txt"] + ["pytests/libraries.txt"] * (not quick)
        here, _ = ask("tools/find-python", self.name)
        in_sid, why_not = ask("tools/sid-python", self.name)
        self.python = here or in_sid
        if not self.python:
            self.why_not = why_not
            return
        self.inside = not here
        self.version = version_of(self.python)
        self.tested, why_not = ask("tools/venv", self.python, *requirements)
        if not self.tested:
            self.results["layouts"] = matrix.Result(failed=["not built: " + why_not])
        elif here and in_sid and version_of(in_sid) != self.version:
            self.micro, _ = ask("tools/venv", in_sid)

    def rust(self, quick):
        only = ["--test", "layout_check"] if quick else []
        self.results["layouts"] = cargo_test(self.python, "--package", "pyteleport-capture", *only)

    def own_tests(self):
        """CPython's own tests, with the hook in every process."""
        command = [self.tested, "tools/test_cpython.py", "--quick", "--jobs", JOBS]
        done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE)
        output = done.stdout.decode()
        last = re.search(r"(\d+) tests, (\d+) left out, (\d+) fail only with the hook\n$", output)
        result = self.results["CPython's own"] = matrix.Result()
        if last:
            tests, left_out, failed = map(int, last.groups())
            result.passed = tests - failed
            result.failed = ["with the hook only"] * failed
            result.skipped = ["fails with any evaluator but CPython's (tools/test_cpython.json)"] * left_out
        if done.returncode:
            print(output)
            result.failed = result.failed or ["tools/test_cpython.py"]

    def with_jit(self):
        """The row of the same interpreter with its JIT switched on, if it has one."""
        has_jit = "import sys; sys.exit(not sys._jit.is_available())"
        if ask(self.tested, "-c", has_jit)[0] is None:
            return
        row = Release(f"{self.name} JIT")
        row.version, row.tested = f"{self.version} JIT", self.tested
        row.run(WITH_JIT, {"PYTHON_JIT": "1"})
        yield row

    def pytests(self, others, quick):
        env = {"PYTELEPORT_TEST_PASSER": build_passer(self.tested)}
        # one of the same root file system, if that is another one
        others = [other for other in others if other.inside or not self.inside]
        if quick:
            env["PYTELEPORT_TEST_QUICK"] = "1"
        if others:
            env["PYTELEPORT_TEST_OTHER"] = others[0].tested
        if self.micro:
            env["PYTELEPORT_TEST_ELSEWHERE"] = self.micro
        left_out = NOT_QUICK if quick else []
        left_out = left_out if self.micro else [*left_out, "elsewhere"]
        suites = QUICK if quick else SUITES
        names = [name for suite in suites for name in SUITES[suite] if name not in left_out]
        self.run(names, env)

    def run(self, names, env):
        """Runs these files of pytests/."""
        files = [f"pytests/test_{name}.py" for name in names]
        report = CACHE / f"report-{self.name}.xml"
        report.unlink() if report.exists() else None
        command = [self.tested, "-m", "pytest", "-q", "-n", JOBS, f"--junitxml={report}", *files]
        status = subprocess.run(command, cwd=ROOT, env={**os.environ, **env}).returncode
        self.results.update(read_report(report, status))


def cargo_test(python, *arguments):
    """The result of Rust's tests, built for an interpreter."""
    command = ["tools/cargo-for", python, "test", "--quiet", "--no-fail-fast", *arguments]
    result = matrix.Result()
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
        for line in process.stdout:
            words = line.decode().split()
            if words[:2] == ["test", "result:"]:
                result.passed += int(words[3])
                result.failed += ["a test in Rust"] * int(words[5])
                result.skipped += ["ignored"] * int(words[7])
            elif words and not set(words[0]) <= {"."}:
                sys.stdout.write(line.decode())
    if process.returncode and not result.failed:
        result.failed.append("cargo test")
    return result


def read_report(report, status):
    """The results of pytest's suites."""
    suite_of = {f"test_{name}": suite for suite, names in SUITES.items() for name in names}
    results = {suite: matrix.Result() for suite in suite_of.values()}
    cases = ElementTree.parse(report).iter("testcase") if report.exists() else ()
    for case in cases:
        words = f"{case.get('classname')}.{case.get('name')}".split(".")
        file = next(word for word in words if word in suite_of)
        result = results[suite_of[file]]
        kinds = {child.tag: child.get("message") for child in case}
        if "failure" in kinds or "error" in kinds:
            result.failed.append(f"{file}::{case.get('name')}")
        elif "skipped" in kinds:
            result.skipped.append(kinds["skipped"])
        else:
            result.passed += 1
    if status and not any(result.failed for result in results.values()):
        results["frames"].failed.append(f"pytest ended with {status}")
    return results


def build_passer(python):
    """The evaluator that is not ours, for this interpreter's tests: its path."""
    sys.path.insert(0, str(ROOT / "pytests"))
    import harness

    folder = Path(tempfile.mkdtemp(prefix="passer-", dir=CACHE))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return str(harness.build_passer(folder, python))


def main():
    formatter = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=formatter)
    parser.add_argument("releases", nargs="*")
    parser.add_argument(
        "--quick", action="store_true", help=f"only {', '.join(QUICK)}; not on this interpreter"
    )
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    layouts = sorted(int(path.stem[3:]) for path in (ROOT / "capture/src/cpython").glob("v3_*.rs"))
    every = [f"3.{minor}" for minor in layouts]
    files = {path.stem[5:] for path in (ROOT / "pytests").glob("test_*.py")}
    unknown = sorted(files.difference(*SUITES.values()))
    if unknown:
        sys.exit(f"tools/test_all.py: in none of the suites: {', '.join(unknown)}")

    begun = time.monotonic()

    def tell(line):
        print(f"== {line} ({time.monotonic() - begun:.0f} s)", flush=True)

    releases = [Release(name) for name in options.releases or every]
    if options.quick:
        # make test has them all for the interpreter that runs this
        releases = [release for release in releases if release.name != "%d.%d" % sys.version_info[:2]]
    for release in releases:
        release.prepare(options.quick)
        tell(f"CPython {release.name}: {release.tested or release.why_not}")
    ready = [release for release in releases if release.tested]
    if not ready:
        sys.exit("tools/test_all.py: there is no interpreter to test")
    total = []
    if not options.quick:
        tell("what knows no Python")
        packages = ["--workspace", "--exclude", "pyteleport-hook", "--exclude", "pyteleport-capture"]
        total.append(cargo_test(ready[0].python, *packages))
    for at, release in enumerate(ready):
        tell(f"CPython {release.version}")
        release.rust(options.quick)
        release.pytests(ready[at + 1 :] + ready[:at][::-1], options.quick)
        if not options.quick:
            release.own_tests()
    rows = []
    for release in releases:
        rows += [release, *(release.with_jit() if release.tested and not options.quick else ())]

    tell("all")
    matrix.show(rows, QUICK if options.quick else SUITES, ROOT / "README.md", options.write)
    for release in rows:
        total += release.results.values()
    passed = sum(result.passed for result in total)
    failed = sum(len(result.failed) for result in total)
    skipped = sum(len(result.skipped) for result in total)
    print(f"{passed} passed, {failed} failed, {skipped} skipped")
    missing = len(ready) < len(releases) and options.strict
    sys.exit(bool(failed or missing))


if __name__ == "__main__":
    main()
