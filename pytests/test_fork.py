"""Copies: the program goes on at home and, with values of their own, in others."""

import textwrap

from trips import WAYS

THROUGH = textwrap.indent(WAYS, "        ") + "        import pyteleport, signal"


def test_each_copy_has_its_value_and_home_has_them_all(move, place):
    target, env = place
    run = move(
        f"""{THROUGH}
        shared = [[1, 2], 3]
        def work(n):
            total = 0
            for i in range(3):
                got = fork({target}, [(k, shared) for k in range(4)]) if i == n else None
                if isinstance(got, tuple):
                    k, same = got
                    same[0].append(k)
                    print("copy", k, total, shared, same is shared, os.getpid() != home, flush=True)
                    sys.exit(10 + k)
                elif got:
                    copies = got
                total += 10
            return total, copies
        home = os.getpid()
        total, copies = work(1)
        print("home", total, shared, os.getpid() == home, [copy.value[0] for copy in copies])
        print([copy.wait() for copy in copies], [copy.returncode for copy in copies])
        print(len({{copy.pid for copy in copies}} - {{home}}))
    """,
        env=env,
    )
    assert (run.stderr, run.returncode) == ("", 0)
    assert sorted(run.stdout.splitlines()) == sorted(
        [
            *(f"copy {k} 10 [[1, 2, {k}], 3] True True" for k in range(4)),
            "home 30 [[1, 2], 3] True [0, 1, 2, 3]",
            "[10, 11, 12, 13] [10, 11, 12, 13]",
            "4",
        ]
    )
    assert run.ended_in == "home"


def test_lines_of_copies_are_not_mixed(move, place):
    target, env = place
    run = move(
        f"""{THROUGH}
        got = fork({target}, list("abcd"))
        if isinstance(got, str):
            for n in range(300):
                line = got * (n + 1) + "\\n"
                for part in range(0, len(line), 50):
                    sys.stdout.write(line[part:part + 50])
                    sys.stdout.flush()
            sys.exit()
        for copy in got:
            assert copy.wait() == 0
    """,
        env=env,
    )
    assert (run.stderr, run.returncode) == ("", 0)
    expected = sorted(letter * (n + 1) for letter in "abcd" for n in range(300))
    assert sorted(run.stdout.splitlines()) == expected


def test_signals_and_ends(move, place):
    target, env = place
    run = move(
        f"""{THROUGH}
        def stop(number, frame):
            print("asked", flush=True)
            sys.exit(3)
        got = fork({target}, ["asked", "killed", "raises"])
        if isinstance(got, str):
            if got == "raises":
                raise KeyError(got)
            signal.signal(signal.SIGTERM, stop)
            pyteleport.channel().send("ready")
            while True:
                signal.pause()
        asked, killed, raises = got
        assert asked.poll() is killed.poll() is None, got
        try:
            asked.wait(0)
        except TimeoutError as error:
            print("in process %d, runs" % asked.pid in str(error))
        assert asked.channel.recv() == killed.channel.recv() == "ready"
        asked.terminate()
        killed.kill()
        print(asked.wait(), killed.wait(), raises.wait(10))
    """,
        env=env,
    )
    assert run.stdout.replace("asked\n", "") == "True\n3 -9 1\n", run.stderr
    assert "asked\n" in run.stdout
    assert "KeyError: 'raises'" in run.stderr
    assert run.returncode == 0


def test_channels(move, place):
    target, env = place
    run = move(
        f"""{THROUGH}
        from multiprocessing.connection import wait
        got = fork({target}, [1, 2, 3])
        if isinstance(got, int):
            home = pyteleport.channel()
            for item in home:
                home.send((got, item, bytearray(item["data"])))
            home.send("over")
            sys.exit(0)
        data = bytes(range(256)) * 4096
        for copy in got:
            for n in range(3):
                copy.channel.send({{"n": n, "data": data}})
        for copy in got:
            for n in range(3):
                who, item, array = copy.channel.recv()
                assert (who, item["n"], bytes(array) == data) == (copy.value, n, True)
        print([copy.channel.poll() for copy in got])
        import socket
        for copy in got:
            socket.socket(fileno=os.dup(copy.channel.fileno())).shutdown(socket.SHUT_WR)
        left = {{copy.channel: copy for copy in got}}
        while left:
            for ready in wait(list(left)):
                try:
                    assert ready.recv() == "over"
                except EOFError:
                    del left[ready]
        print([copy.wait() for copy in got])
    """,
        env=env,
    )
    assert (run.stdout, run.stderr, run.returncode) == ("[False, False, False]\n[0, 0, 0]\n", "", 0)


def test_a_dead_copy_ends_its_channel(move, place):
    target, env = place
    run = move(
        f"""{THROUGH}
        got = fork({target}, [1])
        if isinstance(got, int):
            pyteleport.channel().recv()
            os.kill(os.getpid(), signal.SIGKILL)
        copy, = got
        copy.channel.send("go")
        try:
            copy.channel.recv()
        except EOFError:
            print("gone", copy.wait())
    """,
        env=env,
    )
    assert (run.stdout, run.stderr) == ("gone -9\n", "")


