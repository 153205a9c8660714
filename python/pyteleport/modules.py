"""Which modules travel by name, and which by value.

By name: what the peer has installed: the standard library, site-packages, extension modules and
pyteleport. By value: `__main__` and the program's own modules, whose namespace is the very
dictionary that their functions use as globals.

A persistent id stands for an object that both ends find by themselves:

    ("m", module)               a module
    ("d", module)               its namespace, the dictionary
    ("a", module, attribute…)   what an attribute of it names
"""

from __future__ import annotations

import os
import sys
from types import FunctionType

from . import _native, imports
from .classes import is_made_in_python, known_at_home, read_namespace

__builtins__ = imports.BUILTINS

ModuleType = type(sys)

namespace_of = ModuleType.__dict__["__dict__"].__get__


def names_of(owner):
    """What a module or a class has itself, by name; nobody is asked."""
    return read_namespace(owner) if isinstance(owner, type) else namespace_of(owner)


_STDLIB = tuple(
    {
        os.path.dirname(os.__file__) + os.sep,
        os.path.dirname(os.path.realpath(os.__file__)) + os.sep,
        "%s/lib/python%d.%d/" % ((sys.base_prefix, *sys.version_info[:2])),
    }
)
_SITE = (os.sep + "site-packages" + os.sep, os.sep + "dist-packages" + os.sep)

# What the program may hold that belongs to the interpreter itself.
_INTERPRETER = (
    ("sys", "modules"),
    ("sys", "argv"),
    ("sys", "path"),
    ("sys", "meta_path"),
    ("sys", "path_hooks"),
    ("sys", "path_importer_cache"),
    ("sys", "flags"),
    ("sys", "version_info"),
    ("sys", "hash_info"),
    ("sys", "float_info"),
    ("sys", "int_info"),
    ("sys", "thread_info"),
    ("sys", "implementation"),
    ("sys", "warnoptions"),
    ("sys", "_xoptions"),
    ("typing", "_NamedTuple"),
    ("typing", "_TypedDict"),
    ("os", "environ"),
    ("warnings", "filters"),
    ("warnings", "onceregistry"),
    ("_pyrepl.readline", "_wrapper"),
)
_STREAMS = ("__stdin__", "__stdout__", "__stderr__")


def is_module(thing):
    """Whether a thing is a module: what cffi puts into `sys.modules` only says so."""
    return issubclass(type(thing), ModuleType)


def installed(path):
    """Whether a file is part of what is installed, so that a peer has its own."""
    return path.startswith(_STDLIB) or _is_in_site(path)


def _is_in_site(path):
    return _SITE[0] in path or _SITE[1] in path


def is_library(namespace):
    """Whether a module that travels by name is of a library, not of the standard one."""
    path = namespace.get("__file__")
    return type(path) is str and _is_in_site(path)


def is_of_installed(function):
    """Whether the module that a function names as its own is part of what is installed."""
    module = sys.modules.get(getattr(function, "__module__", None) or "")
    path = getattr(module, "__file__", None)
    return type(path) is str and installed(path)


def _is_made_in_c(namespace):
    """Whether a module that no file made is one in which C code shares its types, as Cython does, or cffi.

    It holds types that no module has which is installed, and nothing that was made in Python. What
    the types say of their module does not tell: some name none, some hide it behind a member.
    """
    values = list(namespace.copy().values())
    if any(type(each).__module__ == "_cffi_backend" for each in values):
        return True
    types = [each for each in values if issubclass(type(each), type)]
    if any(type(each) is FunctionType for each in values) or any(map(is_made_in_python, types)):
        return False
    return not all(map(_is_offered, types))


def _is_offered(thing):
    """Whether some module that is installed has this very object."""
    for name, module in sys.modules.copy().items():
        namespace = namespace_of(module) if is_module(module) else {}
        if namespace.get("__spec__") is None or _is_own(name, namespace):
            continue
        if any(value is thing for value in namespace.copy().values()):
            return True
    return False


def _is_own(name, namespace):
    """Whether a module is part of the program itself: pure Python, and not installed."""
    path = namespace.get("__file__")
    spec = namespace.get("__spec__")
    is_installed = type(path) is str and installed(path)
    if not is_installed and _is_loaded_by_program(name, getattr(spec, "loader", None)):
        return True
    if path is None:
        if spec is None:
            # Made by the program while it ran, unless a package that is installed made it.
            package = name.partition(".")[0]
            owner = sys.modules.get(package)
            if package != name and owner is not None:
                return _is_own(package, namespace_of(owner))
            return not _is_made_in_c(namespace)
        if spec.origin in ("built-in", "frozen"):
            return False
        folders = list(spec.submodule_search_locations or ())
        return bool(folders) and not any(installed(folder + os.sep) for folder in folders)
    if type(path) is not str or installed(path):
        return False
    return path.endswith((".py", ".pyc")) and name.partition(".")[0] != "pyteleport"


