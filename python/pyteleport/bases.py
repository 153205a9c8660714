"""Bases: where a program begins of which only a part travels.

The frames that have called a base stay where they are, and wait; the base and what it calls are a program of
its own, which goes and comes back. What its outermost frame returns is what the base at home goes on with.
"""

from __future__ import annotations

from . import imports

__builtins__ = imports.BUILTINS


def run(way, function, arguments):
    """Run a function elsewhere.

    Args:
        way: leads there and back, as `there.Way` does.
        function, arguments: what is called there.

    Returns:
        (what it has raised, what it has returned), one of them None; or None, if home goes on meanwhile.
    """
    back = way.go()
    if back is not None:
        return back[0]  # at home
    return way.call(function, arguments)


def over(come):
    """Bring a program home that has come to its end elsewhere."""
    come()