def test_a_copy_sees_that_home_has_gone(move, tmp_path):
    run = move(
        """
        import os, pyteleport
        got = fork()
        if got is None:
            try:
                pyteleport.channel().recv()
            except EOFError:
                with open("part", "w") as file:
                    file.write("home has gone")
                os.rename("part", "seen")
            os._exit(0)
        os._exit(5)
    """,
        cwd=tmp_path,
    )
    assert run.returncode == 5
    assert run.stderr == ""
    # What the copy wrote its output to is open until it ends, so it has ended.
    assert (tmp_path / "seen").read_text() == "home has gone"


def test_a_copy_moves_on(move):
    run = move("""
        import os, sys
        got = fork(None, [0, 1])
        if isinstance(got, int):
            before = os.getpid()
            teleport()
            teleport()
            print("copy", got, os.getpid() != before, flush=True)
            sys.exit(20 + got)
        print([copy.wait() for copy in got])
    """)
    assert sorted(run.stdout.splitlines()) == ["[20, 21]", "copy 0 True", "copy 1 True"], run.stderr
    assert (run.stderr, run.returncode) == ("", 0)


def test_home_moves_and_its_copies_stay(move):
    run = move("""
        import os, pyteleport, sys
        got = fork(None, ["c"])
        if got == "c":
            pyteleport.channel().recv()
            print("copy", flush=True)
            sys.exit()
        line = got[0].channel
        try:
            teleport()
        except UnmovableError as error:
            print("refused", "line" in str(error), flush=True)
        line.send("go")
        print(got[0].wait())
        del got, line
        here = os.getpid()
        teleport()
        trail("there")
        print(os.getpid() != here)
    """)
    assert run.stdout == "refused True\ncopy\n0\nTrue\n", run.stderr
    assert run.ended_in == "peer"


def test_what_cannot_be_copied_is_refused_and_home_goes_on(move, place):
    target, env = place
    run = move(
        f"""{THROUGH}
        import socket
        sock = socket.socket()
        try:
            fork({target}, [1, 2])
        except UnmovableError as error:
            print("sock" in str(error))
        del sock
        class Bad:
            def __reduce__(self):
                return explode, ()
        def explode():
            raise ValueError("not here")
        bad = Bad()
        try:
            fork({target}, [1, 2])
        except ResumeError as error:
            print("not here" in str(error))
        del bad
        print(fork({target}, []))
        try:
            fork({target}, range(1000))
        except ValueError as error:
            print(error)
        try:
            pyteleport.channel()
        except RuntimeError as error:
            print("no copy" in str(error))
    """,
        env=env,
    )
    lines = run.stdout.splitlines()
    assert lines[:3] == ["True", "True", "[]"], run.stderr
    assert "not 1000" in lines[3]
    assert lines[4] == "True"
    assert (run.returncode, run.ended_in) == (0, "home")


def test_as_in_the_original_package(move):
    run = move("""
        got = tp_dummy(return_=["a", "b"])
        if isinstance(got, str):
            print(got, flush=True)
        else:
            print([copy.wait() for copy in got])
    """)
    assert sorted(run.stdout.splitlines()) == ["[0, 0]", "a", "b"], run.stderr


def test_copies_share_the_memory_that_they_do_not_change(move):
    """What is decoded once is there once: 64 MB in four copies."""
    run = move("""
        import os, re
        data = bytearray(64 << 20)
        got = fork(None, [0, 1, 2, 3])
        if isinstance(got, int):
            text = open("/proc/self/smaps_rollup").read()
            own = int(re.search(r"Private_Dirty: *(\\d+) kB", text).group(1))
            print(own < 32 << 10, flush=True)
            raise SystemExit
        print([copy.wait() for copy in got])
    """)
    assert sorted(run.stdout.splitlines()) == ["True"] * 4 + ["[0, 0, 0, 0]"], run.stderr


def test_copies_of_threads_are_refused(move):
    run = move("""
        import threading
        over = threading.Event()
        thread = threading.Thread(target=over.wait)
        thread.start()
        try:
            fork()
        except CaptureError as error:
            print(error)
        over.set()
        thread.join()
        got = fork()
        print(got and [copy.wait() for copy in got])
    """)
    assert run.stdout.splitlines()[0].startswith("fork() makes copies of one thread"), run.stderr
    assert sorted(run.stdout.splitlines()[1:]) == ["None", "[0]"], run.stdout


def test_what_a_copy_has_written_comes_before_its_end(move):
    run = move("""
        import sys
        got = fork(None, ["copy"])
        if got == "copy":
            for n in range(20000):
                print("line", n)
            sys.exit(3)
        print("ended", got[0].wait(), flush=True)
    """)
    lines = run.stdout.splitlines()
    assert lines == [*("line %d" % n for n in range(20000)), "ended 3"], run.stderr
