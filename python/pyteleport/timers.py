"""Timers that run, and signals that are held back: both come last of all at the peer."""

from __future__ import annotations

import sys

from . import imports

__builtins__ = imports.BUILTINS


def take_timers():
    """(the timers with what is left of them, the signals that are blocked), or None."""
    signal = sys.modules.get("_signal")
    if signal is None:
        return None
    timers = {}
    for timer in (signal.ITIMER_REAL, signal.ITIMER_VIRTUAL, signal.ITIMER_PROF):
        left, interval = signal.getitimer(timer)
        if left:
            timers[timer] = left, interval
    blocked = sorted(int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ()))
    return (timers, blocked) if timers or blocked else None


def give_back_timers(taken):
    """Start them, and hold these signals back."""
    import _signal

    timers, blocked = taken
    _signal.pthread_sigmask(_signal.SIG_BLOCK, blocked)
    for timer, (left, interval) in timers.items():
        _signal.setitimer(timer, left, interval)
