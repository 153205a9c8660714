"""Where a fresh process begins that a program of this machine is going to move into: run by path.

Started with ``-c`` or ``-m``, Python would look into the working directory: for modules to import and, on
3.13.0, to word every AttributeError of a module, which fails if the directory is gone.
"""

import sys


def main():
    folder = __file__.rpartition("/")[0]
    if sys.path[:1] == [folder]:  # not with -I or -P
        del sys.path[0]
    parent = folder.rpartition("/")[0]
    if parent.rpartition("/")[2].startswith("pyteleport-") and _is_there(
        parent + "/.pyteleport-was-sent-here"
    ):
        # Another may be installed here (`_lodge.py`).
        sys.path.insert(0, parent)
    else:
        # The program may have found this package by a path of its own.
        sys.path.append(parent)
    from pyteleport.arrival import receive

    return receive(sys.argv[1:])


def _is_there(path):
    from posix import stat  # which is built in: `os` is not there with -S

    try:
        stat(path)
    except OSError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
