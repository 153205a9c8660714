"""Stands in for `python` at the far end of a shell: runs the real one behind pipes of its own, and kills.

    CUT_PYTHON  the real one
    CUT_WHEN    "to-peer:N" or "from-peer:N": after N bytes that way; "never"
    CUT_WHOM    "peer", or the pid of home

The peer sees plain pipes, as it would at the far end of ssh: there is no descriptor of its own to use.
"""

import os
import signal
import subprocess
import sys
import threading


def carry(source, sink, limit, cut):
    """Copies bytes; after `limit` of them cuts, and copies on."""
    while True:
        if limit == 0:
            cut()
            limit = None
        data = os.read(source, 65536 if limit is None else min(limit, 65536))
        if not data:
            break
        if limit is not None:
            limit -= len(data)
        try:
            while data:
                data = data[os.write(sink, data) :]
        except BrokenPipeError:
            break
    os.close(sink)


def main():
    python, whom = os.environ["CUT_PYTHON"], os.environ.get("CUT_WHOM", "peer")
    way, _, count = os.environ["CUT_WHEN"].partition(":")
    limits = {way: int(count or 0)}
    peer = subprocess.Popen(
        [python, *sys.argv[1:]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0, close_fds=True
    )

    def cut():
        os.kill(peer.pid if whom == "peer" else int(whom), signal.SIGKILL)
        if whom == "peer":
            peer.wait()  # it is gone before anything more comes through

    to_peer = (0, peer.stdin.fileno(), limits.get("to-peer"), cut)
    threading.Thread(target=carry, args=to_peer, daemon=True).start()
    carry(os.dup(peer.stdout.fileno()), os.dup(1), limits.get("from-peer"), cut)
    os._exit(peer.wait() % 256)


if __name__ == "__main__":
    main()
