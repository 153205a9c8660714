"""Builds of Python that cannot be served are refused in one line, when pyteleport is imported."""

import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pyteleport
import pytest
from pyteleport import builds

PACKAGE = Path(pyteleport.__file__).parent
OTHERS = [
    "pypy3",
    "python3.13t",
    "python3.14t",
    "python3.15t",
    "python3-dbg",
    "python3.14-dbg",
    "python3.15-dbg",
]


def system(name="cpython", version=(3, 14, 1), flags="", platform="linux", maxsize=2**63 - 1, **more):
    implementation = SimpleNamespace(name=name)
    return SimpleNamespace(
        implementation=implementation,
        version_info=version,
        abiflags=flags,
        platform=platform,
        maxsize=maxsize,
        **more,
    )


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (system("pypy", (3, 11, 13)), "pypy 3.11, another implementation"),
        (system("graalpy"), "graalpy 3.14, another implementation"),
        (system(flags="t"), "cpython 3.14, a free-threaded build"),
        (system(flags="td"), "cpython 3.14, a free-threaded build"),
        (system(flags="d"), "cpython 3.14, a debug build"),
        (system(gettotalrefcount=print), "cpython 3.14, a debug build"),
        (system(platform="darwin"), "one for darwin, 64 bit"),
        (system(maxsize=2**31 - 1), "one for linux, 32 bit"),
    ],
)
def test_what_is_said_of_each(other, words):
    why = builds.refusal(other)
    assert words in why
    assert "\n" not in why


def test_this_one_is_served():
    assert builds.refusal() is None
    assert builds.refusal(system()) is None


def imported(python, folder):
    """What `import pyteleport` from a folder says: (status, the last line)."""
    code = f"import sys; sys.path.insert(0, {str(folder)!r}); import pyteleport"
    done = subprocess.run([python, "-S", "-c", code], capture_output=True)
    return done.returncode, done.stderr.decode().strip().rpartition("\n")[2]


def test_a_package_that_was_built_for_another_release(tmp_path):
    shutil.copytree(PACKAGE, tmp_path / "pyteleport", ignore=shutil.ignore_patterns("_native*.so"))
    (tmp_path / "pyteleport" / "_native.cpython-399-x86_64-linux-gnu.so").touch()
    status, line = imported(sys.executable, tmp_path)
    assert status == 1
    release = "%d.%d" % sys.version_info[:2]
    assert line.startswith(f"ImportError: this pyteleport was not built for CPython {release}: ")
    assert sys.executable in line


# Those that this machine has. Where it has none, this is not a test.
if any(map(shutil.which, OTHERS)):

    @pytest.mark.parametrize("python", filter(shutil.which, OTHERS))
    def test_a_real_one(python, tmp_path):
        shutil.copytree(PACKAGE, tmp_path / "pyteleport")
        status, line = imported(python, tmp_path)
        assert status == 1
        assert line.startswith(
            "ImportError: pyteleport works on the usual builds of CPython for 64-bit Linux; this is "
        )
