"""``%teleport`` in a kernel of Jupyter's: from then on the cells run elsewhere, and the kernel is the relay.

The frontends are connected to the kernel's process, so that stays, with all that cannot travel. The session
goes away as it does for a cell with ``%%on``, but does not come home at the end of one: each cell is told to
where it is. ``%teleport --home`` brings it home. If it is lost, that at home is as it was when it left.
"""

from __future__ import annotations

import os
import signal
import sys

from IPython.core.error import UsageError

from . import cells, imports, lines, shells, streams

__builtins__ = imports.BUILTINS

_HOME = "--home"

# The session of this kernel that is away, if it is.
_away = None


class Away:
    """Home's side of a session that is away."""

    def __init__(self, shell, target):
        from . import there

        self._shell = shell
        self._transforms = shell.input_transformer_manager.line_transforms
        self._raised = None
        handlers = {**cells.handlers(shell), "ready": self._ready, "raised": self._raise_later}
        self._way = there.Way(target, {}, handlers)

    def leave(self):
        """Go there."""
        from . import there

        there.run(self._way, serve, (shells.take_session(self._shell),))
        self._transforms.insert(0, self.transform)

    def transform(self, text):
        """What a cell is at home: a line that has it run there."""
        cell = "".join(text)
        if not cell.strip() or cell.split() == ["%teleport", _HOME]:
            return text
        return ["get_ipython().run_cell_magic('teleport', '', %r)\n" % cell]

    def run(self, cell):
        """Have a cell run there."""
        shell = self._shell
        number = shell.displayhook.prompt_count
        self._transforms.remove(self.transform)
        try:
            plain = shell.transform_cell(cell)
        finally:
            self._transforms.insert(0, self.transform)
        name = shell.compile.cache(plain, number, raw_code=cell)
        self._ask("cell", cell, shell.execution_count, number, name)

    def come(self):
        """Bring the session home."""
        back = self._ask("home")
        self._end()
        _raised, session = back[0]
        # What has been typed for home itself is known only here.
        typed, parsed = self._shell.history_manager.input_hist_parsed, session["parsed"]
        parsed.extend([""] * (len(typed) - len(parsed)))
        parsed[:] = [text or own for text, own in zip(parsed, typed)]
        shells.give_back_session(session)

    def _ask(self, *request):
        self._raised = None
        try:
            back = self._way.ask(*request)
        except Exception as error:
            self._end()
            cells.raise_alone(self._shell, error)
        if self._raised is not None:
            raise self._raised
        return back

    def _end(self):
        global _away
        _away = None
        self._transforms.remove(self.transform)

    def _ready(self):
        return True

    def _raise_later(self, name, text, shown):
        """Something was raised there; here is only what is shown of it."""
        if name == "UsageError":
            self._raised = UsageError(text)
            return
        body = {"__str__": lambda self: text, "_render_traceback_": lambda self: shown}
        self._raised = type(name, (Exception,), body)()


def serve(session):
    """There: run the cells that home tells of, until the session goes home."""
    from . import there

    shell = cells.begin(session, True)
    interrupt = {signal.SIGINT}
    while True:
        # What interrupts a cell that has ended just now must not interrupt this.
        signal.pthread_sigmask(signal.SIG_BLOCK, interrupt)
        try:
            lines.tell("ready")
            request = lines.receive()
            while signal.sigtimedwait(interrupt, 0):
                pass
        finally:
            signal.pthread_sigmask(signal.SIG_UNBLOCK, interrupt)
        if request is None:  # home is gone
            os._exit(1)
        kind, *content = request
        try:
            if kind == "home":
                there.come((None, shells.take_session(shell)))
            raised = _run(shell, *content)
        except BaseException as problem:
            raised = problem
        if raised is not None:
            streams.flush_streams()
            lines.tell("raised", type(raised).__name__, str(raised), _shown(shell, raised))
        streams.flush_streams()


def _run(shell, cell, count, number, name):
    manager = shell.history_manager
    if number >= len(manager.input_hist_parsed):
        for typed in manager.input_hist_parsed, manager.input_hist_raw:
            typed.extend([""] * (number - len(typed)))
        manager.store_inputs(number, shell.transform_cell(cell), cell)
    _value, raised = cells.run_one(shell, cell, count, name)
    shell.compile._filename_map[name] = number
    return raised


def _shown(shell, raised):
    trace = raised.__traceback__
    if isinstance(raised, SyntaxError) and trace is None:
        return shell.SyntaxTB.structured_traceback(type(raised), raised, [])
    if trace is None or type(raised).__module__ == "pyteleport.errors":
        return shell.InteractiveTB.get_exception_only(type(raised), raised)
    return shell.InteractiveTB.structured_traceback(type(raised), raised, trace, tb_offset=0)


def teleport(line, cell=None):
    """Have the cells of a kernel run at a target from now on, or at home again (``--home``)."""
    global _away
    shell = shells.any_here()
    away = sys.modules.get("pyteleport.away")
    if away is not None and away.guest is not None and away.guest.is_here():
        text = "the session is away from its kernel: %teleport --home, as a cell of its own, brings it home"
        raise UsageError(text)
    if cell is not None:
        if _away is None:
            raise UsageError("%teleport has a line of its own; what runs a cell elsewhere is %%on")
        return _away.run(cell)
    if line.strip() == _HOME:
        if _away is None:
            raise UsageError("the session is at home")
        return _away.come()
    session = Away(shell, line.strip() or None)
    try:
        session.leave()
    except Exception as error:
        cells.raise_alone(shell, error)
    _away = session