# What the program has chosen with the option `ship`, now or before an earlier move.
choices = {}


def _choice(ship, name, namespace):
    """What the program has chosen for a module, or for the package that it is in; None if nothing."""
    package = name
    while package and package not in ship:
        package = package.rpartition(".")[0]
    if not package:
        return None
    if package != name and ship[package] and _is_compiled(namespace):
        return None
    return ship[package]


def _is_compiled(namespace):
    """Whether a module is not made in Python: only its name can travel."""
    spec = namespace.get("__spec__")
    path = namespace.get("__file__")
    if type(path) is str:
        return not path.endswith((".py", ".pyc"))
    return spec is not None and spec.origin == "built-in"


def chosen(ship):
    """The option `ship` as a dictionary: name → whether by value.

    Raises:
        TypeError, ValueError: it is none, or names what cannot travel so.
    """
    if not ship:
        return {}
    if isinstance(ship, (str, ModuleType)):
        ship = [ship]
    pairs = ship.items() if isinstance(ship, dict) else [(each, "value") for each in ship]
    found = {}
    for module, how in pairs:
        name = module if isinstance(module, str) else getattr(module, "__name__", None)
        if type(name) is not str or how not in ("value", "name"):
            raise TypeError(
                "ship names modules, and says 'value' or 'name' of each, not %r: %r" % (module, how)
            )
        if how == "value":
            there = sys.modules.get(name)
            if there is None:
                raise ValueError("ship: there is no module %s; import it first" % name)
            if not is_module(there) or _is_compiled(namespace_of(there)):
                raise ValueError("ship: %s is not made in Python, and can only travel by its name" % name)
        elif name == "__main__":
            raise ValueError("ship: __main__ has no name that a peer could find")
        found[name] = how == "value"
    return found


def _is_half_done(namespace):
    """Whether the body of a module is still running, below an import."""
    return getattr(namespace.get("__spec__"), "_initializing", False) is True


def odd_entries(by_value):
    """What the program has put into `sys.modules` that is no module."""
    odd = {}
    for name, thing in sys.modules.copy().items():
        if thing is None:
            odd[name] = None
        elif not issubclass(type(thing), ModuleType):
            kind = thing if issubclass(type(thing), type) else type(thing)
            owner = read_namespace(kind).get("__module__")
            if owner == name or owner in by_value:
                odd[name] = thing
    return odd


def _is_loaded_by_program(name, loader):
    """Whether a loader of the program's own has made a module."""
    made = loader if isinstance(loader, type) else type(loader)
    owner = made.__module__
    if owner == "__main__":
        return True
    if type(owner) is not str or owner in _LOADERS or owner == name or owner not in sys.modules:
        return False
    return _is_own(owner, namespace_of(sys.modules[owner]))


# Where CPython's own loaders are, and what else `type(None)` and its like are from.
_LOADERS = frozenset(
    ("_frozen_importlib", "_frozen_importlib_external", "importlib._bootstrap", "builtins", "zipimport")
)


