"""There and back: a block of the program runs elsewhere, and the program comes back."""

from __future__ import annotations

import functools
import io
import os
import pickle
import sys
from contextlib import contextmanager

from . import _native, api, away, bases, imports, lines, prompts, timers, trips
from .errors import CaptureError, TeleportError, TransportError

__builtins__ = imports.BUILTINS

# Before the payload of a program that comes back, and behind it: it is whole.
_HOME = b"\0"
_WHOLE = b"pyteleport: all of it"


class on:  # reads as a word of the with statement
    """Runs a block elsewhere, and brings the program back.

    >>> with pyteleport.on("ssh://big-machine"):
    ...     result = compute(data)

    The block runs at the target, with all of the program that can travel. At its end, however it is left, the
    program comes back to the process that it has left, which has waited: the same pid, with its threads,
    sockets and open files. An exception that leaves the block comes back, too, and is raised here.

    What cannot travel stays. In its place stands something that raises :exc:`AwayError` when it is used,
    and after the block it is the very same object again. Open files, other threads and what one talks to
    them with stay, too.

    Args:
        target: where the block runs, as for :func:`teleport`.
        env, cwd, files, ship, ship_files, timeout, progress: as for :func:`teleport`, for the block.

    Raises:
        CaptureError: at the beginning, as :func:`teleport`, and where this is not the main thread, an
            event loop runs in it. At the end of the block if the program cannot be captured there; it goes on
            there, and :func:`home` brings it back later.
        UnmovableError: the same, of objects made in the block.
        TransportError: the peer could not be reached, does not fit, or went away, even in the middle of the
            block. It is raised at home by the with statement, and the program goes on as it was when it left.
        ResumeError, PayloadError: the far end, or home, could not bring the program to life; raised likewise.
    """

    def __init__(
        self,
        target=None,
        *,
        env=None,
        cwd=None,
        files=(),
        ship=(),
        ship_files=(),
        timeout=None,
        progress=None,
    ):
        self._target = target
        self._options = env, cwd, files, ship, ship_files, timeout, progress
        self._tokens = []

    def __repr__(self):
        return "pyteleport.on(%r)" % (self._target,)

    def __enter__(self):
        _refuse()
        # There, the call of this method returns itself. What follows is at home.
        code = self._leave([self], trips.Trip.hear, _go_on)
        _end_as_there(code)

    def _leave(self, value, hear, go_on, base=False):
        """The way there, and back.

        Args:
            value: what the call is worth there, in a list.
            hear: called with the trip and a message that comes from there; where it is true, home goes on.
            go_on: goes on with the trip and what has come back; what it returns is returned.
            base: whether the frames below the innermost base stay.

        Returns:
            Once the program has ended there: the exit status. Of a base what ``go_on`` returns, or
            (trip, lines to the program) if home goes on meanwhile.
        """
        argv, shell, _server = api._way(self._target, *self._options[:2])
        if shell is None:
            argv.append("--copies")
        else:
            shell["copies"] = True
        extras = api._extras(*self._options, loops=not base)
        extras["value"] = value
        if base:
            extras["base"] = True
        with _away(self._tokens):
            with api._aside():
                trip = extras["guest"] = trips.Trip()
                self._tokens.append(trip.token)
                waits = [_native.send_guest(argv, shell, extras, lambda message: hear(trip, message))]
            del extras, argv, shell
            return self._take(trip, waits, go_on, base)

    def _take(self, trip, waits, go_on, base):
        """What a wait has come to."""
        guest_lines, payload, code, ended_by, children = waits.pop()
        if guest_lines is not None:
            return trip, guest_lines
        _see_off(children, code is None)
        if payload.endswith(_WHOLE) and code == 0:
            source = [io.BytesIO(payload)]
            source[0].seek(len(_HOME))
            del payload
            return go_on(trip, source)
        if code is not None and code >= 0 and not base:
            return code
        if ended_by is not None:
            os.kill(os.getpid(), ended_by)
        if trip.failed is not None:
            raise trip.failed
        raise TransportError(_lost(code))

    def __exit__(self, *_exception):
        token = self._tokens.pop() if self._tokens else None
        if not trips.is_over(token):
            try:
                _come(token)
            except BaseException:
                if token is not None:
                    self._tokens.append(token)
                raise
        return False


def home():
    """Comes back from where :func:`on` has brought the program, before the end of the block, or without one.

    The call returns in the process that the program has left last. What follows in the block runs there,
    and the block's end does nothing more. ``on(target).__enter__()`` is the way there without a block.

    Raises:
        TeleportError: the program has left no home that it could come back to: it is there already, or it has
            come here by other ways, as a copy or from a file.
        CaptureError: the program cannot be captured here; it goes on here.
        TransportError: home is gone.
    """
    if away.guest is not None and away.guest.has_base:
        raise TeleportError("what runs here comes home at its end, and not before")
    _come(None)


@contextmanager
def _away(tokens):
    """While it lasts, the timers of the process stand; if it fails, the last trip is none."""
    pending, before = timers.take_timers(), len(tokens)
    try:
        yield
    except BaseException:
        del tokens[before:]
        if pending is not None:
            timers.give_back_timers(pending)
        raise


