"""Memory that is mapped: files by their paths, memory without a file with its contents."""


def test_a_mapped_file_stays_the_files_memory(same, tmp_path):
    same(
        """
        import mmap, os
        with open("data.bin", "wb") as file:
            file.write(bytes(range(256)) * 64)
        with open("data.bin", "r+b") as file:
            whole = mmap.mmap(file.fileno(), 0)
            part = mmap.mmap(file.fileno(), 4096, offset=8192)
        with open("data.bin", "rb") as file:
            seen = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        both = [whole, whole]
        for turn in range(3):
            whole.seek(turn * 10)
            hop()
            whole[8192 + turn] = 77
            part[100 + turn] = 88
            print(whole.tell(), whole.read(3), part[:4], seen[8192:8196], seen[8292:8296], both[0] is both[1])
            with open("data.bin", "rb") as file:
                file.seek(8192)
                print(file.read(4), len(whole), len(part))
        try:
            seen[0] = 1
        except TypeError as error:
            print(error)
    """,
        cwd=tmp_path,
    )


def test_what_is_no_files_comes_along(same, tmp_path):
    same(
        """
        import mmap
        own, private = mmap.mmap(-1, 5000), mmap.mmap(-1, 300, access=mmap.ACCESS_COPY)
        own.write(b"of its own")
        private[:3] = b"abc"
        with open("data.bin", "wb") as file:
            file.write(b"x" * 5000)
        with open("data.bin", "rb") as file:
            copy = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        copy[:4] = b"mine"
        closed = mmap.mmap(-1, 1)
        closed.close()
        hop()
        print(own[:12], own.tell(), len(own), private[:4], copy[:6], open("data.bin").read(6), closed.closed)
        copy[4:8] = own[:4] = b"more"
        hop()
        print(own[:12], copy[:10], open("data.bin").read(6))
    """,
        cwd=tmp_path,
    )


def test_views_share_the_memory(same):
    same("""
        import mmap
        memory = mmap.mmap(-1, 16)
        view = memoryview(memory)
        hop()
        view[3] = 65
        print(memory[:5], view[:5].tobytes(), view.obj is memory)
    """)


def test_a_file_that_is_gone_is_refused(refused, tmp_path):
    (said,) = refused(
        """
        import mmap, os
        with open("data.bin", "w+b") as file:
            file.write(b"x" * 100)
            file.flush()
            memory = mmap.mmap(file.fileno(), 0)
        os.remove("data.bin")
        attempt()
        print(memory[:3])
    """,
        error="UnmovableError",
        cwd=tmp_path,
    )
    assert "__main__ → memory (mmap.mmap) cannot move: it maps a file that was deleted" in said


def test_a_file_that_has_changed_is_refused_by_the_peer(move, tmp_path):
    run = move(
        """
        import mmap
        with open("data.bin", "wb") as file:
            file.write(b"x" * 100)
        with open("data.bin", "rb") as file:
            memory = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        first = dump("here.tp")
        if first is None:
            with open("data.bin", "ab") as file:
                file.write(b"more")
            import subprocess, sys
            done = subprocess.run([sys.executable, "here.tp"], stderr=subprocess.PIPE)
            print(done.returncode, b"data.bin: it has 104 bytes, where it had 100" in done.stderr)
    """,
        cwd=tmp_path,
    )
    assert run.stdout == "1 True\n", run.stderr
