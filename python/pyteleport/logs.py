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


_USUAL_LEVELS = {0: "NOTSET", 10: "DEBUG", 20: "INFO", 30: "WARNING", 40: "ERROR", 50: "CRITICAL"}


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
    levels = {level: name for level, name in logging._levelToName.items() if _USUAL_LEVELS.get(level) != name}
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


def reset(left, back):
    """Take back what was set here, but for loggers that what has come back is set on anyway."""
    import logging

    loggers, handlers, (_disable, _raises, levels, last) = left
    come = {name for name, *_rest in back[0]} if back else ()
    for name, _fields, more, kind in loggers:
        logger = logging.root if name == "root" else logging.getLogger(name)
        if name not in come:
            if kind is not None:
                logger.__class__ = logging.RootLogger if logger is logging.root else logging.Logger
            level = logging.WARNING if logger is logging.root else logging.NOTSET
            for field, value in zip(_FIELDS, (level, True, False, [], [])):
                setattr(logger, field, value)
        for key in more:
            vars(logger).pop(key, None)
    # Nobody is to close these at the end, or finds them by name: what comes back has its own.
    logging._handlerList[:] = [
        ref for ref in logging._handlerList if not any(ref() is one for one in handlers)
    ]
    for handler in handlers:
        if logging._handlers.get(handler.get_name()) is handler:
            del logging._handlers[handler.get_name()]
    for level, name in levels.items():
        del logging._levelToName[level]
        if logging._nameToLevel.get(name) == level:
            del logging._nameToLevel[name]
        if level in _USUAL_LEVELS:
            logging.addLevelName(level, _USUAL_LEVELS[level])
    if type(last) is tuple:
        logging.lastResort = logging._defaultLastResort
    logging._defaultLastResort.setLevel(logging.WARNING)
    if back is None:
        logging.raiseExceptions = True
        logging.root.manager.disable = 0
    logging.root.manager._clear_cache()
