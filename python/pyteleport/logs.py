"""The set-up of `logging`: loggers are found by name at the peer, what is set on them travels.

Handlers are ordinary objects; those on a standard stream write to the peer's.
"""

from __future__ import annotations

import sys

from . import imports

__builtins__ = imports.BUILTINS

# What every logger has; anything else was put there by the program.
_FIELDS = ("level", "propagate", "disabled", "filters", "handlers")
_MADE = frozenset((*_FIELDS, "name", "parent", "manager", "root", "_cache"))


def take_logging():
    """What is set on loggers, and the handlers in the order in which they close; None if nothing is."""
    logging = sys.modules.get("logging")
    if logging is None:
        return None
    loggers = []
    for logger in [logging.root, *logging.root.manager.loggerDict.values()]:
        if not isinstance(logger, logging.Logger):
            continue  # stands for a logger that nobody asked for yet
        fields = [getattr(logger, field) for field in _FIELDS]
        more = {key: value for key, value in vars(logger).items() if key not in _MADE}
        kind = type(logger) if type(logger) not in (logging.Logger, logging.RootLogger) else None
        usual = [logging.WARNING if logger is logging.root else logging.NOTSET, True, False, [], []]
        if fields != usual or more or kind is not None:
            loggers.append((logger.name, fields, more, kind))
    levels = {
        level: name for level, name in logging._levelToName.items() if level not in (0, 10, 20, 30, 40, 50)
    }
    last = logging.lastResort
    # None, another handler, or the level of the usual one
    last = last.level if last is logging._defaultLastResort else (last,)
    facts = logging.root.manager.disable, logging.raiseExceptions, levels, last
    if not loggers and facts == (0, True, {}, logging.WARNING):
        return None
    handlers = [ref() for ref in logging._handlerList]
    used = {id(handler) for _name, fields, _more, _kind in loggers for handler in fields[-1]}
    handlers = [handler for handler in handlers if id(handler) in used]
    return loggers, handlers, facts


def give_back_logging(taken):
    """Set on the loggers here what was set on those at home."""
    import logging

    loggers, handlers, (disable, raises, levels, last) = taken
    for name, fields, more, kind in loggers:
        logger = logging.root if name == "root" else logging.getLogger(name)
        if kind is not None and type(logger) is not kind:
            logger.__class__ = kind
        for field, value in zip(_FIELDS, fields):
            setattr(logger, field, value)
        vars(logger).update(more)
    for handler in handlers:
        logging._addHandlerRef(handler)
        if handler.get_name():
            logging._handlers[handler.get_name()] = handler
    for level, name in levels.items():
        logging.addLevelName(level, name)
    if type(last) is tuple:
        logging.lastResort = last[0]
    else:
        logging._defaultLastResort.setLevel(last)
    logging.raiseExceptions = raises
    logging.root.manager.disable = disable
    logging.root.manager._clear_cache()
