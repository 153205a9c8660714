"""The prompt: what is typed there is a program, and another prompt comes after its end.

Four prompts are known, besides those of programs such as `code.interact()`, which are no more than frames:

    the interpreter's own   C calls each statement. A statement that moves comes to its end at the peer, and a
                            prompt of the peer's own follows it.
    that of 3.13 and later  made in Python (`_pyrepl`): its frames move with the statement, and go on reading.
    IPython's               its frames stay at home, and a shell of the peer's own goes on (`shells`).
    after a script          with `python -i`, or PYTHONINSPECT: it begins when the script has ended.

What a prompt keeps outside of Python's objects goes along: the lines of history, how names are completed,
input that was typed ahead.
"""

from __future__ import annotations

import os
import sys

from . import _native, imports, shells, sources
from .errors import CaptureError

__builtins__ = imports.BUILTINS

# What runs this program: None, ("line", features of `from __future__`, the number of the next),
# ("frames",), or ("cell", what is left of it).
_found = None

# Whether it is captured for copies, which come to their ends without another prompt: nobody types there.
_copies = False

# Whether it is captured to come back, or to go back: the prompt stays at home.
_stays = False
# Whether, with that, all stays that is below a base.
_is_based = False

# Whether this process runs the interpreter's prompt because another one did.
_follows = False

_FEATURES = 0x1FFF000  # CO_FUTURE_...


def found(codes, names, copies, trip=None):
    """What prompt runs this program; and, if not all of its frames move, which is the outermost that does.

    Args:
        codes: those of the main thread's outermost frames, the outermost first; none on another thread.
        names: of the modules that they are in.
        copies: whether copies of the program are made.
        trip: of a program that comes back: home's side of it, or, where it has come to, what is known there.
    """
    global _found, _copies, _stays, _is_based
    _copies, _stays, _is_based = copies, trip is not None, False
    if trip is not None and not hasattr(trip, "prompt"):
        _found = None
        return none(), None
    _found, bottom = _look(codes, names)
    if trip is not None:
        trip.prompt = _found
        is_over_first = _found is not None and _found[0] in ("line", "cell")
        return ("guest",) if is_over_first else none(), bottom
    if copies:
        if _found == ("frames",):
            bottom = names.index("_pyrepl.simple_interact") + 1
        return none(), bottom
    if _found is not None and _found[0] == "line":
        _give_back_input()
    return _found, bottom


def none():
    """That no prompt follows the program's end."""
    return ("none",)


def based():
    """Only what is above a base is captured, which no prompt runs; what follows its end."""
    global _found, _copies, _stays, _is_based
    _found, _copies, _stays, _is_based = None, True, True, True
    return none()


def is_based():
    """Whether only what is above a base is captured: what the process calls for itself stays with it."""
    return _is_based


def _look(codes, names):
    for place, (code, name) in enumerate(zip(codes[:5], names)):
        if name == "_pyrepl.main" and code.co_name == "interactive_console":
            # It calls the interpreter's own where the terminal is too simple.
            inner = place + 1 < len(codes) and codes[place + 1]
            return (_line(inner), place + 1) if inner and _is_line(inner) else (("frames",), None)
    place = shells.cell_of(codes, names)
    if place is not None:
        return ("cell", shells.take_cell(codes[place])), place
    if codes and _is_line(codes[0]) and (_follows or os.isatty(0) or sys.flags.interactive):
        return _line(codes[0]), None
    return None, None


def _is_line(code):
    return code.co_name == "<module>" and code.co_filename.startswith("<stdin")


def _line(code):
    # From 3.13 on statements are numbered, by which their sources are found: <stdin>-3, <stdin-3>.
    number = code.co_filename.partition("-")[2].rstrip(">")
    return "line", code.co_flags & _FEATURES, int(number) + 1 if number else 0


def _give_back_input():
    """Have nothing read ahead by C of what is typed next: it is read by a process at a time."""
    if os.isatty(0) or _follows:
        return
    try:
        os.lseek(0, 0, os.SEEK_CUR)
    except OSError:
        text = "the prompt reads ahead from a pipe, and what it has read already cannot be moved; "
        raise CaptureError(text + "have it read from a terminal or a file") from None
    _native.sync_input()


