"""IPython: a cell that moves is a program; the rest of it, and the prompt, come after it in the peer's shell.

IPython's own frames and objects stay at home, where a shell has its terminal, its database of history and a
thread that writes that. What refers to the shell refers to the peer's there.
"""

from __future__ import annotations

import os
import sys

from . import imports

__builtins__ = imports.BUILTINS

_MODULE = "IPython.core.interactiveshell"

# What the program may hold of a shell: its attributes.
_PARTS = (
    *(
        "builtin_trap",
        "display_trap",
        "displayhook",
        "history_manager",
        "magics_manager",
        "compile",
        "events",
    ),
    *(
        "display_formatter",
        "display_pub",
        "extension_manager",
        "alias_manager",
        "prefilter_manager",
        "Completer",
    ),
    *(
        "inspector",
        "InteractiveTB",
        "payload_manager",
        "logger",
        "hooks",
        "config",
        "input_transformer_manager",
    ),
)


# The last results, as the hook that shows them knows them.
_LAST = "_", "__", "___"


def here():
    """The shell that has the terminal of this process, if there is one."""
    shells = sys.modules.get("IPython.terminal.interactiveshell")
    shell = any_here()
    return shell if shells is not None and isinstance(shell, shells.TerminalInteractiveShell) else None


def any_here():
    """The shell of this process, whatever it has: a terminal, a kernel's sockets, or a home elsewhere."""
    core = sys.modules.get(_MODULE)
    return core and core.InteractiveShell._instance


def cell_of(codes, names):
    """The place of the cell among the outermost frames; None if there is none."""
    if here() is None:
        return None
    for place, (code, name) in enumerate(zip(codes[:-1], names)):
        if name == _MODULE and code.co_name == "run_code":
            return place + 1
    return None


def take_cell(code):
    """What is left of the cell that runs, given the code of its running statement."""
    frame = sys._getframe()
    while frame.f_code is not code or frame.f_back.f_code.co_name != "run_code":
        frame = frame.f_back
    while frame.f_code.co_name != "run_ast_nodes":
        frame = frame.f_back
    own = frame.f_locals
    place = next(place for place, (node, _mode) in enumerate(own["to_run"]) if node is own["node"])
    return {"rest": own["to_run"][place + 1 :], "name": own["cell_name"], "result": own["result"]}


class Aside:
    """While it lasts, no thread of the shell's runs that writes history; what there is is written first."""

    def __init__(self):
        shell = here()
        self.manager = shell and shell.history_manager
        thread = self.manager and self.manager.save_thread
        self.thread = thread if thread and thread.is_alive() else None

    def __enter__(self):
        if self.thread is not None:
            self.manager.writeout_cache()
            self.thread.stop()

    def __exit__(self, *_raised):
        if self.thread is not None:
            self.manager.save_thread = type(self.thread)(self.manager)
            self.manager.save_thread.start()


# ------------------------------------------------------------------------------- what goes along


def choose(cls):
    """The taker of a class of IPython's, if instances are parts of a shell."""
    core = sys.modules.get(_MODULE)
    if core is None:
        return None
    if issubclass(cls, core.InteractiveShell):
        return take_shell
    module = cls.__module__
    return take_part if type(module) is str and module.startswith(("IPython.", "ipykernel.")) else None


def take_shell(pickler, shell):
    """A shell: the peer's."""
    comes = pickler.trip is not None or pickler.coming is not None
    if shell is not (any_here() if comes else here()):
        return pickler.refuse(shell, "it is a shell of IPython's that has no terminal")
    start = _take_start(shell)
    return (shell_of_trip, start[1:]) if comes else (shell_of_this_process, (start,))


def take_part(pickler, thing):
    """A part of the shell: that of the peer's."""
    shell = any_here()
    if shell is not None:
        for name in _PARTS:
            if getattr(shell, name, None) is thing:
                return part_of_this_process, (shell, name)
    if pickler.trip is not None and type(thing).__module__.startswith("ipykernel."):
        return pickler.trip.stays(pickler, thing, "it belongs to the kernel, which stays at home")
    from . import instances

    return instances.choose(pickler, type(thing))(pickler, thing)


def _take_start(shell):
    options = {
        name: value
        for name, value in ((name, getattr(shell, name)) for name in shell.class_trait_names(config=True))
        if type(value) in (bool, int, float, str) and name not in ("ipython_dir", "logfile", "logappend")
    }
    return type(shell), dict(shell.config), shell.profile, options


def shell_of_this_process(start):
    """The shell of this process, made if there is none."""
    if here() is None:
        _make(*start)
    return here()


def shell_of_trip(*start):
    """The shell of a program that goes and comes back: at home its own, elsewhere one without a terminal."""
    if any_here() is None:
        from .guests import GuestShell

        _make(GuestShell, *start)
    return any_here()


def part_of_this_process(shell, name):
    """A part of it."""
    return getattr(shell, name)


def _make(cls, config, profile, options):
    from IPython.core.profiledir import ProfileDir, ProfileDirError
    from IPython.paths import get_ipython_dir
    from traitlets.config import Config

    folder = get_ipython_dir()
    try:
        place = ProfileDir.find_profile_dir_by_name(folder, profile)
    except ProfileDirError:
        place = ProfileDir.create_profile_dir_by_name(folder, profile)
    main = sys.modules["__main__"]
    shell = cls.instance(config=Config(config), profile_dir=place, ipython_dir=folder, user_module=main)
    for name, value in options.items():
        if getattr(shell, name, value) != value:
            setattr(shell, name, value)


