"""Files behind other objects: compressed ones, archives; what libraries register; files that are taken along."""

import shutil
import sys

import harness
import pytest


def test_compressed_files_are_read_on(same, tmp_path):
    same(f"""
        import bz2, gzip, lzma, os
        os.chdir({str(tmp_path)!r})
        lines = "".join("line %d\\n" % number for number in range(20000))
        readers, states = [], []
        for module, name in ((gzip, "a.gz"), (bz2, "a.bz2"), (lzma, "a.xz")):
            with module.open(name, "wt") as done:
                done.write(lines)
            text, data, fresh, ended = module.open(name, "rt"), module.open(name), module.open(name), module.open(name)
            next(text), text.readline(), data.read(70000), ended.read()
            closed = module.open(name)
            closed.close()
            readers += [text, data, fresh, ended, closed, done]
        over = gzip.GzipFile(fileobj=open("a.gz", "rb"))
        over.peek(10)
        kept = over.fileobj
        hop()
        for reader in readers:
            print(reader.closed, *([] if reader.closed else [ascii(reader.readline())]))
        print(over.read(12), over.fileobj is kept, over.seek(5), over.read(3))
        hop()
        print([(reader.closed, *([] if reader.closed else [len(reader.read())])) for reader in readers])
    """)


def test_archives_are_read_on(same, tmp_path):
    same(f"""
        import os, tarfile, zipfile
        os.chdir({str(tmp_path)!r})
        with zipfile.ZipFile("a.zip", "w", zipfile.ZIP_DEFLATED) as made:
            made.writestr("first", "alpha " * 5000)
            made.writestr(zipfile.ZipInfo("second"), "beta " * 10)
        for mode in ("w", "w:gz", "w:xz"):
            with tarfile.open("a.tar", mode) as made:
                made.add("a.zip", "inner")
        archive, tape = zipfile.ZipFile("a.zip"), tarfile.open("a.tar")
        first, second, whole = archive.open("first"), archive.open("second"), archive.open("first")
        first.read(10001), first.peek(5), whole.read()
        inner = tape.extractfile("inner")
        begun = inner.read(2)
        hop()
        print(first.read(7), second.read(6), whole.read(), archive.namelist(), archive.read("second")[:4])
        print(begun + inner.read(2), tape.getnames(), inner.seek(0), inner.read(2))
        hop()
        print(len(first.read()), len(second.read()), first.seek(6), first.read(5))
        added = zipfile.ZipFile("b.zip", "w")
        added.writestr("x", "1")
        hop()
        added.writestr("y", "2")
        added.close()
        print(zipfile.ZipFile("b.zip").namelist(), zipfile.ZipFile("b.zip").testzip())
    """)


def test_a_compressor_in_the_middle_is_refused(move, tmp_path):
    run = move(f"""
        import gzip
        file = gzip.open({str(tmp_path / "a.gz")!r}, "wb")
        file.write(b"abc")
        try:
            teleport()
        except UnmovableError as error:
            print(error)
        file.close()
        teleport()
        trail("there")
        print(gzip.open({str(tmp_path / "a.gz")!r}).read())
    """)
    lines = run.stdout.splitlines()
    assert "file.compress" in lines[0], run.stdout + run.stderr
    assert "middle of its work" in lines[0]
    assert lines[-1] == "b'abc'"
    assert run.ended_in == "peer"


REGISTERED = """
        import socket, pyteleport
        class Handle:
            opened = 0
            def __init__(self, path):
                self.path, self.line, Handle.opened = path, socket.socket(), Handle.opened + 1
        class Other(Handle):
            pass
        pyteleport.register(Handle, lambda handle: [handle.path, shared], lambda state: Handle(*state[:1]))
        shared, handle = ["s"], Handle("a")
        both = [handle, handle]
"""


def test_what_is_registered_travels_as_it_says(move):
    run = move(
        REGISTERED
        + """
        teleport()
        print(both[0] is both[1] is handle, handle.path, handle.line.fileno() > 0, Handle.opened)
        teleport()
        print(both[0] is both[1] is handle, handle.path, Handle.opened)
        trail("there")
        """
    )
    assert run.stdout == "True a True 2\nTrue a 3\n", run.stderr
    assert run.ended_in == "peer"