class Modules:
    """The modules of this process, sorted.

    Attributes:
        by_value: name → module, each module once.
        aliases: further names in `sys.modules` of modules in `by_value`.
        by_id: id of an object → its persistent id; all these objects live as long as the process.
        hidden: names in `by_value` that are none of `sys.modules`.
        installed: (module, its name, its namespace) of those that travel by name.
        words: names that the program's sources mention.
        patched_attributes: (module, what names a method of a class in it) that the program replaced.
        originals: (module, path) → what the program has put something else in the place of, and holds.
        patches: (module, its name, attribute, value) where the program has put something of its own
            into a module that travels by name.
    """

    def __init__(self, more=(), ship=None):
        """`more` are objects of frames: modules among them that nobody finds travel by value.

        `ship` says of some modules, by their names, whether they travel by value.
        """
        self.by_value = {}
        self.aliases = []
        self.by_id = by_id = {}
        self._index = None
        self._held = None
        names = {}
        self.installed = installed = []
        self.words = set()
        self.patched_attributes = set()
        self.originals = {}
        for name, module in sys.modules.copy().items():
            if not is_module(module):
                continue
            key = id(module)
            if key in by_id:
                if names[key] in self.by_value:
                    self.aliases.append((name, names[key]))
                continue
            names[key] = name
            namespace = namespace_of(module)
            by_id[key] = ("m", name)
            by_id[id(namespace)] = ("d", name)
            by_value = _choice(ship, name, namespace) if ship else None
            if by_value is None:
                by_value = _is_own(name, namespace)
            if name == "__main__" or by_value or _is_half_done(namespace):
                self.by_value[name] = module
            elif not name.startswith("pyteleport"):
                installed.append((module, name, namespace))
        self.hidden = []
        for module in more:
            # nobody is asked for a class
            if issubclass(type(module), ModuleType) and id(module) not in by_id:
                name = "pyteleport's %d" % len(self.hidden)
                self.hidden.append(name)
                by_id[id(module)] = ("m", name)
                by_id[id(namespace_of(module))] = ("d", name)
                self.by_value[name] = module
        _add_submodules(by_id, names)
        self.patches = _native.own_values(installed, self.by_value)
        self._patched = {(name, attribute): value for _module, name, attribute, value in self.patches}
        for owner, attribute in _INTERPRETER:
            module = sys.modules.get(owner)
            if module is not None:
                value = namespace_of(module).get(attribute)
                if value is not None:
                    by_id[id(value)] = ("a", owner, attribute)
        for attribute in _STREAMS:
            _add_stream(by_id, attribute)

    @property
    def held(self):
        """What the modules of libraries hold, of which each end has its own."""
        if self._held is None:
            from .held import Held

            self._held = Held(self)
        return self._held

    def named(self):
        """By id the persistent ids of objects; `()` for what is asked for, though the encoder knows such."""
        return {**self.by_id, **dict.fromkeys(self.held.containers(), ())}

    def read_sources(self, texts, codes):
        """Find the words of the program's sources."""
        from . import baselines

        self.texts = list(texts)
        self.words = baselines.words_of(self.texts, codes)

    def assigns(self, name):
        """Whether the program's sources assign to an attribute of this name."""
        wanted = b".%s=" % name.encode()
        for text in self.texts:
            squeezed = text.replace(b" ", b"")
            at = squeezed.find(wanted)
            while at >= 0:
                if squeezed[at + len(wanted) :][:1] != b"=":
                    return True
                at = squeezed.find(wanted, at + 1)
        return False

    def owns(self, name):
        """Whether the module of this name travels by value, or is no module at all."""
        return type(name) is not str or name in self.by_value or name not in sys.modules

    def is_own(self, thing):
        """Whether a class or function is the program's own, by the module that it names."""
        return self.owns(getattr(thing, "__module__", None))

    def has(self, thing, module, qualname):
        """Whether `qualname` in a module that travels by name is this very object, or was."""
        if self.owns(module) or type(qualname) is not str:
            return False
        if self._patched and (module, qualname.partition(".")[0]) in self._patched:
            return self.had(thing, module, qualname)
        if (module, qualname) in self.patched_attributes:
            is_it = type(thing) is FunctionType and thing.__globals__ is namespace_of(sys.modules[module])
            if is_it:
                self.originals[module, qualname] = thing
            return is_it
        found = sys.modules[module]
        try:
            for part in qualname.split("."):
                found = getattr(found, part)
        except AttributeError:
            return False
        return found is thing

    def had(self, thing, module, qualname):
        """Whether `qualname` named this object before the program put another in its place.

        That can only be told from what the object says of itself, and where its code is from.
        """
        if (module, str(qualname).partition(".")[0]) not in self._patched:
            return False
        is_it = _was_in(thing, sys.modules[module])
        if is_it:
            self.originals[module, qualname] = thing
        return is_it

    def is_patched(self, module, path):
        """Whether the program has put something in the place of what a path of names leads to."""
        return (module, path[0]) in self._patched or (module, ".".join(path)) in self.patched_attributes

    def search(self, thing, places=None):
        """The persistent id of an object that is a global of a module that travels by name."""
        for name, attribute, value in self._globals(places or list(sys.modules)):
            if value is thing and type(attribute) is str:
                return ("a", name, attribute)
        return None

    def search_bare(self, thing):
        """As `search`, for marks made by `object()`; the modules are read only once."""
        if self._index is None:
            self._index = {}
            for name, attribute, value in self._globals(list(sys.modules)):
                if type(value) is object:
                    self._index.setdefault(id(value), ("a", name, attribute))
        return self._index.get(id(thing))

    def _globals(self, names):
        """(module's name, name, value) for the globals of those modules that travel by name."""
        own = {id(module) for module in self.by_value.values()}  # which may have other names, too
        for name in names:
            module = sys.modules.get(name)
            if is_module(module) and name not in self.by_value and id(module) not in own:
                for attribute, value in namespace_of(module).copy().items():
                    yield name, attribute, value


