"""What libraries keep in containers of their own: what they set up at first, and how they are configured.

That stays at home, as what a library has changed in itself is its own affair; at the peer they are asked to
set it up again, and told their settings. And what of theirs cannot be made again.
"""

from __future__ import annotations

import sys

from . import imports
from .classes import read_module, read_name, read_order
from .sources import when_imported

__builtins__ = imports.BUILTINS


def _take_locks(std):
    return "_lock" in vars(std.tqdm) or None


def _make_locks(std, _taken):
    std.tqdm.get_lock()


def _take_print_options(arrayprint):
    """Up to NumPy 2.0; after that they are in a context variable."""
    options = getattr(arrayprint, "_format_options", None)
    return dict(options) if type(options) is dict else None


def _set_print_options(arrayprint, taken):
    arrayprint._format_options.update(taken)


def _take_options(config):
    changed = {}
    for name, option in config._registered_options.items():
        place, key = config._get_root(name)
        if place[key] is not option.defval and place[key] != option.defval:
            changed[name] = place[key]
    return changed or None


def _set_options(config, taken):
    for name, value in taken.items():
        place, key = config._get_root(name)
        place[key] = value
        callback = config._registered_options[name].cb
        if callback is not None:
            callback(name)


def _take_config(config):
    settings = config.get_config()
    return settings if settings != config._global_config else None


def _set_config(config, taken):
    config._get_threadlocal_config().update(taken)


def _take_settings(polars):
    return polars.Config.save() if polars.Config.state(if_set=True) else None


def _set_settings(polars, taken):
    polars.Config.load(taken)


def _take_parameters(matplotlib):
    usual = dict(dict.items(matplotlib.rcParamsDefault))
    now = dict.items(matplotlib.rcParams)
    return {name: value for name, value in now if value is not usual[name] and value != usual[name]} or None


def _set_parameters(matplotlib, taken):
    dict.update(matplotlib.rcParams, taken)


def _take_torch(torch):
    from . import tensors

    return tensors.take_state(torch)


def _set_torch(torch, taken):
    from . import tensors

    tensors.give_back_state(torch, taken)


def _reset_options(config, left, back):
    gone = left.keys() - (back or {}).keys()
    _set_options(config, {name: config._registered_options[name].defval for name in gone})


def _reset_config(config, _left, back):
    if back is None:
        _set_config(config, config._global_config)


def _reset_settings(polars, _left, _back):
    polars.Config.restore_defaults()


def _reset_parameters(matplotlib, left, back):
    usual = dict(dict.items(matplotlib.rcParamsDefault))
    _set_parameters(matplotlib, {name: usual[name] for name in left.keys() - (back or {}).keys()})


# What is told of these is what is other than usual.
_RESET = {
    "pandas._config.config": _reset_options,
    "sklearn._config": _reset_config,
    "polars": _reset_settings,
    "matplotlib": _reset_parameters,
}


def reset(left, back):
    """Have what is told of them no longer hold here, as far as that does not come back anyway."""
    for name, told in left.items():
        if name in _RESET:
            _RESET[name](sys.modules[name], told, (back or {}).get(name))


# A module, what there is to tell of it (None for nothing), and what it is told.
_SET_UP = {
    "tqdm.std": (_take_locks, _make_locks),  # locks of threads and processes around what is drawn
    "numpy.core.arrayprint": (_take_print_options, _set_print_options),
    "numpy._core.arrayprint": (_take_print_options, _set_print_options),
    "pandas._config.config": (_take_options, _set_options),
    "sklearn._config": (_take_config, _set_config),
    "torch": (_take_torch, _set_torch),
    "polars": (_take_settings, _set_settings),
    "matplotlib": (_take_parameters, _set_parameters),
}


def take():
    """What there is to tell of modules that are loaded, by their names."""
    found = {name: _told(name, ask) for name, (ask, _tell) in _SET_UP.items() if name in sys.modules}
    return {name: told for name, told in found.items() if told is not None} or None


def _told(name, ask):
    try:
        return ask(sys.modules[name])
    except (AttributeError, KeyError):  # another release of the library, which has it otherwise
        return None


def give_back(taken):
    """Have them know it here."""
    for name, told in taken.items():
        when_imported(name, lambda module, name=name, told=told: _SET_UP[name][1](module, told))


# Classes whose instances forget for pickle what they are in the middle of. They are taken by their fields.
_RUNNING = frozenset(
    (
        ("matplotlib.axes._base", "_process_plot_var_args"),  # the next colour, up to 3.7
        ("tenacity", "BaseRetrying"),  # what was tried
    )
)


def is_running(cls):
    """Whether instances of a class are known to say less of themselves than there is."""
    return any((read_module(base), read_name(base)) in _RUNNING for base in read_order(cls))


# What a library puts into a class of the program that it then counts on, and knows more of elsewhere.
_MARKS = {
    "_sa_class_manager": (
        "sqlalchemy.orm.instrumentation",
        "SQLAlchemy has mapped it, and knows more of it than can travel; put it into a module, models.py, "
        "which is at the peer, too, and have that travel by its name: ship={'models': 'name'}",
    )
}


def mapped(namespace):
    """Why a class of the program, by what is in it, cannot be made again; None if it can."""
    for mark in _MARKS.keys() & namespace.keys():
        module, reason = _MARKS[mark]
        if module in sys.modules:
            return reason
    return None