def test_what_is_registered_may_refuse(move):
    run = move(
        REGISTERED
        + """
        other = Other("b")
        def refuse(handle):
            raise ValueError("it is busy")
        for kind in (None, Other):
            if kind:
                pyteleport.register(Other, refuse, Handle)
            try:
                teleport()
            except UnmovableError as error:
                print(error)
        pyteleport.register(Other, lambda handle: None, lambda state: 1 / 0)
        try:
            teleport()
        except ResumeError as error:
            print(error)
        for wrong in ((int, len, len), (5, len, len), (Handle, 5, len)):
            try:
                pyteleport.register(*wrong)
            except TypeError as error:
                print("TypeError")
        trail("stays")
        """
    )
    lines = run.stdout.splitlines()
    assert "other.line" in lines[0], run.stdout + run.stderr
    assert "connection" in lines[0]
    assert "other (Other)" in lines[1]
    assert "it is busy" in lines[1]
    assert "ZeroDivisionError" in lines[2]
    assert lines[3:] == ["TypeError"] * 3
    assert run.ended_in == "home"


HELD = """
        import os, tempfile
        file = tempfile.NamedTemporaryFile("w+")
        folder = tempfile.TemporaryDirectory()
        os.mkdir(folder.name + "/deep")
        os.symlink("deep", folder.name + "/link")
        inner = open(folder.name + "/deep/data", "w+")
        inner.write("not written yet")
        file.write("hello")
        os.chmod(file.name, 0o640)
        with tempfile.NamedTemporaryFile() as third:
            third.write(b"abc")
            {move}
            third.seek(0)
            print(third.read())
            name = third.name
        for one in (file, inner):
            one.write("!")
            one.seek(0)
            print(one.read())
        print(os.path.exists(file.name), sorted(os.listdir(folder.name)), os.listdir(folder.name + "/link"))
        print(oct(os.stat(file.name).st_mode & 0o777))
        names = [file.name, folder.name, name]
        file.close()
        inner.close()
        folder.cleanup()
        print([os.path.exists(each) for each in names])
"""


def test_temporary_files_that_are_held(same):
    same(HELD.format(move="hop()"))


def test_temporary_files_come_along_on_request(move):
    temporary = move.folder / "temporary"
    temporary.mkdir()
    straight = move.straight(HELD.format(move=""))
    state = move.folder / "state.tp"
    leave = f"if not dump({str(state)!r}, ship_files=True): os._exit(0)"
    run = move(HELD.format(move=leave), env={"TMPDIR": str(temporary)})
    assert run.returncode == 0, run.stderr
    shutil.rmtree(str(temporary))
    process = harness.spawn([sys.executable, state])
    out, err = harness.finish(process)
    assert err == b""
    assert out.decode() == straight.stdout


def test_files_and_folders_come_along_on_request(move):
    folder = move.folder / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "inner" / "data").write_text("data\n" * 10)
    (folder / "alone").write_text("alone")
    state = move.folder / "state.tp"
    run = move(f"""
        import os
        os.chdir({str(move.folder)!r})
        data = open("folder/inner/data")
        data.readline()
        try:
            dump({str(state)!r}, ship_files=["folder/nothing"])
        except OSError as error:
            print(type(error).__name__)
        dump({str(state)!r}, ship_files=["folder/inner", "folder/alone"])
        print(data.tell(), len(data.read()), open("folder/alone").read())
    """)
    assert run.stdout == "FileNotFoundError\n5 45 alone\n", run.stderr
    (folder / "alone").write_text("changed")
    shutil.rmtree(str(folder / "inner"))
    out, err = harness.finish(harness.spawn([sys.executable, state]))
    assert (out, err) == (b"5 45 alone\n", b"")


def test_what_compresses_and_hashes_moves_when_nothing_is_left_in_it(same):
    same("""
        import bz2, hashlib, lzma, zlib
        ended = []
        for made, compress in (
            (zlib.decompressobj(), zlib.compress),
            (bz2.BZ2Decompressor(), bz2.compress),
            (lzma.LZMADecompressor(), lzma.compress),
        ):
            made.decompress(compress(b"data") + b"behind")
            ended.append(made)
        empty = [hashlib.sha256(), hashlib.new("md5"), hashlib.sha3_256()]
        hop()
        print([(made.eof, made.unused_data) for made in ended])
        for made in ended[1:]:
            try:
                made.decompress(b"more")
            except EOFError as error:
                print(error)
        for each in empty:
            each.update(b"x")
            print(each.name, each.hexdigest())
    """)


