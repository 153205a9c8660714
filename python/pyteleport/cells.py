"""``%%on TARGET``: a cell of IPython's runs elsewhere, and its names and results come back."""

from __future__ import annotations

import os
import sys

from . import imports, shells

__builtins__ = imports.BUILTINS


def on(line, cell):
    """Run a cell at a target (a fresh process without one), and bring its results back: ``%%on ssh://host``."""
    from . import there

    shell = shells.any_here()
    is_terminal = shells.here() is not None
    number = shell.displayhook.prompt_count
    # Tracebacks at home find its lines, too.
    name = shell.compile.cache(shell.transform_cell(cell), number, raw_code=cell)
    session = shells.take_session(shell)
    way = there.Way(line.strip() or None, {}, {} if is_terminal else handlers(shell))
    arguments = session, cell, shell.execution_count, name, not is_terminal
    try:
        raised, outcome = there.run(way, run, arguments)
    except Exception as error:  # of the way there or back, not of the cell's
        raise_alone(shell, error)
    if raised is None:
        session, value, raised = outcome
        shells.give_back_session(session)
        shell.compile._filename_map[name] = number
        _have_result(shell, value)
    if raised is not None:
        _raise(shell, raised, _render(shell, raised.__traceback__))


class _Asking:
    """While it lasts, what asks the user of a kernel says that nobody is there."""

    def __init__(self, is_kernel):
        import builtins
        import getpass

        self._places = ((builtins, "input"), (getpass, "getpass")) if is_kernel else ()
        self._before = [getattr(*place) for place in self._places]

    def __enter__(self):
        for place in self._places:
            setattr(*place, ask)

    def __exit__(self, *_raised):
        for place, before in zip(self._places, self._before):
            setattr(*place, before)


def ask(*_arguments, **_options):
    """What a cell of a kernel's finds in the place of `input` and `getpass.getpass`."""
    raise EOFError("a cell that runs away from its kernel cannot ask")


def _have_result(shell, value):
    """The value of the cell's last line is that of this one's."""
    result = getattr(shell.displayhook, "exec_result", None)
    if result is not None:
        result.result = value


def raise_alone(shell, error):
    """Raise something that is shown without the frames that it has come from."""
    _raise(shell, error, shell.InteractiveTB.get_exception_only)


def _raise(shell, raised, render):
    """Raise something here that is shown in a way of its own, once."""

    def render_once():
        raised.__dict__.pop("_render_traceback_", None)
        return render(type(raised), raised)

    try:
        raised._render_traceback_ = render_once
    except AttributeError:
        pass  # it has no room: the frames of the magic are shown, too
    raise raised


def _render(shell, trace):
    """Show what a cell has raised with its own frames."""

    def render(kind, raised):
        raised.__traceback__ = trace
        return shell.InteractiveTB.structured_traceback(kind, raised, trace, tb_offset=0)

    return render


def handlers(shell):
    """What a frontend is shown of what is told from there."""
    hook, publisher = shell.displayhook, shell.display_pub

    def result(data, metadata):
        hook.start_displayhook()
        hook.write_output_prompt()
        hook.write_format_data(data, metadata)
        hook.finish_displayhook()

    def display(data, metadata, options):
        publisher.publish(data, metadata, **{name: value for name, value in options.items() if value})

    return {"result": result, "display": display, "clear": publisher.clear_output}


def run(session, cell, count, name, is_shown_at_home):
    """There: run the cell; the session as it is then, the value of its last line, and what it has raised."""
    shell = begin(session, is_shown_at_home)
    value, raised = run_one(shell, cell, count, name)
    return shells.take_session(shell), value, raised


def begin(session, is_shown_at_home):
    """There: the shell of the session."""
    if is_shown_at_home and os.getpgrp() != os.getpid():
        # A kernel is interrupted with its group, and passes that on: once is enough.
        os.setpgid(0, 0)
    shells.give_back_session(session)
    shell = session["shell"]
    shell.is_shown_at_home = is_shown_at_home
    return shell


def run_one(shell, cell, count, name):
    """There: run a cell; the value of its last line, and what it has raised."""
    shell.execution_count = count
    shell.compile.get_code_name = lambda *_arguments: name
    parsed = shell.history_manager.input_hist_parsed
    # The shell puts its own there, and the one before back.
    sys.displayhook = sys.__displayhook__
    shell.history_manager.input_hist_parsed = [shell.transform_cell(cell)]
    try:
        with _Asking(shell.is_shown_at_home):
            result = shell.run_cell(cell)
    finally:
        del shell.compile.get_code_name
        shell.history_manager.input_hist_parsed = parsed
        shells.have_lists(shell)
    raised = result.error_before_exec or result.error_in_exec
    if raised is not None:
        _cut(raised, name)
    return result.result, raised


def _cut(raised, name):
    """Leave the shell's frames out of a traceback."""
    trace = raised.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != name:
        trace = trace.tb_next
    raised.__traceback__ = trace