def after(prompt, raised):
    """What comes after a program's end: None, or the prompt that follows.

    Args:
        prompt: what has run it at home.
        raised: what it has ended with, or None.

    Returns:
        Whether the interpreter prints first what was raised; then a function and its arguments, or None
        and the features that the interpreter's own prompt begins with.
    """
    exits = isinstance(raised, SystemExit)
    is_home = prompt is not None and prompt[0] == "home"
    if is_home:
        prompt = prompt[1]
    if prompt is not None:
        kind, *line = prompt
        if kind == "guest":
            # It has not come home before.
            from .there import end_of_statement

            return None if exits else (raised is not None, end_of_statement, ())
        if kind == "cell":
            return False, shells.go_on, (line[0], raised)
        return (True, None, _begin(*line, is_home)) if kind == "line" and not exits else None
    if not _is_wanted() or (exits and not sys.flags.inspect):
        return None
    _run_hook()
    main = sys.modules["_pyrepl.main"] if _can_be_made_in_python() else None
    if main is not None:
        return True, main.interactive_console, (sys.modules["__main__"],)
    return True, None, _begin(0, 0, False)


def _begin(features, number, is_home):
    global _follows
    _follows = True
    if is_home:  # it has counted them, and may have begun to read
        return features
    if number:
        _count(number)
    if not os.isatty(0):
        _native.read_by_the_byte()
    return features


def _count(number):
    """Have the interpreter go on with this number: there have been as many statements, at home or here."""
    import linecache

    places = [linecache.cache, getattr(linecache, "_interactive_cache", {})]
    kept = [place.copy() for place in places]
    texts = {name: getattr(sys, name) for name in ("ps1", "ps2")}
    sys.ps1 = sys.ps2 = ""
    try:
        _native.run_empty_statements(number)
    finally:
        vars(sys).update(texts)
        for place, own in zip(places, kept):
            place.clear()
            place.update(own)


def _is_wanted():
    """Whether a prompt is to come after a script."""
    named = not sys.flags.ignore_environment and os.environ.get("PYTHONINSPECT")
    return bool(sys.flags.inspect or named) and (bool(sys.flags.interactive) or os.isatty(0))


def _can_be_made_in_python():
    if sys.version_info < (3, 13):
        return False
    if not sys.flags.ignore_environment and os.environ.get("PYTHON_BASIC_REPL"):
        return False
    from _pyrepl.main import CAN_USE_PYREPL

    return CAN_USE_PYREPL


def _run_hook():
    """Prepare for a prompt as the interpreter does: completion of names, the file of history."""
    hook = getattr(sys, "__interactivehook__", None)
    if hook is None:
        return
    try:
        hook()
    except Exception:
        sys.stderr.write("Failed calling sys.__interactivehook__\n")
        sys.excepthook(*sys.exc_info())


def print_raised(raised, is_printed):
    """Print what was raised as the interpreter does before a prompt, where `SystemExit` is no exit."""
    kind, trace = type(raised), raised.__traceback__
    sys.last_type, sys.last_value, sys.last_traceback = kind, raised, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = raised
    if not is_printed and not sources.print_exception_like_python(raised, exits=False):
        sys.excepthook(kind, raised, trace)


# ------------------------------------------------------------------------------- what goes along


def take():
    """What a prompt has, and the interpreter knows of being one."""
    taken = {}
    flags = sys.flags.inspect, sys.flags.interactive
    if any(flags):
        taken["flags"] = flags
    texts = {name: getattr(sys, name) for name in ("ps1", "ps2") if hasattr(sys, name)}
    if texts:
        taken["texts"] = texts
    typed = getattr(sys.modules.get("linecache"), "_interactive_cache", None)
    if typed:
        taken["sources"] = dict(typed)
    if "readline" in sys.modules and not _stays:
        taken["lines"] = _take_lines(sys.modules["readline"])
    if is_at_prompt() and not _copies:
        taken["host"] = os.uname().nodename
    own = sys.modules.get("_pyrepl.readline")
    if own is not None and own.raw_input is not None and not _copies:
        taken["reader"] = _take_reader(own)
    return taken or None


