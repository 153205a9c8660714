"""A far end that has no pyteleport: what is said there instead, and what home sends along.

A command starts ``python -c BEGIN``. If that Python has this version of pyteleport, it receives; if not, it
says on the same line what it is, and home answers with :mod:`pyteleport._lodge` and the package itself, as a
zip file.
"""

from __future__ import annotations

import os
import sys

from . import __version__, imports
from .errors import TransportError

__builtins__ = imports.BUILTINS

# It is a word on a command line, whatever shell reads that: so there is no single quote in it, nor two
# backslashes, an exclamation mark or the end of a line. It says what there is to say in any Python, 2.7 too.
_BEGIN = """
import sys
try:
 import pyteleport
 v=pyteleport.__version__
except Exception:
 v=str(sys.exc_info()[1])
if v=="%s":
 from pyteleport.arrival import receive
 sys.exit(receive(sys.argv[1:]))
import os
a=sys.argv
n=int(a[2])
try:
 s=os.fstat(n)
 s=s.st_ino==int(a[4]) and s.st_mode>>12==12
except OSError:
 s=0
i,o=(n,n) if s else (0,1)
m=sys.modules.get("_imp")
b=[getattr(getattr(sys,"implementation",0),"name","python"),sys.version.split()[0]]
b+=[sys.platform,os.uname()[4],m.extension_suffixes()[0] if m else "",sys.executable or "python",v]
b=chr(10).join(b).encode("utf8","replace")[:9999]
os.write(o,bytearray([0,255])+b"pyteleport"+bytearray([13,10,0,0,17,len(b)&255,len(b)>>8,0,0])+b)
def r(n):
 d=b""
 while len(d)<n:
  c=os.read(i,n-len(d))
  if len(c)<1:os._exit(1)
  d+=c
 return d
exec(r(int(r(8))))
"""


def begin():
    """What a command starts Python with there, after ``-c``."""
    text = (_BEGIN % __version__).strip().replace("\n", "\\n")
    return f'exec("""{text}""")'


def answer(said):
    """What home answers to a Python without this pyteleport: bytes that it reads.

    Args:
        said: what it has said of itself.

    Raises:
        TransportError: what is installed here does not run there.
    """
    implementation, version, platform, machine, suffix, executable, found = said.split("\n", 6)
    _refuse(implementation, version, platform, machine, suffix, executable, found)
    here = os.path.dirname(os.path.abspath(__file__))
    with open(os.path.join(here, "_lodge.py"), "rb") as file:
        source = file.read()
    package = _package(here)
    return b"".join(b"%08d%s" % (len(part), part) for part in (source, package))


def _refuse(implementation, version, platform, machine, suffix, executable, found):
    from importlib.machinery import EXTENSION_SUFFIXES

    release = "%d.%d" % sys.version_info[:2]
    what = f"`{executable}` at the far end, {implementation} {version} on {platform} {machine},"
    if implementation != sys.implementation.name or version.split(".")[:2] != release.split("."):
        raise TransportError(
            f"{what} cannot go on with a program of {sys.implementation.name} {sys.version.split()[0]}: "
            f"install CPython {release} there, and name it as in python='python{release}'"
        )
    if suffix == EXTENSION_SUFFIXES[0]:
        return
    usual = suffix.partition("-")[2].partition("-")[0]
    if usual != EXTENSION_SUFFIXES[0].partition("-")[2].partition("-")[0]:
        raise TransportError(
            f"{what} is another build than pyteleport works on ({suffix}): install the usual one of "
            f"CPython {release} there, and name it as in python='python{release}'"
        )
    raise TransportError(
        f"{what} has no pyteleport {__version__} ({found}), and the one that runs here is for "
        f"{EXTENSION_SUFFIXES[0]}, not for {suffix}: install it there with "
        f"`{executable} -m pip install pyteleport=={__version__}`"
    )


def _package(here):
    """The installed package as a zip file, compiled where it is compiled here."""
    import io
    import zipfile
    from importlib.machinery import EXTENSION_SUFFIXES
    from importlib.util import cache_from_source

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder, folders, names in os.walk(here):
            folders[:] = [name for name in folders if name != "__pycache__"]
            inside = os.path.join("pyteleport", os.path.relpath(folder, here))
            for name in names:
                path = os.path.join(folder, name)
                if name == "_native" + EXTENSION_SUFFIXES[0]:
                    archive.write(path, os.path.normpath(os.path.join(inside, name)))
                if not name.endswith(".py"):
                    continue
                archive.write(path, os.path.normpath(os.path.join(inside, name)))
                compiled = _compiled(path, cache_from_source(path))
                if compiled is not None:
                    cached = cache_from_source(os.path.join(inside, name))
                    if not os.path.isabs(cached):  # as with a folder of its own for them
                        archive.writestr(os.path.normpath(cached), compiled)
    return out.getvalue()


def _compiled(path, cached):
    """What a module is compiled to, in a form that fits whatever the time of its file is there."""
    from importlib.util import source_hash

    try:
        with open(cached, "rb") as file:
            compiled = file.read()
        with open(path, "rb") as file:
            source = file.read()
        facts = os.stat(path)
    except OSError:
        return None
    wanted = b"\0\0\0\0" + b"".join(
        (int(number) & 0xFFFFFFFF).to_bytes(4, "little") for number in (facts.st_mtime, facts.st_size)
    )
    if compiled[4:16] != wanted:
        return None
    # of its source, which need not be looked at (PEP 552)
    return compiled[:4] + b"\1\0\0\0" + source_hash(source) + compiled[16:]