def take():
    """What a shell has."""
    shell = here()
    if shell is None:
        return None
    manager = shell.history_manager
    return {
        **take_session(shell),
        "host": os.uname().nodename,
        "count": shell.execution_count,
        "traps": (shell.builtin_trap._nested_level, shell.display_trap._nested_level),
        "raw": manager.input_hist_raw,
    }


def take_session(shell):
    """What has been typed in a shell, and what came of it."""
    manager = shell.history_manager
    magics = {
        kind: {name: each for name, each in table.items() if getattr(each, "__module__", None) == "__main__"}
        for kind, table in shell.magics_manager.magics.items()
    }
    return {
        "shell": shell,
        "parsed": manager.input_hist_parsed,
        "outputs": manager.output_hist,
        "last": [getattr(shell.displayhook, name) for name in _LAST],
        "folders": manager.dir_hist,
        "names": dict(shell.compile._filename_map),
        "hidden": dict(shell.user_ns_hidden),
        "magics": magics,
        "extensions": sorted(shell.extension_manager.loaded),
    }


def give_back_session(taken):
    """Have a shell go on with it."""
    shell = taken["shell"]
    manager = shell.history_manager
    for name in taken["extensions"]:
        if name not in shell.extension_manager.loaded:
            shell.extension_manager.load_extension(name)
    for kind, table in taken["magics"].items():
        shell.magics_manager.magics[kind].update(table)
    manager.input_hist_parsed = taken["parsed"]
    manager.output_hist, manager.dir_hist = taken["outputs"], taken["folders"]
    for name, value in zip(_LAST, taken["last"]):
        setattr(shell.displayhook, name, value)
    shell.compile._filename_map.update(taken["names"])
    shell.user_ns_hidden.update(taken["hidden"])


def give_back(taken):
    """Be such a shell."""
    shell = taken["shell"]
    manager = shell.history_manager
    if taken["host"] != os.uname().nodename:
        # Its database lacks what was typed elsewhere.
        for number, (parsed, raw) in enumerate(zip(taken["parsed"], taken["raw"])):
            if number:
                manager.store_inputs(number, parsed, raw)
    give_back_session(taken)
    manager.input_hist_raw = taken["raw"]
    shell.execution_count = taken["count"]
    for trap, level in zip((shell.builtin_trap, shell.display_trap), taken["traps"]):
        if level:
            trap.__enter__()
            trap._nested_level = level


# ------------------------------------------------------------------------------- after the move


def go_on(cell, raised):
    """Come to the end of a cell of which a statement has moved here, and go on with the prompt.

    Args:
        cell: what :func:`take_cell` gave.
        raised: what the statement has raised, or None.
    """
    shell = here()
    sys.excepthook = sys.__excepthook__
    have_lists(shell)
    _end_cell(shell, cell, raised)
    shell.mainloop()


def have_lists(shell):
    """Go on with what the names of them refer to, which have been away if the session has."""
    manager = shell.history_manager
    for name, kind, attribute in (
        ("_ih", list, "input_hist_parsed"),
        ("_oh", dict, "output_hist"),
        ("_dh", list, "dir_hist"),
    ):
        found = shell.user_ns.get(name)
        if type(found) is kind:
            setattr(manager, attribute, found)


def _end_cell(shell, cell, raised):
    from IPython.core.async_helpers import _pseudo_sync_runner

    result = cell["result"]
    shell.displayhook.exec_result = result
    try:
        if raised is not None:
            _show(shell, result, raised)
        elif cell["rest"]:
            modes = [mode for _node, mode in cell["rest"]]
            interactivity = "all" if modes[0] == "single" else "last" if modes[-1] == "single" else "none"
            nodes = [node for node, _mode in cell["rest"]]
            run = shell.run_ast_nodes(nodes, cell["name"], interactivity, shell.compile, result)
            _pseudo_sync_runner(run)
    finally:
        shell.displayhook.exec_result = None
        for trap in (shell.display_trap, shell.builtin_trap):
            if trap._nested_level:
                trap._nested_level = 1
                trap.__exit__(None, None, None)
    shell.last_execution_succeeded = result.error_in_exec is None
    shell.last_execution_result = result
    number = result.execution_count
    if number is not None:  # the cell is one of the history
        shell.history_manager.store_output(number)
        shell.execution_count = number + 1
    shell.events.trigger("post_execute")
    shell.events.trigger("post_run_cell", result)


def _show(shell, result, raised):
    """Show an exception as the shell does, which has no frame of its own below the cell here."""
    result.error_in_exec = raised
    exception = type(raised), raised, raised.__traceback__
    if isinstance(raised, SystemExit):
        shell.showtraceback(exception, exception_only=True)
        sys.stderr.write("To exit: use 'exit', 'quit', or Ctrl-D.\n")
    elif isinstance(raised, shell.custom_exceptions):
        shell.CustomTB(*exception)
    elif type(raised).__name__ != "BdbQuit":
        shell.showtraceback(exception, tb_offset=0, running_compiled_code=True)


# ------------------------------------------------------------------------------- the magic


def load_extension(shell):
    """Give a shell the magics: ``%teleport TARGET``, and ``%%on TARGET`` before a cell."""
    from .cells import on

    if here() is not None:
        shell.register_magic_function(magic, "line", "teleport")
    else:
        from .sessions import teleport

        shell.register_magic_function(teleport, "line_cell", "teleport")
    shell.register_magic_function(on, "cell", "on")


def magic(line):
    """Go on with this session at a target: ``%teleport ssh://host``; in a fresh process without one."""
    from .api import teleport

    teleport(line.strip() or None)