BUSY = [
    ("zlib.compressobj()", "its work"),
    ("bz2.BZ2Compressor()", "its work"),
    ("lzma.LZMACompressor()", "its work"),
    ("zlib.decompressobj()", "stream"),
    ("bz2.BZ2Decompressor()", "stream"),
    ("lzma.LZMADecompressor()", "stream"),
    ("hashlib.sha256(b'a')", "keep the bytes"),
    ("hashlib.blake2b(b'a')", "keep the bytes"),
    ("hmac.new(b'k', b'a', 'sha256')", "keep the bytes"),
]


@pytest.mark.parametrize(("make", "words"), BUSY, ids=[make.partition("(")[0] for make, _words in BUSY])
def test_what_is_in_the_middle_is_refused_with_what_to_do(refused, make, words):
    (said,) = refused(
        f"""
        import bz2, hashlib, hmac, lzma, zlib
        thing = {make}
        attempt()
        print(type(thing).__name__)
        """,
        error="UnmovableError",
    )
    assert "__main__ → thing" in said
    assert words in said


LOCKS = {
    "flock": ("file = open('lock', 'w')", "fcntl.flock(file, fcntl.LOCK_EX)", "__main__ → file"),
    "lockf": ("file = open('lock', 'w')", "fcntl.lockf(file, fcntl.LOCK_EX)", "__main__ → file"),
    "shared": ("file = open('lock', 'a+b')", "fcntl.flock(file, fcntl.LOCK_SH)", "__main__ → file"),
    "descriptor": (
        "file = os.open('lock', os.O_RDWR | os.O_CREAT)",
        "fcntl.flock(file, fcntl.LOCK_EX)",
        "descriptor",
    ),
}


@pytest.mark.parametrize("kind", LOCKS)
def test_a_lock_that_is_held_is_refused(move, kind, tmp_path):
    opening, locking, named = LOCKS[kind]
    run = move(
        f"""
        import fcntl, os
        {opening}
        {locking}
        try:
            teleport()
        except UnmovableError as error:
            print(error)
        try:
            fcntl.flock(open("lock"), fcntl.LOCK_EX | fcntl.LOCK_NB)
            print("free for flock")
        except BlockingIOError:
            print("still held")
        if {kind!r} == "lockf":
            fcntl.lockf(file, fcntl.LOCK_UN)
        else:
            fcntl.flock(file, fcntl.LOCK_UN)
        if {kind!r} == "descriptor":
            os.close(file)
        hop()
        print("moved")
        """,
        cwd=tmp_path,
    )
    said, held, moved = run.stdout.splitlines()
    assert named in said, run.stdout + run.stderr
    assert "lock on its file; release it" in said
    assert held == ("free for flock" if kind == "lockf" else "still held")
    assert moved == "moved"
    assert run.ended_in == "peer"


def test_a_lock_that_was_handed_down_stays_with_home(move, tmp_path):
    run = move(
        """
        import fcntl, os
        held = os.open("lock", os.O_RDWR | os.O_CREAT)
        os.set_inheritable(held, True)
        fcntl.flock(held, fcntl.LOCK_EX)
        hop()
        try:
            fcntl.flock(open("lock"), fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("still held")
        """,
        cwd=tmp_path,
    )
    assert run.stdout == "still held\n", run.stderr
    assert run.ended_in == "peer"


def test_files_on_the_null_device(same):
    """Which standard input is on, too, where the tests run: that can only be read."""
    same("""
        import os, sys
        sink, source = open(os.devnull, "w"), open(os.devnull, "rb")
        sink.write("before")
        print("to nowhere", file=sink)
        hop()
        print("to nowhere", file=sink, flush=True)
        print(sink.mode, source.mode, source.read(), sink.fileno() > 2, source.fileno() > 2, sys.stdin.read())
        hop()
        sink.close()
    """)