class Way:
    """The way of a function that runs elsewhere, from a base and back to it (:func:`pyteleport.bases.run`).

    Args:
        target, options: as for :class:`on`.
        handlers: what is done about messages that the function sends: kind → function.
    """

    def __init__(self, target, options, handlers):
        self._on = on(target, **options)
        self._handlers = handlers
        self._trip = self._lines = None

    def __reduce__(self):
        return Way, (None, {}, {})

    def go(self):
        """Goes there, where this returns None; at home the outcome, in a tuple, once that has come."""
        _refuse(base=True)
        return self._back(self._on._leave([None], self._hear, _rise, base=True))

    def ask(self, *request):
        """Tell the function that runs there something, and wait for what it says then, as :meth:`go` does."""
        hear = functools.partial(self._hear, self._trip)
        pending, back = timers.take_timers(), None
        try:
            waits = [_native.wait_guest(self._lines, pickle.dumps(request, protocol=4), hear)]
            prompts.based()
            back = self._on._take(self._trip, waits, _rise, base=True)
        finally:
            if pending is not None and type(back) is not _Outcome:
                timers.give_back_timers(pending)
        return self._back(back)

    def _back(self, back):
        if type(back) is _Outcome:
            return back
        self._trip, self._lines = back
        return (None,)

    def _hear(self, trip, message):
        return trip.hear(message, self._handlers)

    def call(self, function, arguments):
        """There: calls the function, and comes home with (what it has raised, what it has returned).

        At home, that is what this returns. If that cannot be, the process ends.
        """
        away.guest.has_base = True
        try:
            outcome = None, function(*arguments)
        except BaseException as raised:
            outcome = raised, None
        try:
            return come(outcome)
        except BaseException as problem:
            lines.tell("failed", type(problem).__name__, str(problem))
            os._exit(1)


def come(outcome):
    """Comes home from a function that a base has called."""
    return _come(away.guest.token, base=True, value=outcome)


def run(way, function, arguments):
    """Runs a function elsewhere, and no frame below this call: (what it has raised, what it has returned).

    Raises:
        As :class:`on`, before or after; then the program is as it was when it left.
    """
    return bases.run(way, function, arguments)


def end_of_statement():
    """What has come here from a prompt has ended, and the prompt is at home."""
    bases.over(lambda: _come(None, base=True))


def _come(token, base=False, value=None):
    """Comes back from a trip, None for the one that has led here."""
    guest = away.guest
    if guest is None or not guest.is_here() or token not in (None, guest.token):
        raise TeleportError(
            "this process is not one that on() has brought the program to: it has no home to return to"
        )
    extras = api._extras(None, None, (), (), (), None, False)
    del extras["progress"]
    extras["coming"] = guest
    if base:
        extras.update(base=True, value=value)
    try:
        _native.come_home(_Line(guest.line), extras, _WHOLE)
    except OSError as problem:
        raise TransportError("home is gone: %s" % problem) from problem


class _Line:
    """The line to home, as a file to write to."""

    def __init__(self, number):
        self._number = number
        self._begun = False

    def write(self, data):
        """Write all of it."""
        if not self._begun:
            self._begun = True
            lines.write(self._number, _HOME)
        lines.write(self._number, data)


def _refuse(base=False):
    """Refuse what cannot be brought back. What is below a base stays."""
    from _thread import get_ident

    events = sys.modules.get("asyncio.events")
    if not base and events is not None and events._get_running_loop() is not None:
        raise CaptureError(
            "on() cannot bring an event loop back that runs in this thread; use ateleport(), or leave it"
        )
    from threading import main_thread

    if main_thread().ident != get_ident():
        raise CaptureError("on() brings back the main thread, and this is another one")


def _go_on(trip, source):
    """At home: goes on from what has come back; returns only if it raises."""
    # The frames that wait here are left where they are, with all that they hold.
    with _returning(trip, source):
        _native.resume_file(source[0], None, ("home", trip.prompt))


def _rise(trip, source):
    """At home: goes on from what has come back above the frames that have waited; what that comes to."""
    with _returning(trip, source):
        return _Outcome((_native.resume_above(source[0]),))


class _Outcome(tuple):
    """In it: what a base has come to."""


@contextmanager
def _returning(trip, source):
    before, trips.returning = trips.returning, trip

    def arrived():
        trips.returning = before
        source.pop().close()

    trip.arrived = arrived
    try:
        yield
    finally:
        trips.returning = before


def _see_off(children, is_lost):
    """Waits for the processes that have led to the guest, which have nothing to do any more."""
    import signal

    carrier, leader = children
    if is_lost:
        # The guest ends with it, or hears that home is gone.
        try:
            os.kill(leader, signal.SIGKILL)
        except ProcessLookupError:
            pass
    for child in (carrier, leader):
        try:
            os.waitpid(child, 0)
        except ChildProcessError:
            pass  # somebody else has waited for it


def _end_as_there(code):
    """The program has come to its end there: this process ends as it did."""
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()
    for stream in (sys.__stdout__, sys.__stderr__):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):
            pass
    os._exit(code)


def _lost(code):
    """What is said of a program that has not come back."""
    import signal

    after = "; the program goes on at home, as it was when it left"
    if code is None:
        return "the way to the program broke while it was away" + after
    if code >= 0:
        return "the program has ended with exit status %d while it was away" % code + after
    try:
        name = signal.Signals(-code).name
    except ValueError:
        name = "signal %d" % -code
    return "the program was ended by %s while it was away" % name + after
