"""The text of the program's source files, for tracebacks, `inspect` and imports at a peer without them.

The texts go into `linecache` as soon as somebody imports that. An uncaught exception is printed by
the interpreter itself, from the files on the disk, unless one of them is missing here or differs.

Modules that the program has not imported yet come along, too, if they lie beside its own and their
names are mentioned in its sources.
"""

from __future__ import annotations

import os
import sys

from . import baselines, imports, modules

__builtins__ = imports.BUILTINS

# File name → bytes: what came with the program.
carried = {}


def take(by_value, codes):
    """File name → bytes, for the sources of the program itself."""
    names = {}
    for module in by_value.values():
        namespace = modules.namespace_of(module)
        path = namespace.get("__file__")
        if type(path) is str:
            names[path] = None
    for code in codes:
        path = code.co_filename
        if path not in names and not path.startswith("<") and not modules.installed(path):
            names[path] = None
    found = {}
    for path in names:
        text = carried.get(path)
        if text is None:
            text = _read(path)
        if text is not None:
            found[path] = text
    _add_neighbours(found, by_value)
    lines = sys.modules.get("linecache")
    if lines is not None:
        for code in codes:
            entry = lines.cache.get(code.co_filename)
            if code.co_filename in found or entry is None or len(entry) != 4:
                continue
            if entry[1] is None:  # it was put there, and is not on the disk
                found[code.co_filename] = "".join(entry[2]).encode()
        for path, entry in lines.cache.copy().items():
            # What came along may have been made anew since.
            if len(entry) == 4 and entry[1] is None and str(path).startswith("<"):
                found[path] = "".join(entry[2]).encode()
    return found


_MOST = 16 << 20


def _add_neighbours(found, by_value):
    """What may be imported later: modules that the sources mention, beside those that travel by value."""
    found.update((path, text) for path, text in carried.items() if path not in found)
    folders = {
        entry or os.getcwd()
        for entry in sys.path
        if type(entry) is str and not modules.installed(entry + os.sep)
    }
    files = {}
    for module in by_value.values():
        namespace = modules.namespace_of(module)
        path = namespace.get("__file__")
        if type(path) is str and "." not in str(namespace.get("__package__") or ""):
            folders.add(os.path.dirname(path))
        places = namespace.get("__path__")
        folders.update(each for each in (places if type(places) is list else ()) if type(each) is str)
    waiting, words, size = list(found.values()), set(), 0
    while waiting:
        for folder in list(folders):
            if folder not in files:
                files[folder] = _modules_in(folder)
        words.update(baselines.words_of(waiting, ()))
        waiting = []
        for folder in list(folders):
            for name in words & files[folder].keys():
                path = files[folder].pop(name)
                text = _read(path) if path not in found else None
                if path.endswith("/__init__.py"):
                    folders.add(os.path.dirname(path))
                if text is not None and size + len(text) < _MOST:
                    size += len(text)
                    found[path] = text
                    waiting.append(text)


def _modules_in(folder):
    """name → path of the modules and packages in a folder."""
    try:
        entries = sorted(os.listdir(folder))
    except OSError:
        return {}
    there = {}
    for entry in entries:
        path = folder + os.sep + entry
        if entry.endswith(".py"):
            there[entry[:-3]] = path
        elif "." not in entry and os.path.isfile(path + "/__init__.py"):
            there[entry] = path + "/__init__.py"
    return there


def _read(path):
    if not path.endswith((".py", ".pyw")) and "." in path.rpartition("/")[2]:
        return None
    try:
        with open(path, "rb", 0) as file:
            return file.read()
    except OSError:
        return None


def give_back(found):
    """Keep the texts, for whoever asks `linecache`."""
    carried.clear()
    carried.update(found)
    if carried:
        when_imported("linecache", _fill_linecache)
        if not any(type(each) is Neighbours for each in sys.meta_path):
            sys.meta_path.append(Neighbours())


class Neighbours:
    """Finds the program's own modules that came along, where the disk lacks them."""

    def find_spec(self, name, path=None, target=None):
        """The spec of a module, if its source came along."""
        last = name.rpartition(".")[2]
        for folder in sys.path if path is None else path:
            start = os.path.join(folder if type(folder) is str and folder else os.getcwd(), last)
            for place in (start + "/__init__.py", start + ".py"):
                if place in carried:
                    return _spec(name, place)
        return None