def is_at_prompt():
    """Whether a prompt of Python's runs the program that is being captured."""
    return _found is not None and _found[0] in ("line", "frames")


def take_shell():
    """What IPython's prompt has."""
    return shells.take() if _found is not None and _found[0] == "cell" and not _copies else None


def give_back(taken):
    """Be such a prompt."""
    if "flags" in taken:
        have = sys.flags.inspect, sys.flags.interactive
        if have != taken["flags"]:
            # Their places; nothing in C looks at the tuple.
            sys.flags = _native.flags_with(sys.flags, list(enumerate(taken["flags"], 1)))
    for name, text in taken.get("texts", {}).items():
        setattr(sys, name, text)
    if "sources" in taken:
        sources.when_imported(
            "linecache", lambda linecache: linecache._interactive_cache.update(taken["sources"])
        )
    if "host" in taken:
        _run_hook()
    if "lines" in taken:
        _give_back_lines(taken["lines"], taken.get("host"))
    if "reader" in taken:
        _give_back_reader(taken["reader"], taken.get("host"))


def _take_lines(readline):
    lines = [readline.get_history_item(place + 1) for place in range(readline.get_current_history_length())]
    return (
        lines,
        readline.get_history_length(),
        readline.get_completer(),
        readline.get_completer_delims(),
    )


def _give_back_lines(taken, host):
    import readline

    lines, length, completer, delimiters = taken
    # On another machine the lines of its own file come first: that is written at the end.
    if host is None or host == os.uname().nodename:
        readline.clear_history()
    for line in lines:
        readline.add_history(line)
    readline.set_history_length(length)
    readline.set_completer(completer)
    readline.set_completer_delims(delimiters)
    completion = sys.modules.get("rlcompleter")
    if completion is not None:
        completion.__main__ = sys.modules["__main__"]


def _take_reader(own):
    """What the prompt that is made in Python reads with."""
    wrapper = own._wrapper
    reader = wrapper.reader
    if reader is None:
        return [], b"", wrapper.config.readline_completer
    console = reader.console
    ahead = [event.raw for event in list(console.event_queue.events) if event.evt == "key"]
    ahead.append(console.event_queue.buf)
    if hasattr(console, "input_buffer"):
        ahead.append(console.input_buffer[console.input_buffer_pos :])
    return list(reader.history), b"".join(map(bytes, ahead)), wrapper.config.readline_completer


def _give_back_reader(taken, host):
    import _pyrepl.readline as own

    lines, ahead, completer = taken
    own._setup(sys.modules["__main__"].__dict__)
    if own.raw_input is None:  # there is no terminal here
        return
    own._wrapper.config.readline_completer = completer
    reader = own._wrapper.get_reader()
    if host is None or host == os.uname().nodename:
        del reader.history[:]
    reader.history.extend(lines)
    for byte in ahead:
        reader.console.event_queue.push(byte)


def take_reader(pickler, _reader):
    """What reads lines, which is the peer's there."""
    return reader_of_this_process, ()


def reader_of_this_process():
    """That of the prompt that is made in Python."""
    import _pyrepl.readline as own

    return own._wrapper.get_reader()


def choose(cls):
    """The taker of the class of the terminal that the reader has."""
    if cls.__module__ == "_pyrepl.unix_console" and cls.__name__ == "UnixConsole":
        return take_console
    return None


def take_console(pickler, console):
    """The terminal of what reads lines; from 3.15 on it handles signals."""
    own = sys.modules["_pyrepl.readline"]
    if own._wrapper.reader is None or own._wrapper.reader.console is not console:
        return pickler.refuse(console, "it is a terminal that no prompt reads from")
    return console_of_this_process, ()


def console_of_this_process():
    """That of the reader."""
    return reader_of_this_process().console