def _was_in(thing, owner):
    """Whether a module has made this, by what it says of itself."""
    if type(thing) is FunctionType:
        return thing.__globals__ is namespace_of(owner)
    if issubclass(type(thing), type):
        functions = [each for each in vars(thing).values() if type(each) is FunctionType]
        made_there = any(each.__globals__ is namespace_of(owner) for each in functions)
        return made_there or not is_made_in_python(thing)
    return getattr(thing, "__self__", None) is owner


def _add_submodules(by_id, names):
    """Have packages that travel by name come with what was imported from them: it is their attribute."""
    for name in names.values():
        package, _, attribute = name.rpartition(".")
        while package and package != "pyteleport":
            parent = sys.modules.get(package)
            place = by_id.get(id(parent))
            if place is None or namespace_of(parent).get(attribute) is not sys.modules[name]:
                break
            by_id[id(parent)] = (*place, name)
            package, _, attribute = package.rpartition(".")


def _add_stream(by_id, attribute):
    stream = getattr(sys, attribute, None)
    path = ("a", "sys", attribute)
    for layer in ("buffer", "raw"):
        if stream is None:
            return
        by_id[id(stream)] = path
        try:
            stream = getattr(stream, layer, None)
        except ValueError:  # detached
            return
        path += (layer,)
    if stream is not None:
        by_id[id(stream)] = path


class Missing:
    """Stands for what a peer lacks while the rest is read, so that all of it can be listed."""

    def __new__(cls, *_args, **_options):
        return object.__new__(cls)

    def __init__(self, *_args, **_options):
        pass

    def __call__(self, *_args, **_options):
        return Missing()

    def __setstate__(self, state):
        pass

    def __setitem__(self, key, value):
        pass

    def append(self, item):
        """Take an item, as a list does."""

    def extend(self, items):
        """Take items, as a list does."""

    update = extend


class Finder:
    """Finds by name at the peer; remembers what is missing."""

    def __init__(self):
        self.missing = {}

    def module(self, name):
        """The module of this name, imported if need be."""
        module = sys.modules.get(name)
        if module is None:
            try:
                __import__(name)
                module = sys.modules[name]
            except Exception as problem:  # whatever a module's body raises, the peer lacks it
                self.missing.setdefault(name, problem)
                module = ModuleType(name)
        return module

    def attribute(self, name, path):
        """What the attributes of `path` lead to, from the module of this name."""
        found = self.module(name)
        if name in self.missing:
            return Missing
        known = known_at_home(found, path)
        if known is not None:
            return known
        try:
            for part in path:
                found = getattr(found, part)
        except AttributeError as problem:
            self.missing.setdefault(".".join((name, *path)), problem)
            return Missing
        return found

    def persistent_load(self, pid):
        """The object that a persistent id stands for."""
        kind = pid[0]
        if kind == "d":
            return namespace_of(self.module(pid[1]))
        if kind == "m":
            for name in pid[2:]:
                self.module(name)
            return self.module(pid[1])
        return self.attribute(pid[1], pid[2:])


def paths_of(by_value):
    """Where packages look for their modules, by the packages' names."""
    paths = {name: namespace_of(module).get("__path__") for name, module in by_value.items()}
    return {name: list(path) for name, path in paths.items() if type(path) is list}


def make_shells(names, aliases, paths, anew=True):
    """Put empty modules for those that travel by value into `sys.modules`.

    A fresh `__main__` too: the one that is there belongs to what runs here now, whose frames keep
    its namespace for good. Not `anew`: those that are there stay.
    """
    for name in names:
        if not anew and is_module(sys.modules.get(name)):
            continue
        sys.modules[name] = module = ModuleType(name)
        module.__builtins__ = sys.modules["builtins"]
        if name in paths:
            module.__path__ = paths[name]
    for alias, name in aliases:
        sys.modules[alias] = sys.modules[name]