def _spec(name, path):
    from importlib.util import spec_from_file_location

    folders = [os.path.dirname(path)] if path.endswith("/__init__.py") else None
    return spec_from_file_location(name, path, loader=_loader(name, path), submodule_search_locations=folders)


def _loader(name, path):
    from importlib.machinery import SourceFileLoader

    loader = SourceFileLoader(name, path)
    # As an attribute: what is found so goes on as an ordinary loader, also where pyteleport is not.
    loader.get_code = _Code(name, path)
    return loader


class _Code:
    """Compiles a source that came along, for a loader that cannot read it."""

    def __init__(self, name, path):
        self.name = name
        self.path = path

    def __call__(self, name):
        return compile(carried[self.path], self.path, "exec", dont_inherit=True)


def _fill_linecache(linecache):
    for path, text in carried.items():
        lines = _decode(text).splitlines(True)
        if lines and not lines[-1].endswith("\n"):
            lines[-1] += "\n"
        linecache.cache[path] = (len(text), None, lines, path)


def _decode(text):
    from io import BytesIO, TextIOWrapper
    from tokenize import detect_encoding

    try:
        encoding = detect_encoding(BytesIO(text).readline)[0]
        return TextIOWrapper(BytesIO(text), encoding).read()
    except (SyntaxError, UnicodeDecodeError):
        return text.decode("utf-8", "replace")


def print_exception_like_python(exception, exits=True):
    """Print an uncaught exception through `traceback` where C could not show its lines.

    Args:
        exception: what was raised.
        exits: whether `SystemExit` is the process's exit, which nothing is printed of.

    Returns True if it was printed; False if the interpreter's own way is as good or `sys.excepthook`
    is not the default, so that the caller should leave it to that.
    """
    if exits and isinstance(exception, SystemExit):
        return False
    if sys.excepthook is not sys.__excepthook__ or not _shows_what_is_not_here(exception):
        return False
    import traceback

    traceback.print_exception(type(exception), exception, exception.__traceback__)
    return True


def _shows_what_is_not_here(exception):
    """Whether a traceback in the exception's chain leads through a file that the disk lacks."""
    waiting, seen, paths = [exception], set(), set()
    while waiting:
        one = waiting.pop()
        if one is None or id(one) in seen:
            continue
        seen.add(id(one))
        entry = one.__traceback__
        while entry is not None:
            paths.add(entry.tb_frame.f_code.co_filename)
            entry = entry.tb_next
        waiting.extend((one.__cause__, one.__context__))
        waiting.extend(getattr(one, "exceptions", None) or ())
    # Of what was never on a disk C shows here what it shows at home.
    paths = [path for path in paths if path in carried and not path.startswith("<")]
    return any(_read(path) != carried[path] for path in paths)


# ------------------------------------------------------------------------------- imported later


class _Watcher:
    """A finder that finds nothing itself: it does what waits for a module once that is imported."""

    def __init__(self):
        self.waiting = {}

    def find_spec(self, name, path=None, target=None):
        """Let the others find the module, and act when it has been executed."""
        actions = self.waiting.pop(name, None)
        if not self.waiting and self in sys.meta_path:
            sys.meta_path.remove(self)
        if actions is None:
            return None
        for finder in list(sys.meta_path):
            find = getattr(finder, "find_spec", None)
            spec = find(name, path, target) if find is not None and finder is not self else None
            if spec is not None:
                break
        else:
            return None
        if hasattr(spec.loader, "exec_module"):
            spec.loader = _Loader(spec.loader, actions)
        return spec


class _Loader:
    """Stands before a module's loader, which may be a class that all frozen modules have in common."""

    def __init__(self, loader, actions):
        self.loader = loader
        self.actions = actions

    def __getattr__(self, name):
        return getattr(self.loader, name)

    def exec_module(self, module):
        """Step aside, have the module executed, and act."""
        module.__loader__ = module.__spec__.loader = self.loader
        self.loader.exec_module(module)
        for action in self.actions:
            action(module)


_watcher = _Watcher()


def when_imported(name, action):
    """Call an action with a module: now if it is loaded, else when it is."""
    module = sys.modules.get(name)
    if module is not None:
        action(module)
        return
    _watcher.waiting.setdefault(name, []).append(action)
    if _watcher not in sys.meta_path:
        sys.meta_path.insert(0, _watcher)
