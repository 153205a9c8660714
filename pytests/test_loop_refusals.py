"""What of an event loop stays where it is: a move is refused by its name, and the program goes on."""

import sys

import pytest

SINCE_3_12 = pytest.mark.skipif(sys.version_info < (3, 12), reason="new in 3.12")

WITH_SERVER = """
        import asyncio
        async def serve(reader, writer):
            writer.write(await reader.readline())
            await writer.drain()
            writer.close()
        async def main():
            server = await asyncio.start_server(serve, "127.0.0.1", 0)
            port = server.sockets[0].getsockname()[1]
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            attempt()
            writer.write(b"line\\n")
            print(await reader.readline())
            writer.close()
            await writer.wait_closed()
            server.close()
            await server.wait_closed()
        asyncio.run(main())
"""


def test_connections_and_servers(refused):
    (text,) = refused(WITH_SERVER, error="UnmovableError")
    assert "a transport stays with its process" in text
    assert "_SelectorSocketTransport" in text
    assert "main() → reader._transport" in text
    assert "main() → server (asyncio.base_events.Server)" in text
    assert "a server stays with its process" in text


def test_a_move_once_all_is_closed(same):
    closed = "await server.wait_closed()"
    same(
        WITH_SERVER.replace("attempt()", "pass").replace(
            closed, closed + "; hop(); print(writer.is_closing())"
        )
    )


def test_a_descriptor_that_is_watched(refused):
    (text,) = refused(
        """
        import asyncio, os
        async def main():
            loop, got = asyncio.get_running_loop(), asyncio.Queue()
            reads, writes = os.pipe()
            loop.add_reader(reads, lambda: got.put_nowait(os.read(reads, 10)))
            attempt()
            os.write(writes, b"bytes")
            print(await got.get())
            loop.remove_reader(reads)
        asyncio.run(main())
        """,
        error="UnmovableError",
    )
    assert "the loop waits for descriptor" in text


def test_a_socket_that_is_watched(refused):
    (text,) = refused(
        """
        import asyncio, socket
        async def main():
            loop = asyncio.get_running_loop()
            ours, theirs = socket.socketpair()
            ours.setblocking(False)
            task = asyncio.ensure_future(loop.sock_recv(ours, 10))
            await asyncio.sleep(0)
            attempt()
            theirs.send(b"bytes")
            print(await task)
            ours.close(), theirs.close()
        asyncio.run(main())
        """,
        error="UnmovableError",
    )
    assert "main() → ours (socket.socket)" in text


def test_a_child_process(refused):
    (text,) = refused(
        """
        import asyncio, sys
        async def main():
            if sys.version_info < (3, 12):
                watcher = asyncio.SafeChildWatcher()
                watcher.attach_loop(asyncio.get_running_loop())
                asyncio.set_child_watcher(watcher)
            process = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
            attempt()
            print(await process.communicate(b"text"))
        asyncio.run(main())
        """,
        error="UnmovableError",
    )
    assert "a transport stays with its process" in text


@SINCE_3_12
def test_the_eager_part_of_a_task(refused):
    (text,) = refused("""
        import asyncio
        async def work(n):
            attempt()
            await asyncio.sleep(0)
            return n
        async def main():
            asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
            print(await asyncio.create_task(work(1)))
        asyncio.run(main())
    """)
    assert "Task" in text
