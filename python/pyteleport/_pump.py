"""What home becomes once its program has moved away: run by path, with nothing imported but this."""

import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from os import path


def native():
    """The extension module beside this file, without the package that it belongs to."""
    for suffix in EXTENSION_SUFFIXES:
        file = path.join(path.dirname(__file__), "_native" + suffix)
        if path.exists(file):
            loader = ExtensionFileLoader("_native", file)
            module = loader.create_module(ModuleSpec("_native", loader, origin=file))
            loader.exec_module(module)
            return module
    raise ImportError("pyteleport has lost its extension module")


if __name__ == "__main__":
    native().pump(sys.argv[1:])
