"""Targets: what may be said in place of a command that leads to another machine.

A target is text, ``"ssh://me@host:2222?python=python3.11"``, whose scheme is a module of this
package or an entry point of the group ``pyteleport.targets``; the words of a command; or an object
with one method, ``command()``. Each comes to a :class:`Command`.
"""

from __future__ import annotations

from typing import NamedTuple

SCHEMES = ("docker", "kubectl", "local", "podman", "srun", "ssh", "sudo")

# Others' targets: an entry point has the scheme for its name, and is a function of a Url.
GROUP = "pyteleport.targets"


class Command(NamedTuple):
    """What leads to a peer."""

    #: The words of a command that takes one more, a shell command; ``None``: a child of this process.
    argv: list[str] | None
    #: The interpreter to start there, as a shell word or words.
    python: str = "python"
    #: Shell commands to run before it.
    before: str = ""
    #: For a child of this process, whether one that waits for it is taken (``python -m pyteleport serve``),
    #: or where the server of those listens.
    server: str | bool = True


class Url(NamedTuple):
    """A target's text in its parts. What is left out is empty; the port is ``None`` then."""

    text: str
    user: str
    host: str
    port: int | None
    path: str
    options: dict[str, list[str]]

    @classmethod
    def of(cls, text):
        """Takes a text apart.

        Raises:
            ValueError: it is not one.
        """
        from urllib.parse import parse_qs, unquote, urlsplit

        try:
            parts = urlsplit(text)
            port = parts.port
            options = parse_qs(parts.query, keep_blank_values=True)
        except ValueError as error:
            raise ValueError(f"target {text!r}: {error}") from None
        if parts.fragment:
            raise ValueError(f"target {text!r}: what follows '#' has no meaning; write it as %23")
        user, _, host = parts.netloc.rpartition("@")
        if ":" in user:
            raise ValueError(f"target {text!r}: a password has no place here; the command asks for it")
        if port is not None:
            host = host.rpartition(":")[0]
        elif host.endswith(":"):
            host = host[:-1]
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        parts = [unquote(part) for part in (user, host, parts.path.strip("/"))]
        for part in parts:
            if part.startswith("-"):
                raise ValueError(f"target {text!r}: {part!r} would be taken for an option of the command")
        return cls(text, *parts[:2], port, parts[2], options)

    def only(self, *names, host=True, port=False, path=False):
        """Checks that nothing is said that has no meaning.

        Raises:
            ValueError: an option that is none of ``names``, or a part that does not belong here, or
                no host although there has to be one.
        """
        for name in self.options:
            if name not in names:
                known = ", ".join(names)
                raise ValueError(f"target {self.text!r}: there is no option {name!r}, only {known}")
        if self.port is not None and not port:
            raise ValueError(f"target {self.text!r}: a port has no meaning here")
        if self.path and not path:
            raise ValueError(f"target {self.text!r}: the path {self.path!r} has no meaning here")
        if host and not self.host:
            raise ValueError(f"target {self.text!r}: it does not say where")

    def option(self, name):
        """The last value of an option; empty if it is left out."""
        return self.options.get(name, [""])[-1]

    def command(self, argv, python="python"):
        """These words, with the options that every target has: ``python`` and ``before``."""
        return Command(argv, self.option("python") or python, "; ".join(self.options.get("before", ())))


def command_of(target):
    """What leads to a target.

    Args:
        target: any that :func:`pyteleport.teleport` takes.

    Returns:
        A :class:`Command`.

    Raises:
        TypeError: it is no target.
        ValueError: its text does not say where, or in a way that is not known.
    """
    if target is None:
        return Command(None)
    if isinstance(target, str):
        url = Url.of(target)
        return _command(_scheme(target)(url), target)
    if hasattr(target, "command"):
        return _command(target.command(), target)
    return _command(target, target)


def _command(command, target):
    """A command however it was given."""
    if isinstance(command, Command):
        return command
    if isinstance(command, (list, tuple)) and command and all(isinstance(word, str) for word in command):
        return Command([*command])
    whose = "" if command is target else f"; {target!r} made {command!r}"
    raise TypeError(
        "a target is None, a text as in 'ssh://host', a list of strings, or an object whose command() makes "
        f"such a list or a pyteleport.targets.Command, not {target!r}{whose}"
    )


def _scheme(text):
    """The function that knows a text's scheme."""
    from importlib import import_module

    scheme, colon, _ = text.partition(":")
    if colon and scheme in SCHEMES:
        return import_module("." + scheme, __name__).command
    others = {point.name: point for point in _entry_points()}
    if colon and scheme in others:
        return others[scheme].load()
    known = ", ".join(f"{name}:" for name in sorted({*SCHEMES, *others}))
    raise ValueError(f"target {text!r} begins with no scheme that is known: {known}")


def _entry_points():
    from importlib.metadata import entry_points

    points = entry_points()
    # A dictionary up to CPython 3.9.
    return points.select(group=GROUP) if hasattr(points, "select") else points.get(GROUP, ())
